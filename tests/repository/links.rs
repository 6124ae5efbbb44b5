//! Links between the files of the repository: each leads to a file that is there,
//! and to a heading that is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::files::files;

#[test]
fn each_link_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files: BTreeMap<PathBuf, String> = files().into_iter().collect();
    let mut seen = 0;
    let mut dead = Vec::new();
    for (path, text) in &files {
        let links = match path.extension().and_then(|it| it.to_str()) {
            Some("md") => markdown_links(text, path.parent().unwrap()),
            Some("rs") => source_links(text, root),
            _ => continue,
        };
        for (target, heading) in links {
            seen += 1;
            let target = if target.as_os_str().is_empty() {
                path.clone()
            } else {
                normal(&target)
            };
            let is_there = target.exists();
            let leads = match (heading, files.get(&target)) {
                (None, _) => is_there,
                (Some(heading), Some(text)) => headings(text).contains(&heading),
                (Some(_), None) => false,
            };
            if !leads {
                dead.push(format!("{}: {}", path.display(), target.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} links");
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn headings_are_named_as_github_names_them() {
    let text = "# A `b` (c)\n```\n# no heading\n```\n## 6. What is, and is not?\n## A b c\n";
    let expected = ["6-what-is-and-is-not", "a-b-c", "a-b-c-1"];
    assert_eq!(Vec::from_iter(headings(text)), expected);
}

type Link = (PathBuf, Option<String>);

/// The links of a page that lead to files, relative to its folder.
fn markdown_links(text: &str, folder: &Path) -> Vec<Link> {
    let without_code = |line: &str| line.split('`').step_by(2).collect::<String>();
    let lines = outside_of_code(text).into_iter().map(without_code);
    let lines: Vec<_> = lines.collect();
    let parts = lines.iter().flat_map(|line| line.split("](").skip(1));
    let targets = parts.filter_map(|part| part.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.contains(' '))
        .map(|target| link(target, folder))
        .collect()
}

/// The pages of `docs/` that a comment names with a heading.
fn source_links(text: &str, root: &Path) -> Vec<Link> {
    let parts = text.split("docs/").skip(1);
    let words = parts.filter_map(|part| {
        let is_end = |c: char| !(c.is_alphanumeric() || "-_./#".contains(c));
        part.split(is_end).next()
    });
    words
        .filter(|word| word.contains(".md#"))
        .map(|word| link(&format!("docs/{}", word.trim_end_matches('.')), root))
        .collect()
}

fn link(target: &str, folder: &Path) -> Link {
    let (path, heading) = match target.split_once('#') {
        Some((path, heading)) => (path, Some(heading.to_owned())),
        None => (target, None),
    };
    let path = match path {
        "" => PathBuf::new(),
        path => folder.join(path),
    };
    (path, heading)
}

/// The path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

fn outside_of_code(text: &str) -> Vec<&str> {
    let mut is_code = false;
    text.lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            is_code ^= fence;
            !is_code && !fence
        })
        .collect()
}

/// The anchors of a page's headings.
fn headings(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in outside_of_code(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let name: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let mut anchor = name.clone();
        let mut number = 0;
        while !anchors.insert(anchor.clone()) {
            number += 1;
            anchor = format!("{name}-{number}");
        }
    }
    anchors
}
