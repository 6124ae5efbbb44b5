//! The `almanac` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    almanac::main(std::env::args_os())
}
