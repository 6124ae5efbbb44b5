//! Gaps: times at which a schedule was due and nothing started.
//!
//! A time is a gap if all of this holds:
//! - The schedule's spec has the time, and the server's next times agree with
//!   the spec.
//! - The time is after the schedule's last write. Almanac wrote the schedule
//!   after the last manual pause or unpause, and the schedule is not paused. So
//!   the schedule had this spec and was not paused at that time.
//! - The schedule has actions left.
//! - More than 60 seconds and the jitter have passed since the time.
//! - All runs that started at or after the time were read, and the server keeps
//!   runs for longer than since then.
//! - No run has the time as its due time.
//!
//! A run that somebody deleted is not seen, and leaves a gap.

use almanac_core::definition::OverlapPolicy;
use almanac_times::LATENESS;
use jiff::Timestamp;

use super::model::{Gap, GapCause, GapsUnknown, TimelineRun};
use crate::schedules::Missed;

/// Maximum number of gaps of a schedule; the latest are kept.
pub(super) const GAPS: usize = 100;

/// Facts from the description of a schedule.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Time of the last change. `None` if it is not known.
    pub(super) since: Option<Timestamp>,
    pub(super) paused: bool,
    pub(super) overlap: OverlapPolicy,
    pub(super) remaining: Option<u64>,
    pub(super) missed: Missed,
}

/// Times without a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unmatched {
    /// The times, in order; the latest [`GAPS`].
    pub(super) times: Vec<Timestamp>,
    /// `true` if there are earlier ones.
    pub(super) truncated: bool,
}

impl Unmatched {
    /// The times that are not the due time of a run. `times` are in order.
    pub(super) fn of(times: &[Timestamp], runs: &[TimelineRun]) -> Self {
        let mut dues: Vec<i64> = runs
            .iter()
            .filter_map(|run| Some(run.due?.as_second()))
            .collect();
        dues.sort_unstable();
        let has_run = |time: &Timestamp| dues.binary_search(&time.as_second()).is_ok();
        let mut found = times.iter().rev().filter(|time| !has_run(time)).copied();
        let mut times: Vec<_> = found.by_ref().take(GAPS).collect();
        times.reverse();
        let truncated = found.next().is_some();
        Self { times, truncated }
    }
}

/// The gaps of a schedule, or the reason why they are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    pub(super) list: Vec<Gap>,
    /// Time from which on all gaps are known.
    pub(super) from: Option<Timestamp>,
    pub(super) unknown: Option<GapsUnknown>,
}

impl Gaps {
    pub(super) fn unknown(why: GapsUnknown) -> Self {
        Self {
            unknown: Some(why),
            ..Self::default()
        }
    }

    /// No gaps since `from`.
    pub(super) fn none(from: Timestamp) -> Self {
        Self {
            from: Some(from),
            ..Self::default()
        }
    }

    /// The gaps among times without a run. `from`: the time from which on all
    /// runs are known.
    pub(super) fn of(
        unmatched: Unmatched,
        runs: &[TimelineRun],
        facts: &Facts,
        from: Timestamp,
        now: Timestamp,
    ) -> Self {
        if facts.paused {
            return Self::unknown(GapsUnknown::Paused);
        }
        let Some(since) = facts.since else {
            return Self::unknown(GapsUnknown::Note);
        };
        if facts.remaining == Some(0) {
            return Self::unknown(GapsUnknown::Finished);
        }
        let first = unmatched.times.first().filter(|_| unmatched.truncated);
        let from = from.max(since).max(first.copied().unwrap_or(from));
        let times = unmatched.times.into_iter();
        let times: Vec<_> = times
            .filter(|time| *time > since && *time >= from)
            .collect();
        Self {
            list: causes(&times, runs, facts, now),
            from: Some(from),
            unknown: None,
        }
    }
}

/// The gaps at these times, with their causes.
///
/// - If an earlier run had not ended, the overlap policy is the cause: the run
///   waits in the buffer, or was not started.
/// - The server counts the actions that it missed for another reason since the
///   schedule was created. If only one of these counters is not zero, and the
///   counter is not less than the number of gaps without a cause, it is the
///   cause.
fn causes(times: &[Timestamp], runs: &[TimelineRun], facts: &Facts, now: Timestamp) -> Vec<Gap> {
    let mut gaps: Vec<_> = times
        .iter()
        .enumerate()
        .map(|(index, due)| {
            let earlier = runs
                .iter()
                .filter(|run| run.started <= *due)
                .filter(|run| run.ended.is_none_or(|ended| ended > *due))
                .max_by_key(|run| run.ended.unwrap_or(Timestamp::MAX));
            let is_allowed = facts.overlap == OverlapPolicy::AllowAll;
            let cause = earlier.filter(|_| !is_allowed).and_then(|run| {
                let goes_on = run
                    .ended
                    .is_none_or(|ended| now.duration_since(ended) < LATENESS);
                let is_first = index == 0 || times[index - 1] < run.started;
                let is_last = index + 1 == times.len();
                by_overlap(facts.overlap, goes_on, is_first, is_last)
            });
            Gap { due: *due, cause }
        })
        .collect();
    let left = gaps.iter().filter(|gap| gap.cause.is_none()).count() as u64;
    let Missed {
        catchup_window,
        buffer,
        ..
    } = facts.missed;
    let counted = match (catchup_window, buffer) {
        (missed, 0) if missed >= left => Some(GapCause::CatchupWindow),
        (0, dropped) if dropped >= left => Some(GapCause::Buffer),
        _ => None,
    };
    for gap in &mut gaps {
        gap.cause = gap.cause.or(counted);
    }
    gaps
}

/// The cause of a gap during an earlier run. `goes_on`: that run has not ended,
/// or only just. `is_first` and `is_last`: the gap is the first or the last one
/// during that run.
fn by_overlap(
    policy: OverlapPolicy,
    goes_on: bool,
    is_first: bool,
    is_last: bool,
) -> Option<GapCause> {
    match policy {
        OverlapPolicy::AllowAll => None,
        OverlapPolicy::BufferAll => goes_on.then_some(GapCause::Waiting),
        OverlapPolicy::BufferOne if goes_on && is_first => Some(GapCause::Waiting),
        OverlapPolicy::CancelOther | OverlapPolicy::TerminateOther if goes_on && is_last => {
            Some(GapCause::Waiting)
        }
        OverlapPolicy::Skip
        | OverlapPolicy::BufferOne
        | OverlapPolicy::CancelOther
        | OverlapPolicy::TerminateOther => Some(GapCause::Overlap),
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::RunStatus;
    use super::*;

    const NOW: i64 = 10_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(due: i64, ended: Option<i64>) -> TimelineRun {
        TimelineRun {
            due: Some(at(due)),
            started: at(due),
            ended: ended.map(at),
            status: ended.map_or(RunStatus::Running, |_| RunStatus::Completed),
            workflow_id: "p/a".into(),
            run_id: due.to_string().into(),
        }
    }

    fn facts(overlap: OverlapPolicy) -> Facts {
        Facts {
            since: Some(at(0)),
            paused: false,
            overlap,
            remaining: None,
            missed: Missed::default(),
        }
    }

    fn gaps(dues: &[i64], runs: &[TimelineRun], facts: &Facts) -> Gaps {
        let dues: Vec<_> = dues.iter().map(|due| at(*due)).collect();
        let unmatched = Unmatched::of(&dues, runs);
        Gaps::of(unmatched, runs, facts, at(0), at(NOW))
    }

    /// The seconds of the gaps with their causes.
    fn shown(dues: &[i64], runs: &[TimelineRun], facts: &Facts) -> String {
        let gaps = gaps(dues, runs, facts).list.into_iter().map(|gap| {
            let cause = gap.cause.map_or("-", GapCause::as_str);
            format!("{} {cause}", gap.due.as_second())
        });
        gaps.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_time_without_a_run_is_a_gap_and_one_with_a_late_run_is_none() {
        let late = TimelineRun {
            started: at(150),
            ended: Some(at(160)),
            ..run(120, None)
        };
        let runs = [run(60, Some(61)), late];
        let skip = facts(OverlapPolicy::Skip);
        assert_eq!(shown(&[60, 120, 180, 240], &runs, &skip), "180 -, 240 -");
    }

    #[test]
    fn no_gap_is_claimed_for_a_time_at_which_the_state_is_not_known() {
        let dues = [60, 120, 180];
        let known = |change: fn(&mut Facts)| {
            let mut facts = facts(OverlapPolicy::Skip);
            change(&mut facts);
            let found = gaps(&dues, &[], &facts);
            (found.list.len(), found.from, found.unknown)
        };
        assert_eq!(known(|_| {}), (3, Some(at(0)), None));
        // The schedule was written at the second of these times.
        let written = known(|facts| facts.since = Some(at(120)));
        assert_eq!(written, (1, Some(at(120)), None));
        let unknown = |why| (0, None, Some(why));
        let by_hand = known(|facts| facts.since = None);
        assert_eq!(by_hand, unknown(GapsUnknown::Note));
        let paused = known(|facts| facts.paused = true);
        assert_eq!(paused, unknown(GapsUnknown::Paused));
        let used_up = known(|facts| facts.remaining = Some(0));
        assert_eq!(used_up, unknown(GapsUnknown::Finished));
        assert_eq!(known(|facts| facts.remaining = Some(1)).0, 3);
    }

    #[test]
    fn the_cause_of_a_gap_during_another_run_is_the_overlap_policy() {
        let dues = [60, 120, 180, 240, 300];
        let ended = [run(60, Some(200))];
        let goes_on = [run(60, None)];
        let of = |policy, runs: &[TimelineRun]| shown(&dues, runs, &facts(policy));
        let skipped = "120 overlap, 180 overlap, 240 -, 300 -";
        assert_eq!(of(OverlapPolicy::Skip, &ended), skipped);
        let all = "120 overlap, 180 overlap, 240 overlap, 300 overlap";
        assert_eq!(of(OverlapPolicy::Skip, &goes_on), all);
        let first = "120 waiting, 180 overlap, 240 overlap, 300 overlap";
        assert_eq!(of(OverlapPolicy::BufferOne, &goes_on), first);
        let last = "120 overlap, 180 overlap, 240 overlap, 300 waiting";
        assert_eq!(of(OverlapPolicy::CancelOther, &goes_on), last);
        let waiting = "120 waiting, 180 waiting, 240 waiting, 300 waiting";
        assert_eq!(of(OverlapPolicy::BufferAll, &goes_on), waiting);
        assert_eq!(
            of(OverlapPolicy::BufferAll, &ended),
            "120 -, 180 -, 240 -, 300 -"
        );
        assert_eq!(
            of(OverlapPolicy::AllowAll, &goes_on),
            "120 -, 180 -, 240 -, 300 -"
        );
    }

    #[test]
    fn a_counter_of_the_server_is_the_cause_only_if_it_accounts_for_all_gaps() {
        let counted = |catchup_window, buffer| {
            let missed = Missed {
                overlap: 7,
                catchup_window,
                buffer,
            };
            let facts = Facts {
                missed,
                ..facts(OverlapPolicy::BufferAll)
            };
            shown(&[60, 120], &[], &facts)
        };
        assert_eq!(counted(2, 0), "60 catchup_window, 120 catchup_window");
        assert_eq!(counted(0, 3), "60 buffer, 120 buffer");
        for (catchup_window, buffer) in [(1, 0), (0, 1), (2, 2), (0, 0)] {
            assert_eq!(counted(catchup_window, buffer), "60 -, 120 -");
        }
    }

    #[test]
    fn the_latest_gaps_are_kept_and_the_answer_says_from_when_on_they_are_known() {
        let dues: Vec<i64> = (1..=150).map(|n| n * 60).collect();
        let found = gaps(&dues, &[], &facts(OverlapPolicy::Skip));
        assert_eq!(found.list.len(), GAPS);
        assert_eq!(found.from, Some(at(51 * 60)));
        assert_eq!(found.list.last().unwrap().due, at(9000));
    }
}
