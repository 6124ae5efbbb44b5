//! Resolution of the calendars that definitions name.
//!
//! Files are parsed one by one, so a parsed definition has only the names of its calendars. The
//! caller that holds all documents resolves the names here. A definition that names no calendars
//! costs nothing.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::budget::Budget;
use almanac_base::names::DefinitionId;
use almanac_base::nearest;
use almanac_times::SEARCH_STEPS;
use jiff::Timestamp;

use super::schedule::LIST_LIMIT;
use super::{DayCalendar, Definition, Diagnostic, Severity, revision};

/// Maximum number of calendars that a spec excludes. The server compares each candidate time with
/// every one of them, and 1000 take a tenth of the 2 MiB that a schedule may have.
const EXCLUDE_LIMIT: usize = LIST_LIMIT;
/// Maximum number of calendars among which a hint chooses.
const HINTED: usize = 50;
/// Maximum number of unknown calendars that are reported for a definition.
const ERRORS_LIMIT: usize = 50;

/// A calendar that a definition names, with the place of the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarUse {
    pub calendar: DefinitionId,
    /// Place of the name, as a diagnostic without a message.
    pub(super) at: Diagnostic,
}

impl CalendarUse {
    fn error(&self, message: &str, hint: impl Into<String>) -> Diagnostic {
        Diagnostic {
            message: format!("`schedule.exclude`: {message}"),
            hint: Some(hint.into()),
            ..self.at.clone()
        }
    }
}

/// Calendars that definitions can name.
#[derive(Debug, Default)]
pub struct Calendars<'a> {
    known: BTreeMap<&'a DefinitionId, &'a DayCalendar>,
    failing: BTreeSet<&'a DefinitionId>,
}

impl<'a> Calendars<'a> {
    /// Creates the set of `known` calendars. `failing` are the ids that failing documents of
    /// calendars state; they only improve a message.
    pub fn new(
        known: impl IntoIterator<Item = &'a DayCalendar>,
        failing: impl IntoIterator<Item = &'a DefinitionId>,
    ) -> Self {
        Self {
            known: known.into_iter().map(|one| (&one.id, one)).collect(),
            failing: failing.into_iter().collect(),
        }
    }

    /// Returns the definition with the days of its named calendars excluded, and with its new
    /// revision. The error has all mistakes in the names, each at its place.
    pub fn resolve(
        &self,
        definition: &Definition,
        names: &[CalendarUse],
    ) -> Result<Definition, Vec<Diagnostic>> {
        let mut resolved = definition.clone();
        let mut errors = Vec::new();
        if let Some(schedule) = &mut resolved.schedule {
            let spec = &mut schedule.spec;
            let mut more = Vec::new();
            let mut added = BTreeSet::new();
            for name in names {
                let Some(calendar) = self.known.get(&name.calendar) else {
                    if errors.len() < ERRORS_LIMIT {
                        errors.push(self.unknown(name));
                    }
                    continue;
                };
                if !added.insert(&name.calendar) {
                    continue;
                }
                more.extend(calendar.exclusions.iter().copied());
                let most = spec.exclude.len() + more.len();
                if most <= EXCLUDE_LIMIT {
                    continue;
                }
                // Some of the exclusions may be equal, so the union may be small enough.
                spec.exclude.extend(std::mem::take(&mut more));
                if spec.exclude.len() > EXCLUDE_LIMIT {
                    errors.push(name.error(
                        &format!(
                            "with calendar `{}` there are {} exclusions, over the limit of {EXCLUDE_LIMIT}",
                            name.calendar,
                            spec.exclude.len()
                        ),
                        "the same days of several months or years need only one exclusion; remove \
                         years that have passed",
                    ));
                    break;
                }
            }
            spec.exclude.extend(more);
            if let Some(name) = names.first().filter(|_| errors.is_empty())
                && let Err(error) = spec.check_work(&mut Budget::of(SEARCH_STEPS))
            {
                errors.push(name.error(&error.message, error.hint.unwrap_or_default()));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        resolved.revision = revision::of(&resolved);
        Ok(resolved)
    }

    /// Warning about days that leave a schedule no fire time after `now`. `parsed` is the
    /// definition without these days. `None` if the schedule fires, or if it never fires without
    /// these days either.
    pub fn warning(
        parsed: &Definition,
        resolved: &Definition,
        names: &[CalendarUse],
        now: Timestamp,
    ) -> Option<Diagnostic> {
        let never_fires = |definition: &Definition| {
            let spec = definition.schedule.as_ref().map(|schedule| &schedule.spec);
            spec.is_none_or(|spec| spec.fire_times(now, 1).is_never())
        };
        let first = names.first()?;
        if !never_fires(resolved) || never_fires(parsed) {
            return None;
        }
        Some(Diagnostic {
            severity: Severity::Warning,
            message: "`schedule.exclude`: the schedule never fires, because its calendars exclude every time".to_owned(),
            hint: Some(
                "no date is left, or so much is excluded that the server stops \
                 searching".to_owned(),
            ),
            ..first.at.clone()
        })
    }

    fn unknown(&self, name: &CalendarUse) -> Diagnostic {
        let id = &name.calendar;
        if self.failing.contains(id) {
            return name.error(
                &format!("calendar `{id}` is invalid"),
                "fix its document; no earlier valid version is known",
            );
        }
        let known: Vec<&str> = self
            .known
            .keys()
            .take(HINTED)
            .map(|id| id.as_str())
            .collect();
        let hint = match (nearest::hint(id.as_str(), &known), &known[..]) {
            (Some(hint), _) => hint,
            (None, []) => "a calendar is a document with `kind: calendar` and `dates`".to_owned(),
            (None, [first @ .., last]) if first.len() < 5 => match first {
                [] => format!("the only calendar is {last}"),
                first => format!("the calendars are {} and {last}", first.join(", ")),
            },
            (None, _) => "write the id of a document with `kind: calendar`".to_owned(),
        };
        name.error(&format!("there is no calendar `{id}`"), hint)
    }
}
