//! Everything that Almanac did and was asked for, in one list, newest first: passes, requests of
//! people, manual runs that failed or were lost, and reloads of this process.
//!
//! Reports tell of the last passes. Of earlier ones, the history entries of schedules remain.

mod filter;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use almanac_base::names::Revision;
use almanac_core::record::{
    Change, HistoryEntry, HistoryEntryKind, Op, Report, ReportError, Trigger,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::registry::RecentReload;

pub use self::filter::{EntryFilter, KindFilter};

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = ActivityEntry)]
pub enum Entry {
    /// A pass.
    Pass(PassEntry),
    /// A request of an operator.
    Request(HistoryEntry),
    /// A manual run that failed, or of which it is not known whether it started (`kind` is
    /// `lost`).
    FailedRun(HistoryEntry),
    /// A reload of the files of this process.
    Reload(RecentReload),
}

/// A pass with its changes and errors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct PassEntry {
    /// Time at which the pass started.
    pub at: Timestamp,
    /// Number of the pass.
    pub pass: u64,
    /// Cause of the pass; `None` if its report is no longer kept.
    pub trigger: Option<Trigger>,
    /// `true` for a dry run, which writes nothing.
    pub dry_run: bool,
    /// Duration of the pass, in milliseconds; `None` if its report is no longer kept.
    pub duration_ms: Option<u64>,
    /// Revision that the pass used; `None` if its report is no longer kept.
    pub revision: Option<Revision>,
    /// Operations of the pass, or those that a dry run would do.
    pub changes: Vec<Change>,
    /// Errors of the pass.
    pub errors: Vec<PassError>,
    /// Number of changes and errors that are not listed: the report leaves them out, or the
    /// filters do.
    pub left_out: u64,
}

/// An error of a pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct PassError {
    /// The file, or the part of Almanac, from which the error comes; `None` if the report is no
    /// longer kept.
    pub source: Option<String>,
    /// The definition or schedule, where there is one.
    pub id: Option<String>,
    /// Description of the error.
    pub message: String,
    /// `true` if the pass before had the same error. The pass before is the last one that was over
    /// all schedules, or whose report names the same schedule or has the same error; dry runs do
    /// not count. If its report is no longer kept, `true` unless the history says that the error
    /// began with this pass, or this is the first pass of all.
    pub known: bool,
    /// Number of further passes in a row with the same error, as far as it is known.
    pub again: u64,
}

impl PassEntry {
    /// The pass of a report. `earlier`: the reports of passes before, oldest first.
    fn of(report: &Report, earlier: &[Report], history: &[HistoryEntry]) -> Self {
        let errors = report.errors.iter().map(|error| PassError {
            source: Some(error.source.clone()),
            id: error.id.clone(),
            message: error.message.clone(),
            known: is_known(error, report, earlier, history),
            again: 0,
        });
        Self {
            at: report.started_at,
            pass: report.pass,
            trigger: Some(report.trigger),
            dry_run: report.dry_run,
            duration_ms: Some(report.duration_ms),
            revision: Some(report.revision.clone()),
            changes: report.changes.clone(),
            errors: errors.collect(),
            left_out: report.truncated,
        }
    }

    /// Adds an entry of the history to the pass that wrote it.
    fn add(&mut self, entry: &HistoryEntry) {
        match entry.kind {
            HistoryEntryKind::Failed => self.errors.push(PassError {
                source: None,
                id: Some(entry.id.clone()),
                message: entry.reason.clone(),
                known: false,
                again: entry.again,
            }),
            _ => match operation(&entry.op) {
                Some(op) => self.changes.push(Change {
                    id: entry.id.clone(),
                    op,
                    fields: entry.fields.clone(),
                    reason: entry.reason.clone(),
                }),
                None => self.left_out += 1,
            },
        }
    }

    /// Returns `true` if the pass changed nothing and had no new error.
    pub fn is_quiet(&self) -> bool {
        let is_listed = self.left_out == 0 || !self.errors.is_empty();
        self.changes.is_empty() && !self.has_new_errors() && is_listed
    }

    /// Returns `true` if the pass had a new error.
    pub fn has_new_errors(&self) -> bool {
        self.errors.iter().any(|error| !error.known)
    }
}

/// Returns `true` if an error of a report is not new. The last earlier report that can tell
/// decides. If none can, the history tells with which pass a row of failures of a schedule began.
fn is_known(
    error: &ReportError,
    report: &Report,
    earlier: &[Report],
    history: &[HistoryEntry],
) -> bool {
    let can_tell = |one: &&Report| {
        !one.dry_run && (one.is_full() || one.errors.contains(error) || names(one, error))
    };
    if let Some(last) = earlier.iter().rev().find(can_tell) {
        return last.errors.contains(error);
    }
    let begins_here = |entry: &HistoryEntry| {
        entry.kind == HistoryEntryKind::Failed
            && !entry.is_of_manual_run()
            && entry.pass == report.pass
            && Some(&entry.id) == error.id.as_ref()
            && entry.reason == error.message
    };
    report.pass > 1 && !history.iter().any(begins_here)
}

/// Returns `true` if the report has a change or an error of the schedule that the error is about.
fn names(report: &Report, error: &ReportError) -> bool {
    error.id.as_ref().is_some_and(|id| {
        let in_changes = report.changes.iter().any(|change| change.id == *id);
        in_changes || report.errors.iter().any(|one| one.id.as_ref() == Some(id))
    })
}

/// The operation with this name; `None` if only a newer release knows it.
fn operation(name: &str) -> Option<Op> {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, StrDeserializer};
    let name: StrDeserializer<'_, Error> = name.into_deserializer();
    Op::deserialize(name).ok()
}

impl Entry {
    /// Time of the entry.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Pass(pass) => pass.at,
            Self::Request(entry) | Self::FailedRun(entry) => entry.at,
            Self::Reload(reload) => reload.at,
        }
    }

    /// Name of the person who asked; empty if nobody did.
    pub fn by(&self) -> &str {
        match self {
            Self::Pass(_) => "",
            Self::Request(entry) | Self::FailedRun(entry) => &entry.by,
            Self::Reload(reload) => &reload.by,
        }
    }

    /// Number of the entry's type, in the order in which entries of one moment stand.
    const fn rank(&self) -> u8 {
        match self {
            Self::Pass(_) => 0,
            Self::FailedRun(_) => 1,
            Self::Request(_) => 2,
            Self::Reload(_) => 3,
        }
    }
}

/// The list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActivityLog {
    /// The entries, newest first.
    entries: Vec<Entry>,
}

impl ActivityLog {
    /// Joins the reports of passes, oldest first, with the project's history and the reloads of
    /// this process, both newest first.
    pub fn new(reports: &[Report], history: &[HistoryEntry], reloads: Vec<RecentReload>) -> Self {
        let mut passes: BTreeMap<u64, PassEntry> = BTreeMap::new();
        let mut entries = Vec::new();
        let is_reported = |pass| reports.iter().any(|report| report.pass == pass);
        for entry in history {
            match entry.kind {
                HistoryEntryKind::Asked => entries.push(Entry::Request(entry.clone())),
                HistoryEntryKind::Failed | HistoryEntryKind::Lost if entry.is_of_manual_run() => {
                    entries.push(Entry::FailedRun(entry.clone()));
                }
                _ if is_reported(entry.pass) => {}
                _ => {
                    let pass = passes.entry(entry.pass).or_insert_with(|| PassEntry {
                        at: entry.at,
                        pass: entry.pass,
                        ..PassEntry::default()
                    });
                    pass.add(entry);
                }
            }
        }
        entries.extend(passes.into_values().rev().map(Entry::Pass));
        let reported = reports.iter().enumerate().rev().map(|(place, report)| {
            let earlier = reports.get(..place).unwrap_or_default();
            Entry::Pass(PassEntry::of(report, earlier, history))
        });
        entries.extend(reported);
        entries.extend(reloads.into_iter().map(Entry::Reload));
        // Entries of one moment keep the order that they have.
        entries.sort_by_key(|entry| (Reverse(entry.at()), entry.rank()));
        Self { entries }
    }

    /// The names of the people who asked for something, sorted.
    pub fn people(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.entries.iter().map(Entry::by).collect();
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The entries that match, newest first, each with its place in the list. Places are in
    /// order and unique, and stay the same when entries are added.
    pub fn matching(&self, filter: &EntryFilter) -> Vec<PlacedEntry> {
        let mut before: Option<(Timestamp, u8)> = None;
        let mut number = 0_u32;
        let placed = self.entries.iter().filter_map(|entry| {
            let moment = (entry.at(), entry.rank());
            number = if before == Some(moment) {
                number + 1
            } else {
                0
            };
            before = Some(moment);
            let entry = filter.shown(entry)?;
            Some(PlacedEntry {
                place: place(moment, number),
                entry,
            })
        });
        placed.collect()
    }
}

/// An entry with its place in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedEntry {
    /// Sort key of the entry.
    pub place: Vec<u8>,
    /// The entry, with the changes and errors that match.
    pub entry: Entry,
}

fn place((at, rank): (Timestamp, u8), number: u32) -> Vec<u8> {
    let newest_first = Timestamp::MAX.as_nanosecond() - at.as_nanosecond();
    let mut place = newest_first.to_be_bytes().to_vec();
    place.push(rank);
    place.extend(number.to_be_bytes());
    place
}
