//! Work that a computation over a definition may do.
//!
//! Work is counted in steps, never in time: the same text takes the same steps
//! on each machine, so a document is within its budget everywhere or nowhere.
//! A step stands for some ten nanoseconds of an optimised build.

/// The steps that a computation may still take.
///
/// An exceeded budget stays exceeded: each later [`Budget::spend`] fails, so that
/// every caller above stops too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    left: u64,
    spent: u64,
    is_exceeded: bool,
}

/// The computation takes more steps than its budget has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("takes more steps than its budget has")]
pub struct Exceeded;

impl Budget {
    /// A budget of this many steps.
    pub const fn of(steps: u64) -> Self {
        Self {
            left: steps,
            spent: 0,
            is_exceeded: false,
        }
    }

    /// Takes steps.
    ///
    /// # Errors
    /// There are fewer left, now or at an earlier call.
    pub fn spend(&mut self, steps: u64) -> Result<(), Exceeded> {
        if self.is_exceeded || steps > self.left {
            self.is_exceeded = true;
            return Err(Exceeded);
        }
        self.left -= steps;
        self.spent += steps;
        Ok(())
    }

    /// A part of this budget: `steps`, or all that is left where that is less.
    #[must_use]
    pub fn part(&self, steps: u64) -> Self {
        Self {
            is_exceeded: self.is_exceeded,
            ..Self::of(steps.min(self.left))
        }
    }

    /// Whether a computation wanted more than there was.
    pub fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    /// The steps taken so far.
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
