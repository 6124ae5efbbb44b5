//! `almanac import`: writes existing schedules of any owner as definitions.
//!
//! Each document is read back and compared with the schedule before it is written. Values that
//! no definition can express are reported, also in the file, and such a definition is written
//! with `enabled: false`. A file that a worker would refuse is never written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, remove_file, rename};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use almanac_activities::schedules::{ImportableSchedule, RequestError, wire};
use almanac_base::names::{DefinitionId, Project, RUN_WORKFLOW, ScheduleId};
use almanac_core::definition::{ParseContext, SearchAttribute, parse_file};
use almanac_core::field::Field;
use almanac_core::plan::value_text;
use almanac_core::schedule::{Action, DEFAULT_CATCHUP_WINDOW, Desired, Encryption, ScheduleValues};
use almanac_core::write::{Written, write_document};
use almanac_times::{Spec, UTC};
use anyhow::{Context as _, bail};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Remote;
use crate::args::ImportArgs;
use crate::console::{self, Cell, Page, Tone};
use crate::wording::{counted, next_command, shell_flag};

/// Number of schedules that are described at a time.
const CONCURRENCY: usize = 10;
/// Number of failed descriptions after which the server counts as unavailable.
const AWAY_AFTER: usize = 20;
/// The exit code if a definition could not be written, or not with all values.
const INCOMPLETE: u8 = 2;
/// The beginning of a message about a value that is lost.
const NOT_EXPRESSIBLE: &str = "a definition cannot express this";
/// Maximum length of a definition's id.
const ID_LIMIT: usize = 128;

/// A schedule as a definition.
#[derive(Debug, Serialize)]
struct Imported {
    schedule: ScheduleId,
    id: DefinitionId,
    file: PathBuf,
    /// The file was written.
    written: bool,
    /// A worker accepts the document.
    #[serde(skip)]
    valid: bool,
    /// Values that the definition does not have, or has otherwise.
    problems: Vec<String>,
    /// Choices of the import that lose no value.
    remarks: Vec<String>,
    text: String,
}

pub(super) async fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let project = &args.target.project;
    let mut ids = BTreeSet::new();
    let mut all = Vec::new();
    for (id, found) in find(&remote, args).await? {
        let mut one = match found {
            Ok(importable) => Imported::of(&importable, project, &mut ids),
            Err(why) => Imported::unreadable(id, &why, &mut ids),
        };
        one.file = args.out.join(format!("{}.yaml", one.id));
        all.push(one);
    }
    if !args.dry_run {
        std::fs::create_dir_all(&args.out)
            .with_context(|| format!("create the folder {}", args.out.display()))?;
        for one in &mut all {
            one.write(args.force);
        }
    }
    for one in &all {
        for problem in &one.problems {
            console::eprint(&format!("{}: {problem}", one.schedule));
        }
    }
    super::print(args.target.format, &all, |all| text(all, args))?;
    let whole = all.iter().all(|one| one.problems.is_empty());
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(INCOMPLETE)
    })
}

/// The selected schedules, sorted by id. For a schedule that cannot be described, the reason.
async fn find(
    remote: &Remote,
    args: &ImportArgs,
) -> anyhow::Result<Vec<(ScheduleId, Result<ImportableSchedule, RequestError>)>> {
    let listed = remote.schedules.list_matching(&args.query).await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(RequestError::Refused(why)) => bail!("--query `{}`: {why}", args.query),
        Err(error) => return Err(error).context("list the schedules"),
    };
    // A list may name an id twice.
    let entries: BTreeMap<ScheduleId, bool> = listed
        .into_iter()
        .map(|entry| {
            let id = ScheduleId::from_server(entry.schedule_id);
            let is_owned = wire::owner_in(&id, entry.memo.as_ref()).is_some();
            (id, is_owned)
        })
        .collect();
    let found = stream::iter(entries)
        .map(|(id, is_owned)| async move {
            let described = remote.schedules.describe(&id).await;
            let found = described.map(|response| ImportableSchedule::of(&id, response));
            (id, is_owned, found)
        })
        .buffer_unordered(CONCURRENCY);
    futures::pin_mut!(found);
    let mut all = BTreeMap::new();
    let mut unserved = 0;
    while let Some((id, is_owned, found)) = found.next().await {
        let is_owned = match &found {
            Ok(importable) => importable.owner.is_some(),
            // The list is older than the deletion.
            Err(RequestError::NotFound) => continue,
            Err(error @ RequestError::NoNamespace(_)) => return Err(error.clone().into()),
            Err(error @ RequestError::Unavailable(_)) => {
                unserved += 1;
                if unserved >= AWAY_AFTER {
                    return Err(error.clone()).context("describe the schedules");
                }
                is_owned
            }
            Err(_) => is_owned,
        };
        if args.all || !is_owned {
            all.insert(id, found);
        }
    }
    if unserved > 0 {
        let served = remote.schedules.check_service().await;
        served.context("describe the schedules")?;
    }
    Ok(all.into_iter().collect())
}

impl Imported {
    /// The entry of a schedule of which no definition can be made.
    fn unreadable(
        schedule: ScheduleId,
        why: &RequestError,
        ids: &mut BTreeSet<DefinitionId>,
    ) -> Self {
        Self {
            id: free_id(schedule.as_str(), ids),
            schedule,
            file: PathBuf::new(),
            written: false,
            valid: false,
            problems: vec![format!("cannot be described, and is not written: {why}")],
            remarks: Vec::new(),
            text: String::new(),
        }
    }

    fn of(
        importable: &ImportableSchedule,
        project: &Project,
        ids: &mut BTreeSet<DefinitionId>,
    ) -> Self {
        let wanted_id = match &importable.owner {
            Some(owner) => owner.definition.to_string(),
            None => importable.id.to_string(),
        };
        let id = free_id(&wanted_id, ids);
        let lost = |what: &String| format!("{NOT_EXPRESSIBLE}: {what}");
        let mut problems: Vec<String> = importable.losses.iter().map(lost).collect();
        let mut values = sayable(importable, &mut problems);
        let was_named = values.action.workflow_id.clone();
        values.action.workflow_id = project.run_workflow_id(&id);
        // The worker that serves the definition decides the encryption.
        values.action.encryption = Encryption::None;
        if values.definition.is_some() {
            // Steps run on the task queue of the project that has them.
            values.action = Action {
                workflow_type: RUN_WORKFLOW.to_owned(),
                task_queue: project.run_queue(),
                workflow_id: values.action.workflow_id,
                ..Action::default()
            };
        }
        let mut remarks = Vec::new();
        if id.as_str() != wanted_id {
            remarks.push(format!(
                "a definition cannot have the id `{wanted_id}`; it is `{id}` here"
            ));
        }
        if was_named != values.action.workflow_id {
            remarks.push(format!(
                "the workflow ids of its runs began with `{was_named}`, and begin with `{}` here",
                values.action.workflow_id
            ));
        }
        if importable.values.paused {
            remarks.push(match importable.note.trim() {
                "" => "it is paused".to_owned(),
                note => format!("it is paused: {note}"),
            });
        } else if !importable.note.trim().is_empty() {
            remarks.push(format!("its note: {}", importable.note.trim()));
        }
        let own = importable.project() == Some(project);
        let adopts = (!own).then_some(&importable.id);
        let mut one = Self {
            schedule: importable.id.clone(),
            id,
            file: PathBuf::new(),
            written: false,
            valid: true,
            problems,
            remarks,
            text: String::new(),
        };
        one.render(adopts, &values);
        if let Err(error) = one.read(project) {
            one.leave_out_what_is_refused(project, adopts, &mut values, &error);
        }
        if let Ok(read) = one.read(project) {
            one.problems.extend(differences(read.as_ref(), &values));
        }
        if !one.problems.is_empty() {
            values.paused = true;
            let remark = "it is not enabled, because it does not have all values of the schedule";
            one.remarks.push(remark.to_owned());
            one.render(adopts, &values);
        }
        if let Err(error) = one.read(project) {
            one.valid = false;
            one.problems.push(format!("not written: {error}"));
        }
        one
    }

    /// Reads the document as a worker does: returns the schedule that it asks for, if any. The
    /// error is the first reason to refuse the document.
    fn read(&self, project: &Project) -> Result<Option<Desired>, String> {
        let context = ParseContext {
            now: Timestamp::now(),
        };
        let documents = parse_file(&format!("{}.yaml", self.id), self.text.as_bytes(), &context);
        let [document] = &documents[..] else {
            return Err(format!("it reads as {} documents", documents.len()));
        };
        if let Err(errors) = &document.result {
            let first = errors.first().map(|error| error.message.clone());
            return Err(first.unwrap_or_else(|| "it is not valid".to_owned()));
        }
        let definition = document.definition();
        Ok(definition.and_then(|definition| Desired::of(project, definition, "")))
    }

    /// Leaves out each part of `values` for which a worker refuses the document, with the
    /// reason. `error` is the first reason.
    fn leave_out_what_is_refused(
        &mut self,
        project: &Project,
        adopts: Option<&ScheduleId>,
        values: &mut ScheduleValues,
        error: &str,
    ) {
        let whole = values.clone();
        *values = Part::none(&whole);
        self.render(adopts, values);
        if self.read(project).is_err() {
            // No single part causes the refusal.
            *values = whole;
            self.problems.push(format!("{NOT_EXPRESSIBLE}: {error}"));
            return;
        }
        for part in Part::all(&whole) {
            let without = values.clone();
            part.copy(&whole, values);
            self.render(adopts, values);
            if let Err(error) = self.read(project) {
                *values = without;
                self.problems
                    .push(format!("{NOT_EXPRESSIBLE}: {part}: {error}"));
            }
        }
        self.render(adopts, values);
    }

    fn render(&mut self, adopts: Option<&ScheduleId>, values: &ScheduleValues) {
        let mut comments = vec![format!("Imported from the schedule `{}`.", self.schedule)];
        let more = self.remarks.iter().chain(&self.problems);
        comments.extend(more.map(|text| format!("- {text}")));
        self.text = write_document(&Written {
            id: &self.id,
            adopts,
            values,
            comments: &comments,
        });
    }

    fn write(&mut self, force: bool) {
        if !self.valid {
            return;
        }
        let file = self.file.display();
        match write_whole(&self.file, &self.text, force) {
            Ok(()) => self.written = true,
            Err(error) if !force && error.kind() == ErrorKind::AlreadyExists => self
                .problems
                .push(format!("{file} exists and is left as it is; see --force")),
            Err(error) => self.problems.push(format!("write {file}: {error}")),
        }
    }
}

/// Writes a file completely or not at all. An existing file is replaced only with `force`.
fn write_whole(file: &Path, text: &str, force: bool) -> std::io::Result<()> {
    let written_to = if force {
        file.with_extension("yaml.tmp")
    } else {
        file.to_owned()
    };
    let write = || {
        let mut open = if force {
            File::create(&written_to)
        } else {
            File::create_new(&written_to)
        }?;
        open.write_all(text.as_bytes())
            .and_then(|()| open.sync_all())
            .and_then(|()| {
                if force {
                    rename(&written_to, file)
                } else {
                    Ok(())
                }
            })
            .inspect_err(|_| {
                // The rest of a failed write must not be read as a definition.
                let _left = remove_file(&written_to);
            })
    };
    write()
}

/// A part of a schedule that a document can leave out.
#[derive(Debug)]
enum Part {
    Timezone,
    StartAt,
    EndAt,
    Jitter,
    CatchupWindow,
    MaxActions,
    ExecutionTimeout,
    RunTimeout,
    TaskTimeout,
    Priority,
    Summary,
    Retry,
    SearchAttribute(String),
    Memo(String),
    Argument(usize),
}

impl Part {
    /// The parts of `values`.
    fn all(values: &ScheduleValues) -> Vec<Self> {
        let mut parts = vec![
            Self::Timezone,
            Self::StartAt,
            Self::EndAt,
            Self::Jitter,
            Self::CatchupWindow,
            Self::MaxActions,
            Self::ExecutionTimeout,
            Self::RunTimeout,
            Self::TaskTimeout,
            Self::Priority,
            Self::Summary,
            Self::Retry,
        ];
        let attributes = values.action.search_attributes.keys().cloned();
        parts.extend(attributes.map(Self::SearchAttribute));
        parts.extend(values.action.memo.keys().cloned().map(Self::Memo));
        parts.extend((0..values.input.len()).map(Self::Argument));
        parts
    }

    /// The values without any of these parts.
    fn none(values: &ScheduleValues) -> ScheduleValues {
        ScheduleValues {
            spec: Spec {
                timezone: UTC.to_owned(),
                start_at: None,
                end_at: None,
                jitter: Duration::ZERO,
                ..values.spec.clone()
            },
            catchup_window: DEFAULT_CATCHUP_WINDOW,
            max_actions: None,
            input: values.input.iter().map(|_| Value::Null.into()).collect(),
            action: Action {
                workflow_type: values.action.workflow_type.clone(),
                task_queue: values.action.task_queue.clone(),
                workflow_id: values.action.workflow_id.clone(),
                ..Action::default()
            },
            ..values.clone()
        }
    }

    /// Copies this part from `from` to `to`.
    fn copy(&self, from: &ScheduleValues, to: &mut ScheduleValues) {
        let (options, spec) = (&from.action.options, &from.spec);
        match self {
            Self::Timezone => to.spec.timezone.clone_from(&spec.timezone),
            Self::StartAt => to.spec.start_at = spec.start_at,
            Self::EndAt => to.spec.end_at = spec.end_at,
            Self::Jitter => to.spec.jitter = spec.jitter,
            Self::CatchupWindow => to.catchup_window = from.catchup_window,
            Self::MaxActions => to.max_actions = from.max_actions,
            Self::ExecutionTimeout => {
                to.action.options.execution_timeout = options.execution_timeout;
            }
            Self::RunTimeout => to.action.options.run_timeout = options.run_timeout,
            Self::TaskTimeout => to.action.options.task_timeout = options.task_timeout,
            Self::Priority => to.action.options.priority = options.priority,
            Self::Summary => to.action.options.summary.clone_from(&options.summary),
            Self::Retry => to.action.retry.clone_from(&from.action.retry),
            Self::SearchAttribute(name) => {
                let found = from.action.search_attributes.get(name).cloned();
                let found = found.map(|value| (name.clone(), value));
                to.action.search_attributes.extend(found);
            }
            Self::Memo(key) => {
                let found = from.action.memo.get(key).cloned();
                to.action
                    .memo
                    .extend(found.map(|value| (key.clone(), value)));
            }
            Self::Argument(index) => to.input[*index].clone_from(&from.input[*index]),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timezone => "the time zone",
            Self::StartAt => "the start",
            Self::EndAt => "the end",
            Self::Jitter => "the jitter",
            Self::CatchupWindow => "the catch-up window",
            Self::MaxActions => "the limit of actions",
            Self::ExecutionTimeout => "the execution time-out",
            Self::RunTimeout => "the run time-out",
            Self::TaskTimeout => "the task time-out",
            Self::Priority => "the priority",
            Self::Summary => "the summary",
            Self::Retry => "the retry policy",
            Self::SearchAttribute(name) => return write!(f, "the search attribute `{name}`"),
            Self::Memo(key) => return write!(f, "`{key}` of the memo of its runs"),
            Self::Argument(index) => return write!(f, "argument {}", index + 1),
        })
    }
}

/// The values of which a definition can express the most. Changes made for that are added to
/// `problems`.
fn sayable(importable: &ImportableSchedule, problems: &mut Vec<String>) -> ScheduleValues {
    let mut values = importable.values.clone();
    // A payload that is no JSON was replaced by a digest, which must not become the input of a
    // run.
    for value in &mut values.input {
        if is_digest(&value.value()) {
            *value = Value::Null.into();
        }
    }
    values.action.memo.retain(|_, value| !is_digest(value));
    if importable.owner.is_none() && values.definition.is_some() {
        problems.push(format!(
            "it starts a `{RUN_WORKFLOW}` and belongs to no Almanac project; its steps are taken over"
        ));
    }
    for spec in [&mut values.spec.calendars, &mut values.spec.exclude] {
        let sayable = spec.iter().filter(|calendar| !calendar.is_never());
        *spec = sayable.copied().collect::<Vec<_>>().into();
    }
    values.max_actions = values.max_actions.map(|limit| limit.max(1));
    let attributes = &mut values.action.search_attributes;
    attributes.retain(|name, value| {
        let empty = matches!(value, SearchAttribute::KeywordList(list) if list.is_empty());
        if empty {
            problems.push(format!(
                "{NOT_EXPRESSIBLE}: the empty list of the search attribute `{name}`"
            ));
        }
        !empty
    });
    let nanos = values.spec.jitter.subsec_nanos();
    if !nanos.is_multiple_of(1_000_000) {
        problems.push("its jitter is cut to milliseconds".to_owned());
        values.spec.jitter -= std::time::Duration::from_nanos(u64::from(nanos % 1_000_000));
    }
    values
}

/// Returns `true` if a value stands for a payload that is no JSON.
fn is_digest(value: &Value) -> bool {
    let object = value.as_object();
    object
        .is_some_and(|it| it.len() == 2 && it.contains_key("$payload") && it.contains_key("digest"))
}

/// An id that is valid for a definition, and that no other imported schedule has.
fn free_id(text: &str, taken: &mut BTreeSet<DefinitionId>) -> DefinitionId {
    let allowed = text.chars().map(|c| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => c,
        _ => '-',
    });
    let text: String = allowed.collect();
    let text = text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let text = if text.is_empty() { "schedule" } else { text };
    for number in 1.. {
        let suffix = if number == 1 {
            String::new()
        } else {
            format!("-{number}")
        };
        let kept = text.len().min(ID_LIMIT - suffix.len());
        let Ok(id) = format!("{}{suffix}", &text[..kept]).parse::<DefinitionId>() else {
            continue;
        };
        if taken.insert(id.clone()) {
            return id;
        }
    }
    unreachable!("there are more numbers than schedules")
}

/// The fields in which a definition that was read back differs from `values`.
///
/// A definition without times makes no schedule, which is reported already.
fn differences(read: Option<&Desired>, values: &ScheduleValues) -> Vec<String> {
    let differ = Field::ALL.into_iter().filter_map(|field| {
        let (live, read_back) = (values.value(field), read?.values.value(field));
        (read_back != live).then(|| {
            format!(
                "`{field}` is {} in the schedule and {} in the definition",
                value_text(field, &live),
                value_text(field, &read_back)
            )
        })
    });
    differ.collect()
}

fn text(all: &[Imported], args: &ImportArgs) -> Page {
    let mut page = Page::default();
    if args.dry_run {
        let whole = all.iter().filter(|one| one.valid);
        for (number, one) in whole.enumerate() {
            if number > 0 {
                page.line("---");
            }
            for line in one.text.lines() {
                page.line(line);
            }
        }
        return page;
    }
    if all.is_empty() {
        return Page::of_line("no schedule to import");
    }
    for one in all {
        let (tone, sign) = if !one.written {
            (Tone::Bad, "! ")
        } else if one.problems.is_empty() {
            (Tone::Good, "+ ")
        } else {
            (Tone::Caution, "~ ")
        };
        let what = match (one.written, one.problems.len() as u64) {
            (true, 0) => format!("written to {}", one.file.display()),
            (true, problems) => format!(
                "written to {}, not enabled: {}, see above",
                one.file.display(),
                counted(problems, "problem", "problems")
            ),
            (false, _) => "not written, see above".to_owned(),
        };
        page.cells([
            Cell::toned(tone, sign),
            Cell::toned(Tone::Strong, one.schedule.to_string()),
            format!(": {what}").into(),
        ]);
    }
    let written = all.iter().filter(|one| one.written).count();
    let schedules = counted(all.len() as u64, "schedule", "schedules");
    page.toned(
        if written == all.len() {
            Tone::Good
        } else {
            Tone::Bad
        },
        format!("{written} of {schedules} written"),
    );
    if written > 0 {
        let project = &args.target.project;
        let folder = shell_flag("--dir", &args.out.to_string_lossy());
        page.line("Each new schedule waits, paused, until it takes over from the existing one:");
        next_command(
            &mut page,
            format!("almanac adopt --project {project}{folder}"),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use almanac_core::definition::OverlapPolicy;
    use almanac_times::compile_cron;
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::args::Cmd;

    fn importable(change: impl FnOnce(&mut ImportableSchedule)) -> ImportableSchedule {
        let compiled = compile_cron("30 2 * * 1-5").unwrap();
        let mut importable = ImportableSchedule {
            id: ScheduleId::from_server("old"),
            owner: None,
            values: ScheduleValues {
                spec: Spec {
                    calendars: compiled.calendars.into_iter().collect(),
                    ..Spec::default()
                },
                overlap_policy: OverlapPolicy::Skip,
                catchup_window: DEFAULT_CATCHUP_WINDOW,
                pause_on_failure: false,
                max_actions: None,
                paused: false,
                input: vec![json!({"mode": "nightly"}).into()],
                definition: None,
                action: Action {
                    workflow_type: "Job".to_owned(),
                    task_queue: "q".to_owned(),
                    workflow_id: "nightly".to_owned(),
                    ..Action::default()
                },
            },
            note: String::new(),
            being_adopted: false,
            remaining_actions: None,
            running: 0,
            buffered: 0,
            losses: Vec::new(),
        };
        change(&mut importable);
        importable
    }

    fn imported(change: impl FnOnce(&mut ImportableSchedule)) -> Imported {
        let project = "p".parse().unwrap();
        Imported::of(&importable(change), &project, &mut BTreeSet::new())
    }

    fn is_enabled(imported: &Imported) -> bool {
        let read = imported.read(&"p".parse().unwrap()).unwrap();
        !read.unwrap().values.paused
    }

    #[test]
    fn a_schedule_that_a_definition_can_say_is_enabled_and_without_problems() {
        let one = imported(|_| {});
        assert!(one.valid && one.problems.is_empty(), "{:?}", one.problems);
        assert!(is_enabled(&one), "{}", one.text);
    }

    #[test]
    fn whatever_is_lost_is_reported_and_disables_the_definition() {
        let one = imported(|importable| importable.losses.push("a header".to_owned()));
        assert_eq!(one.problems, ["a definition cannot express this: a header"]);
        assert!(
            one.text
                .contains("# - a definition cannot express this: a header")
        );
        assert!(!is_enabled(&one), "{}", one.text);
    }

    #[test]
    fn just_the_parts_that_a_worker_refuses_are_left_out() {
        let one = imported(|importable| {
            let action = &mut importable.values.action;
            action.options.summary = Some("long ".repeat(200));
            action.options.priority = Some(9);
            action.memo =
                BTreeMap::from([("k".repeat(2000), json!(1)), ("good".to_owned(), json!(2))]);
            let nested = (0..70).fold(json!(1), |inner, _| json!([inner]));
            importable.values.input.push(nested.into());
        });
        assert!(one.valid, "{:?}", one.problems);
        assert!(!is_enabled(&one), "{}", one.text);
        assert!(one.text.contains("mode: nightly"), "{}", one.text);
        assert!(one.text.contains("good: 2"), "{}", one.text);
        for part in ["the summary", "the priority", "argument 2"] {
            let begin = format!("a definition cannot express this: {part}: ");
            let reported = |one: &Imported| one.problems.iter().any(|it| it.starts_with(&begin));
            assert!(reported(&one), "{part}: {:?}", one.problems);
        }
    }

    #[test]
    fn a_document_that_a_worker_refuses_is_not_written() {
        let mut one = imported(|importable| importable.values.action.task_queue.clear());
        assert!(!one.valid);
        assert!(one.problems.last().unwrap().starts_with("not written: "));
        let folder = tempfile::tempdir().unwrap();
        one.file = folder.path().join("old.yaml");
        one.write(false);
        assert!(!one.written);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_written_over_only_when_forced_and_then_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("old.yaml");
        write_whole(&file, "first", false).unwrap();
        let again = write_whole(&file, "second", false).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "first");
        write_whole(&file, "second", true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn ids_are_mapped_to_allowed_ones_and_stay_apart() {
        let mut taken = BTreeSet::new();
        let mut id = |text: &str| free_id(text, &mut taken).to_string();
        assert_eq!(id("nightly"), "nightly");
        assert_eq!(id("Nightly"), "nightly-2");
        assert_eq!(id("_Über/Nacht 1"), "ber-nacht-1");
        assert_eq!(id("日"), "schedule");
        assert_eq!(id("..."), "schedule-2");
        assert_eq!(id(&"x".repeat(300)).len(), 128);
        assert_eq!(id(&"x".repeat(301)), format!("{}-2", "x".repeat(126)));
    }

    fn args(line: &[&str]) -> ImportArgs {
        let line = ["almanac", "import", "--project", "p"].iter().chain(line);
        match crate::args::Cli::try_parse_from(line).unwrap().command {
            Cmd::Import(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn outcomes() -> [Imported; 3] {
        let mut whole = imported(|_| {});
        let mut partial = imported(|importable| {
            importable.id = ScheduleId::from_server("partial\u{1b}[2J");
            importable.losses.push("a header".to_owned());
        });
        let mut refused = imported(|importable| importable.values.action.task_queue.clear());
        for (one, written) in [
            (&mut whole, true),
            (&mut partial, true),
            (&mut refused, false),
        ] {
            one.written = written;
            one.file = format!("a b/{}.yaml", one.id).into();
        }
        [whole, partial, refused]
    }

    #[test]
    fn every_schedule_has_a_line_and_the_next_command_can_be_pasted() {
        let page = text(&outcomes(), &args(&["--out", "a b"]));
        insta::assert_snapshot!(page, @r"
        + old: written to a b/old.yaml
        ~ partial\u{1b}[2J: written to a b/partial--2j.yaml, not enabled: 1 problem, see above
        ! old: not written, see above
        2 of 3 schedules written
        Each new schedule waits, paused, until it takes over from the existing one:
          → almanac adopt --project p --dir 'a b'
        ");
        insta::assert_snapshot!(page.in_color(), @r"
        ESC[32m+ ESC[0mESC[1moldESC[0m: written to a b/old.yaml
        ESC[33m~ ESC[0mESC[1mpartial\u{1b}[2JESC[0m: written to a b/partial--2j.yaml, not enabled: 1 problem, see above
        ESC[31m! ESC[0mESC[1moldESC[0m: not written, see above
        ESC[31m2 of 3 schedules writtenESC[0m
        Each new schedule waits, paused, until it takes over from the existing one:
        ESC[2m  → ESC[0malmanac adopt --project p --dir 'a b'
        ");
    }

    #[test]
    fn the_count_is_colored_and_an_empty_import_says_so() {
        let [whole, _, refused] = outcomes();
        insta::assert_snapshot!(text(&[whole], &args(&[])).in_color(), @r"
        ESC[32m+ ESC[0mESC[1moldESC[0m: written to a b/old.yaml
        ESC[32m1 of 1 schedule writtenESC[0m
        Each new schedule waits, paused, until it takes over from the existing one:
        ESC[2m  → ESC[0malmanac adopt --project p --dir definitions
        ");
        insta::assert_snapshot!(text(&[refused], &args(&[])).in_color(), @r"
        ESC[31m! ESC[0mESC[1moldESC[0m: not written, see above
        ESC[31m0 of 1 schedule writtenESC[0m
        ");
        insta::assert_snapshot!(text(&[], &args(&[])), @"no schedule to import");
    }

    #[test]
    fn a_dry_run_prints_the_documents_that_a_worker_accepts() {
        insta::assert_snapshot!(text(&outcomes(), &args(&["--dry-run"])), @r#"
        # Imported from the schedule `old`.
        # - the workflow ids of its runs began with `nightly`, and begin with `p/old` here
        id: old
        schedule:
          adopts: old
          cron: "30 2 * * 1-5"
        workflow:
          type: Job
          task_queue: q
          args:
            - mode: nightly
        ---
        # Imported from the schedule `partial\u001b[2J`.
        # - a definition cannot have the id `partial\u001b[2J`; it is `partial--2j` here
        # - the workflow ids of its runs began with `nightly`, and begin with `p/partial--2j` here
        # - it is not enabled, because it does not have all values of the schedule
        # - a definition cannot express this: a header
        id: partial--2j
        schedule:
          adopts: "partial\u001b[2J"
          enabled: false
          cron: "30 2 * * 1-5"
        workflow:
          type: Job
          task_queue: q
          args:
            - mode: nightly
        "#);
    }
}
