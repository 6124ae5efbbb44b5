//! CPU time of a worker that has nothing to do, with 1000 and with 10,000 schedules in sync.
//!
//! The options that cost CPU time have their defaults. The measurement takes one interval between
//! two full passes, so it contains a full pass, its share of the resync and ten rescans. CPU time
//! depends little on the load of the machine.

use std::time::{Duration, Instant};

use almanac_tests::{OwnServer, Project, Scheduler, Worker};

use crate::table::Table;
use crate::{MANY, READY_LIMIT, THOUSAND, YEARLY, cpu_time, write_definitions};

/// Numbers of schedules, each with the maximum share of one core, in percent.
const LIMITS: [(usize, &str, f64); 2] = [
    (THOUSAND, "idle with 1000 in sync, share of a core", 0.1),
    (MANY, "idle with 10,000 in sync, share of a core", 0.5),
];
/// Duration of the measurement: the default interval between two full passes.
const WINDOW: Duration = Duration::from_mins(5);
/// Time before the measurement. A rescan within it reads all files for the second time, as it
/// does once after every start.
const SETTLING: Duration = Duration::from_secs(45);

/// A worker with everything in sync.
struct IdleWorker {
    scheduler: Scheduler,
    what: &'static str,
    most: f64,
    worker: Worker,
    /// Holds the folder of definitions.
    _project: Project,
}

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let servers = [
        (Scheduler::V1, OwnServer::start(Scheduler::V1)?),
        (Scheduler::Chasm, OwnServer::start(Scheduler::Chasm)?),
    ];
    let mut workers = Vec::new();
    for (scheduler, server) in &servers {
        for (count, what, most) in LIMITS {
            let project = Project::at(&server.address()).await?;
            write_definitions(&project, count, YEARLY)?;
            let mut worker = project.worker().spawn()?;
            worker.ready_within(READY_LIMIT).await?;
            workers.push(IdleWorker {
                scheduler: *scheduler,
                what,
                most,
                worker,
                _project: project,
            });
        }
    }
    tokio::time::sleep(SETTLING).await;
    let started = Instant::now();
    let before = cpu_times(&mut workers)?;
    tokio::time::sleep(WINDOW).await;
    let after = cpu_times(&mut workers)?;
    let took = started.elapsed();
    for (idle, (before, after)) in workers.iter().zip(before.into_iter().zip(after)) {
        let share = after.saturating_sub(before).as_secs_f64() / took.as_secs_f64();
        table.share(idle.scheduler, idle.what, 100.0 * share, idle.most);
    }
    Ok(())
}

fn cpu_times(workers: &mut [IdleWorker]) -> anyhow::Result<Vec<Duration>> {
    workers
        .iter_mut()
        .map(|idle| cpu_time(idle.worker.process().pid()))
        .collect()
}
