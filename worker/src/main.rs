//! The `almanac` binary.

use std::process::ExitCode;

/// glibc keeps the memory of a list of schedules, once for each thread that made one.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    almanac::builder().main()
}
