//! Workflows and activities of other crates. The worker of the run queue has them beside
//! Almanac's own.
//!
//! The workers are made anew on each connection, so every registration can be repeated.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use almanac_workflows::contracts::ACTIVITIES;
use almanac_workflows::follow::FollowRuns;
use almanac_workflows::reconcile::ReconcileSchedules;
use almanac_workflows::run::RunDefinition;
use anyhow::{Context as _, bail};
use temporalio_common::WorkflowDefinition;
use temporalio_sdk::activities::{ActivityDefinitions, ActivityImplementer};
use temporalio_sdk::workflows::WorkflowImplementation;
use temporalio_sdk::{WorkerOptions, WorkflowRegistrationError};

/// Beginning of the names of activities that later releases may add.
const RESERVED: &str = "almanac_";

type Register =
    Arc<dyn Fn(&mut WorkerOptions) -> Result<(), WorkflowRegistrationError> + Send + Sync>;

/// Workflows and activities to register, in the order in which they were added.
#[derive(Clone, Default)]
pub(crate) struct Registrations {
    workflows: Vec<String>,
    activities: Vec<ActivityDefinitions>,
    register: Vec<Register>,
}

impl fmt::Debug for Registrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrations")
            .field("workflows", &self.workflows)
            .field("activities", &self.activities)
            .finish_non_exhaustive()
    }
}

impl Registrations {
    /// Adds a workflow.
    pub(crate) fn add_workflow<W>(&mut self)
    where
        W: WorkflowImplementation,
        <W::Run as WorkflowDefinition>::Input: Send,
    {
        self.workflows.push(W::definition().workflow_type);
        self.register.push(Arc::new(|options| {
            options.register_workflow::<W>()?;
            Ok(())
        }));
    }

    /// Adds all activities of a value.
    pub(crate) fn add_activities<A>(&mut self, activities: A)
    where
        A: ActivityImplementer + Send + Sync + 'static,
    {
        let activities = Arc::new(activities);
        let mut definitions = ActivityDefinitions::default();
        Arc::clone(&activities).register_all(&mut definitions);
        self.activities.push(definitions);
        self.register.push(Arc::new(move |options| {
            options.register_activities(Shared(Arc::clone(&activities)));
            Ok(())
        }));
    }

    /// Returns an error that names the first workflow or activity whose name is Almanac's, or that
    /// was added twice. The SDK would replace an activity without a word.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let own = [
            ReconcileSchedules::definition(),
            RunDefinition::definition(),
            FollowRuns::definition(),
        ];
        let is_own = |name: &str| own.iter().any(|own| own.workflow_type == name);
        check_names("workflow", &self.workflows, is_own)?;
        let mut activities = Vec::new();
        for definitions in &self.activities {
            activities.extend(names(definitions)?);
        }
        let is_own = |name: &str| ACTIVITIES.contains(&name) || name.starts_with(RESERVED);
        check_names("activity", &activities, is_own)
    }

    /// Returns `true` if nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.register.is_empty()
    }

    /// Registers everything with a worker.
    pub(crate) fn register(&self, options: &mut WorkerOptions) -> anyhow::Result<()> {
        for register in &self.register {
            register(options)?;
        }
        Ok(())
    }
}

/// Activities that all workers of the process share, one after the other.
struct Shared<A>(Arc<A>);

impl<A: ActivityImplementer> ActivityImplementer for Shared<A> {
    fn register_all(self: Arc<Self>, definitions: &mut ActivityDefinitions) {
        Arc::clone(&self.0).register_all(definitions);
    }
}

/// The names of activities. The SDK gives them only as text, in its debug format.
fn names(activities: &ActivityDefinitions) -> anyhow::Result<BTreeSet<String>> {
    let text = format!("{activities:?}");
    let list = text
        .strip_prefix("ActivityDefinitions { activities: ")
        .and_then(|rest| rest.strip_suffix(" }"));
    list.and_then(|list| serde_json::from_str(list).ok())
        .with_context(|| format!("cannot read the names of activities: {text}"))
}

/// Checks that no name is Almanac's own, and that none occurs twice.
fn check_names(kind: &str, names: &[String], is_own: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if is_own(name) {
            bail!(
                "{kind} `{name}`: the name is one of Almanac's own; hint: `name = \"…\"` in the \
                 attribute gives it another"
            );
        }
        if !seen.insert(name) {
            bail!("{kind} `{name}`: it is registered twice");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use temporalio_sdk::activities::{ActivityContext, ActivityError};

    use super::*;

    /// Registers one activity, under a name that a test chooses.
    macro_rules! activity {
        ($type:ident, $module:ident, $name:literal) => {
            #[expect(
                dead_code,
                reason = "a test registers the activity, and never calls it"
            )]
            mod $module {
                use super::{ActivityContext, ActivityError};

                pub(super) struct $type;

                #[temporalio_macros::activities]
                impl $type {
                    #[activity(name = $name)]
                    async fn act(_: ActivityContext) -> Result<(), ActivityError> {
                        std::future::ready(Ok(())).await
                    }
                }
            }
        };
    }
    activity!(Greets, greets, "say \"hello\"");
    activity!(Pauses, pauses, "pause");
    activity!(Later, later, "almanac_later");

    fn error(registrations: &Registrations) -> String {
        registrations.check().unwrap_err().to_string()
    }

    fn with(add: impl FnOnce(&mut Registrations)) -> Registrations {
        let mut registrations = Registrations::default();
        add(&mut registrations);
        registrations
    }

    #[test]
    fn names_of_ones_own_are_accepted() {
        let registrations = with(|it| it.add_activities(greets::Greets));
        registrations.check().unwrap();
        let found: Vec<_> = names(&registrations.activities[0])
            .unwrap()
            .into_iter()
            .collect();
        assert_eq!(found, ["say \"hello\""]);
        Registrations::default().check().unwrap();
    }

    #[test]
    fn a_name_of_almanac_is_refused() {
        let pauses = with(|it| it.add_activities(pauses::Pauses));
        assert!(error(&pauses).starts_with("activity `pause`: the name is one of Almanac's own"));
        let later = with(|it| it.add_activities(later::Later));
        assert!(error(&later).starts_with("activity `almanac_later`: the name is"));
        let runs = with(Registrations::add_workflow::<RunDefinition>);
        assert!(error(&runs).starts_with("workflow `RunDefinition`: the name is"));
        let own = ["ReconcileSchedules", "RunDefinition", "FollowRuns"];
        assert_eq!(
            [
                ReconcileSchedules::definition().workflow_type,
                RunDefinition::definition().workflow_type,
                FollowRuns::definition().workflow_type,
            ],
            own
        );
    }

    #[test]
    fn a_name_that_was_added_before_is_refused() {
        let twice = with(|it| {
            it.add_activities(greets::Greets);
            it.add_activities(greets::Greets);
        });
        assert_eq!(
            error(&twice),
            "activity `say \"hello\"`: it is registered twice"
        );
    }

    /// Each connection makes the worker anew.
    #[test]
    fn registering_can_be_repeated() {
        let registrations = with(|it| it.add_activities(greets::Greets));
        for _ in 0..2 {
            let mut options = WorkerOptions::new("queue").build();
            registrations.register(&mut options).unwrap();
            assert_eq!(names(&options.activities()).unwrap().len(), 1);
        }
    }
}
