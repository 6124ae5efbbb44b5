//! Properties under random actions of users, operators and time: a pass converges, and a manual
//! pause ends only if the YAML changes `paused`.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// The file is saved with these values.
    Edit {
        minute: u8,
        jitter: u8,
        max_actions: Option<u8>,
    },
    /// The file's `enabled` is set.
    Enable(bool),
    /// Someone pauses or unpauses in the UI.
    Hand(bool),
    /// Someone edits the schedule's jitter in the UI.
    Drift(u8),
    /// `temporal schedule update`.
    ReplaceBody,
    /// An operator overrides the zone, for this many minutes.
    Override(u8),
    /// The schedule fires.
    Fire,
    /// Minutes go by.
    Wait(u8),
    /// The reconcile workflow is terminated.
    LoseState,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..60_u8, 0..3_u8, proptest::option::of(1..4_u8)).prop_map(
            |(minute, jitter, max_actions)| Step::Edit {
                minute,
                jitter,
                max_actions
            }
        ),
        any::<bool>().prop_map(Step::Enable),
        any::<bool>().prop_map(Step::Hand),
        (0..9_u8).prop_map(Step::Drift),
        Just(Step::ReplaceBody),
        (1..90_u8).prop_map(Step::Override),
        Just(Step::Fire),
        (1..120_u8).prop_map(Step::Wait),
        Just(Step::LoseState),
    ];
    proptest::collection::vec(step, 1..20)
}

/// The file as it is, and a manual pause that must still hold.
struct File {
    enabled: bool,
    minute: u8,
    jitter: u8,
    max_actions: Option<u8>,
    hand_paused: bool,
}

impl File {
    fn yaml(&self) -> String {
        let Self {
            enabled,
            minute,
            jitter,
            ..
        } = self;
        let max = self
            .max_actions
            .map(|max| format!(", max_actions: {max}"))
            .unwrap_or_default();
        format!(
            "enabled: {enabled}\nschedule: {{ cron: '{minute} * * * *', jitter: {jitter}s{max} }}\n\
             workflow: {{ type: Run, task_queue: q }}\n"
        )
    }

    fn take(&mut self, step: &Step, world: &mut World) {
        match *step {
            Step::Edit {
                minute,
                jitter,
                max_actions,
            } => {
                // A changed limit begins a finished schedule anew.
                self.hand_paused &= self.max_actions == max_actions;
                (self.minute, self.jitter, self.max_actions) = (minute, jitter, max_actions);
            }
            Step::Enable(enabled) => {
                self.hand_paused &= self.enabled == enabled;
                self.enabled = enabled;
            }
            Step::Hand(paused) => {
                world.set_paused_manually(paused);
                self.hand_paused = paused;
            }
            Step::Drift(jitter) => {
                world.job().values.spec.jitter = Duration::from_secs(jitter.into());
            }
            Step::ReplaceBody => {
                world.replace_body();
                self.hand_paused = false;
            }
            Step::Override(minutes) => {
                let until = world.now + SignedDuration::from_mins(minutes.into());
                world.set_override(Override {
                    timezone: Some("Asia/Tokyo".to_owned()),
                    until: Some(until),
                    ..Override::default()
                });
            }
            Step::Fire => {
                let job = world.job();
                job.action_count += 1;
                job.remaining_actions = job.remaining_actions.map(|left| left.saturating_sub(1));
            }
            Step::Wait(minutes) => world.later(minutes.into()),
            Step::LoseState => {
                world.overrides.clear();
                world.corrections.clear();
            }
        }
        world.write("job", &self.yaml());
    }
}

proptest! {
    #[test]
    fn passes_converge_and_keep_manual_pauses(steps in steps()) {
        let mut file =
            File { enabled: true, minute: 0, jitter: 0, max_actions: None, hand_paused: false };
        let mut world = World::in_sync(&file.yaml());
        for step in &steps {
            file.take(step, &mut world);
            // Asserts that a second pass would write nothing.
            world.pass();
            if file.hand_paused {
                prop_assert!(world.job().values.paused, "{step:?} unpaused it");
            }
        }
    }

    #[test]
    fn no_plan_changes_an_unmanaged_schedule(names in proptest::collection::btree_set("[a-z]{1,3}", 1..6)) {
        let mut world = World::new();
        for name in &names {
            world.write(name, HOURLY);
            world.server.insert(world.project.schedule_id(&id(name)), KnownSchedule::Unmanaged);
        }
        let plan = world.plan();
        prop_assert!(plan.is_empty());
        prop_assert_eq!(plan.conflicts.len(), names.len());
    }
}
