//! Times at which a schedule fires, by the rules of the Temporal server.
//!
//! A [`Spec`] is canonical, part by part: two calendars or two intervals are equal exactly
//! when the server matches the same times, however they were written. This crate compiles
//! specs from definitions, decodes them from live schedules, compares and hashes them, and
//! computes their fire times. The `activities` crate turns specs into requests.
//!
//! The rules are those of `service/worker/scheduler/{spec,calendar}.go` of
//! `temporalio/temporal`; `tests/e2e/times/mod.rs` compares them with a server.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod backfill;
mod calendar;
mod cron;
mod days;
mod differ;
mod error;
mod field;
mod fire;
mod interval;
mod local;
mod overdue;
mod plain;
mod quiet;
mod sorted;
mod spec;
mod values;
mod warn;
mod when;
mod words;
mod zone;

pub use backfill::BackfillWindow;
pub use calendar::{Calendar, CalendarInput, CalendarRanges, Role, compile_calendar};
pub use cron::{CompiledCron, common_zone, compile_cron};
pub use days::WholeDays;
pub use differ::ZoneDifference;
pub use error::{TimesError, TimesWarning};
pub use field::FieldName;
pub use fire::{FireTimes, QUICK_STEPS, Rest, SEARCH_STEPS};
pub use interval::Interval;
pub use overdue::LATENESS;
pub use quiet::Quiet;
pub use sorted::Sorted;
pub use spec::Spec;
pub use values::{DaysOfMonth, DaysOfWeek, Hours, Months, Range, Sixty, Values, Years};
pub use when::{When, WhenError};
pub use zone::check_zone;

/// Time zone of a schedule that names none.
pub const UTC: &str = "UTC";
