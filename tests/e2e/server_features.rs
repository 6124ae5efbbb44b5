//! Features that a Temporal server lacks, as a worker reports them at its start.

use almanac_tests::{
    Answer, Project, Proxy, SOON, Scheduler, Worker, cron, on_one_scheduler, wait_for,
};
use prost::Message;
use serde_json::Value;
use temporalio_common::protos::temporal::api::namespace::v1::{NamespaceInfo, namespace_info};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceResponse, GetSystemInfoRequest,
};

on_one_scheduler!(
    a_worker_waits_for_a_feature_that_it_needs,
    an_old_server_is_warned_of,
);

async fn readiness(worker: &Worker) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&worker.get("/readyz").await?.1)?)
}

async fn a_worker_waits_for_a_feature_that_it_needs(on: Scheduler) -> anyhow::Result<()> {
    let direct = Project::new(on).await?;
    let proxy = Proxy::start(direct.address()).await?;
    let namespace = DescribeNamespaceResponse {
        namespace_info: Some(NamespaceInfo {
            capabilities: Some(namespace_info::Capabilities {
                async_update: true,
                ..namespace_info::Capabilities::default()
            }),
            ..NamespaceInfo::default()
        }),
        ..DescribeNamespaceResponse::default()
    };
    let answer = Answer::Message(namespace.encode_to_vec());
    proxy.answer("DescribeNamespace", "", answer);
    direct.write("one.yaml", &cron("0 1 * * *"))?;
    let mut worker = direct.worker().through(&proxy).spawn()?;
    let error = wait_for("the worker to say what it needs", SOON, || async {
        let readiness = readiness(&worker).await?;
        assert_eq!(readiness["ready"], false, "{readiness}");
        Ok(readiness["last_error"].as_str().map(str::to_owned))
    })
    .await?;
    assert_eq!(
        error,
        "workflow updates are disabled in the namespace; hint: set \
         `frontend.enableUpdateWorkflowExecution` to true in the server's dynamic configuration"
    );
    assert_eq!(proxy.schedule_writes(), 0, "{:?}", proxy.counts());
    let log = worker.log()?;
    let line = "ERROR almanac::process::supervise: temporal lacks a feature that almanac needs";
    assert!(log.contains(line), "{log}");

    proxy.clear();
    worker.ready().await?;
    direct.has_just(&["one"]).await?;
    let readiness = readiness(&worker).await?;
    assert_eq!(readiness["last_error"], Value::Null, "{readiness}");
    assert_eq!(readiness.get("warnings"), None, "{readiness}");
    Ok(())
}

async fn an_old_server_is_warned_of(on: Scheduler) -> anyhow::Result<()> {
    let direct = Project::new(on).await?;
    let proxy = Proxy::start(direct.address()).await?;
    let mut service = direct.temporal().service();
    let request = tonic::Request::new(GetSystemInfoRequest::default());
    let mut system = service.get_system_info(request).await?.into_inner();
    "1.20.3\u{1b}[31m".clone_into(&mut system.server_version);
    let answer = Answer::Message(system.encode_to_vec());
    proxy.answer("GetSystemInfo", "", answer);
    direct.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = direct.worker().through(&proxy).start().await?;
    let readiness = readiness(&worker).await?;
    let warning = readiness["warnings"][0].as_str().unwrap_or_default();
    assert!(warning.contains("is older than 1.29"), "{readiness}");
    let log = worker.log()?;
    let lines = log
        .matches("the temporal server is too old for some features")
        .count();
    assert_eq!(lines, 1, "{log}");
    assert!(!log.contains("1.20.3\u{1b}"), "{log}");
    Ok(())
}
