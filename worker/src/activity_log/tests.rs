//! Reports, history and reloads in one list.

use almanac_core::field::Field;

use super::*;
use crate::registry::{ReloadCause, ReloadChanges};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn change(id: &str, op: Op) -> Change {
    Change {
        id: id.to_owned(),
        op,
        fields: Vec::new(),
        reason: "the definition changed".to_owned(),
    }
}

fn report(pass: u64, second: i64) -> Report {
    Report {
        pass,
        started_at: at(second),
        ..Report::default()
    }
}

fn entry(second: i64, kind: HistoryEntryKind, op: &str, id: &str, pass: u64) -> HistoryEntry {
    HistoryEntry {
        at: at(second),
        id: id.to_owned(),
        kind,
        op: op.to_owned(),
        pass,
        ..HistoryEntry::default()
    }
}

fn asked(second: i64, op: &str, id: &str, by: &str) -> HistoryEntry {
    HistoryEntry {
        by: by.to_owned(),
        ..entry(second, HistoryEntryKind::Asked, op, id, 0)
    }
}

fn reload(second: i64, by: &str) -> RecentReload {
    RecentReload {
        at: at(second),
        cause: ReloadCause::Change,
        by: by.to_owned(),
        revision: Revision::of(b"x"),
        changes: ReloadChanges::default(),
        error: None,
        again: 0,
    }
}

/// Each entry in a few words.
fn shown(log: &ActivityLog, filter: &EntryFilter) -> Vec<String> {
    let words = |entry: &Entry| match entry {
        Entry::Pass(pass) => {
            let changes: Vec<_> = pass.changes.iter().map(|one| one.id.as_str()).collect();
            let errors: Vec<_> = pass
                .errors
                .iter()
                .filter_map(|one| one.id.as_deref())
                .collect();
            let (changes, errors) = (changes.join(","), errors.join(","));
            format!(
                "pass {} [{changes}] [{errors}] {}",
                pass.pass, pass.left_out
            )
        }
        Entry::Request(one) => format!("{} {} {}", one.by, one.op, one.id),
        Entry::FailedRun(one) => format!("failed {} {}", one.op, one.id),
        Entry::Reload(one) => format!("reload {}", one.by),
    };
    let matching = log.matching(filter);
    matching.iter().map(|one| words(&one.entry)).collect()
}

fn log() -> ActivityLog {
    let mut reloads = vec![reload(99, "Ann"), reload(5, ""), reload(4, "")];
    reloads[1].changes.newly_invalid = crate::registry::ReloadNames {
        count: 1,
        names: vec!["prices".to_owned()],
    };
    reloads[2].changes.added = crate::registry::ReloadNames {
        count: 1,
        names: vec!["prices".to_owned()],
    };
    let mut failing = report(7, 70);
    failing.changes = vec![change("prices", Op::Update), change("other", Op::Create)];
    failing.errors = vec![ReportError {
        source: "temporal".to_owned(),
        id: Some("prices-2".to_owned()),
        message: "refused".to_owned(),
    }];
    let failed = |id| HistoryEntry {
        reason: "refused".to_owned(),
        ..entry(70, HistoryEntryKind::Failed, "", id, 7)
    };
    let history = [
        asked(100, "suspend", "", "Ann@ops"),
        asked(90, "trigger", "prices", "ann@ops"),
        entry(91, HistoryEntryKind::Failed, "trigger", "prices", 0),
        asked(80, "override", "other", "eve"),
        asked(79, "unpause", "other", "eve"),
        failed("prices-2"),
        entry(70, HistoryEntryKind::Written, "update", "prices", 7),
        HistoryEntry {
            again: 3,
            reason: "refused".to_owned(),
            ..entry(30, HistoryEntryKind::Failed, "", "old", 3)
        },
        HistoryEntry {
            fields: vec![Field::Times],
            ..entry(30, HistoryEntryKind::Written, "update", "prices", 3)
        },
        entry(30, HistoryEntryKind::Unknown, "lift_off", "prices", 3),
    ];
    ActivityLog::new(
        &[failing, report(8, 110), report(9, 120)],
        &history,
        reloads,
    )
}

#[test]
fn everything_stands_in_one_list_and_older_passes_come_from_the_history() {
    assert_eq!(
        shown(&log(), &EntryFilter::default()),
        [
            "pass 9 [] [] 0",
            "pass 8 [] [] 0",
            "Ann@ops suspend ",
            "reload Ann",
            "failed trigger prices",
            "ann@ops trigger prices",
            "eve override other",
            "eve unpause other",
            "pass 7 [prices,other] [prices-2] 0",
            "pass 3 [prices] [old] 1",
            "reload ",
            "reload ",
        ]
    );
    let matching = log().matching(&EntryFilter::default());
    let Entry::Pass(old) = &matching[9].entry else {
        panic!("{:?}", matching[9]);
    };
    assert_eq!(
        (old.at, old.trigger, old.errors[0].again),
        (at(30), None, 3)
    );
    assert_eq!(old.changes[0].fields, [Field::Times]);
    assert_eq!(log().people(), ["Ann", "Ann@ops", "ann@ops", "eve"]);
}

#[test]
fn filters_can_be_combined_and_narrow_passes() {
    let of = |kind: Option<KindFilter>, by: &str, definition: &str| {
        let filter = EntryFilter {
            kind,
            by: Some(by.to_owned()),
            definition: Some(definition.to_owned()),
        };
        shown(&log(), &filter)
    };
    let count = |kind| of(Some(kind), "", "").len();
    assert_eq!(count(KindFilter::Passes), 4);
    assert_eq!(count(KindFilter::Changes), 2);
    assert_eq!(count(KindFilter::Reloads), 3);
    assert_eq!(
        of(Some(KindFilter::Requests), "", ""),
        [
            "Ann@ops suspend ",
            "ann@ops trigger prices",
            "eve override other",
            "eve unpause other"
        ]
    );
    assert_eq!(
        of(Some(KindFilter::Runs), "", ""),
        ["failed trigger prices", "ann@ops trigger prices"]
    );
    assert_eq!(
        of(Some(KindFilter::Overrides), "", ""),
        ["eve override other", "eve unpause other"]
    );
    assert_eq!(
        of(Some(KindFilter::Failures), "", ""),
        [
            "failed trigger prices",
            "pass 7 [prices,other] [prices-2] 0",
            "pass 3 [prices] [old] 1",
            "reload ",
        ]
    );
    assert_eq!(
        of(None, "ANN", ""),
        ["Ann@ops suspend ", "reload Ann", "ann@ops trigger prices"]
    );
    assert_eq!(
        of(None, "", "PRICES"),
        [
            "failed trigger prices",
            "ann@ops trigger prices",
            "pass 7 [prices] [prices-2] 1",
            "pass 3 [prices] [] 2",
            "reload ",
            "reload ",
        ]
    );
    assert_eq!(
        of(Some(KindFilter::Runs), "ann", "prices"),
        ["ann@ops trigger prices"]
    );
    assert_eq!(of(Some(KindFilter::Runs), "eve", ""), [""; 0]);
}

#[test]
fn places_are_in_order_and_stay_when_entries_are_added() {
    let same = |op: &str| asked(10, op, "a", "ann");
    let history = [same("trigger"), same("backfill"), same("override")];
    let before = ActivityLog::new(&[], &history, vec![reload(-3_000_000_000, "")]);
    let places = |log: &ActivityLog| -> Vec<_> {
        let all = log.matching(&EntryFilter::default());
        all.into_iter().map(|one| one.place).collect()
    };
    let old = places(&before);
    assert!(old.is_sorted_by(|one, next| one < next), "{old:?}");
    let newer = [&[asked(11, "suspend", "", "ann")][..], &history].concat();
    let after = ActivityLog::new(&[report(1, 10)], &newer, vec![reload(-3_000_000_000, "")]);
    let new = places(&after);
    assert!(new.is_sorted_by(|one, next| one < next), "{new:?}");
    assert_eq!(new[2..], old);
    // A filter does not change the places.
    let filter = EntryFilter {
        kind: Some(KindFilter::Overrides),
        ..EntryFilter::default()
    };
    assert_eq!(after.matching(&filter)[0].place, old[2]);
}

fn errors(messages: &[(Option<&str>, &str)]) -> Vec<ReportError> {
    let errors = messages.iter().map(|(id, message)| ReportError {
        source: "temporal".to_owned(),
        id: id.map(str::to_owned),
        message: (*message).to_owned(),
    });
    errors.collect()
}

/// The expected messages of passes.
fn owned(passes: &[(u64, &[&str])]) -> Vec<(u64, Vec<String>)> {
    let messages = |new: &[&str]| new.iter().map(|&one| one.to_owned()).collect();
    let passes = passes.iter();
    passes.map(|(pass, new)| (*pass, messages(new))).collect()
}

/// For each pass, the messages of its errors that are new.
fn new_errors(reports: &[Report], history: &[HistoryEntry]) -> Vec<(u64, Vec<String>)> {
    let log = ActivityLog::new(reports, history, Vec::new());
    let passes = log.entries.iter().rev().filter_map(|entry| match entry {
        Entry::Pass(pass) => Some(pass),
        _ => None,
    });
    let of_pass = |pass: &PassEntry| {
        let new = pass.errors.iter().filter(|error| !error.known);
        (pass.pass, new.map(|error| error.message.clone()).collect())
    };
    passes.map(of_pass).collect()
}

fn full(pass: u64, messages: &[(Option<&str>, &str)]) -> Report {
    Report {
        errors: errors(messages),
        unreadable: Some(Vec::new()),
        ..report(pass, i64::try_from(pass).unwrap())
    }
}

fn fast(pass: u64, messages: &[(Option<&str>, &str)]) -> Report {
    Report {
        unreadable: None,
        ..full(pass, messages)
    }
}

#[test]
fn an_error_is_new_if_the_last_pass_that_could_have_it_had_it_not() {
    let (a, b, all) = (
        (Some("a"), "a fails"),
        (Some("b"), "b fails"),
        (None, "Temporal fails"),
    );
    let mut fixed = fast(8, &[]);
    fixed.changes = vec![change("a", Op::Update)];
    let reports = [
        full(1, &[a, all]),
        // Neither a pass over another schedule nor a dry run ends an error.
        fast(2, &[b]),
        Report {
            dry_run: true,
            ..full(3, &[])
        },
        full(4, &[a, b, all]),
        full(5, &[b]),
        full(6, &[a, b]),
        // A dry run has the errors of the passes before it, but a pass has none of a dry run.
        Report {
            dry_run: true,
            ..full(7, &[a, b, all])
        },
        fixed,
        full(9, &[a, b, all]),
    ];
    let shown = new_errors(&reports, &[]);
    let expected: [(u64, &[&str]); 9] = [
        (1, &["a fails", "Temporal fails"]),
        (2, &["b fails"]),
        (3, &[]),
        (4, &[]),
        (5, &[]),
        (6, &["a fails"]),
        (7, &["Temporal fails"]),
        (8, &[]),
        (9, &["a fails", "Temporal fails"]),
    ];
    assert_eq!(shown, owned(&expected));
}

#[test]
fn the_errors_of_the_oldest_report_are_new_only_if_the_history_tells_so() {
    let (a, b, all) = (
        (Some("a"), "a fails"),
        (Some("b"), "b fails"),
        (None, "Temporal fails"),
    );
    let failed = |id: &str, pass| HistoryEntry {
        reason: format!("{id} fails"),
        ..entry(1, HistoryEntryKind::Failed, "", id, pass)
    };
    let run = HistoryEntry {
        op: "trigger".to_owned(),
        ..failed("b", 40)
    };
    // The failures of `a` began with this pass, those of `b` with an earlier one.
    let history = [failed("a", 40), failed("b", 33), run];
    let reports = [full(40, &[a, b, all]), full(41, &[a, b, all])];
    let shown = new_errors(&reports, &history);
    let expected: [(u64, &[&str]); 3] = [(33, &["b fails"]), (40, &["a fails"]), (41, &[])];
    assert_eq!(shown, owned(&expected));
    let oldest = ActivityLog::new(&[full(40, &[b, all])], &[], Vec::new());
    let Entry::Pass(oldest) = &oldest.entries[0] else {
        panic!("{oldest:?}");
    };
    assert!(oldest.is_quiet() && oldest.errors.len() == 2, "{oldest:?}");
}

#[test]
fn a_run_that_may_have_started_is_found_as_a_failure_of_who_asked_for_it() {
    let lost = HistoryEntry {
        by: "ann".to_owned(),
        ..entry(10, HistoryEntryKind::Lost, "trigger", "prices", 0)
    };
    let log = ActivityLog::new(&[], &[lost], Vec::new());
    for kind in KindFilter::ALL {
        let filter = EntryFilter {
            kind: Some(kind),
            by: Some("ann".to_owned()),
            ..EntryFilter::default()
        };
        let is_shown = !log.matching(&filter).is_empty();
        let is_of_kind = matches!(kind, KindFilter::Runs | KindFilter::Failures);
        assert_eq!(is_shown, is_of_kind, "{kind:?}");
    }
}
