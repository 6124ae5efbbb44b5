//! Properties of the parser that hold for any bytes, and for any valid document.

use almanac_steps::language;
use proptest::prelude::*;

use super::good::{FULL, OWS};
use super::good_steps::EVERY_STEP;
use super::{context, definition, parse};
use crate::definition::{Definition, Parsed, Program, parse_file, yaml};

/// Checks each property that the result of parsing has for any file.
fn check(bytes: &[u8]) {
    for document in parse_file("a/b.yaml", bytes, &context()) {
        assert!(document.line >= 1);
        let errors = match &document.result {
            Ok(content) => {
                let id = match content {
                    Parsed::Definition(definition) => &definition.id,
                    Parsed::Calendar(calendar) => &calendar.id,
                    Parsed::EventType(event_type) => &event_type.id,
                };
                assert_eq!(document.id.as_ref(), Some(id));
                if let Parsed::Definition(definition) = content {
                    check_steps(definition);
                }
                &[][..]
            }
            Err(errors) => {
                assert!(!errors.is_empty(), "a failed document must say why");
                errors
            }
        };
        for diagnostic in errors.iter().chain(&document.warnings) {
            assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
            let text = diagnostic.render();
            assert!(text.len() < 4000, "{} bytes: {text}", text.len());
            assert!(
                !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'),
                "{text:?}"
            );
        }
    }
}

/// Checks that a run can read the steps of a definition, also after serialization.
fn check_steps(definition: &Definition) {
    let Program::Steps(steps) = &definition.program else {
        return;
    };
    language::parse(&steps.value()).expect("read by a run");
    let there = serde_json::to_string(steps).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&there).unwrap(),
        steps.value()
    );
}

/// Text made of the pieces that YAML and definitions are made of.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "kind: calendar\n",
        "dates: ",
        "2026-12-24/2026-12-26",
        "12-24",
        "\n",
        "\n",
        "\n  ",
        "\n    ",
        " ",
        ": ",
        "- ",
        "\n- ",
        "---",
        "\n---\n",
        "\n...\n",
        "%YAML 1.2\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "? ",
        "| ",
        ">-\n",
        "#",
        " # c",
        "\"",
        "'",
        "\\",
        "\t",
        "&a ",
        "*a",
        "!t ",
        "<<",
        "id",
        "id: a",
        "do",
        "set",
        "wait",
        "schedule",
        "cron",
        "every",
        "calendars",
        "exclude",
        "hour",
        "timezone",
        "workflow",
        "document",
        "name",
        "type",
        "task_queue",
        "args",
        "input",
        "retry",
        "kind",
        "x",
        "1h",
        "PT1S",
        "0 2 * * *",
        "@daily",
        "TZ=Europe/Berlin ",
        "2026-01-01T00:00:00Z",
        "1",
        "-0x1",
        "0o7",
        "1e999",
        ".nan",
        "~",
        "true",
        "on",
        "ä",
        "🦀",
        "\u{feff}",
        "\0",
        "\r",
        "\r\n",
        "${ .a }",
        "MON-FRI",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A valid document with a few bytes changed, taken out or doubled.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), any::<u8>(), 0..4);
    let whole = prop::sample::select(vec![FULL, EVERY_STEP, OWS]);
    (whole, prop::collection::vec(edit, 1..6)).prop_map(|(whole, edits)| {
        let mut bytes = whole.as_bytes().to_vec();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    })
}

/// A key of a block with its default, and the place it is written at.
fn defaults() -> Vec<(&'static str, &'static str)> {
    vec![
        ("", "kind: workflow"),
        ("", "enabled: true"),
        ("", "labels: {}"),
        ("schedule", "enabled: true"),
        ("schedule", "exclude: []"),
        ("schedule", "timezone: UTC"),
        ("schedule", "jitter: 0s"),
        ("schedule", "overlap_policy: skip"),
        ("schedule", "catchup_window: PT60M"),
        ("schedule", "pause_on_failure: false"),
        ("schedule", "input:"),
        ("workflow", "memo: {}"),
        ("workflow", "search_attributes: {}"),
        ("retry", "initial_interval: 1000ms"),
        ("retry", "backoff_coefficient: 2"),
        ("retry", "maximum_interval: 100s"),
        ("retry", "maximum_attempts: 0"),
        ("retry", "non_retryable_error_types: []"),
    ]
}

/// A document with these of the defaults written out.
fn with_defaults(chosen: &[(&str, &str)]) -> String {
    let block = |name: &str, indent: &str| -> String {
        let lines = chosen.iter().filter(|(block, _)| *block == name);
        lines
            .map(|(_, line)| [indent, line, "\n"].concat())
            .collect()
    };
    format!(
        "{}schedule:\n  cron: 0 12 * * *\n{}workflow:\n  type: T\n  task_queue: q\n{}  retry:\n    {{ {} }}\n",
        block("", ""),
        block("schedule", "  "),
        block("workflow", "  "),
        block("retry", "").lines().collect::<Vec<_>>().join(", "),
    )
}

proptest! {
    #[test]
    fn any_bytes_are_parsed(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn any_text_is_parsed(text in pieces()) {
        check(text.as_bytes());
    }

    #[test]
    fn any_damage_is_survived(bytes in mutated()) {
        check(&bytes);
    }

    #[test]
    fn a_broken_document_takes_no_other_with_it(text in pieces()) {
        // What stands between two separators is that document's alone.
        let text = text.replace("\n---", "\n ---").replace("\n...", "\n ...");
        let file = format!("id: first\ndo: [a: {{ wait: PT1S }}]\n---\nx: {text}\n---\nid: last\ndo: [a: {{ wait: PT1S }}]\n");
        let documents = parse(&file);
        prop_assert!(documents.first().unwrap().result.is_ok());
        prop_assert!(documents.last().unwrap().result.is_ok());
    }

    #[test]
    fn writing_a_default_changes_nothing(chosen in prop::sample::subsequence(defaults(), 0..18)) {
        let (bare, explicit) = (definition(&with_defaults(&[])), definition(&with_defaults(&chosen)));
        prop_assert_eq!(bare, explicit);
    }

    #[test]
    fn comments_and_spelling_change_no_revision(
        blank in "[ ]{0,3}",
        quote in prop::sample::select(vec!["", "'", "\""]),
        cron in prop::sample::select(vec!["30 4 * * MON-FRI", "30 04 * * 1-5", "30 4 * * mon,tue,wed,thu,fri"]),
    ) {
        let text = FULL
            .replace("cron: \"30 4 * * MON-FRI\"", &format!("cron:  {quote}{cron}{quote} # weekdays"))
            .replace("jitter: 2m", &format!("jitter: {blank}PT120S"))
            .replace("nightly-invoices", "renamed");
        prop_assert_eq!(definition(&text).revision, definition(FULL).revision);
    }

    #[test]
    fn plain_json_is_yaml(value in json(), indent in any::<bool>()) {
        let text = if indent { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        // YAML's limit of an implicit key.
        prop_assume!(text.lines().all(|line| line.len() < 1000));
        let file = format!("{{\"id\": \"a\", \"do\": [{{\"a\": {{\"set\": {{\"x\": {text}}}}}}}]}}");
        let documents = parse(&file);
        match (documents[0].definition(), &documents[0].result) {
            (Some(definition), _) => {
                let Program::Steps(steps) = &definition.program else { unreachable!() };
                prop_assert_eq!(&steps.value()[0]["a"]["set"]["x"], &value);
            }
            (None, other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn scalars_resolve_as_yaml_1_2_says(number in any::<i64>(), float in any::<f64>()) {
        let mut errors = Vec::new();
        let text = format!("[{number}, {float:e}, {number}x, \"{number}\"]");
        let node = yaml::parse(&text, 1, &mut errors).unwrap();
        let yaml::Value::List(items) = &node.value else { unreachable!() };
        prop_assert!(matches!(items[0].value, yaml::Value::Int(n) if n == i128::from(number)));
        let same = |parsed: f64| parsed.to_bits() == float.to_bits();
        match items[1].value {
            yaml::Value::Float(parsed) => prop_assert!(same(parsed)),
            // `NaN` and `inf` are text to YAML.
            _ => prop_assert!(!float.is_finite()),
        }
        prop_assert!(matches!(items[2].value, yaml::Value::Text));
        prop_assert!(matches!(items[3].value, yaml::Value::Text));
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let text = prop::sample::select(vec![
        "", "a", "on", "true", "1", "null", "*a", "a: b", "# c", "ä\n\"\\", "- x", "~",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        (-1e9..1e9_f64).prop_map(serde_json::Value::from),
        text.clone().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let map =
            prop::collection::btree_map(text.clone().prop_map(str::to_owned), inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(serde_json::Value::from),
            map.prop_map(|map| serde_json::Value::from(serde_json::Map::from_iter(map))),
        ]
    })
}
