//! The definitions are valid.

use std::process::Command;

#[test]
fn the_definitions_are_valid() {
    let output = Command::new(env!("CARGO_BIN_EXE_custom-worker"))
        .args([
            "validate",
            concat!(env!("CARGO_MANIFEST_DIR"), "/definitions"),
        ])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("2 valid, 0 invalid"), "{printed}");
}
