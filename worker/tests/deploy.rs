//! The files of `deploy/`: that they fit the binary and the toolchain.

use std::path::Path;
use std::process::Command;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `ALMANAC_…=value` anywhere in a file, comments left out.
fn variables(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split_whitespace())
        .map(|word| word.trim_start_matches("Environment="))
        .filter(|word| word.starts_with("ALMANAC_"))
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.replace("%i", "billing")))
        .collect()
}

/// A misspelt variable would be ignored in silence: each must be one of
/// `almanac run`, with a value that it takes.
#[test]
fn every_variable_is_one_that_run_reads() {
    let help = almanac(&["run", "--help"], &[]);
    for file in [
        "deploy/Dockerfile",
        "deploy/systemd/almanac@.service",
        "deploy/systemd/almanac.env",
    ] {
        let variables = variables(&read(file));
        assert!(!variables.is_empty(), "{file}");
        for (name, value) in &variables {
            assert!(help.contains(&format!("[env: {name}]")), "{file}: {name}");
            let flag = name["ALMANAC_".len()..].to_lowercase().replace('_', "-");
            // Refused for what comes last; what comes first is parsed by then.
            let output = almanac(
                &["run", &format!("--{flag}={value}"), "--no-such-flag"],
                &[],
            );
            assert!(
                output.contains("--no-such-flag"),
                "{file}: {name}={value}: {output}"
            );
        }
    }
}

#[test]
fn the_image_is_built_with_the_toolchain_of_the_repository() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .expect("a channel")
        .trim_matches('"');
    let image = format!("FROM rust:{channel}-");
    assert!(read("deploy/Dockerfile").contains(&image), "{image}");
}

/// The image gets every file that cargo asks for.
#[test]
fn the_image_is_built_from_every_member_of_the_workspace() {
    let ignored = read("deploy/Dockerfile.dockerignore");
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("members = [").expect("members");
    let (members, _) = rest.split_once(']').expect("the end of the members");
    let members: Vec<_> = members
        .split(',')
        .map(|member| member.trim().trim_matches('"'))
        .filter(|member| !member.is_empty())
        .collect();
    assert!(members.len() > 4, "{members:?}");
    for member in members {
        let folder = member.split('/').next().unwrap_or(member);
        assert!(ignored.contains(&format!("!{folder}\n")), "{member}");
    }
}

/// The script removes the paths of the machine that builds.
#[test]
fn the_archive_and_the_image_have_the_binary_of_the_same_script() {
    const SCRIPT: &str = "tools/build-release.sh";
    for file in ["tools/release.sh", "deploy/Dockerfile"] {
        let text = read(file);
        assert!(text.contains(SCRIPT), "{file}");
        assert!(!text.contains("cargo build"), "{file}");
    }
    assert!(read("deploy/Dockerfile.dockerignore").contains(&format!("!{SCRIPT}\n")));
    assert!(read(SCRIPT).contains("--remap-path-prefix"));
}

fn almanac(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_almanac"))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).expect("text")
}
