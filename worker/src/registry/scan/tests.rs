//! The folders that a listing enters while they change, and the names that it reports.

use std::os::unix::fs::symlink;

use super::*;

fn top(folder: &Path) -> Top {
    let path = fs::canonicalize(folder).unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(&path, flags, Mode::empty()).unwrap();
    Top { path, folder }
}

fn names(top: &Top, path: &str) -> io::Result<Vec<String>> {
    let (_, _, entries) = top.enter(&top.path.join(path))?;
    let names = entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    Ok(names)
}

/// A folder is listed, and is a link when it is opened.
#[test]
fn a_link_in_place_of_a_folder_is_not_entered() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(outside.path().join("deep")).unwrap();
    fs::write(outside.path().join("stray.yaml"), "x").unwrap();
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("team/deep")).unwrap();
    fs::write(root.path().join("team/own.yaml"), "x").unwrap();
    let top = top(root.path());
    assert_eq!(names(&top, "team").unwrap(), ["deep", "own.yaml"]);
    let linked = top.path.join("team/own.yaml");
    assert!(top.path_state(&linked).is_ok());

    fs::rename(root.path().join("team"), root.path().join("was")).unwrap();
    symlink(outside.path(), root.path().join("team")).unwrap();
    for path in ["team", "team/deep"] {
        let error = names(&top, path).unwrap_err();
        assert!(is_no_folder(&error), "{path}: {error}");
    }
    // What a link led to lies beyond another one now.
    assert!(top.path_state(&top.path.join("team/stray.yaml")).is_err());
    let listing = list(&[root.path().to_path_buf()]).remove(0);
    let found: Vec<_> = listing
        .entries
        .iter()
        .map(|(path, _)| path.to_str())
        .collect();
    assert_eq!(found, [Some("team"), Some("was/own.yaml")]);
    assert!(matches!(
        &listing.entries[0].1,
        Entry::Refused(Refusal::LeadsOut(_))
    ));
}

#[test]
fn a_folder_elsewhere_is_not_opened() {
    let root = tempfile::tempdir().unwrap();
    let top = top(root.path());
    assert!(top.open(Path::new("/etc")).is_err());
    assert!(top.open(&top.path.join("..")).is_err());
    assert!(top.open(&top.path).is_ok());
}

/// A check on an open folder gives the same as the later check on the file itself.
#[test]
fn both_ways_to_read_metadata_agree() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.yaml");
    fs::write(&path, "text").unwrap();
    let seen = PathState::at(open_root(root.path()), OsStr::new("a.yaml")).unwrap();
    assert_eq!(seen.signature, Signature::of(&fs::metadata(&path).unwrap()));
    assert!(seen.kind.is_file());
}

fn open_root(path: &Path) -> OwnedFd {
    top(path).folder
}

#[test]
fn names_in_capitals_are_found() {
    for (name, misnamed) in [
        ("a.YAML", true),
        ("a.Yml", true),
        ("a.yaml", false),
        ("a.yml", false),
        ("a.YAML.txt", false),
        ("YAML", false),
        ("a.json", false),
    ] {
        assert_eq!(is_misnamed(OsStr::new(name)), misnamed, "{name}");
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("sub/folder.YAML")).unwrap();
    fs::write(root.path().join("b.YML"), "x").unwrap();
    fs::write(root.path().join("sub/a.YAML"), "x").unwrap();
    fs::write(root.path().join(".hidden.YAML"), "x").unwrap();
    let listing = list(&[root.path().to_path_buf()]).remove(0);
    assert_eq!(listing.entries, []);
    let misnamed: Vec<_> = listing.misnamed.iter().map(|path| path.to_str()).collect();
    assert_eq!(misnamed, [Some("b.YML"), Some("sub/a.YAML")]);
}
