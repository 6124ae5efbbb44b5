//! The search for the report of a requested pass, in successive states of the reconcile workflow.

use super::{Report, Status};

/// The report of a pass that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum PassReport {
    /// The pass, or the rest of it, has not ended.
    Pending,
    /// The pass ended so long ago that its report is no longer kept.
    Forgotten,
    /// The pass has ended.
    Ended(Box<Report>),
}

/// Finds the report of a pass in successive states of the reconcile workflow. If later passes did the
/// rest of the pass, the result is the report of the last one, with the changes of all. The workflow
/// keeps only its last reports, so this keeps the parts that it has found.
#[derive(Debug)]
pub struct AwaitedReport {
    /// The pass whose report comes next.
    next: u64,
    /// The reports of the parts before it.
    earlier: Option<Report>,
}

impl AwaitedReport {
    /// The report of this pass.
    pub fn of(pass: u64) -> Self {
        Self {
            next: pass,
            earlier: None,
        }
    }

    /// The report, if this state of the workflow completes it.
    pub fn find_in(&mut self, status: &Status) -> PassReport {
        loop {
            if status.pass < self.next {
                return PassReport::Pending;
            }
            let mut reports = status.reports.iter();
            let Some(report) = reports.find(|report| report.pass == self.next).cloned() else {
                return PassReport::Forgotten;
            };
            let later = report.continued_by.filter(|later| *later > self.next);
            let report = match self.earlier.clone() {
                Some(earlier) => report.after(earlier),
                None => report,
            };
            let Some(later) = later else {
                return PassReport::Ended(Box::new(report));
            };
            self.next = later;
            self.earlier = Some(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ScheduleCounts;

    fn report(pass: u64, continued_by: Option<u64>) -> Report {
        Report {
            pass,
            continued_by,
            schedules: ScheduleCounts {
                created: pass,
                ..ScheduleCounts::default()
            },
            duration_ms: 10,
            ..Report::default()
        }
    }

    #[test]
    fn the_report_of_an_interrupted_pass_is_that_of_the_pass_that_did_the_rest() {
        let mut status = Status {
            pass: 4,
            reports: vec![
                report(1, None),
                report(2, Some(4)),
                report(3, None),
                report(4, Some(6)),
            ],
            ..Status::default()
        };
        let ended = |status: &Status, pass| match status.report_of(pass) {
            PassReport::Ended(report) => *report,
            other => panic!("{other:?}"),
        };
        assert_eq!(ended(&status, 1), report(1, None));
        assert_eq!(ended(&status, 3), report(3, None));
        assert_eq!(status.report_of(0), PassReport::Forgotten);
        assert_eq!(status.report_of(2), PassReport::Pending);
        assert_eq!(status.report_of(5), PassReport::Pending);

        status.reports.extend([report(5, None), report(6, None)]);
        status.pass = 6;
        let all = ended(&status, 2);
        assert_eq!((all.pass, all.schedules.created), (6, 2 + 4 + 6));
        assert_eq!((all.continued_by, all.duration_ms), (None, 30));
    }

    #[test]
    fn a_report_that_says_that_an_earlier_pass_did_the_rest_is_the_last_one() {
        let status = Status {
            pass: 2,
            reports: vec![report(1, Some(1)), report(2, Some(1))],
            ..Status::default()
        };
        for pass in [1, 2] {
            assert!(matches!(status.report_of(pass), PassReport::Ended(_)));
        }
    }

    #[test]
    fn parts_that_were_found_are_kept_when_the_workflow_no_longer_has_them() {
        let mut awaited = AwaitedReport::of(1);
        let at = |pass, reports| Status {
            pass,
            reports,
            ..Status::default()
        };
        let found = awaited.find_in(&at(1, vec![report(1, Some(2))]));
        assert_eq!(found, PassReport::Pending);
        let found = awaited.find_in(&at(2, vec![report(2, Some(3))]));
        assert_eq!(found, PassReport::Pending);
        // A report that says no more is read again, since another pass may do the rest yet.
        for _ in 0..2 {
            let PassReport::Ended(all) = awaited.find_in(&at(3, vec![report(3, None)])) else {
                panic!("it has ended");
            };
            assert_eq!((all.pass, all.schedules.created), (3, 1 + 2 + 3));
        }
        let found = awaited.find_in(&at(4, vec![report(4, None)]));
        assert_eq!(found, PassReport::Forgotten);
    }
}
