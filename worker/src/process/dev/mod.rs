//! The servers of `almanac dev`, and the page that it prints.

mod nats_server;
mod server_process;
mod temporal_server;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use almanac_base::names::Project;
use anyhow::bail;

pub use nats_server::{NatsServer, find_nats_server};
pub use temporal_server::{TemporalServer, find_temporal_cli};

use crate::console::Page;

/// Default port of Almanac's HTTP.
const HTTP_PORT: u16 = 8080;

/// Returns the program with this name on the PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An empty or relative entry would also be the current folder.
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Returns the address for HTTP: the address of the flag, or any free port in place of the
/// default port if that is taken, as beside another `almanac dev`.
pub async fn listen_address(flag: SocketAddr) -> anyhow::Result<SocketAddr> {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT));
    if flag == default {
        free_address(HTTP_PORT).await
    } else {
        Ok(flag)
    }
}

/// Returns the page that is printed once all parts are up.
pub(crate) fn welcome(
    server: &TemporalServer,
    nats: Option<&NatsServer>,
    http: SocketAddr,
    project: &Project,
) -> Page {
    let mut page = Page::of_line("");
    page.line(format!("  Temporal UI   http://{}", server.ui()));
    page.line(format!("  Almanac       http://{http}"));
    if let Some(nats) = nats {
        page.line(format!("  NATS          {}", nats.url()));
    }
    page.line(format!("  project       {project}"));
    page.line("");
    // The command line finds the usual ports by itself.
    let is_other = [
        server.address().port() != temporal_server::PORT,
        http.port() != HTTP_PORT,
    ];
    if is_other[0] {
        page.line(format!("  export TEMPORAL_ADDRESS={}", server.address()));
    }
    if is_other[1] {
        page.line(format!("  export ALMANAC_URL=http://{http}"));
    }
    if is_other.contains(&true) {
        page.line("");
    }
    page
}

/// Returns the given port of the loopback address, or any other port if that is taken.
async fn free_address(port: u16) -> anyhow::Result<SocketAddr> {
    for port in [port, 0] {
        // Dropped immediately: the server takes the port. No other part of the process
        // wants it.
        if let Ok(listener) = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no free port on {}", Ipv4Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_replaced() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free_address(port).await.unwrap().port(), port);
    }
}
