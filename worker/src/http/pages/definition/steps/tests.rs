use almanac_steps::language;
use serde_json::{Value, json};

use super::drawing::{drawing, list};
use super::layout::{Layout, WIDTH, layout};
use super::outline::{DEPTH, STEPS, Step, To, outline};
use super::*;

fn steps(steps: &Value) -> Steps {
    outline(&language::parse(steps).unwrap())
}

fn laid_out(steps: &Steps) -> Layout {
    layout(steps, &BTreeSet::new())
}

fn work_of(task: &Value) -> String {
    steps(&json!([{ "x": task }])).shown[0].work.clone()
}

#[test]
fn each_kind_of_task_has_its_words() {
    let set = json!([{ "one": { "set": { "x": 1 } } }]);
    let error = json!({ "error": { "type": "https://x.org/late", "status": 504, "title": "L" } });
    let event = json!({ "with": { "type": "shop.done" } });
    for (task, words) in [
        (json!({ "set": { "x": 1 } }), "set"),
        (json!({ "wait": { "seconds": 90 } }), "wait 1m 30s"),
        (json!({ "wait": { "milliseconds": 5 } }), "wait"),
        (json!({ "wait": "${ .pause }" }), "wait"),
        (json!({ "do": set }), "do"),
        (json!({ "switch": [{ "a": { "then": "end" } }] }), "switch"),
        (
            json!({ "for": { "each": "pet", "in": ".pets" }, "do": set }),
            "for each pet",
        ),
        (json!({ "fork": { "branches": set } }), "fork"),
        (json!({ "try": set, "catch": { "do": set } }), "try"),
        (
            json!({ "try": set, "catch": { "retry": { "delay": "PT1S" } } }),
            "try, with retries",
        ),
        (
            json!({ "try": set, "catch": { "retry": { "delay": "PT1S", "limit": { "attempt": { "count": 3 } } } } }),
            "try, 3 retries",
        ),
        (json!({ "raise": error }), "raise error 504"),
        (json!({ "emit": { "event": event } }), "emit shop.done"),
        (json!({ "listen": { "to": { "one": event } } }), "listen"),
        (
            json!({ "call": "http", "with": { "method": "get", "endpoint": "https://x.org" } }),
            "call http GET",
        ),
        (
            json!({ "call": "openapi", "with": { "document": { "endpoint": "https://x.org" }, "operationId": "find" } }),
            "call openapi find",
        ),
        (
            json!({ "call": "activity", "with": { "name": "Archive", "task_queue": "q" } }),
            "call activity Archive",
        ),
        (
            json!({ "run": { "workflow": { "namespace": "n", "name": "W", "version": "1" } } }),
            "run workflow W",
        ),
        (json!({ "run": { "shell": { "command": "ls" } } }), "run ls"),
    ] {
        assert_eq!(work_of(&task), words, "{task}");
    }
}

/// Each way out of a step in words, and `true` if the next step may follow.
fn ways(step: &Step) -> (Vec<String>, bool) {
    let exits = step.exits.iter();
    let exits = exits.map(|exit| format!("{}>{}", exit.name, exit.to.words(true)));
    (exits.collect(), step.continues)
}

#[test]
fn the_ways_out_of_a_step_are_those_of_the_run() {
    let error = json!({ "error": { "type": "https://x.org/late", "status": 504, "title": "L" } });
    let set = json!([{ "one": { "set": { "x": 1 } } }]);
    let outline = steps(&json!([
        { "plain": { "set": { "x": 1 } } },
        { "back": { "set": { "x": 1 }, "then": "plain" } },
        { "maybe": { "if": ".x", "set": { "x": 1 }, "then": "end" } },
        { "open": { "switch": [{ "a": { "when": ".a", "then": "plain" } }] } },
        { "closed": { "switch": [
            { "a": { "when": ".a", "then": "continue" } },
            { "b": { "then": "exit" } }
        ] } },
        { "ends": { "switch": [{ "b": { "then": "end" } }] } },
        { "guard": { "try": set, "catch": { "then": "plain" } } },
        { "next": { "switch": [{ "a": { "then": "fails" } }] } },
        { "fails": { "raise": error } },
        { "last": { "set": { "x": 1 }, "then": "end" } },
    ]));
    let found: Vec<_> = outline.shown.iter().map(ways).collect();
    let ways = |exits: &[&str], continues: bool| {
        let exits: Vec<String> = exits.iter().map(ToString::to_string).collect();
        (exits, continues)
    };
    assert_eq!(
        found,
        [
            ways(&[], true),
            ways(&[">plain"], false),
            ways(&[">end"], true),
            ways(&["a>plain", "otherwise>next step"], true),
            ways(&["a>next step", "b>end"], true),
            ways(&["b>end"], false),
            ways(&["after a caught error>plain"], true),
            ways(&["a>fails"], true),
            ways(&[], false),
            ways(&[], true),
        ]
    );
    let back = &outline.shown[1].exits[0];
    assert_eq!(back.to, To::Step(0, "plain".to_owned()));
    // `plain` is the target of four lines, which share a place.
    let drawn = laid_out(&outline);
    let lanes = drawn.lines.iter().filter(|line| line.contains("H310V"));
    assert_eq!(lanes.count(), 3, "{:?}", drawn.lines);
}

/// A list with `count` steps.
fn many(count: usize) -> Value {
    let step = |n| json!({ format!("s{n}"): { "set": { "x": n } } });
    (0..count).map(step).collect()
}

#[test]
fn an_outline_is_limited_and_says_what_it_leaves_out() {
    let outline = steps(&many(80));
    assert_eq!((outline.shown.len(), outline.more), (STEPS, 20));
    let drawn = laid_out(&outline);
    let words = drawn.notes.iter().map(|note| note.words.text.as_str());
    assert!(words.into_iter().any(|words| words == "and 20 more steps"));

    // Long lists inside cannot take the place of steps that follow.
    let long: Vec<_> = (0..20)
        .map(|n| json!({ format!("d{n}"): { "do": many(40) } }))
        .collect();
    let outline = steps(&json!(long));
    assert_eq!(outline.shown.len(), 20);
    assert_eq!(outline.paths().len(), STEPS);
    let inside = &outline.shown[0].lists[0];
    assert_eq!((inside.shown.len(), inside.more), (15, 25));
    let last = &outline.shown[19];
    assert_eq!((last.lists.len(), last.inside), (0, 40));

    let mut deep = many(3);
    for _ in 0..7 {
        deep = json!([{ "in": { "do": deep } }]);
    }
    let outline = steps(&deep);
    let (mut step, mut depth) = (&outline.shown[0], 1);
    while let Some(list) = step.lists.first() {
        (step, depth) = (&list.shown[0], depth + 1);
    }
    assert_eq!((depth, step.inside), (DEPTH, 6));

    let cases: Vec<_> = (0..20)
        .map(|n| json!({ format!("c{n}"): { "when": ".x", "then": "end" } }))
        .collect();
    let outline = steps(&json!([{ "choose": { "switch": cases } }]));
    let choose = &outline.shown[0];
    assert_eq!((choose.exits.len(), choose.more_exits), (12, 9));
    assert!(choose.continues);
}

/// Steps of all kinds, nested, with jumps and long names.
fn all() -> Value {
    let long = "a long name ".repeat(8);
    json!([
        { "fetch": { "if": ".go", "set": { "x": 1 }, "then": "choose" } },
        { "choose": { "switch": [
            { "more": { "when": ".more", "then": "fetch" } },
            { long.clone(): { "when": ".l", "then": "tell" } },
            { "done": { "then": "end" } }
        ] } },
        { "each": { "for": { "each": "pet", "in": ".pets" }, "do": [
            { long.clone(): { "do": [
                { "again": { "set": { "x": 1 }, "then": "rest" } },
                { "other": { "set": { "x": 1 }, "then": "exit" } },
                { "rest": { "wait": { "seconds": 1 }, "then": "again" } }
            ] } },
            { "stop": { "set": { "x": 1 }, "then": "end" } }
        ] } },
        { "both": { "fork": { "branches": [
            { "a": { "wait": { "seconds": 1 } } },
            { "b": { "do": [{ "c": { "wait": { "seconds": 1 } } }] } }
        ] } } },
        { "guard": { "try": many(2), "catch": { "do": many(1), "then": "tell" } } },
        { "tell": { "emit": { "event": { "with": { "type": "x".repeat(90) } } } } }
    ])
}

#[test]
fn boxes_are_inside_the_drawing_and_none_covers_another() {
    let outline = steps(&all());
    let paths = outline.paths();
    let drawn = layout(&outline, &paths.iter().copied().step_by(2).collect());
    assert_eq!(drawn.boxes.len(), paths.len());
    for (index, one) in drawn.boxes.iter().enumerate() {
        assert!(
            one.x >= 0 && one.x + one.width <= WIDTH && one.width > 200,
            "{one:?}"
        );
        assert!(one.y + one.height < drawn.height);
        let below = drawn.boxes.get(index + 1);
        assert!(
            below.is_none_or(|next| one.y + one.height < next.y),
            "{one:?}"
        );
    }
    for frame in &drawn.frames {
        let inside = drawn.boxes.iter();
        let inside = inside.filter(|one| one.y > frame.y && one.y < frame.y + frame.height);
        for one in inside {
            assert!(one.x > frame.x && one.x + one.width < frame.x + frame.width);
            assert!(one.y + one.height < frame.y + frame.height);
        }
    }
    for note in &drawn.notes {
        assert!(note.y < drawn.height);
        let crossing = drawn.boxes.iter();
        let crossing = crossing.filter(|one| note.y - 8 < one.y + one.height && note.y > one.y);
        assert_eq!(crossing.count(), 0, "{note:?}");
    }
    let cut: Vec<_> = drawn
        .boxes
        .iter()
        .filter(|one| one.name.whole.is_some())
        .collect();
    assert!(cut.len() == 1 && cut[0].name.text.ends_with('…'), "{cut:?}");
    assert!(drawn.boxes.last().unwrap().work.whole.is_some());
}

#[test]
fn lines_that_run_past_each_other_stand_side_by_side() {
    // Each step leads to the step that is as far from the other end.
    let step = |n: usize| json!({ format!("s{n}"): { "set": { "x": n }, "then": format!("s{}", 11 - n) } });
    let crossing: Value = (0..12).map(step).collect();
    let drawn = laid_out(&steps(&crossing));
    let lanes: BTreeSet<&str> = drawn
        .lines
        .iter()
        .filter_map(|line| Some(line.split_once('H')?.1.split_once('V')?.0))
        .collect();
    // There is no room for all: the words are enough. The last place is for the end.
    assert_eq!(lanes, BTreeSet::from(["310", "319", "328", "337"]));
}

#[test]
fn a_run_is_shown_at_the_innermost_step_that_is_drawn() {
    let places = [
        "/do/0/a",
        "/do/0/a/fork/branches/0/b",
        "/do/0/a/fork/branches/1/c",
        "/do/0/ab",
    ];
    let found: Vec<_> = deepest(&places).collect();
    assert_eq!(found, &places[1..]);
    let drawn = ["/do/0/a", "/do/0/a/do/1/b", "/do/1/c"];
    for (path, shown) in [
        ("/do/0/a", Some("/do/0/a")),
        ("/do/0/a/do/1/b", Some("/do/0/a/do/1/b")),
        ("/do/0/a/do/1/b/do/0/x", Some("/do/0/a/do/1/b")),
        ("/do/0/a/do/2/hidden", Some("/do/0/a")),
        ("/do/10/c", None),
        ("/do/0/abc", None),
    ] {
        assert_eq!(ancestor(&drawn, path), shown, "{path}");
    }
}

#[test]
fn hostile_names_are_text() {
    let name = "<script>alert(1)</script>\" onload=x '&\u{1b}[31m\u{202e}";
    let outline = steps(&json!([
        { name: { "if": ".x == \"<b>\"", "set": { "x": 1 } } },
        { "choose": { "switch": [{ name: { "when": ".y == \"<i>\"", "then": name } }] } },
        { "tell": { "emit": { "event": { "with": { "type": name } } } } }
    ]));
    let mark = Mark {
        words: "1 run here".to_owned(),
        link: Some("https://temporal.example/x?a=\"<b>".to_owned()),
    };
    let marks: Marks<'_> = [(outline.shown[0].path.as_str(), mark)].into();
    let high = marks.keys().copied().collect();
    let drawn = drawing(&layout(&outline, &high), &marks).into_string();
    for html in [drawn, list(&outline, true, &marks).into_string()] {
        for markup in ["<script", "<b>", "<i>", "\" onload", "style="] {
            assert!(!html.contains(markup), "{markup}: {html}");
        }
        assert!(html.contains("&lt;script"), "{html}");
        assert!(html.contains("1 run here"), "{html}");
    }
}
