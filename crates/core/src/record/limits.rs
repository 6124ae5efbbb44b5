//! Limits of the texts and lists that outlive a request.
//!
//! Temporal refuses a payload over 2 MiB. A workflow that cannot give an activity its input, or
//! cannot continue as new, is stuck. So each text is limited where it is accepted, by the bytes
//! that it takes in JSON: a control character takes six. The workflows, the HTTP API and the
//! command line share these limits.

use std::collections::BTreeMap;

use almanac_base::names::{DefinitionId, Revision};
use almanac_base::size::json_size;

use super::{
    ACTION_MEMO_LIMIT, Corrections, LIST_LIMIT, OVERRIDE_LIMIT, Override, Report, bound_corrections,
};
use crate::field::Field;

/// Maximum number of bytes of a name: a worker, a revision, a digest, a request, an operator.
pub const NAME_LIMIT: usize = 200;
/// Maximum number of bytes of a reason, and of any other text for people.
pub const REASON_LIMIT: usize = 500;
/// Maximum number of bytes of a label selector.
pub const SELECTOR_LIMIT: usize = 2000;
/// Maximum number of bytes of the input of a signal, an update or a query.
pub const INPUT_LIMIT: usize = 64 * 1024;
/// Maximum number of bytes of JSON of a report.
pub const REPORT_LIMIT: usize = 256 * 1024;
/// Maximum number of bytes of JSON of the overrides that the workflow remembers and gives to
/// passes.
pub const OVERRIDES_LIMIT: usize = 320 * 1024;
/// Maximum number of bytes of JSON of the corrections that the workflow remembers and gives to
/// passes.
pub const CORRECTIONS_LIMIT: usize = 192 * 1024;

/// Number of bytes that a text takes in JSON, without its quotes.
pub fn text_size(text: &str) -> usize {
    text.bytes().map(byte_size).sum()
}

/// Number of bytes that a byte of a text takes in JSON.
const fn byte_size(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

almanac_base::message_error! {
    /// The reason for which a request of an operator or a client is refused.
    pub RequestProblem
}

/// Refuses a text that takes more bytes than `limit`. The error names the field.
pub fn check_text(field: &str, text: &str, limit: usize) -> Result<(), RequestProblem> {
    let size = text_size(text);
    if size > limit {
        return Err(format!("{field} has {size} bytes, over the limit of {limit}").into());
    }
    Ok(())
}

/// Refuses a request id, a reason or an operator's name that is too long.
pub fn check_words(request_id: &str, reason: &str, by: &str) -> Result<(), RequestProblem> {
    check_text("request_id", request_id, NAME_LIMIT)?;
    check_text("reason", reason, REASON_LIMIT)?;
    check_text("by", by, NAME_LIMIT)
}

/// Cuts a text to `limit` bytes, at the border of a character. The last character shows that
/// the text was cut.
pub fn cut_text(text: &mut String, limit: usize) {
    const CUT: char = '…';
    if text_size(text) <= limit {
        return;
    }
    let room = limit.saturating_sub(CUT.len_utf8());
    let mut size = 0;
    let end = text
        .char_indices()
        .find(|(at, c)| {
            size += text_size(&text[*at..at + c.len_utf8()]);
            size > room
        })
        .map_or(text.len(), |(at, _)| at);
    text.truncate(end);
    text.push(CUT);
}

/// Returns `true` if a name from outside may be part of the name of a task queue and of the
/// state.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_LIMIT).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_graphic() && byte_size(b) == 1)
}

/// Cuts a report's texts and lists; `truncated` counts the entries that are left out.
pub fn bound_report(report: &mut Report) {
    if !is_name(report.revision.as_str()) {
        report.revision = Revision::default();
    }
    let mut cut = shorten(&mut report.changes, LIST_LIMIT);
    cut += shorten(&mut report.errors, LIST_LIMIT);
    if let Some(held) = &mut report.held {
        held.count = held.count.max(held.ids.len() as u64);
        cut += shorten(&mut held.ids, LIST_LIMIT);
        cut_text(&mut held.reason, REASON_LIMIT);
        cut_text(&mut held.digest, NAME_LIMIT);
        for id in &mut held.ids {
            cut_text(id, REASON_LIMIT);
        }
    }
    let without_definition = report.without_definition.as_mut().map(|listed| {
        listed.count = listed.count.max(listed.ids.len() as u64);
        &mut listed.ids
    });
    let ids = [
        report.conflicts.as_mut(),
        report.unreadable.as_mut(),
        without_definition,
    ];
    for ids in ids.into_iter().flatten() {
        cut += shorten(ids, LIST_LIMIT);
        for id in ids {
            cut_text(id, NAME_LIMIT);
        }
    }
    for change in &mut report.changes {
        cut_text(&mut change.id, REASON_LIMIT);
        cut_text(&mut change.reason, REASON_LIMIT);
        change.fields.truncate(Field::ALL.len());
    }
    for error in &mut report.errors {
        cut_text(&mut error.source, REASON_LIMIT);
        cut_text(&mut error.message, REASON_LIMIT);
        if let Some(id) = &mut error.id {
            cut_text(id, REASON_LIMIT);
        }
    }
    while json_size(report) > REPORT_LIMIT
        && !(report.changes.is_empty() && report.errors.is_empty())
    {
        let (changes, errors) = (report.changes.len(), report.errors.len());
        if errors >= changes {
            cut += shorten(&mut report.errors, errors / 2);
        } else {
            cut += shorten(&mut report.changes, changes / 2);
        }
    }
    report.truncated = report.truncated.saturating_add(cut);
}

fn shorten<T>(list: &mut Vec<T>, limit: usize) -> u64 {
    let cut = list.len().saturating_sub(limit);
    list.truncate(limit);
    cut as u64
}

/// Returns `true` if an override fits into a schedule's memo.
pub fn is_bounded(one: &Override) -> bool {
    json_size(one) <= ACTION_MEMO_LIMIT
}

/// Keeps as many overrides as the workflow can remember, the first ones by their ids. Returns
/// the number of overrides that only their schedules' memos hold.
pub fn bound_overrides(overrides: &mut BTreeMap<DefinitionId, Override>) -> u64 {
    let before = overrides.len();
    overrides.retain(|_, one| is_bounded(one));
    keep_first(overrides, OVERRIDES_LIMIT);
    (before - overrides.len()) as u64
}

/// Keeps the first entries of a map, as many as fit.
pub fn keep_first<V: serde::Serialize>(map: &mut BTreeMap<DefinitionId, V>, limit: usize) {
    let mut size = 0;
    let past = map.iter().find(|(id, value)| {
        size += entry_size(id, value);
        size > limit
    });
    if let Some(first) = past.map(|(id, _)| id.clone()) {
        drop(map.split_off(&first));
    }
}

/// Maximum number of bytes of JSON that an entry adds to a map.
pub fn entry_size<V: serde::Serialize>(id: &DefinitionId, value: &V) -> usize {
    id.as_str().len() + 4 + json_size(value)
}

/// Limits the overrides and corrections that a pass reports, so that they fit into its result.
pub fn bound_news(
    overrides: &mut BTreeMap<DefinitionId, Option<Override>>,
    corrections: &mut Corrections,
) {
    overrides.retain(|_, one| one.as_ref().is_none_or(is_bounded));
    keep_first(overrides, OVERRIDES_LIMIT);
    bound_corrections(corrections);
}

const _: () = assert!(OVERRIDE_LIMIT < ACTION_MEMO_LIMIT);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{Change, Op, ReportError};

    proptest! {
        #[test]
        fn the_size_of_a_text_is_that_of_its_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(text_size(&text), json.len() - 2);
        }

        #[test]
        fn a_text_that_was_cut_fits_and_stays(text in "[\\x00-\\x20\"é🦀x]{0,60}", limit in 3..80_usize) {
            let mut once = text.clone();
            cut_text(&mut once, limit);
            prop_assert!(text_size(&once) <= limit, "{once:?}");
            prop_assert_eq!(once == text, text_size(&text) <= limit);
            let mut twice = once.clone();
            cut_text(&mut twice, limit);
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn a_text_is_refused_by_its_field_its_size_and_the_limit() {
        assert_eq!(check_text("reason", &"x".repeat(500), REASON_LIMIT), Ok(()));
        let refused = check_text("reason", &"\u{1}".repeat(84), REASON_LIMIT);
        assert_eq!(
            refused,
            Err("reason has 504 bytes, over the limit of 500".into())
        );
    }

    #[test]
    fn the_largest_report_fits_and_counts_what_it_leaves_out() {
        let long = "\u{1}".repeat(2_000_000);
        let mut report = Report {
            changes: vec![
                Change {
                    id: long.clone(),
                    op: Op::Update,
                    fields: vec![Field::Times; 3000],
                    reason: "\"".repeat(500),
                };
                30
            ],
            errors: vec![
                ReportError {
                    source: "\"".repeat(400),
                    id: Some("x".repeat(500)),
                    message: "x".repeat(1000),
                };
                300
            ],
            ..Report::default()
        };
        bound_report(&mut report);
        assert!(json_size(&report) <= REPORT_LIMIT);
        let kept = (report.changes.len() + report.errors.len()) as u64;
        assert_eq!(report.truncated, 330 - kept);
        assert!(kept > 50, "{kept}");
    }
}
