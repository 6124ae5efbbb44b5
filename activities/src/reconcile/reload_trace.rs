//! Decides which passes belong to the trace of a reload.

use almanac_base::names::Revision;
use almanac_core::record::{PassInput, Trigger};

/// Maximum number of passes in the trace of a reload: passes that fail are tried again for ever.
const PASSES_OF_RELOAD: u32 = 10;

/// The passes that belong to the trace of a reload.
#[derive(Debug, Default)]
pub(super) struct ReloadTrace {
    revision: Revision,
    passes: u32,
    is_applied: bool,
}

impl ReloadTrace {
    /// Returns `true` if the reload that made the revision causes this pass.
    pub(super) fn causes(&mut self, input: &PassInput) -> bool {
        if self.revision != input.revision {
            *self = Self {
                revision: input.revision.clone(),
                ..Self::default()
            };
        }
        // Another worker may have applied it long before this one passes at the interval.
        let is_caused = !self.is_applied
            && !input.dry_run
            && input.trigger != Trigger::Interval
            && self.passes < PASSES_OF_RELOAD;
        self.passes += u32::from(is_caused);
        is_caused
    }

    /// Takes in a pass that has ended well. A pass over other definitions has not applied the
    /// reload.
    pub(super) fn passed(&mut self, input: &PassInput) {
        let covers = input.only.is_none() || input.trigger == Trigger::Change;
        self.is_applied |= covers && !input.dry_run && self.revision == input.revision;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(trigger: Trigger, revision: &str) -> PassInput {
        PassInput::new(1, trigger, Revision::of(revision.as_bytes()))
    }

    #[test]
    fn passes_belong_to_a_reload_until_one_has_applied_it() {
        let mut trace = ReloadTrace::default();
        let change = pass(Trigger::Change, "a");
        assert!(!trace.causes(&pass(Trigger::Interval, "a")));
        let dry = PassInput {
            dry_run: true,
            ..change.clone()
        };
        assert!(!trace.causes(&dry));
        trace.passed(&dry);
        let of_operator = PassInput {
            only: Some(Vec::new()),
            ..pass(Trigger::Override, "a")
        };
        assert!(trace.causes(&of_operator));
        trace.passed(&of_operator);
        assert!(trace.causes(&change));
        trace.passed(&change);
        assert!(!trace.causes(&change));
        assert!(trace.causes(&pass(Trigger::Start, "b")));
    }

    #[test]
    fn passes_that_fail_do_not_make_the_trace_endless() {
        let mut trace = ReloadTrace::default();
        let change = pass(Trigger::Change, "a");
        let caused = (0..100).filter(|_| trace.causes(&change)).count();
        assert_eq!(caused, 10);
    }
}
