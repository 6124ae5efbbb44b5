//! Target `definition_yaml`: a file of definitions.

use almanac_base::names::Project;
use almanac_core::definition::{
    Definition, Diagnostic, ParseContext, Parsed, ParsedDocument, Program, parse_file,
};
use almanac_core::field::Field;
use almanac_core::schedule::Desired;
use almanac_core::write::{Written, write_document};
use almanac_steps::language;
use jiff::Timestamp;
use serde_json::Value;

/// Maximum number of bytes of a finding as text.
const LONGEST_FINDING: usize = 4000;

/// Checks that a file is parsed or refused at places in its text, that a run can read the steps
/// of each definition, and that each definition reads back as the same after it was written.
pub fn definition_yaml(bytes: &[u8]) {
    let lines = 1 + bytes
        .iter()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .count();
    for document in parse("fuzz/input.yaml", bytes) {
        assert!(
            (1..=lines).contains(&document.line),
            "line {}",
            document.line
        );
        let errors = match &document.result {
            Ok(Parsed::Definition(definition)) => {
                assert_eq!(document.id.as_ref(), Some(&definition.id));
                check_definition(definition, !document.calendars.is_empty());
                &[][..]
            }
            Ok(Parsed::Calendar(calendar)) => {
                assert_eq!(document.id.as_ref(), Some(&calendar.id));
                &[][..]
            }
            Ok(Parsed::EventType(event_type)) => {
                assert_eq!(document.id.as_ref(), Some(&event_type.id));
                &[][..]
            }
            Err(errors) => {
                assert!(!errors.is_empty(), "a document that fails has an error");
                errors
            }
        };
        for finding in errors.iter().chain(&document.warnings) {
            check_finding(finding, bytes, lines);
        }
    }
}

fn parse(path: &str, bytes: &[u8]) -> Vec<ParsedDocument> {
    let now = Timestamp::UNIX_EPOCH;
    parse_file(path, bytes, &ParseContext { now })
}

fn check_finding(finding: &Diagnostic, bytes: &[u8], lines: usize) {
    assert!((1..=lines).contains(&finding.line), "{finding:?}");
    // A mistake may be the end of the line, one character after the last.
    assert!(
        (1..=bytes.len() + 2).contains(&finding.column),
        "{finding:?}"
    );
    let text = finding.render();
    assert!(text.len() < LONGEST_FINDING, "{} bytes: {text}", text.len());
    let controls = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!text.contains(controls), "{text:?}");
}

fn check_definition(definition: &Definition, names_calendars: bool) {
    if let Program::Steps(steps) = &definition.program {
        language::parse(&steps.value()).expect("a run reads the steps");
        let json = serde_json::to_string(steps).expect("JSON");
        let again: Value = serde_json::from_str(&json).expect("read");
        assert_eq!(again, steps.value(), "the steps are not the same as JSON");
    }
    if let Some(schedule) = &definition.schedule {
        schedule.spec.check().expect("a valid spec");
    }
    // A document of a schedule has no key for the days of calendars that it names.
    if !names_calendars {
        check_written(definition);
    }
}

/// Checks that the schedule of the definition reads back as the same after it was written.
fn check_written(definition: &Definition) {
    let project: Project = "fuzz".parse().expect("a name");
    let Some(desired) = Desired::of(&project, definition, "fuzz/input.yaml") else {
        return;
    };
    // The writer writes task lists only. A schedule without times has no block to write.
    let is_list = desired
        .values
        .definition
        .as_ref()
        .is_none_or(|steps| steps.value().is_array());
    let spec = &desired.values.spec;
    let is_timed = !spec.intervals.is_empty() || spec.calendars.iter().any(|one| !one.is_never());
    if !is_list || !is_timed {
        return;
    }
    let text = write_document(&Written {
        id: &definition.id,
        adopts: desired.adopts.first(),
        values: &desired.values,
        comments: &[],
    });
    let documents = parse("fuzz/written.yaml", text.as_bytes());
    let [document] = &documents[..] else {
        panic!("{} documents:\n{text}", documents.len());
    };
    let Some(read) = document.definition() else {
        panic!("{:?}\n{text}", document.result);
    };
    let read = Desired::of(&project, read, "fuzz/written.yaml").expect("a schedule");
    assert_eq!(read.adopts, desired.adopts);
    for field in Field::ALL {
        let never = |spec: &Value| spec.as_array().map_or(0, Vec::len);
        let (before, after) = (desired.values.value(field), read.values.value(field));
        // The writer leaves out calendars that match no time.
        if field == Field::Times && spec.calendars.iter().any(almanac_times::Calendar::is_never) {
            assert!(never(&after) < never(&before), "{text}");
            continue;
        }
        assert_eq!(after, before, "{field}\n{text}");
    }
}
