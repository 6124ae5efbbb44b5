//! The modules of each crate: no two of them import each other.
//!
//! A crate's top-level modules are in an order in which each imports only those
//! before it, so that a newcomer can read them one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Ident, Item, ItemMod, UseTree};

/// The crates, by the folders of their manifests.
const CRATES: [&str; 9] = [
    "crates/base",
    "crates/times",
    "crates/jq",
    "crates/events",
    "crates/steps",
    "crates/core",
    "workflows",
    "activities",
    "worker",
];

/// The top-level modules that each top-level module imports, with a file that does.
type Imports = BTreeMap<String, BTreeMap<String, PathBuf>>;

#[test]
fn no_two_modules_of_a_crate_import_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for name in CRATES {
        let imports = imports(&root.join(name).join("src"));
        assert!(!imports.is_empty(), "{name} has no modules");
        for (module, imported) in &imports {
            for (other, file) in imported {
                if module < other && reaches(&imports, other, module) {
                    let file = file.strip_prefix(root).unwrap().display();
                    found.push(format!("{name}: `{module}` <-> `{other}` ({file})"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_import_is_seen_however_it_is_written() {
    let names = Names {
        modules: ["a", "b", "c", "d"].map(String::from).into(),
        exported: [("Exported".to_owned(), "d".to_owned())].into(),
    };
    let seen = |text: &str, depth: usize| {
        let mut file = File {
            names: &names,
            depth,
            seen: BTreeSet::new(),
        };
        file.visit_file(&syn::parse_str(text).unwrap());
        Vec::from_iter(file.seen).join(" ")
    };
    assert_eq!(seen("use crate::b::{X, y::Z};", 1), "b");
    assert_eq!(seen("use crate::{b, c::X};", 1), "b c");
    assert_eq!(seen("use super::{b::X, c};", 1), "b c");
    assert_eq!(seen("use super::super::b::X;", 2), "b");
    assert_eq!(
        seen("use super::b::X;", 2),
        "",
        "a module of its own parent"
    );
    assert_eq!(seen("fn f() { crate::b::g(super::c::X) }", 1), "b c");
    assert_eq!(
        seen("mod inner { use super::super::b::X; use super::c::Y; }", 1),
        "b"
    );
    assert_eq!(seen("use crate::Exported;", 1), "d");
    assert_eq!(seen("use other::b::X; use self::c::Y;", 1), "");
}

/// Returns `true` if `from` imports `to`, directly or through other modules.
fn reaches(imports: &Imports, from: &str, to: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            next.extend(
                imports
                    .get(module)
                    .into_iter()
                    .flatten()
                    .map(|(one, _)| one.as_str()),
            );
        }
    }
    false
}

/// The imports between the top-level modules of the crate in `src`.
fn imports(src: &Path) -> Imports {
    let names = Names::of(&parse(&src.join("lib.rs")));
    let mut imports = Imports::new();
    for path in files(src) {
        let relative = path.strip_prefix(src).unwrap().with_extension("");
        let mut parts: Vec<_> = relative.iter().map(|part| part.to_str().unwrap()).collect();
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        let Some(module) = parts
            .first()
            .filter(|first| names.modules.contains(**first))
        else {
            continue;
        };
        let mut file = File {
            names: &names,
            depth: parts.len(),
            seen: BTreeSet::new(),
        };
        file.visit_file(&parse(&path));
        let imported = imports.entry((*module).to_owned()).or_default();
        for other in file.seen.into_iter().filter(|other| other != module) {
            imported.entry(other).or_insert_with(|| path.clone());
        }
    }
    imports
}

fn parse(path: &Path) -> syn::File {
    let text = fs::read_to_string(path).unwrap();
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|it| it == "rs");
    let inner = folders.iter().flat_map(|folder| self::files(folder));
    files
        .iter()
        .filter(|path| is_rust(path))
        .cloned()
        .chain(inner)
        .collect()
}

/// The names in the root of a crate.
struct Names {
    modules: BTreeSet<String>,
    /// The names that the root exports, with the module that has each.
    exported: BTreeMap<String, String>,
}

impl Names {
    fn of(root: &syn::File) -> Self {
        let mut names = Self {
            modules: BTreeSet::new(),
            exported: BTreeMap::new(),
        };
        for item in &root.items {
            match item {
                Item::Mod(module) => {
                    names.modules.insert(module.ident.to_string());
                }
                Item::Use(item) => {
                    for path in paths(&item.tree) {
                        let path: Vec<_> = path.into_iter().filter(|one| one != "self").collect();
                        if let [module, .., name] = &path[..] {
                            names.exported.insert(name.clone(), module.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        names
    }
}

/// The imports of one file.
struct File<'a> {
    names: &'a Names,
    /// Depth of the file's module: 1 for a top-level module.
    depth: usize,
    seen: BTreeSet<String>,
}

impl File<'_> {
    fn take(&mut self, path: &[String]) {
        let up = path.iter().take_while(|part| *part == "super").count();
        let rest = match path.first().map(String::as_str) {
            Some("crate") => &path[1..],
            Some("super") if up == self.depth => &path[up..],
            _ => return,
        };
        let Some(first) = rest.first() else {
            return;
        };
        if self.names.modules.contains(first) {
            self.seen.insert(first.clone());
        } else if let Some(module) = self.names.exported.get(first) {
            self.seen.insert(module.clone());
        }
    }
}

impl<'ast> Visit<'ast> for File<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, module);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for path in paths(&item.tree) {
            self.take(&path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts = path.segments.iter().map(|part| part.ident.to_string());
        self.take(&parts.collect::<Vec<_>>());
        visit::visit_path(self, path);
    }
}

/// Every path of a `use`, its groups taken apart.
fn paths(tree: &UseTree) -> Vec<Vec<String>> {
    let with = |first: &Ident, mut rest: Vec<String>| {
        rest.insert(0, first.to_string());
        rest
    };
    match tree {
        UseTree::Path(path) => paths(&path.tree)
            .into_iter()
            .map(|rest| with(&path.ident, rest))
            .collect(),
        UseTree::Name(name) => vec![vec![name.ident.to_string()]],
        UseTree::Rename(name) => vec![vec![name.ident.to_string()]],
        UseTree::Glob(_) => vec![vec!["*".to_owned()]],
        UseTree::Group(group) => group.items.iter().flat_map(paths).collect(),
    }
}
