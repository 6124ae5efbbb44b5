//! The fuzzer: libFuzzer with the target that the variable `ALMANAC_FUZZ_TARGET` names.

#![no_main]

use std::sync::OnceLock;

use almanac_fuzz::{Target, target};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    *TARGET.get_or_init(|| {
        let name = std::env::var("ALMANAC_FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| panic!("ALMANAC_FUZZ_TARGET={name} is no target"))
    })
}

fuzz_target!(|bytes: &[u8]| chosen()(bytes));
