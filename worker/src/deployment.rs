//! Worker versioning: the version of a worker deployment that this process is, and the version
//! that Temporal sends tasks to.

use temporalio_common::protos::temporal::api::deployment::v1::RoutingConfig;
use temporalio_common::worker::{
    VersioningBehavior, WorkerDeploymentOptions, WorkerDeploymentVersion,
};

/// The build ID of a worker that nobody named: Almanac's version.
pub const BUILD_ID: &str = env!("CARGO_PKG_VERSION");

/// One version of a worker deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentVersion {
    /// Name of the worker deployment.
    pub deployment: String,
    /// Build ID of the version.
    pub build_id: String,
}

/// The options of a worker whose workflows have this behavior. Without a version, the worker takes
/// no part in worker versioning.
pub fn options(
    version: Option<&DeploymentVersion>,
    behavior: VersioningBehavior,
) -> WorkerDeploymentOptions {
    let Some(version) = version else {
        return WorkerDeploymentOptions::from_build_id(BUILD_ID.to_owned());
    };
    let wire = WorkerDeploymentVersion::builder()
        .deployment_name(&version.deployment)
        .build_id(&version.build_id)
        .build();
    WorkerDeploymentOptions::new(wire)
        .use_worker_versioning(true)
        .default_versioning_behavior(behavior)
        .build()
}

/// The version of a worker deployment that Temporal sends tasks to. Runs that are pinned to another
/// version stay there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routing {
    /// This version: it is the current or the ramping one.
    ToThis,
    /// The version with this build ID.
    ToOther(String),
    /// None of the deployment's versions.
    ToNone,
}

impl Routing {
    /// Reads the configuration of a deployment, as this version sees it. `None` if the deployment
    /// does not exist yet.
    pub fn of(version: &DeploymentVersion, config: Option<&RoutingConfig>) -> Self {
        let current = config.and_then(|config| config.current_deployment_version.as_ref());
        let ramping = config.and_then(|config| config.ramping_deployment_version.as_ref());
        let is_this = [current, ramping]
            .into_iter()
            .flatten()
            .any(|one| one.build_id == version.build_id);
        match current {
            _ if is_this => Self::ToThis,
            Some(current) => Self::ToOther(current.build_id.clone()),
            None => Self::ToNone,
        }
    }

    /// The reason why this version gets no tasks of new runs, with the command that changes that.
    /// `None` if it gets them.
    pub fn problem(&self, version: &DeploymentVersion, namespace: &str) -> Option<String> {
        let DeploymentVersion {
            deployment,
            build_id,
        } = version;
        let what = match self {
            Self::ToThis => return None,
            Self::ToNone => format!(
                "the worker deployment `{deployment}` has no current version, so temporal sends \
                 no tasks to it"
            ),
            Self::ToOther(other) => format!(
                "temporal sends tasks to version `{other}` of the worker deployment `{deployment}`"
            ),
        };
        Some(format!(
            "{what}; hint: temporal worker deployment set-current-version --namespace {namespace} \
             --deployment-name {deployment} --build-id {build_id}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::deployment::v1::WorkerDeploymentVersion as Wire;

    use super::*;

    fn version() -> DeploymentVersion {
        DeploymentVersion {
            deployment: "billing".to_owned(),
            build_id: "2".to_owned(),
        }
    }

    fn routing(current: Option<&str>, ramping: Option<&str>) -> Routing {
        let wire = |build_id: &str| Wire {
            build_id: build_id.to_owned(),
            deployment_name: "billing".to_owned(),
        };
        let config = RoutingConfig {
            current_deployment_version: current.map(wire),
            ramping_deployment_version: ramping.map(wire),
            ..RoutingConfig::default()
        };
        Routing::of(&version(), Some(&config))
    }

    #[test]
    fn tasks_go_to_the_current_version_and_to_the_ramping_one() {
        assert_eq!(Routing::of(&version(), None), Routing::ToNone);
        assert_eq!(routing(None, None), Routing::ToNone);
        assert_eq!(routing(Some("2"), None), Routing::ToThis);
        assert_eq!(routing(Some("1"), Some("2")), Routing::ToThis);
        assert_eq!(routing(Some("1"), None), Routing::ToOther("1".to_owned()));
        assert_eq!(routing(None, Some("3")), Routing::ToNone);
    }

    #[test]
    fn a_version_without_tasks_says_which_command_helps() {
        let problem = |routing: Routing| routing.problem(&version(), "prod");
        let hint = "; hint: temporal worker deployment set-current-version --namespace prod \
                    --deployment-name billing --build-id 2";
        assert_eq!(problem(Routing::ToThis), None);
        assert_eq!(
            problem(Routing::ToNone).unwrap(),
            format!(
                "the worker deployment `billing` has no current version, so temporal sends no \
                 tasks to it{hint}"
            )
        );
        assert_eq!(
            problem(Routing::ToOther("1".to_owned())).unwrap(),
            format!("temporal sends tasks to version `1` of the worker deployment `billing`{hint}")
        );
    }

    #[test]
    fn a_worker_is_versioned_only_if_asked() {
        let off = options(None, VersioningBehavior::Pinned);
        assert!(!off.use_worker_versioning);
        assert_eq!(off.default_versioning_behavior, None);
        let on = options(Some(&version()), VersioningBehavior::Pinned);
        assert!(on.use_worker_versioning);
        assert_eq!(
            on.default_versioning_behavior,
            Some(VersioningBehavior::Pinned)
        );
        assert_eq!(on.version.build_id, "2");
    }
}
