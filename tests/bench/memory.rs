//! 10,000 definitions: the time to load and validate them, and the memory of a worker that holds
//! them.
//!
//! The limit is for the peak (`VmHWM`) of a worker that creates all 10,000 schedules: its first
//! pass holds the definitions, the desired schedules and the plan at once, and glibc keeps most
//! of the memory afterwards. A worker that starts over schedules in sync makes no such plan, so
//! its resident memory (`VmRSS`) is less. Both contain the pages of the program itself
//! (`RssFile`), which the system can drop at any time and shares between processes.

use std::process::Command;
use std::time::{Duration, Instant};

use almanac_tests::{Project, Scheduler, almanac, almanac_binary, eventually};
use anyhow::Context;

use crate::table::Table;
use crate::{MANY, READY_LIMIT, YEARLY, write_definitions};

/// Maximum resident memory of a worker with 10,000 definitions, in MB.
const RESIDENT_MB: f64 = 100.0;

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let server = almanac_tests::server(Scheduler::V1);
    let project = Project::at(&server.address()).await?;
    write_definitions(&project, MANY, YEARLY)?;

    let started = Instant::now();
    let folder = project.definitions();
    let validated = almanac(project.address(), ["validate".as_ref(), folder.as_os_str()])?;
    table.note(
        "validate 10,000 definitions",
        &format!("{:?}", round(started.elapsed())),
    );
    validated.success()?;
    match instructions(&project) {
        Some(count) => table.note("the same, in user instructions", &count),
        None => table.note(
            "the same, in user instructions",
            "not counted: neither `perf` nor `valgrind` can",
        ),
    }

    // The first worker creates the schedules, the second one finds them in sync.
    for what in ["after creating 10,000 schedules", "over 10,000 in sync"] {
        let mut worker = project.worker().spawn()?;
        eventually("the definitions to be loaded", || async {
            let loaded = worker
                .metric("almanac_definitions", &["status=\"loaded\""])
                .await?;
            Ok(usize_of(loaded) == MANY)
        })
        .await?;
        worker.ready_within(READY_LIMIT).await?;
        worker.sync_with("definitions=true").await?;
        let pid = worker.process().pid();
        let (now, program) = (resident(pid, "VmRSS")?, resident(pid, "RssFile")?);
        table.note(
            &format!("resident {what}"),
            &format!("{now:.0} MB, {program:.0} MB of them the program"),
        );
        table.bound(
            &format!("peak {what}"),
            resident(pid, "VmHWM")?,
            RESIDENT_MB,
            "MB",
        );
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count within 50,000"
)]
fn usize_of(count: f64) -> usize {
    count as usize
}

fn round(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A line of `/proc/PID/status`, in MB.
pub(crate) fn resident(pid: &str, line: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))
        .with_context(|| format!("no {line} in {status}"))?;
    let kilobytes: f64 = value.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}

/// User-space instructions of `almanac validate`, as the processor counts them
/// or, on a machine without this counter, as valgrind counts them.
fn instructions(project: &Project) -> Option<String> {
    let counted = |counter: &str, arguments: &[&str]| {
        let output = Command::new(counter)
            .args(arguments)
            .arg(almanac_binary())
            .arg("validate")
            .arg(project.definitions())
            .output()
            .ok()?;
        String::from_utf8(output.stderr).ok()
    };
    let perf = || {
        let output = counted("perf", &["stat", "-x", ",", "-e", "instructions:u"])?;
        output.lines().last()?.split(',').next()?.parse().ok()
    };
    let valgrind = || {
        let arguments = [
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ];
        let output = counted("valgrind", &arguments)?;
        let (_, count) = output
            .split_once("I refs:")
            .or_else(|| output.split_once("I   refs:"))?;
        let count = count.lines().next()?.trim().replace(',', "");
        count.parse().ok()
    };
    let count: u64 = perf().or_else(valgrind)?;
    Some(format!("{} million", count / 1_000_000))
}
