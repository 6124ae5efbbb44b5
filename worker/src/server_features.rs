//! Features of the Temporal server that Almanac uses, and those that a server lacks.
//!
//! The supervisor asks each time it connects, since the server may have been upgraded or
//! downgraded meanwhile. A question without an answer decides nothing: the server may not let
//! this client ask.

use std::fmt;
use std::time::Duration;

use temporalio_client::tonic::{Code, Request, Status};
use temporalio_client::{Client, NamespacedClient};
use temporalio_common::protos::temporal::api::namespace::v1::namespace_info;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, GetSystemInfoRequest,
};

/// The oldest release (major, minor) of the server that Almanac is tested with.
const OLDEST_TESTED: (u32, u32) = (1, 29);
/// The first release with the CHASM scheduler, which is off by default there.
const FIRST_WITH_CHASM: (u32, u32) = (1, 30);
/// The first release that finds schedules of the CHASM scheduler by their ids.
const FINDS_CHASM_BY_ID: (u32, u32) = (1, 32);
/// Maximum length of a server's version in a message.
const VERSION_LIMIT: usize = 40;
/// Maximum time for one question.
const LIMIT: Duration = Duration::from_secs(10);

/// The server's statements about itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerInfo {
    /// Version of the server; empty if it is not known.
    pub version: String,
    /// The server has schedules. `None` if that is not known.
    pub schedules: Option<bool>,
    /// The capabilities of the namespace. `None` if they are not known.
    pub namespace: Option<namespace_info::Capabilities>,
}

/// A feature without which Almanac cannot work, and that the server lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingFeature {
    /// Schedules.
    Schedules,
    /// Workflow updates.
    Updates,
    /// Workflow updates that are answered before they have ended.
    AcceptedUpdates,
}

impl fmt::Display for MissingFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schedules => {
                "the server has no schedules; hint: use Temporal server 1.29 or newer"
            }
            Self::Updates => {
                "workflow updates are disabled in the namespace; hint: set \
                 `frontend.enableUpdateWorkflowExecution` to true in the server's dynamic \
                 configuration"
            }
            Self::AcceptedUpdates => {
                "workflow updates that wait for acceptance are disabled in the namespace; hint: \
                 set `frontend.enableUpdateWorkflowExecutionAsyncAccepted` to true in the \
                 server's dynamic configuration"
            }
        })
    }
}

impl ServerInfo {
    /// Asks the server.
    pub async fn ask(client: &Client) -> Self {
        let (system, namespace) = (system_info(client), capabilities(client));
        let (system, namespace) = futures::join!(system, namespace);
        let (version, schedules) = known("system", system).unwrap_or_default();
        Self {
            version,
            schedules,
            namespace: known("namespace", namespace),
        }
    }

    /// The features that Almanac needs and the server lacks.
    pub fn missing(&self) -> Vec<MissingFeature> {
        let namespace = self.namespace.as_ref();
        let checks = [
            (MissingFeature::Schedules, self.schedules),
            (
                MissingFeature::Updates,
                namespace.map(|has| has.sync_update),
            ),
            (
                MissingFeature::AcceptedUpdates,
                namespace.map(|has| has.async_update),
            ),
        ];
        let missing = checks.into_iter().filter(|(_, has)| *has == Some(false));
        missing.map(|(feature, _)| feature).collect()
    }

    /// Messages for people about what works less well with this server.
    pub fn warnings(&self) -> Vec<String> {
        let Some(release) = release(&self.version) else {
            return Vec::new();
        };
        let version: String = self.version.chars().take(VERSION_LIMIT).collect();
        let mut warnings = Vec::new();
        if release < OLDEST_TESTED {
            let (major, minor) = OLDEST_TESTED;
            warnings.push(format!(
                "temporal server {version} is older than {major}.{minor}, the oldest release that \
                 almanac is tested with"
            ));
        }
        if (FIRST_WITH_CHASM..FINDS_CHASM_BY_ID).contains(&release) {
            warnings.push(format!(
                "temporal server {version} does not find schedules of the CHASM scheduler by \
                 their ids; hint: leave `history.enableCHASMSchedulerCreation` off"
            ));
        }
        warnings
    }
}

/// The answer to a question; `None` if there is none.
fn known<T>(asked: &'static str, answer: Result<T, Status>) -> Option<T> {
    answer
        .inspect_err(|error| {
            tracing::debug!(asked, error = %error.message(), "the server does not say what it can do");
        })
        .ok()
}

async fn system_info(client: &Client) -> Result<(String, Option<bool>), Status> {
    let mut service = client.connection().workflow_service();
    let answer = service.get_system_info(Request::new(GetSystemInfoRequest::default()));
    let info = within(answer).await?;
    let schedules = info.capabilities.map(|has| has.supports_schedules);
    Ok((info.server_version, schedules))
}

async fn capabilities(client: &Client) -> Result<namespace_info::Capabilities, Status> {
    let request = DescribeNamespaceRequest {
        namespace: client.namespace(),
        ..DescribeNamespaceRequest::default()
    };
    let mut service = client.connection().workflow_service();
    let answer = within(service.describe_namespace(Request::new(request))).await?;
    let info = answer.namespace_info.unwrap_or_default();
    info.capabilities
        .ok_or_else(|| Status::new(Code::Unknown, "the answer has no capabilities"))
}

async fn within<T>(
    answer: impl Future<Output = Result<temporalio_client::tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(LIMIT, answer).await {
        Ok(answer) => answer.map(temporalio_client::tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}

/// The major and minor number of a version, if it begins with them.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statements of a server that has everything.
    fn complete() -> ServerInfo {
        ServerInfo {
            version: "1.32.0".to_owned(),
            schedules: Some(true),
            namespace: Some(namespace_info::Capabilities {
                sync_update: true,
                async_update: true,
                ..namespace_info::Capabilities::default()
            }),
        }
    }

    fn namespace(info: &mut ServerInfo) -> &mut namespace_info::Capabilities {
        info.namespace.get_or_insert_default()
    }

    #[test]
    fn a_feature_is_missing_only_if_the_server_says_so() {
        assert_eq!(complete().missing(), []);
        assert_eq!(ServerInfo::default().missing(), []);

        let mut info = complete();
        info.schedules = Some(false);
        assert_eq!(info.missing(), [MissingFeature::Schedules]);

        let mut info = complete();
        namespace(&mut info).sync_update = false;
        assert_eq!(info.missing(), [MissingFeature::Updates]);
        namespace(&mut info).async_update = false;
        let both = [MissingFeature::Updates, MissingFeature::AcceptedUpdates];
        assert_eq!(info.missing(), both);
    }

    #[test]
    fn only_a_release_that_is_known_to_lack_something_is_warned_of() {
        let warnings = |version: &str| {
            let info = ServerInfo {
                version: version.to_owned(),
                ..complete()
            };
            info.warnings()
        };
        for version in ["1.29.0", "1.32.0-148.1", "2.0.0", "", "1", "x.y", "-1.2"] {
            assert_eq!(warnings(version), [""; 0], "{version}");
        }
        for version in ["1.28.1", "0.99.0", "1.2"] {
            assert_eq!(
                warnings(version),
                [format!(
                    "temporal server {version} is older than 1.29, the oldest release that \
                     almanac is tested with"
                )]
            );
        }
        for version in ["1.30.2", "1.31.0-151.2"] {
            let [warning] = &warnings(version)[..] else {
                panic!("{version}: {:?}", warnings(version));
            };
            assert!(
                warning.contains("schedules of the CHASM scheduler"),
                "{warning}"
            );
        }
        let long = format!("1.2.{}", "x".repeat(10_000));
        assert!(warnings(&long)[0].len() < 200);
    }
}
