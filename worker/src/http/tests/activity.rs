//! The activity, as a page and through the API.

use almanac_core::record::{Change, HistoryEntryKind, Op, Override};

use super::visitor::Visitor;
use super::*;
use crate::registry::{RELOAD_NAMES, ReloadCause, ReloadChanges, ReloadNames};

fn visitor(server: &Server) -> Visitor<'_> {
    Visitor {
        host: "localhost",
        ..Visitor::new(server)
    }
}

/// So many minutes ago.
fn ago(minutes: i64) -> Timestamp {
    Timestamp::now() - jiff::SignedDuration::from_mins(minutes)
}

fn asked(minutes: i64, op: &str, id: &str, by: &str, reason: &str) -> HistoryEntry {
    HistoryEntry {
        at: ago(minutes),
        id: id.to_owned(),
        kind: HistoryEntryKind::Asked,
        op: op.to_owned(),
        by: by.to_owned(),
        reason: reason.to_owned(),
        ..HistoryEntry::default()
    }
}

fn reload(minutes: i64, cause: ReloadCause, changes: ReloadChanges) -> RecentReload {
    RecentReload {
        at: ago(minutes),
        cause,
        by: String::new(),
        revision: Revision::of(b"x"),
        changes,
        error: None,
        again: 0,
    }
}

fn named(names: &[&str]) -> ReloadNames {
    ReloadNames {
        count: names.len() as u64,
        names: names.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn quiet(pass: u64, minutes: i64) -> Report {
    Report {
        pass,
        started_at: ago(minutes),
        // The pass was over all schedules.
        unreadable: Some(Vec::new()),
        ..Report::default()
    }
}

/// A project in which each kind of entry occurs.
fn project() -> Fake {
    let busy = Report {
        changes: vec![Change {
            id: "prices".to_owned(),
            op: Op::Update,
            fields: Vec::new(),
            reason: "the definition changed".to_owned(),
        }],
        errors: vec![ReportError {
            source: "temporal".to_owned(),
            id: Some("invoices".to_owned()),
            message: "the server refused it".to_owned(),
        }],
        ..quiet(41, 50)
    };
    let history = vec![
        asked(5, "suspend", "", "ann@ops", "moving house"),
        HistoryEntry {
            from: Some("2026-01-01".parse().unwrap()),
            to: Some("2026-01-02".parse().unwrap()),
            ..asked(10, "backfill", "invoices", "ann@ops", "outage")
        },
        asked(20, "trigger", "prices", "eve", "late data"),
        HistoryEntry {
            kind: HistoryEntryKind::Failed,
            ..asked(21, "trigger", "gone", "eve", "the schedule does not exist")
        },
        HistoryEntry {
            kind: HistoryEntryKind::Lost,
            ..asked(22, "trigger", "vanished", "eve", "the server was restarted")
        },
        HistoryEntry {
            kind: HistoryEntryKind::Failed,
            pass: 41,
            ..asked(50, "", "invoices", "", "the server refused it")
        },
        HistoryEntry {
            pass: 41,
            overridden: Some(Override {
                enabled: Some(false),
                ..Override::default()
            }),
            ..asked(30, "override", "prices", "eve", "disk full")
        },
        HistoryEntry {
            kind: HistoryEntryKind::Written,
            pass: 3,
            ..asked(600, "create", "older", "", "the schedule does not exist")
        },
    ];
    Fake {
        status: Mutex::new(Ok(status(43, vec![busy, quiet(42, 40), quiet(43, 40)]))),
        history: Ok(history),
        recent_reloads: vec![
            reload(
                45,
                ReloadCause::Change,
                ReloadChanges {
                    changed: named(&["prices"]),
                    newly_invalid: named(&["invoices", "bad.yaml:3"]),
                    ..ReloadChanges::default()
                },
            ),
            reload(
                60,
                ReloadCause::Start,
                ReloadChanges {
                    added: named(&["prices", "invoices"]),
                    ..ReloadChanges::default()
                },
            ),
        ],
        ..Fake::default()
    }
}

/// The text of the list, without markup.
fn list_of(body: &str) -> String {
    let (_, list) = body.split_once("id=\"entries\"").unwrap();
    let (list, _) = list.split_once("Almanac remembers").unwrap();
    let mut text = String::new();
    let mut is_markup = true;
    for c in list.chars() {
        match c {
            '<' => is_markup = true,
            '>' => is_markup = false,
            c if !is_markup => text.push(c),
            _ => {}
        }
    }
    text
}

/// Parts that each entry of [`project`] has, and no other.
const ENTRIES: [(&str, &str); 10] = [
    ("suspend", "ann@ops suspended Almanac"),
    ("backfill", "ann@ops asked for a backfill of invoices from"),
    ("trigger", "eve asked for a run of prices"),
    ("failed run", "Almanac failed to start the run of gone"),
    (
        "lost run",
        "Almanac does not know whether the run of vanished that",
    ),
    ("override", "eve asked for an override of prices: paused"),
    ("busy pass", "Pass 41"),
    ("old pass", "Pass 3"),
    ("reload", "Files changed"),
    ("start", "This worker started"),
];

#[tokio::test]
async fn everything_that_happened_is_in_one_list_with_who_and_why() {
    let server = server(project()).await;
    let page = visitor(&server).get("/activity").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let list = list_of(&page.body);
    let places: Vec<_> = [
        "ann@ops suspended Almanac",
        "moving house",
        "ann@ops asked for a backfill of invoices from 2026-01-01T00:00:00 to 2026-01-02T00:00:00",
        "outage",
        "eve asked for a run of prices",
        "late data",
        "Almanac failed to start the run of gone that eve asked for",
        "the schedule does not exist",
        "Almanac does not know whether the run of vanished that eve asked for has started",
        "the server was restarted",
        "eve asked for an override of prices: paused",
        "disk full",
        "2 passes without changes or new errors, 42 to 43",
        "Files changed · 2 invalid, 1 changed",
        "Pass 41 by the interval · 1 change · 1 error",
        "invoices temporal: the server refused it",
        "prices updated: the definition changed",
        "This worker started and read the files · 2 added",
        "Pass 3",
        "older created",
    ]
    .iter()
    .map(|text| list.find(text).unwrap_or_else(|| panic!("{text}: {list}")))
    .collect();
    assert!(places.is_sorted(), "{places:?}: {list}");
    // Who leads to what else the person asked for, and a definition to its page.
    assert!(
        page.body.contains("href=\"/activity?by=ann%40ops\""),
        "{}",
        page.body
    );
    assert!(
        page.body.contains("href=\"/definitions/prices\""),
        "{}",
        page.body
    );
    // A document without an id has no page.
    assert!(
        !page.body.contains("/definitions/bad.yaml"),
        "{}",
        page.body
    );
    // The start of a worker names no definition: all of them are new.
    assert!(!list.contains("added: "), "{list}");
}

#[tokio::test]
async fn each_filter_narrows_the_list_and_they_combine() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    for (query, shown) in [
        (
            "kind=requests",
            &["suspend", "backfill", "trigger", "override"][..],
        ),
        (
            "kind=runs",
            &["backfill", "trigger", "failed run", "lost run"],
        ),
        ("kind=overrides", &["override"]),
        ("kind=reloads", &["reload", "start"]),
        ("kind=changes", &["busy pass", "old pass"]),
        (
            "kind=failures",
            &["failed run", "lost run", "busy pass", "reload"],
        ),
        ("by=ANN", &["suspend", "backfill"]),
        ("by=eve", &["trigger", "failed run", "lost run", "override"]),
        (
            "definition=PRICE",
            &["trigger", "override", "busy pass", "reload", "start"],
        ),
        ("definition=older", &["old pass"]),
        ("kind=runs&by=eve&definition=pri", &["trigger"]),
        ("by=&definition=", &ENTRIES.map(|(name, _)| name)),
    ] {
        let page = visitor.get(&format!("/activity?{query}")).await;
        assert_eq!(page.status, 200, "{query}: {}", page.body);
        let list = list_of(&page.body);
        for (name, text) in ENTRIES {
            assert_eq!(
                list.contains(text),
                shown.contains(&name),
                "{query} {name}: {list}"
            );
        }
    }
    // The other filters stay when one changes, in links and in the form.
    let page = visitor
        .get("/activity?kind=runs&by=eve&definition=p%22")
        .await
        .body;
    assert!(
        page.contains("href=\"/activity?kind=failures&amp;by=eve&amp;definition=p%22\""),
        "{page}"
    );
    assert!(
        page.contains("<input type=\"hidden\" name=\"kind\" value=\"runs\">"),
        "{page}"
    );
    assert!(page.contains("value=\"p&quot;\""), "{page}");
    assert!(page.contains("Nothing matches."), "{page}");
    // One line for each pass, if passes are asked for.
    let passes = visitor.get("/activity?kind=passes").await.body;
    let passes = list_of(&passes);
    for pass in ["Pass 43", "Pass 42", "Pass 41", "Pass 3"] {
        assert!(passes.contains(pass), "{pass}: {passes}");
    }
    assert!(!passes.contains("2 passes without"), "{passes}");
}

#[tokio::test]
async fn bad_filters_are_refused_by_their_names() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    let long = format!("by={}", "x".repeat(201));
    for query in [
        "kind=other",
        "kind=",
        "by=a&by=b",
        "page=-1",
        "changes=true",
        &long,
    ] {
        let page = visitor.get(&format!("/activity?{query}")).await;
        assert_eq!(page.status, 400, "{query}");
        let name = query.split('=').next().unwrap();
        assert!(page.body.contains(name), "{query}: {}", page.body);
        let answer = server.get(&format!("/api/v1/activity?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.problem().contains(name), "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn hostile_texts_are_shown_as_text() {
    let words = format!(
        "<script>alert(1)</script>\" onload=x & \u{202e}\u{1b}[31m {}",
        "w".repeat(4096)
    );
    let hostile = named(&[words.as_str(); RELOAD_NAMES]);
    let fake = Fake {
        history: Ok(vec![
            asked(1, &words, &words, &words, &words),
            asked(2, "trigger", &words, &words, &words),
            asked(3, "suspend", "", &words, &words),
            HistoryEntry {
                kind: HistoryEntryKind::Failed,
                ..asked(4, "trigger", &words, &words, &words)
            },
            HistoryEntry {
                kind: HistoryEntryKind::Written,
                pass: 9,
                ..asked(5, "create", &words, &words, &words)
            },
        ]),
        recent_reloads: vec![RecentReload {
            by: words.clone(),
            error: Some(words.clone()),
            ..reload(
                6,
                ReloadCause::Request,
                ReloadChanges {
                    added: hostile.clone(),
                    changed: hostile.clone(),
                    removed: hostile.clone(),
                    newly_invalid: hostile.clone(),
                    valid_again: hostile,
                    ..ReloadChanges::default()
                },
            )
        }],
        ..Fake::default()
    };
    let server = server(fake).await;
    let mut visitor = visitor(&server);
    let search = "by=%3Cscript%3E%22%20onload%3Dx&definition=%3Cscript%3E%E2%80%AE";
    for path in ["/activity", &format!("/activity?{search}")] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        for markup in ["<script>", "\" onload", "<style", " style=", "javascript:"] {
            assert!(!page.body.contains(markup), "{path} contains {markup}");
        }
        assert_eq!(page.body.matches("<script").count(), 1, "{path}");
        assert!(!page.body.contains(['\u{1b}', '\u{202e}']), "{path}");
    }
    let body = visitor.get("/activity").await.body;
    assert!(body.contains("&lt;script&gt;alert(1)"), "{body}");
    let answer = server.get("/api/v1/activity").await;
    assert_eq!(answer.json()["total"], 6, "{}", answer.body);
}

#[tokio::test]
async fn an_empty_project_and_a_silent_temporal_are_explained() {
    let empty = server(Fake::default()).await;
    let page = visitor(&empty).get("/activity").await;
    assert!(
        page.body.contains("Nothing has happened yet."),
        "{}",
        page.body
    );
    let nothing = visitor(&empty).get("/activity?kind=runs").await;
    assert!(
        nothing.body.contains("Nothing matches."),
        "{}",
        nothing.body
    );

    let away = || BackendError::Away("refused <b>".to_owned());
    for fake in [
        Fake {
            history: Err(away()),
            ..project()
        },
        Fake {
            status: Mutex::new(Err(away())),
            ..project()
        },
    ] {
        let server = server(fake).await;
        let page = visitor(&server).get("/activity").await;
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(page.body.contains("refused &lt;b&gt;"), "{}", page.body);
        let list = list_of(&page.body);
        assert!(
            list.contains("Files changed") && !list.contains("Pass 41"),
            "{list}"
        );
        let answer = server.get("/api/v1/activity").await;
        assert_eq!(answer.status, 503, "{}", answer.body);
    }
}

/// As many entries as are remembered.
fn full() -> Fake {
    let history = (0..1000).map(|n| asked(n, "trigger", &format!("job-{n}"), "ann", "x"));
    Fake {
        history: Ok(history.collect()),
        ..Fake::default()
    }
}

#[tokio::test]
async fn a_page_has_fifty_entries_and_a_pass_twenty_changes() {
    let server = server(full()).await;
    let mut visitor = visitor(&server);
    let first = visitor.get("/activity").await.body;
    assert!(first.contains("1–50 of 1000"), "{first}");
    assert_eq!(first.matches("asked for a run").count(), 50);
    let last = visitor.get("/activity?kind=runs&page=20").await.body;
    assert!(list_of(&last).contains("job-999"), "{last}");
    assert!(
        last.contains("href=\"/activity?kind=runs&amp;page=19\""),
        "{last}"
    );
    for page in ["21", "18446744073709551615"] {
        let beyond = visitor.get(&format!("/activity?page={page}")).await;
        assert_eq!(beyond.status, 200);
        assert!(
            beyond.body.contains("There is no such page."),
            "{}",
            beyond.body
        );
    }
    let change = |n: usize| Change {
        id: format!("job-{n}"),
        op: Op::Create,
        fields: Vec::new(),
        reason: String::new(),
    };
    let report = Report {
        changes: (0..100).map(change).collect(),
        truncated: 7,
        ..quiet(1, 1)
    };
    let server = super::server(Fake::reporting(report)).await;
    let page = self::visitor(&server).get("/activity").await;
    assert!(
        page.body.contains("and 87 more in this pass"),
        "{}",
        page.body
    );
}

/// A document that stays broken would else paint each pass red.
#[tokio::test]
async fn errors_that_repeat_themselves_are_no_news() {
    let failing = |pass: u64, messages: &[&str]| Report {
        errors: messages
            .iter()
            .map(|&message| ReportError {
                source: "temporal".to_owned(),
                id: Some("prices".to_owned()),
                message: message.to_owned(),
            })
            .collect(),
        ..quiet(pass, 10)
    };
    let reports = vec![
        failing(1, &["old one", "other"]),
        failing(2, &["old one", "other"]),
        failing(3, &["other"]),
        quiet(4, 10),
        failing(5, &["other"]),
        failing(6, &["other", "new one"]),
        Report {
            changes: vec![Change {
                id: "invoices".to_owned(),
                op: Op::Pause,
                fields: Vec::new(),
                reason: String::new(),
            }],
            ..failing(7, &["new one"])
        },
    ];
    let server = server(Fake {
        status: Mutex::new(Ok(status(7, reports))),
        ..Fake::default()
    })
    .await;
    let mut visitor = visitor(&server);
    let all = visitor.get("/activity").await.body;
    assert_eq!(all.matches("class=\"bad\"").count(), 3, "{all}");
    let list = list_of(&all);
    assert!(
        list.contains("3 passes without changes or new errors, 2 to 4"),
        "{list}"
    );
    assert!(list.contains("no changes · 2 errors as before"), "{list}");
    assert!(list.contains("1 change · 1 error as before"), "{list}");
    for error in ["old one", "new one"] {
        assert_eq!(list.matches(error).count(), 1, "{list}");
    }
    for (kind, shown) in [("failures", 3), ("changes", 4), ("passes", 7)] {
        let page = visitor.get(&format!("/activity?kind={kind}")).await.body;
        let count = format!("<span id=\"shown\">{shown} shown</span>");
        assert!(page.contains(&count), "{kind}: {page}");
    }
}

#[tokio::test]
async fn the_api_has_the_same_entries_in_pages() {
    let server = server(full()).await;
    let mut seen = Vec::new();
    let mut query = "limit=400".to_owned();
    loop {
        let answer = server.get(&format!("/api/v1/activity?{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let page = answer.json();
        assert_eq!(page["total"], 1000);
        for entry in page["entries"].as_array().unwrap() {
            seen.push(entry["id"].as_str().unwrap().to_owned());
        }
        let Some(token) = page["next_page_token"].as_str() else {
            break;
        };
        query = format!("limit=400&page_token={token}");
    }
    let all: Vec<_> = (0..1000).map(|n| format!("job-{n}")).collect();
    assert_eq!(seen, all);
    let server = super::server(project()).await;
    let answer = server
        .get("/api/v1/activity?definition=prices")
        .await
        .json();
    let types: Vec<_> = answer["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["request", "request", "reload", "pass", "reload"]);
    let pass = &answer["entries"][3];
    assert_eq!(
        (&pass["pass"], &pass["trigger"]),
        (&json!(41), &json!("interval"))
    );
    assert_eq!(pass["changes"][0]["id"], "prices");
    assert_eq!(
        (&pass["errors"], &pass["left_out"]),
        (&json!([]), &json!(1))
    );
    let run = &answer["entries"][0];
    assert_eq!(
        (&run["op"], &run["by"], &run["reason"]),
        (&json!("trigger"), &json!("eve"), &json!("late data"))
    );
    let reload = &answer["entries"][2];
    assert_eq!(reload["changes"]["newly_invalid"]["count"], 2);
}
