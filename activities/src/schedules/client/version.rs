//! Behavior that depends on the server's release.

use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetSystemInfoRequest;

use super::{RequestError, Schedules};

/// The last release (major, minor) that is known to drop a run that is due and
/// not started, at each write of a CHASM schedule.
const DROPS_DUE_RUNS: (u32, u32) = (1, 32);

impl Schedules {
    /// Returns `true` if this server is known to drop a due run of a CHASM
    /// schedule at each write. The server is asked once per process. A version
    /// that cannot be read counts as `false`.
    pub(crate) async fn drops_due_runs(&self) -> Result<bool, RequestError> {
        let asked = self.drops_due_runs.get_or_try_init(|| async {
            let request = GetSystemInfoRequest::default();
            let answer = self
                .send(request, |mut client, request| async move {
                    WorkflowService::get_system_info(&mut client, request).await
                })
                .await?;
            Ok(is_known_to_drop(&answer.server_version))
        });
        asked.await.copied()
    }
}

fn is_known_to_drop(version: &str) -> bool {
    let mut parts = version.splitn(3, '.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        return false;
    };
    (major, minor) <= DROPS_DUE_RUNS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_release_is_not_assumed_to_drop_due_runs() {
        for (version, expected) in [
            ("1.32.0", true),
            ("1.30.2", true),
            ("1.32.0-148.1", true),
            ("1.33.0", false),
            ("2.0.0", false),
            ("", false),
            ("1", false),
            ("x.y.z", false),
        ] {
            assert_eq!(is_known_to_drop(version), expected, "{version}");
        }
    }
}
