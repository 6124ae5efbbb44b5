//! 10,000 definitions: the time to load and validate them, and what a worker
//! that holds them needs.

use std::process::Command;
use std::time::{Duration, Instant};

use almanac_tests::{Project, Scheduler, almanac, almanac_binary, eventually};
use anyhow::Context;

use crate::table::{Limit, Table};
use crate::{MANY, write_definitions};

/// What a worker with 10,000 definitions may need at most.
const RESIDENT_MB: f64 = 150.0;

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let server = almanac_tests::server(Scheduler::V1);
    let project = Project::at(&server.address()).await?;
    write_definitions(&project, MANY)?;

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

    let mut worker = project.worker().spawn()?;
    eventually("the definitions to be loaded", || async {
        let loaded = worker
            .metric("almanac_definitions", &["status=\"loaded\""])
            .await?;
        Ok(usize_of(loaded) == MANY)
    })
    .await?;
    worker.ready_within(Duration::from_mins(10)).await?;
    worker.sync_with("definitions=true").await?;
    let peak = resident(worker.process().pid(), "VmHWM")?;
    let now = resident(worker.process().pid(), "VmRSS")?;
    table.note(
        "resident with 10,000 schedules in sync",
        &format!("{now:.0} MB"),
    );
    table.bound(
        "the most it ever was",
        peak,
        Limit::AtMost(RESIDENT_MB),
        "MB",
    );
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
/// or, on a machine that does not tell, as valgrind does.
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
        let said = counted("perf", &["stat", "-x", ",", "-e", "instructions:u"])?;
        said.lines().last()?.split(',').next()?.parse().ok()
    };
    let valgrind = || {
        let arguments = [
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ];
        let said = counted("valgrind", &arguments)?;
        let (_, count) = said
            .split_once("I refs:")
            .or_else(|| said.split_once("I   refs:"))?;
        let count = count.lines().next()?.trim().replace(',', "");
        count.parse().ok()
    };
    let count: u64 = perf().or_else(valgrind)?;
    Some(format!("{} million", count / 1_000_000))
}
