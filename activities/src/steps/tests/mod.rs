//! Tests of steps against real servers, and of a secret that must appear nowhere.

#![expect(
    clippy::needless_pass_by_value,
    reason = "values are written where they are given"
)]

mod http;
mod openapi;
mod proxies;
mod redirects;
mod secret_leaks;
mod server;

use std::time::Duration;

use almanac_steps::machine::{Fault, HttpRequest};
use serde_json::{Value, json};

use super::*;

/// Long enough for a slow machine; nothing waits for it.
const LONG: Duration = Duration::from_mins(1);

/// Steps that may call these and name these secrets.
fn steps(allow: &[&str], secrets: &[&str]) -> Steps {
    let allow = allow.iter().map(|entry| entry.parse().unwrap()).collect();
    let secrets = secrets.iter().map(|entry| entry.parse().unwrap());
    let secrets = Secrets::open(secrets.collect()).unwrap();
    Steps::new(EgressGuard::new(allow), secrets, Commands::default())
}

/// A request with these fields.
fn request(fields: Value) -> HttpRequest {
    let mut whole = json!({"method": "get"});
    for (key, value) in fields.as_object().unwrap() {
        whole[key] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

async fn get(steps: &Steps, fields: Value) -> Result<Value, StepError> {
    steps.http(&request(fields), LONG).await
}

fn kind(fault: &Fault) -> &str {
    fault.kind.rsplit('/').next().unwrap()
}

fn detail(error: &StepError) -> &str {
    error.fault.detail.as_deref().unwrap()
}

/// A file with a text.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}
