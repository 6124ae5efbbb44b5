//! Limits on the work of a computation over a definition.
//!
//! Work is counted in steps, never in time. The same text takes the same number of steps on
//! each machine, so a document is within its budget on all machines or on none. A step stands
//! for about ten nanoseconds of an optimised build.

/// Number of steps that a computation may still take.
///
/// An exceeded budget stays exceeded: each later [`Budget::spend`] fails, so that
/// every caller stops too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    left: u64,
    spent: u64,
    is_exceeded: bool,
}

/// Error of a computation that takes more steps than its budget has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("takes more steps than its budget has")]
pub struct Exceeded;

impl Budget {
    /// Returns a budget of this many steps.
    pub const fn of(steps: u64) -> Self {
        Self {
            left: steps,
            spent: 0,
            is_exceeded: false,
        }
    }

    /// Takes steps from the budget.
    ///
    /// # Errors
    /// Fewer steps are left, now or at an earlier call.
    pub fn spend(&mut self, steps: u64) -> Result<(), Exceeded> {
        if self.is_exceeded || steps > self.left {
            self.is_exceeded = true;
            return Err(Exceeded);
        }
        self.left -= steps;
        self.spent += steps;
        Ok(())
    }

    /// A part of this budget: `steps`, or all that is left if that is less.
    #[must_use]
    pub fn part(&self, steps: u64) -> Self {
        Self {
            is_exceeded: self.is_exceeded,
            ..Self::of(steps.min(self.left))
        }
    }

    /// Returns `true` if a computation asked for more steps than were left.
    pub fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    /// Number of steps taken so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_was_exceeded_stays_so() {
        let mut budget = Budget::of(10);
        assert_eq!(budget.spend(7), Ok(()));
        assert_eq!(budget.part(100), Budget::of(3));
        assert_eq!(budget.spend(4), Err(Exceeded));
        assert_eq!(budget.spend(1), Err(Exceeded));
        assert!(budget.is_exceeded() && budget.part(1).is_exceeded());
        assert_eq!(budget.spent(), 7);
    }
}
