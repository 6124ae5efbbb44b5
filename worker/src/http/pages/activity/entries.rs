//! The list: days, and in each the entries. Passes in a row without changes and new errors stand
//! in one line.

use almanac_base::names::DefinitionId;
use almanac_core::record::{HistoryEntry, HistoryEntryKind, Op, Trigger};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::super::condition::{Tone, state};
use super::super::glyphs::Glyph;
use super::super::links;
use super::super::times::Times;
use super::query::Query;
use crate::activity_log::{Entry, KindFilter, PassEntry, PassError};
use crate::registry::{RecentReload, ReloadCause, ReloadNames};
use crate::wording::{self, HistoryWords, counted, operation};

/// Maximum number of changes, and of errors, that are shown of a pass.
const SHOWN: usize = 20;

/// A line of the list: an entry, or several passes in a row without changes and new errors.
enum Line<'a> {
    One(&'a Entry),
    Quiet(Vec<&'a PassEntry>),
}

impl Line<'_> {
    fn at(&self) -> Timestamp {
        match self {
            Self::One(entry) => entry.at(),
            Self::Quiet(passes) => passes.first().map_or(Timestamp::UNIX_EPOCH, |pass| pass.at),
        }
    }
}

/// The lines of these entries. If passes are what the reader asked for, each has its own line.
fn lines<'a>(entries: &[&'a Entry], query: &Query) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for &entry in entries {
        match entry {
            Entry::Pass(pass) if pass.is_quiet() && query.kind != Some(KindFilter::Passes) => {
                match lines.last_mut() {
                    Some(Line::Quiet(passes)) if is_of_day(passes, pass) => passes.push(pass),
                    _ => lines.push(Line::Quiet(vec![pass])),
                }
            }
            _ => lines.push(Line::One(entry)),
        }
    }
    lines
}

fn is_of_day(passes: &[&PassEntry], pass: &PassEntry) -> bool {
    passes.iter().all(|one| day(one.at) == day(pass.at))
}

/// The date in UTC.
fn day(at: Timestamp) -> String {
    at.strftime("%A %-d %B %Y").to_string()
}

/// The list.
pub(super) fn list(entries: &[&Entry], query: &Query, times: &Times) -> Markup {
    let lines = lines(entries, query);
    let days = lines.chunk_by(|one, next| day(one.at()) == day(next.at()));
    html! {
        @for lines in days {
            section.sec.day-log {
                @if let Some(first) = lines.first() { (heading(first.at(), times)) }
                ol.feed {
                    @for line in lines {
                        @match line {
                            Line::One(entry) => (self::entry(entry, query, times)),
                            Line::Quiet(passes) => (quiet(passes, times)),
                        }
                    }
                }
            }
        }
    }
}

fn heading(at: Timestamp, times: &Times) -> Markup {
    let date = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    let yesterday = times.now.checked_sub(SignedDuration::from_hours(24));
    let word = if date(at) == date(times.now) {
        Some("Today")
    } else if yesterday.is_ok_and(|yesterday| date(at) == date(yesterday)) {
        Some("Yesterday")
    } else {
        None
    };
    html! {
        header {
            @match word {
                Some(word) => { h2 { (word) } span.dim { (day(at)) } }
                None => h2 { (day(at)) }
            }
        }
    }
}

/// The frame of a line: its time, a drawing, what happened, and how long ago.
fn line(at: Timestamp, class: &str, mark: (Glyph, Tone), times: &Times, what: &Markup) -> Markup {
    html! {
        li.(class) {
            span.when { (Times::clock(at)) }
            span.mark { (state(mark.0, mark.1, "")) }
            div.what { (what) }
            span.ago { (times.relative(at, "UTC")) }
        }
    }
}

fn entry(entry: &Entry, query: &Query, times: &Times) -> Markup {
    match entry {
        Entry::Pass(one) => {
            let (mark, class) = if one.is_quiet() {
                ((Glyph::Check, Tone::Quiet), "calm")
            } else if one.has_new_errors() {
                ((Glyph::Cross, Tone::Red), "bad")
            } else {
                ((Glyph::Check, Tone::Quiet), "")
            };
            line(one.at, class, mark, times, &pass(one))
        }
        Entry::Request(one) => {
            let what = html! { p { (asked(one, query)) } (reason(&one.reason)) };
            line(one.at, "asked", (Glyph::Hand, Tone::Violet), times, &what)
        }
        Entry::FailedRun(one) => {
            let what = html! { p { (asked(one, query)) } (reason(&one.reason)) };
            line(one.at, "bad", (Glyph::Cross, Tone::Red), times, &what)
        }
        Entry::Reload(one) => {
            let (mark, class) = if one.is_failure() {
                ((Glyph::Stale, Tone::Red), "bad")
            } else {
                ((Glyph::File, Tone::Quiet), "")
            };
            line(one.at, class, mark, times, &reload(one, query))
        }
    }
}

/// Passes in a row without changes and new errors. They can be opened.
fn quiet(passes: &[&PassEntry], times: &Times) -> Markup {
    let (Some(newest), Some(oldest)) = (passes.first(), passes.last()) else {
        return Markup::default();
    };
    if passes.len() == 1 {
        let mark = (Glyph::Check, Tone::Quiet);
        return line(newest.at, "calm", mark, times, &pass(newest));
    }
    let what = html! {
        details {
            summary {
                (passes.len()) " passes without changes or new errors, " (oldest.pass) " to " (newest.pass)
                ", since " (Times::clock(oldest.at))
            }
            ol.log { @for one in passes { li {
                span.sign {}
                span { (Times::clock(one.at)) " " (pass(one)) }
            } } }
        }
    };
    line(newest.at, "calm", (Glyph::Check, Tone::Quiet), times, &what)
}

/// A request, with the person who made it.
fn asked(entry: &HistoryEntry, query: &Query) -> Markup {
    let words = HistoryWords::of(entry);
    html! {
        (person(wording::person_of(entry), query)) " " (words.deed)
        @if !entry.id.is_empty() {
            " " (words.of) " " a.link href=(links::definition(&entry.id)) { (entry.id) }
        }
        (words.details)
        @if entry.pass > 0 { span.faint { " · pass " (entry.pass) } }
    }
}

/// The name of a person, as a link to what the person asked for.
fn person(by: Option<&str>, query: &Query) -> Markup {
    let Some(by) = by.filter(|by| !by.is_empty()) else {
        return html! { b { "Almanac" } };
    };
    let address = query.with(|query| query.by = Some(by.to_owned())).address();
    html! { a.name href=(address) title="Show only this person" { (by) } }
}

fn reason(reason: &str) -> Markup {
    html! { @if !reason.is_empty() { p.why { (reason) } } }
}

fn pass(pass: &PassEntry) -> Markup {
    // An error that the pass before had too is counted, and shown there.
    let (known, new): (Vec<_>, Vec<_>) = pass.errors.iter().partition(|error| error.known);
    let errors = |count: usize| counted(count as u64, "error", "errors");
    html! {
        p {
            b { "Pass " (pass.pass) }
            @if let Some(trigger) = pass.trigger { " " (cause(trigger)) }
            @if pass.dry_run { ", a dry run" }
            @if pass.is_quiet() { span.faint { " · no changes" @if known.is_empty() { ", no errors" } } }
            @if !pass.changes.is_empty() {
                span.dim { " · " (counted(pass.changes.len() as u64, "change", "changes")) }
            }
            @if !new.is_empty() { span.red { " · " (errors(new.len())) } }
            @if !known.is_empty() { span.faint { " · " (errors(known.len())) " as before" } }
            @if let Some(duration) = pass.duration_ms { span.faint { " · " (duration) " ms" } }
        }
        @if !pass.is_quiet() {
            ul.log {
                @for error in new.iter().take(SHOWN) { (self::error(error)) }
                @for change in pass.changes.iter().take(SHOWN) {
                    li {
                        span.mono.sign { (sign(change.op)) }
                        span { a.link href=(links::definition(&change.id)) { (change.id) } " "
                            (operation(change.op, pass.dry_run)) span.dim { ": " (change.reason) } }
                    }
                }
            }
            @let more = pass.changes.len().saturating_sub(SHOWN) + new.len().saturating_sub(SHOWN);
            @let more = pass.left_out.saturating_add(more as u64);
            @if more > 0 { p.faint { "and " (more) " more in this pass" } }
        }
    }
}

fn error(error: &PassError) -> Markup {
    html! {
        li {
            span.mono.sign.red { "!" }
            span {
                @if let Some(id) = &error.id { a.link href=(links::definition(id)) { (id) } " " }
                @if let Some(source) = &error.source { (source) ": " }
                (error.message)
                @if error.again > 0 { span.dim { " (" (error.again.saturating_add(1)) " times in a row)" } }
            }
        }
    }
}

fn cause(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Interval => "by the interval",
        Trigger::Start => "because a worker started",
        Trigger::Change => "because files changed",
        Trigger::Signal => "by a signal",
        Trigger::Sync => "because someone asked",
        Trigger::Override => "for an override",
        Trigger::Resume => "after a suspension",
        Trigger::Adopt => "for an adoption",
    }
}

fn sign(op: Op) -> &'static str {
    match op {
        Op::Create => "+",
        Op::Delete => "−",
        Op::Update | Op::Pause | Op::Unpause | Op::ClearOverride | Op::KeepOverride => "~",
    }
}

fn reload(reload: &RecentReload, query: &Query) -> Markup {
    let changes = &reload.changes;
    let lists = [
        (&changes.newly_invalid, "invalid", "!"),
        (&changes.valid_again, "valid again", "✓"),
        (&changes.added, "added", "+"),
        (&changes.changed, "changed", "~"),
        (&changes.removed, "removed", "−"),
    ];
    let counts = lists
        .iter()
        .filter(|(named, ..)| named.count > 0)
        .map(|(named, word, _)| format!("{} {word}", named.count));
    let counts: Vec<_> = counts.collect();
    // At the start every definition is new: their names tell nothing.
    let is_start = reload.cause == ReloadCause::Start;
    html! {
        p {
            @match reload.cause {
                ReloadCause::Request => { (person(Some(&reload.by), query)) " asked to read the files again" }
                ReloadCause::Start => { b { "This worker" } " started and read the files" }
                ReloadCause::Change => { b { "Files" } " changed" }
                ReloadCause::Timer => { b { "Files" } " had changed without an event" }
            }
            @if reload.error.is_none() {
                span.dim { " · " @if counts.is_empty() { "no definition differs" } @else { (counts.join(", ")) } }
            }
            span.faint { " · revision " span.mono { (reload.revision) } }
        }
        @if let Some(error) = &reload.error {
            p.why.red { (error) @if reload.again > 0 { " (" (reload.again.saturating_add(1)) " times in a row)" } }
        }
        @if changes.incomplete { p.why.amber { "The folders were not read completely, so nothing is removed." } }
        @let named = lists.iter().filter(|(named, word, _)| {
            named.count > 0 && (!is_start || *word == "invalid")
        });
        ul.log { @for (named, word, sign) in named { (names(named, word, sign)) } }
    }
}

/// The definitions of a reload, or the documents.
fn names(named: &ReloadNames, word: &str, sign: &str) -> Markup {
    let is_bad = word == "invalid";
    let more = named.count.saturating_sub(named.names.len() as u64);
    html! {
        li {
            span.mono.sign.red[is_bad] { (sign) }
            span {
                span.dim { (word) ": " }
                @for (place, name) in named.names.iter().enumerate() {
                    @if place > 0 { ", " }
                    // A document without an id is named by its source, and has no page.
                    @if word != "removed" && name.parse::<DefinitionId>().is_ok() {
                        a.link href=(links::definition(name)) { (name) }
                    } @else { (name) }
                }
                @if more > 0 { " and " (more) " more" }
                @if is_bad { " · " a.link href="/errors" { "errors" } }
            }
        }
    }
}

/// An entry of the history of one schedule.
pub(in crate::http::pages) fn history_entry(entry: &HistoryEntry, times: &Times) -> Markup {
    let who = wording::person_of(entry).unwrap_or("Almanac");
    let (glyph, tone) = match entry.kind {
        HistoryEntryKind::Failed | HistoryEntryKind::Lost => (Glyph::Cross, Tone::Red),
        HistoryEntryKind::Asked => (Glyph::Hand, Tone::Violet),
        HistoryEntryKind::Written | HistoryEntryKind::Unknown => (Glyph::Check, Tone::Quiet),
    };
    html! {
        li {
            span.sign { (state(glyph, tone, "")) }
            span {
                b { (who) } " " (wording::history_entry(entry))
                span.l2 {
                    (times.relative(entry.at, "UTC")) " · " (times.absolute(entry.at, "UTC")) " UTC"
                    @if entry.pass > 0 { " · pass " (entry.pass) }
                    @if !entry.reason.is_empty() { " · " (entry.reason) }
                }
            }
        }
    }
}
