//! Text of a plan for people, in the style of `terraform plan`.

use std::collections::BTreeSet;
use std::fmt;

use almanac_base::text;
use serde_json::Value;

use super::{Cause, Create, Plan, Update};
use crate::field::Field;
use crate::schedule::ScheduleValues;

impl Plan {
    /// The lines of the plan for people. Each line is escaped.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for one in &self.creates {
            create(one, &mut lines);
        }
        for one in &self.updates {
            update(one, &mut lines);
        }
        lines.extend(self.deletes.iter().map(|delete| match &delete.renamed_to {
            Some(new) => format!("- {}: delete (renamed to {new})", delete.definition),
            None => format!("- {}: delete (its definition is gone)", delete.definition),
        }));
        lines.extend(self.conflicts.iter().map(|schedule| {
            format!("! {schedule}: an unmanaged schedule has this id; not changed")
        }));
        for (id, fields) in &self.contested {
            let names: Vec<_> = fields.iter().map(|field| field.as_str()).collect();
            lines.push(format!(
                "! {id}: contested, retried hourly: {}",
                names.join(", ")
            ));
        }
        let problems = self.problems.iter();
        lines.extend(problems.map(|problem| format!("! {}", problem.message)));
        if let Some(held) = &self.held {
            lines.push(format!(
                "! {} removals are held: {}",
                held.count, held.reason
            ));
            lines.extend(held.ids.iter().map(|id| format!("    {id}")));
            if !held.digest.is_empty() {
                let digest = &held.digest;
                lines.push(format!("  confirm with: almanac sync --confirm {digest}"));
            }
        }
        lines.push(format!(
            "Plan: {} to create, {} to update, {} to delete, {} unchanged.",
            self.creates.len(),
            self.updates.len(),
            self.deletes.len(),
            self.unchanged
        ));
        let escaped = |line: String| text::line(&line).into_owned();
        lines.into_iter().map(escaped).collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines()
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn create(create: &Create, lines: &mut Vec<String>) {
    let renamed = create.renamed_from.as_ref();
    let renamed = renamed.map(|old| format!(" (renamed from {old})"));
    lines.push(format!(
        "+ {}: create{}",
        create.definition,
        renamed.unwrap_or_default()
    ));
    for field in Field::ALL {
        let value = create.values.value(field);
        if value != ScheduleValues::default_value(field) {
            lines.push(format!("    {field}: {}", short(&value)));
        }
    }
}

fn update(update: &Update, lines: &mut Vec<String>) {
    lines.push(format!("~ {}: {}", update.definition, update.reason));
    for change in &update.changes {
        let cause = match change.cause {
            Cause::Drift => "  (drift)",
            Cause::Override => "  (override)",
            Cause::Definition | Cause::Finished | Cause::Orphan | Cause::Adoption => "",
        };
        let field = change.field;
        let (before, after) = (short(&change.before), short(&change.after));
        if !before.ends_with(CUT) && !after.ends_with(CUT) {
            lines.push(format!("    {field}: {before} -> {after}{cause}"));
            continue;
        }
        let mut differences = Vec::new();
        compare(
            Some(&change.before),
            Some(&change.after),
            "",
            &mut differences,
        );
        lines.push(format!("    {field}:{cause}"));
        let shown = differences.iter().take(MOST);
        lines.extend(shown.map(|difference| format!("      {difference}")));
        if differences.len() > MOST {
            lines.push(format!("      and {} more", differences.len() - MOST));
        }
    }
}

/// Collects the differences of two values, each with its place as a JSON pointer.
fn compare(before: Option<&Value>, after: Option<&Value>, at: &str, into: &mut Vec<String>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                let at = format!("{at}/{escaped}");
                compare(before.get(name), after.get(name), &at, into);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                let at = format!("{at}/{index}");
                compare(before.get(index), after.get(index), &at, into);
            }
        }
        (before, after) if before == after => {}
        (before, after) => {
            let shown = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), plain);
            let (before, after) = (shown(before), shown(after));
            let common = before.chars().zip(after.chars());
            let same = common.take_while(|(one, other)| one == other).count();
            // Without the skipped part, both values would be shown alike.
            let skipped = if same < LIMIT { 0 } else { same - SHOWN_BEFORE };
            let (before, after) = (cut(&before, skipped), cut(&after, skipped));
            let at = if at.is_empty() { "all" } else { at };
            into.push(format!("{at}: {before} -> {after}"));
        }
    }
}

/// Maximum number of differences of a field that are shown.
const MOST: usize = 10;
/// Marks the place where a text was cut.
const CUT: char = '…';

/// Maximum number of characters that are shown of a text, and of the common beginning of two
/// long texts before they differ.
const LIMIT: usize = 160;
const SHOWN_BEFORE: usize = 20;

/// A value on one line, cut if it is long.
fn short(value: &Value) -> String {
    cut(&plain(value), 0)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A text without its first `skipped` characters, and without its end if it is long.
fn cut(text: &str, skipped: usize) -> String {
    let mut rest = text.chars().skip(skipped);
    let shown: String = rest.by_ref().take(LIMIT).collect();
    let mark = |is_cut: bool| {
        if is_cut {
            CUT.to_string()
        } else {
            String::new()
        }
    };
    let (before, after) = (mark(skipped > 0), mark(rest.next().is_some()));
    format!("{before}{shown}{after}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_values_are_shown_by_their_differences() {
        let steps = |wait: &str, more: bool| {
            let rest = json!({ "say": { "set": { "text": "x".repeat(200) } } });
            let mut list = vec![rest, json!({ "a/b": { "wait": wait } })];
            if more {
                list.push(json!({ "last": { "set": "y".repeat(200) } }));
            }
            json!({ "do": list })
        };
        let told = |before: &Value, after: &Value| {
            let mut into = Vec::new();
            compare(Some(before), Some(after), "", &mut into);
            into
        };
        assert_eq!(
            told(&steps("PT15S", false), &steps("PT16S", false)),
            ["/do/1/a~1b/wait: PT15S -> PT16S"]
        );
        let added = told(&steps("PT15S", false), &steps("PT15S", true));
        assert_eq!(added.len(), 1);
        assert!(
            added[0].starts_with("/do/2: none -> {\"last\"") && added[0].ends_with(CUT),
            "{added:?}"
        );
        assert_eq!(told(&json!("x"), &json!({})), ["all: x -> {}"]);
        let late = |end: &str| json!(format!("{}{end}", "x".repeat(1000)));
        let common = "x".repeat(SHOWN_BEFORE);
        assert_eq!(
            told(&late("one"), &late("")),
            [format!("all: {CUT}{common}one -> {CUT}{common}")]
        );
        assert!(told(&steps("PT1S", true), &steps("PT1S", true)).is_empty());
    }
}
