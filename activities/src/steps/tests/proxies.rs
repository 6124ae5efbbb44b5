//! Tests with proxies in the environment, which need a process of their own.

use std::process::Command;

use super::server::Server;
use super::*;

const CHILD: &str = "ALMANAC_TEST_BEHIND_A_PROXY";
const TEST: &str = "steps::tests::proxies::no_proxy_of_the_environment_is_asked";

#[tokio::test]
async fn no_proxy_of_the_environment_is_asked() {
    if std::env::var_os(CHILD).is_some() {
        let server = Server::start().await;
        let steps = steps(&[&server.allowed()], &[]);
        get(&steps, json!({"uri": server.at("/text")}))
            .await
            .unwrap();
        // And an inner address is not reached through one.
        let refused = get(&steps, json!({"uri": "http://10.0.0.1/"}))
            .await
            .unwrap_err();
        assert_eq!(kind(&refused.fault), "configuration");
        return;
    }
    let own = std::env::current_exe().unwrap();
    let mut child = Command::new(own);
    child.args(["--exact", TEST, "--nocapture"]).env(CHILD, "1");
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        child.env(name, "http://127.0.0.1:1");
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy");
    let output = tokio::task::spawn_blocking(move || child.output())
        .await
        .unwrap()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(stdout.contains("1 passed"), "{stdout}");
}
