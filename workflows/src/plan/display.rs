//! A plan for people, in the manner of `terraform plan`.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::{Cause, Create, Plan, Update};
use crate::schedule::Field;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for create in &self.creates {
            create.fmt(f)?;
        }
        for update in &self.updates {
            update.fmt(f)?;
        }
        for delete in &self.deletes {
            write!(f, "- {}: delete", delete.definition)?;
            match &delete.renamed_to {
                Some(new) => writeln!(f, " (renamed to {new})")?,
                None => writeln!(f, " (its definition is gone)")?,
            }
        }
        for schedule in &self.conflicts {
            writeln!(
                f,
                "! {schedule}: a schedule that is not ours has this id; left alone"
            )?;
        }
        for (id, fields) in &self.contested {
            let names: Vec<_> = fields.iter().map(|field| field.as_str()).collect();
            writeln!(f, "! {id}: contested, retried hourly: {}", names.join(", "))?;
        }
        for problem in &self.problems {
            writeln!(f, "! {}", problem.message)?;
        }
        if let Some(held) = &self.held {
            writeln!(f, "! {} removals held: {}", held.count, held.reason)?;
            for id in &held.ids {
                writeln!(f, "    {id}")?;
            }
            if !held.digest.is_empty() {
                writeln!(f, "  confirm with: almanac sync --confirm {}", held.digest)?;
            }
        }
        writeln!(
            f,
            "Plan: {} to create, {} to update, {} to delete, {} unchanged.",
            self.creates.len(),
            self.updates.len(),
            self.deletes.len(),
            self.unchanged
        )
    }
}

impl fmt::Display for Create {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+ {}: create", self.definition)?;
        if let Some(old) = &self.renamed_from {
            write!(f, " (renamed from {old})")?;
        }
        writeln!(f)?;
        for field in Field::ALL {
            let value = self.values.value(field);
            if value != crate::schedule::ScheduleValues::default_value(field) {
                writeln!(f, "    {field}: {}", short(&value))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "~ {}: {}", self.definition, self.reason)?;
        for change in &self.changes {
            let cause = match change.cause {
                Cause::Drift => "  (drift)",
                Cause::Override => "  (override)",
                Cause::Definition | Cause::Finished | Cause::Orphan | Cause::Adoption => "",
            };
            let (before, after) = (short(&change.before), short(&change.after));
            if !before.ends_with(CUT) && !after.ends_with(CUT) {
                writeln!(f, "    {}: {before} -> {after}{cause}", change.field)?;
                continue;
            }
            let mut differences = Vec::new();
            compare(
                Some(&change.before),
                Some(&change.after),
                "",
                &mut differences,
            );
            writeln!(f, "    {}:{cause}", change.field)?;
            for difference in differences.iter().take(MOST) {
                writeln!(f, "      {difference}")?;
            }
            if differences.len() > MOST {
                writeln!(f, "      and {} more", differences.len() - MOST)?;
            }
        }
        Ok(())
    }
}

/// What two values differ in, each with its place as a JSON pointer.
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
            let text = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), text);
            let (before, after) = (text(before), text(after));
            let common = before.chars().zip(after.chars());
            let same = common.take_while(|(one, other)| one == other).count();
            // Both would look the same.
            let skipped = if same < LIMIT { 0 } else { same - SHOWN_BEFORE };
            let (before, after) = (cut(&before, skipped), cut(&after, skipped));
            let at = if at.is_empty() { "all" } else { at };
            into.push(format!("{at}: {before} -> {after}"));
        }
    }
}

/// How many differences of one field are shown.
const MOST: usize = 10;
/// Stands where a text was cut.
const CUT: char = '…';

/// How much of a text is shown, and of what two long ones have in common before
/// they differ, in characters.
const LIMIT: usize = 160;
const SHOWN_BEFORE: usize = 20;

/// A value on one line, cut where it is long.
fn short(value: &Value) -> String {
    cut(&text(value), 0)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A text without its first `skipped` characters, and without its end where it is long.
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
    fn long_values_are_told_by_what_differs() {
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
