//! A plan in words for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use almanac_base::names::{DefinitionId, ScheduleId};
use almanac_base::text;
use serde_json::{Map, Value};

use super::value_text::{Difference, difference, value_text};
use super::{Cause, Create, Delete, Plan, Update};
use crate::field::Field;
use crate::record::{Held, Op};
use crate::schedule::ScheduleValues;

/// A plan in words. The texts are not escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanText {
    /// The schedules that change, in the order of the operations, and after them the facts
    /// that need a person.
    pub blocks: Vec<Block>,
    /// The numbers of operations in a sentence.
    pub summary: String,
}

/// A schedule that changes, or a fact that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Kind of the block.
    pub kind: BlockKind,
    /// Definition of the schedule, if the block is about a single one.
    pub definition: Option<DefinitionId>,
    /// Subject of the heading: an id, or a number of schedules.
    pub subject: String,
    /// Rest of the heading, which follows the subject.
    pub heading: String,
    /// The values of fields.
    pub fields: Vec<FieldText>,
    /// Lines without a field.
    pub lines: Vec<String>,
}

/// Kinds of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// A schedule is created.
    Create,
    /// A schedule is changed.
    Update,
    /// A schedule is deleted.
    Delete,
    /// Removals wait.
    Held,
    /// An unmanaged schedule has the id of the definition's schedule.
    Conflict,
    /// Others keep changing fields back.
    Contested,
    /// Drift is not corrected.
    Drift,
    /// A part of the plan could not be made.
    Problem,
}

/// Signs of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// `+`
    Added,
    /// `~`
    Changed,
    /// `-`
    Removed,
    /// `!`
    Attention,
}

/// A field in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldText {
    /// Name of the field, or of a member of `action`.
    pub name: String,
    /// The value, or the values before and after.
    pub value: FieldValue,
    /// Cause of the change, if the heading does not say it.
    pub cause: Option<&'static str>,
}

/// The value of a field in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// The value of a schedule that is created.
    Is(String),
    /// The change of a value.
    Changes(Difference),
}

impl Sign {
    /// Returns the character that begins a line.
    pub const fn as_char(self) -> char {
        match self {
            Self::Added => '+',
            Self::Changed => '~',
            Self::Removed => '-',
            Self::Attention => '!',
        }
    }
}

impl BlockKind {
    /// Returns the sign that begins the heading.
    pub const fn sign(self) -> Sign {
        match self {
            Self::Create => Sign::Added,
            Self::Update => Sign::Changed,
            Self::Delete => Sign::Removed,
            Self::Held | Self::Conflict | Self::Contested | Self::Drift | Self::Problem => {
                Sign::Attention
            }
        }
    }
}

impl Plan {
    /// Returns the plan in words.
    pub fn text(&self) -> PlanText {
        let created = self
            .creates
            .iter()
            .map(|one| (one.schedule(), one.definition()));
        let created: BTreeMap<_, _> = created.collect();
        let deleted = self
            .deletes
            .iter()
            .map(|one| (&one.schedule, &one.definition));
        let deleted: BTreeMap<_, _> = deleted.collect();
        let mut blocks = Vec::new();
        blocks.extend(self.creates.iter().map(|one| create_block(one, &deleted)));
        blocks.extend(self.updates.iter().map(|one| self.update_block(one)));
        blocks.extend(self.deletes.iter().map(|one| delete_block(one, &created)));
        blocks.extend(self.held.as_ref().map(Block::of_held));
        blocks.extend(self.conflicts.iter().map(|schedule| Block {
            lines: vec![
                "Give the definition another id. Its schedule can then take over from this one."
                    .to_owned(),
            ],
            ..Block::new(
                BlockKind::Conflict,
                None,
                schedule.to_string(),
                ": an unmanaged schedule has this id; Almanac does not write to it",
            )
        }));
        blocks.extend(self.contested.iter().map(|(id, fields)| {
            let heading = format!(
                ": others keep changing {}; Almanac tries again every hour",
                names(fields)
            );
            Block::new(BlockKind::Contested, Some(id), id.to_string(), &heading)
        }));
        blocks.extend(self.left_drift().into_iter().map(|(id, fields)| {
            let heading = format!(
                ": someone else changed {}; Almanac only reports this",
                names(&fields)
            );
            Block::new(BlockKind::Drift, Some(id), id.to_string(), &heading)
        }));
        blocks.extend(self.problems.iter().map(|problem| {
            let message = problem.message.clone();
            Block::new(BlockKind::Problem, None, message, "")
        }));
        let summary = self.summary(blocks.is_empty());
        PlanText { blocks, summary }
    }

    fn update_block(&self, update: &Update) -> Block {
        let id = &update.definition;
        let done = match update.op {
            Op::Pause => "paused",
            Op::Unpause => "unpaused",
            _ => "updated",
        };
        let heading = format!(" will be {done}: {}", self.reasons(update).join("; "));
        let mut block = Block::new(BlockKind::Update, Some(id), id.to_string(), &heading);
        let causes: BTreeSet<_> = update.fields.values().map(|cause| words(*cause)).collect();
        for change in &update.changes {
            let field = change.field;
            let cause = (causes.len() > 1).then(|| words(change.cause));
            let members = change.before.as_object().zip(change.after.as_object());
            let members = members.filter(|_| field == Field::Action);
            let Some((before, after)) = members else {
                block.fields.push(FieldText {
                    name: field.to_string(),
                    value: FieldValue::Changes(difference(field, &change.before, &change.after)),
                    cause,
                });
                continue;
            };
            let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in all {
                let of = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                let (before, after) = (of(before), of(after));
                if before != after {
                    block.fields.push(FieldText {
                        name: format!("{field}.{name}"),
                        value: FieldValue::Changes(difference(field, &before, &after)),
                        cause,
                    });
                }
            }
        }
        if block.fields.is_empty() && !update.fields.values().any(|one| *one == Cause::Adoption) {
            let line = "No value changes. Almanac writes its memo again.";
            block.lines.push(line.to_owned());
        }
        block
    }

    /// The reasons of an update.
    fn reasons(&self, update: &Update) -> Vec<String> {
        let causes: BTreeSet<_> = update.fields.values().copied().collect();
        let mut reasons = Vec::new();
        for cause in causes {
            reasons.push(match cause {
                Cause::Definition => "its definition changed".to_owned(),
                Cause::Encryption => "its encryption changes".to_owned(),
                Cause::Drift => "someone else changed it".to_owned(),
                Cause::Override => match self.ended_overrides.get(&update.definition) {
                    Some(why) => format!("its override ended ({why})"),
                    None => "an override applies".to_owned(),
                },
                Cause::Finished => "its actions are used up".to_owned(),
                Cause::Orphan if update.removal => "no definition asks for it".to_owned(),
                Cause::Orphan => "its definition returned".to_owned(),
                Cause::Adoption => update.reason.clone(),
            });
        }
        reasons
    }

    /// Drift that this plan neither corrects nor counts as contested.
    fn left_drift(&self) -> BTreeMap<&DefinitionId, BTreeSet<Field>> {
        let mut left: BTreeMap<_, BTreeSet<Field>> = self
            .drift
            .iter()
            .map(|(id, fields)| (id, fields.clone()))
            .collect();
        for update in &self.updates {
            if let Some(fields) = left.get_mut(&update.definition) {
                fields.retain(|field| !update.fields.contains_key(field));
            }
        }
        for (id, contested) in &self.contested {
            if let Some(fields) = left.get_mut(id) {
                fields.retain(|field| !contested.contains(field));
            }
        }
        left.retain(|_, fields| !fields.is_empty());
        left
    }

    /// The numbers of operations in a sentence.
    fn summary(&self, nothing: bool) -> String {
        if nothing {
            return match self.unchanged {
                0 => "No changes. No definition has a schedule.".to_owned(),
                1 => "No changes. 1 schedule is as its definition says.".to_owned(),
                count => format!("No changes. {count} schedules are as their definitions say."),
            };
        }
        let mut parts = vec![
            format!("{} to create", self.creates.len()),
            format!("{} to update", self.updates.len()),
            format!("{} to delete", self.deletes.len()),
            format!("{} unchanged", self.unchanged),
        ];
        let held = self.held.as_ref().map_or(0, |held| held.count);
        if held > 0 {
            parts.push(format!("{held} held"));
        }
        match self.conflicts.len() {
            0 => {}
            1 => parts.push("1 conflict".to_owned()),
            count => parts.push(format!("{count} conflicts")),
        }
        format!("Plan: {}.", parts.join(", "))
    }
}

impl Block {
    fn new(
        kind: BlockKind,
        definition: Option<&DefinitionId>,
        subject: String,
        heading: &str,
    ) -> Self {
        Self {
            kind,
            definition: definition.cloned(),
            subject,
            heading: heading.to_owned(),
            fields: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Returns the block of removals that wait.
    pub fn of_held(held: &Held) -> Self {
        let (subject, wait) = match held.count {
            1 => ("1 removal".to_owned(), "waits"),
            count => (format!("{count} removals"), "wait"),
        };
        let heading = if held.digest.is_empty() {
            format!(" {wait}: {}", held.reason)
        } else {
            format!(" {wait} for confirmation: {}", held.reason)
        };
        let mut lines = held.ids.clone();
        let more = held.count.saturating_sub(held.ids.len() as u64);
        if more > 0 && !lines.is_empty() {
            lines.push(format!("and {more} more"));
        }
        Self {
            lines,
            ..Self::new(BlockKind::Held, None, subject, &heading)
        }
    }
}

impl fmt::Display for Plan {
    /// Writes the headings and the summary, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlanText { blocks, summary } = self.text();
        for block in blocks {
            let sign = block.kind.sign().as_char();
            let line = format!("{sign} {}{}", block.subject, block.heading);
            writeln!(f, "{}", text::line(&line))?;
        }
        writeln!(f, "{summary}")
    }
}

/// Definitions of schedules.
type Definitions<'a> = BTreeMap<&'a ScheduleId, &'a DefinitionId>;

/// The block of a creation. `deleted` has the schedules that the plan deletes.
fn create_block(create: &Create, deleted: &Definitions<'_>) -> Block {
    let id = create.definition();
    let renamed = create
        .renamed_from
        .as_ref()
        .map(|old| format!(": renamed from {}", definition_of(old, deleted)));
    let heading = format!(" will be created{}", renamed.unwrap_or_default());
    let mut block = Block::new(BlockKind::Create, Some(id), id.to_string(), &heading);
    let values = create.values();
    for field in Field::ALL {
        let value = values.value(field);
        if field == Field::Action {
            // The worker decides where steps run, and the id decides the workflow ids.
            let members = value.as_object().into_iter().flatten();
            let shown = members.filter(|(name, _)| match name.as_str() {
                "encryption" => true,
                "workflow_id" => false,
                _ => values.definition.is_none(),
            });
            block.fields.extend(shown.map(|(name, value)| FieldText {
                name: format!("{field}.{name}"),
                value: FieldValue::Is(value_text(field, value)),
                cause: None,
            }));
        } else if value != ScheduleValues::default_value(field) {
            block.fields.push(FieldText {
                name: field.to_string(),
                value: FieldValue::Is(value_text(field, &value)),
                cause: None,
            });
        }
    }
    block
}

/// The block of a removal. `created` has the schedules that the plan creates.
fn delete_block(delete: &Delete, created: &Definitions<'_>) -> Block {
    let id = &delete.definition;
    let why = match &delete.renamed_to {
        Some(new) => format!("renamed to {}", definition_of(new, created)),
        None => "no definition asks for it".to_owned(),
    };
    let heading = format!(" will be deleted: {why}");
    Block::new(BlockKind::Delete, Some(id), id.to_string(), &heading)
}

/// The definition of a schedule, or the schedule's id if its definition is not among these.
fn definition_of(schedule: &ScheduleId, definitions: &Definitions<'_>) -> String {
    definitions
        .get(schedule)
        .map_or_else(|| schedule.to_string(), ToString::to_string)
}

fn names(fields: &BTreeSet<Field>) -> String {
    let names: Vec<_> = fields.iter().map(|field| field.as_str()).collect();
    names.join(", ")
}

/// The cause of a change, in words that follow the values.
const fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::Definition => "definition",
        Cause::Encryption => "encryption",
        Cause::Drift => "changed by someone else",
        Cause::Override => "override",
        Cause::Finished => "actions used up",
        Cause::Orphan => "definition removed or restored",
        Cause::Adoption => "adoption",
    }
}
