//! The end of the process: after a signal, and if it cannot begin.

use almanac_tests::{
    Project, Proxy, SOON, Scheduler, almanac, cron, eventually, free_port, many, on_both_schedulers,
};

on_both_schedulers!(
    an_idle_worker_ends_at_once,
    a_pass_in_progress_does_not_delay_the_shutdown,
    a_silent_server_does_not_delay_the_shutdown,
    a_worker_that_shuts_down_is_not_ready,
);

/// An idle worker exits immediately with code 0, and announces its stop.
async fn an_idle_worker_ends_at_once(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().flag("--shutdown-timeout", "1h");
    let mut worker = worker.start().await?;
    assert_eq!(worker.terminate(SOON)?, 0);
    eventually("the workflow to know", || async {
        let mut next = project.worker().spawn()?;
        next.ready().await?;
        let status = project.temporal().status(project.name()).await?;
        Ok(status.workers.len() == 1)
    })
    .await
}

/// A worker in the middle of a pass ends within `--shutdown-timeout`, and the
/// next worker completes the pass.
async fn a_pass_in_progress_does_not_delay_the_shutdown(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("all.yaml", &many("job", 30))?;
    let proxy = Proxy::start(project.address()).await?;
    let mut gate = proxy.hold("CreateSchedule", 10);
    let mut worker = project
        .worker()
        .flag("--shutdown-timeout", "3s")
        .through(&proxy)
        .spawn()?;
    gate.reached().await?;
    // Only the timeout ends the worker: the held request never gets an answer.
    worker.terminate(SOON)?;
    drop(gate);
    proxy.clear();
    worker.restart().await?;
    project.has_schedules(30).await?;
    assert_eq!(worker.sync().await?.changes, []);
    Ok(())
}

/// A worker ends in time even if the server does not answer.
async fn a_silent_server_does_not_delay_the_shutdown(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project
        .worker()
        .flag("--shutdown-timeout", "3s")
        .through(&proxy)
        .start()
        .await?;
    let _gates: Vec<_> = [
        "ShutdownWorker",
        "SignalWorkflowExecution",
        "UpdateWorkflowExecution",
    ]
    .into_iter()
    .flat_map(|method| (0..3).map(move |_| method))
    .map(|method| proxy.hold(method, 0))
    .collect();
    // Only the timeout ends the worker: the held requests never get an answer.
    worker.terminate(SOON)?;
    Ok(())
}

/// A worker that shuts down is not ready.
async fn a_worker_that_shuts_down_is_not_ready(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("all.yaml", &many("job", 30))?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project
        .worker()
        .flag("--shutdown-timeout", "5s")
        .through(&proxy)
        .start()
        .await?;
    let mut gate = proxy.hold("UpdateSchedule", 3);
    project.write("all.yaml", &many("job", 30).replace("1 1 *", "2 1 *"))?;
    gate.reached().await?;
    worker.process().signal("TERM")?;
    eventually("not to be ready, or to be gone", || async {
        Ok(!matches!(worker.get("/readyz").await, Ok((200, _))))
    })
    .await?;
    drop(gate);
    worker.process().wait(SOON)?;
    Ok(())
}

#[test]
fn bad_usage_exits_with_1() {
    for args in [
        &["run"][..],
        &["run", "--project", "Not A Name"],
        &["run", "--project", "p", "--debounce", "soon"],
        &["run", "--project", "p", "--no-such-flag"],
        &["no-such-command"],
        &["run", "--project", "p", "--listen", "0.0.0.0:notaport"],
    ] {
        let output = almanac("127.0.0.1:1", args).unwrap();
        assert_eq!(output.code, 1, "{args:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_taken_port_exits_with_1() {
    let port = free_port();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{port}");
    let dir = folder.path().to_str().unwrap();
    let args = ["run", "--project", "p", "--dir", dir, "--listen", &listen];
    let output = almanac("127.0.0.1:1", args).unwrap();
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains(&port.to_string()), "{output:?}");
}
