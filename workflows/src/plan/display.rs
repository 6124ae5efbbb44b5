//! A plan for people, in the manner of `terraform plan`.

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
            writeln!(
                f,
                "    {}: {} -> {}{cause}",
                change.field,
                short(&change.before),
                short(&change.after)
            )?;
        }
        Ok(())
    }
}

/// A value on one line, cut where it is long.
fn short(value: &Value) -> String {
    const LIMIT: usize = 160;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= LIMIT {
        return text;
    }
    let cut: String = text.chars().take(LIMIT).collect();
    format!("{cut}…")
}
