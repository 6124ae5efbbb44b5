//! Documents that are too large, too deep, or made to break a parser. Each is refused at its line,
//! soon, and without an effect on other documents.

use std::fmt::Write as _;

use super::{context, parse, rendered};
use crate::definition::{ParsedDocument, parse_file};

const GOOD: &str = "do: [a: { wait: PT1S }]\n";

#[track_caller]
fn errors(document: &ParsedDocument) -> String {
    let lines = document.result.as_ref().unwrap_err().iter();
    lines
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn deep_nesting_is_refused_at_its_line() {
    for (open, at) in [("[", "2:68"), ("{ a: ", "2:324"), ("- ", "2:131")] {
        let file = format!(
            "id: deep\nx: {}\n---\nid: next\n{GOOD}",
            open.repeat(40_000)
        );
        let file = if open == "- " {
            file.replace("x: -", "x:\n-")
        } else {
            file
        };
        let documents = parse(&file);
        let at = if open == "- " { "3:127" } else { at };
        assert_eq!(
            errors(&documents[0]),
            format!("jobs/nightly.yaml:{at}: nested deeper than 64 levels")
        );
        assert_eq!(documents[0].id.as_ref().unwrap().as_str(), "deep");
        assert!(documents[1].result.is_ok());
    }
    let deep = "[".repeat(100_000);
    assert_eq!(
        errors(&parse(&format!("id: a\nx: {deep}"))[0]),
        "jobs/nightly.yaml:2:68: nested deeper than 64 levels"
    );
    let mut blocks = String::new();
    for depth in 0..100 {
        writeln!(blocks, "{}k:", " ".repeat(depth)).unwrap();
    }
    assert!(errors(&parse(&blocks)[0]).contains("nested deeper than 64 levels"));
}

#[test]
fn sixty_levels_are_accepted() {
    let file = format!(
        "id: a\ndo: [a: {{ set: {{ x: {}{} }} }}]\n",
        "[".repeat(50),
        "]".repeat(50)
    );
    let documents = parse(&file);
    assert!(documents[0].result.is_ok(), "{}", errors(&documents[0]));
}

#[test]
fn an_alias_bomb_does_not_go_off() {
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        writeln!(
            bomb,
            "a{level}: &a{level} [{}]",
            [alias.as_str(); 9].join(", ")
        )
        .unwrap();
    }
    let documents = parse(&format!("{bomb}---\nid: next\n{GOOD}"));
    let errors = errors(&documents[0]);
    assert!(
        errors.contains("jobs/nightly.yaml:1:5: anchors (`&name`) are not supported"),
        "{errors}"
    );
    assert!(
        errors.contains("jobs/nightly.yaml:2:10: aliases (`*name`) are not supported"),
        "{errors}"
    );
    assert!(documents[1].result.is_ok());
}

#[test]
fn files_and_documents_have_a_size() {
    let large = vec![b'#'; 1024 * 1024 + 1];
    let documents = parse_file("large.yaml", &large, &context());
    assert_eq!(
        errors(&documents[0]),
        "large.yaml:1:1: the file has 1048577 bytes, over the limit of 1048576"
    );
    assert_eq!(documents[0].id, None);

    let documents = parse(&"--- a\n".repeat(50_001));
    assert_eq!(
        errors(&documents[0]),
        "jobs/nightly.yaml:1:1: the file has 50001 documents, over the limit of 50000"
    );

    let text = "x".repeat(256 * 1024);
    let documents = parse(&format!(
        "id: large\ndescription: {text}\n{GOOD}---\nid: next\n{GOOD}"
    ));
    assert_eq!(
        errors(&documents[0]),
        "jobs/nightly.yaml:1:1: the document has 262192 bytes, over the limit of 262144"
    );
    assert_eq!(documents[0].id.as_ref().unwrap().as_str(), "large");
    assert!(documents[1].result.is_ok());
}

#[test]
fn bytes_that_are_not_text_are_refused_at_their_place() {
    let mut file = format!(
        "id: bytes\ndescription: \"ä{}\"\n{GOOD}---\nid: next\n{GOOD}",
        '\u{1}'
    )
    .into_bytes();
    let documents = parse_file("a.yaml", &file, &context());
    assert_eq!(
        errors(&documents[0]),
        "a.yaml:2:16: the control character U+0001 is not allowed in YAML"
    );
    let at = file.iter().position(|b| *b == 1).unwrap();
    file[at] = 0xc3;
    let documents = parse_file("a.yaml", &file, &context());
    assert_eq!(
        errors(&documents[0]),
        "a.yaml:2:16: byte 0xc3 is not valid UTF-8"
    );
    assert_eq!(documents[0].id.as_ref().unwrap().as_str(), "bytes");
    assert!(documents[1].result.is_ok());

    let utf16: Vec<u8> = "\u{feff}id: a"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        errors(&parse_file("a.yaml", &utf16, &context())[0]),
        "a.yaml:1:1: byte 0xff is not valid UTF-8"
    );
    let bom = format!("\u{feff}id: a\n{GOOD}");
    assert!(parse(&bom)[0].result.is_ok());
}

#[test]
fn an_empty_file_is_an_error_and_a_comment_is_not_a_document() {
    for empty in ["", "\n \n", "---\n", "\u{feff}"] {
        let documents = parse(empty);
        assert_eq!(
            errors(&documents[0]),
            "jobs/nightly.yaml:1:1: the file is empty",
            "{empty:?}"
        );
        assert_eq!(documents[0].id, None);
    }
    for comment in ["# later", "---\n# id: a\n---\n"] {
        assert_eq!(parse(comment), [], "{comment:?}");
    }
}

#[test]
fn many_mistakes_are_counted_and_long_lines_cut() {
    let keys: Vec<String> = (0..5000).map(|n| format!("k{n}: 1")).collect();
    let documents = parse(&format!("{{ {} }}", keys.join(", ")));
    let errors = documents[0].result.as_ref().unwrap_err();
    assert_eq!(errors.len(), 200);
    assert_eq!(errors[199].message, "and 4802 more errors of this kind");
    let longest = errors.iter().map(|error| error.render().len()).max();
    assert!(longest < Some(1000), "{longest:?}");
    insta::assert_snapshot!(rendered(&errors[100..101]), @r"
    jobs/nightly.yaml:1:785: unknown key `k99` in the document
      1 | … 1, k92: 1, k93: 1, k94: 1, k95: 1, k96: 1, k97: 1, k98: 1, k99: 1, k100: 1, k101: 1, k102: 1, k103: 1, k104: 1, k105: 1, k106: 1, k107: 1, k108: 1, k109: 1, k1…
        |                                                              ^
      hint: the keys are kind, id, description, enabled, labels, schedule, workflow, do, use, input, output, timeout, metadata, triggers
    ");
}

#[test]
fn hostile_sizes_take_no_time() {
    // Each would take minutes if some step were quadratic in the document.
    let hostile = [
        (0..30_000)
            .map(|n| format!("k{n}: 1\n"))
            .collect::<Vec<_>>()
            .concat(),
        "k: 1\n".repeat(20_000),
        format!("labels: {{ {} }}\n", "a, ".repeat(30_000)),
        format!("id: {}\n", "a".repeat(250_000)),
        format!("{}: 1\n", "a".repeat(250_000)),
        format!("schedule: {{ timezone: {} }}\n", "Europe".repeat(40_000)),
        format!(
            "schedule: {{ cron: [{}] }}\n",
            "TZ=Europe/Berlinn 0 0 * * *, ".repeat(8000)
        ),
        format!("schedule: {{ cron: \"{}\" }}\n", "1,".repeat(100_000)),
        format!("do: [{}]\n", "a: {wait: x}, ".repeat(8000)),
        format!("x: {}\n", "? ".repeat(100_000)),
        format!("x: '{}\n", "\n\n".repeat(100_000)),
        "--- a\n".repeat(20_000),
        format!("x: |\n{}", "  a\n".repeat(60_000)),
        "\u{85}".repeat(100_000),
        "#\n".repeat(120_000) + "id: a",
    ];
    for text in hostile {
        let start = now();
        let documents = parse(&text);
        assert!(documents.iter().all(|document| document.result.is_err()));
        let took = now() - start;
        assert!(took.as_secs() < 20, "{took:?} for {:?}…", text.get(..60));
    }
}

const JOB: &str = "workflow: { type: T, task_queue: q }\n";

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(", ")
}

/// Every hour is excluded; which of the other exclusions match differs from
/// day to day.
fn laborious() -> String {
    let some = list(999, |n| {
        let (day, weekday, second) = (n % 28 + 1, n / 28 % 7, n % 60);
        format!("{{ day_of_month: {day}-31, day_of_week: {weekday}, second: {second} }}")
    });
    format!("schedule: {{ cron: '0 * * * *', exclude: [{{ second: '*' }}, {some}] }}\n{JOB}")
}

#[test]
fn a_schedule_that_takes_too_long_to_check_is_invalid_alone() {
    let file = format!("id: slow\n{}---\nid: next\n{GOOD}", laborious());
    let documents = parse(&file);
    let error = errors(&documents[0]);
    assert!(
        error.contains(
            "takes too long to check: 1 calendars, 0 intervals and 1000 exclusions leave no time"
        ),
        "{error}"
    );
    assert!(documents[1].result.is_ok());
    // Neither the day nor the zone decides.
    let later = crate::definition::ParseContext {
        now: "2099-03-29T00:00:00Z".parse().unwrap(),
    };
    let zoned = laborious().replace("cron:", "timezone: Europe/London, cron:");
    for text in [laborious(), zoned] {
        let documents = parse_file("a.yaml", text.as_bytes(), &later);
        assert!(errors(&documents[0]).contains("takes too long to check"));
    }
}

#[test]
fn costly_schedules_take_no_time() {
    let hostile = [
        // Sixty crons, a second of the minute each, and each excluded.
        format!(
            "timezone: Europe/London, cron: [{}], exclude: [{}]",
            list(60, |n| format!("'{n} * * * * * *'")),
            list(60, |n| format!("{{ second: {n} }}")),
        ),
        format!(
            "cron: [{}], exclude: [{}]",
            list(1000, |n| format!("'{} {} * * * * *'", n % 60, n / 60 * 3)),
            list(1000, |n| format!(
                "{{ second: {}, minute: {} }}",
                n % 60,
                n / 60 * 3
            )),
        ),
        // Days that never come, beside a second that always does and is excluded.
        format!(
            "cron: ['* * * * * * *', {}], exclude: [{{ second: '*' }}]",
            list(999, |n| format!("'{} {} 30 2 *'", n % 60, n / 60)),
        ),
        format!(
            "timezone: Africa/Casablanca, every: [{}], exclude: [{{ second: '*' }}]",
            list(1000, |n| format!("{}s", n + 1)),
        ),
        format!(
            "timezone: America/New_York, cron: [{}]",
            list(1000, |n| format!("'{} 0-22 * * *'", n % 60)),
        ),
    ];
    for schedule in hostile {
        let start = now();
        let documents = parse(&format!("schedule: {{ {schedule} }}\n{JOB}"));
        let took = now() - start;
        assert_eq!(documents.len(), 1);
        // Unoptimised, on a busy machine.
        assert!(
            took.as_secs() < 20,
            "{took:?} for {:?}…",
            schedule.get(..60)
        );
    }
}

#[test]
fn findings_in_a_long_line_take_no_time() {
    let hostile = [
        format!(
            "schedule: {{ calendars: [{}] }}\n",
            list(900, |n| {
                format!(
                    "{{ hour: \"ä{n}\", minute: x, second: q, month: z, year: 1, day_of_week: zz, day_of_month: {} }}",
                    "9".repeat(150)
                )
            })
        ),
        format!(
            "schedule: {{ cron: [{}] }}\nx: 1\n",
            list(1000, |n| format!(
                "'0 {} * * 5#{}'",
                n % 24,
                "x".repeat(190)
            ))
        ),
        format!(
            "schedule: {{ {} }}\n",
            list(15_000, |n| format!("kalendar{n}: 1"))
        ),
        format!(
            "schedule: {{ cron: [{}] }}\n",
            list(250, |_| format!("'TZ=A{} 0 0 * * *'", "e".repeat(900)))
        ),
    ];
    for text in hostile {
        let start = now();
        let documents = parse(&text);
        assert!(documents[0].result.is_err());
        let took = now() - start;
        assert!(took.as_secs() < 20, "{took:?} for {:?}…", text.get(..60));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test may look at its watch")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
