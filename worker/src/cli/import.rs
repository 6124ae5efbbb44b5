//! `almanac import`: existing schedules, whoever made them, as definitions.
//!
//! Each file is read back and compared with the schedule before it is called
//! good; what no definition can say is told, in the file too. A definition
//! whose runs would do something else is written with `enabled: false`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use almanac_activities::schedules::{Foreign, RequestError, wire};
use almanac_workflows::definition::{
    Definition, ParseContext, SearchAttribute, Written, parse_file, write_document,
};
use almanac_workflows::names::{DefinitionId, Project, RUN_WORKFLOW, ScheduleId};
use almanac_workflows::schedule::{Action, Desired, Field, ScheduleValues};
use anyhow::{Context as _, bail};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Remote;
use crate::args::ImportArgs;
use crate::console::{self, Page};

/// How many schedules are described at a time.
const CONCURRENCY: usize = 10;
/// How many schedules that are not served show that the server is away.
const AWAY_AFTER: usize = 20;
/// The exit code when something could not be written, or not as it is.
const INCOMPLETE: u8 = 2;
/// The longest id of a definition.
const ID_LIMIT: usize = 128;

/// One schedule as a definition.
#[derive(Debug, Serialize)]
struct Imported {
    schedule: ScheduleId,
    id: DefinitionId,
    file: PathBuf,
    /// It was written there.
    written: bool,
    /// What the definition does not say, or says otherwise.
    problems: Vec<String>,
    /// What was chosen, and is no loss.
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
            Ok(foreign) => Imported::of(&foreign, project, &mut ids),
            Err(why) => Imported::unreadable(id, &why, &mut ids),
        };
        one.file = args.out.join(format!("{}.yaml", one.id));
        all.push(one);
    }
    if !args.dry_run {
        std::fs::create_dir_all(&args.out)
            .with_context(|| format!("make the folder {}", args.out.display()))?;
        for one in &mut all {
            one.write(args.force);
        }
    }
    for one in &all {
        for problem in &one.problems {
            console::say(&format!("{}: {problem}", one.schedule));
        }
    }
    super::show(args.target.format, &all, |all| text(all, args))?;
    let whole = all.iter().all(|one| one.problems.is_empty());
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(INCOMPLETE)
    })
}

/// The schedules that are asked for, sorted by id; of one that cannot be
/// described, why.
async fn find(
    remote: &Remote,
    args: &ImportArgs,
) -> anyhow::Result<Vec<(ScheduleId, Result<Foreign, RequestError>)>> {
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
            let found = described.map(|response| Foreign::of(&id, response));
            (id, is_owned, found)
        })
        .buffer_unordered(CONCURRENCY);
    futures::pin_mut!(found);
    let mut all = BTreeMap::new();
    let mut unserved = 0;
    while let Some((id, is_owned, found)) = found.next().await {
        let is_owned = match &found {
            Ok(foreign) => foreign.owner.is_some(),
            // The list is behind.
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
    /// A schedule of which no definition can be made.
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
            problems: vec![format!("cannot be described, and is not written: {why}")],
            remarks: Vec::new(),
            text: String::new(),
        }
    }

    fn of(foreign: &Foreign, project: &Project, ids: &mut BTreeSet<DefinitionId>) -> Self {
        let wanted_id = match &foreign.owner {
            Some(owner) => owner.definition.to_string(),
            None => foreign.id.to_string(),
        };
        let id = free_id(&wanted_id, ids);
        let mut problems: Vec<String> = foreign
            .losses
            .iter()
            .map(|loss| format!("cannot be said in a definition: {}", loss.what))
            .collect();
        let mut values = sayable(foreign, &mut problems);
        let was_named = values.action.workflow_id.clone();
        values.action.workflow_id = project.run_workflow_id(&id);
        if values.definition.is_some() {
            // Steps run on the queue of the project that has them.
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
                "its id `{wanted_id}` is no definition's; it is `{id}` here"
            ));
        }
        if was_named != values.action.workflow_id {
            remarks.push(format!(
                "its runs were named `{was_named}`, and are `{}` here, each with its time",
                values.action.workflow_id
            ));
        }
        if foreign.values.paused {
            remarks.push(match foreign.note.trim() {
                "" => "it is paused".to_owned(),
                note => format!("it is paused: {note}"),
            });
        } else if !foreign.note.trim().is_empty() {
            remarks.push(format!("its note: {}", foreign.note.trim()));
        }
        if foreign.losses.iter().any(|loss| loss.harmful) {
            values.paused = true;
            remarks.push("it is not enabled: its runs would not be what they were".to_owned());
        }
        let own = foreign.project() == Some(project);
        let adopts = (!own).then_some(&foreign.id);
        let mut one = Self {
            schedule: foreign.id.clone(),
            id,
            file: PathBuf::new(),
            written: false,
            problems,
            remarks,
            text: String::new(),
        };
        one.render(adopts, &values);
        let differences = differences(&one.text, project, &one.id, &values);
        if !differences.is_empty() {
            one.problems.extend(differences);
            one.render(adopts, &values);
        }
        one
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
        if self.text.is_empty() {
            return;
        }
        let written = if force {
            std::fs::write(&self.file, &self.text)
        } else {
            use std::io::Write as _;
            std::fs::File::create_new(&self.file)
                .and_then(|mut file| file.write_all(self.text.as_bytes()))
        };
        let file = self.file.display();
        match written {
            Ok(()) => self.written = true,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => self
                .problems
                .push(format!("{file} exists and is left as it is; see --force")),
            Err(error) => self.problems.push(format!("write {file}: {error}")),
        }
    }
}

/// The values of which a definition can say the most; what is changed for it is told.
fn sayable(foreign: &Foreign, problems: &mut Vec<String>) -> ScheduleValues {
    let mut values = foreign.values.clone();
    // What is no JSON was replaced by a digest, which no run may get.
    for value in &mut values.input {
        if is_digest(value) {
            *value = Value::Null;
        }
    }
    values.action.memo.retain(|_, value| !is_digest(value));
    if foreign.owner.is_none() && values.definition.is_some() {
        problems.push(format!(
            "it starts a `{RUN_WORKFLOW}` and is no Almanac project's; its steps are taken over"
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
                "cannot be said in a definition: the empty list of the search attribute `{name}`"
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

/// Whether a value stands for a payload that is no JSON.
fn is_digest(value: &Value) -> bool {
    let object = value.as_object();
    object
        .is_some_and(|it| it.len() == 2 && it.contains_key("$payload") && it.contains_key("digest"))
}

/// An id that a definition may have, and no other import has.
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

/// What a worker would read otherwise than it is.
fn differences(
    text: &str,
    project: &Project,
    id: &DefinitionId,
    values: &ScheduleValues,
) -> Vec<String> {
    let context = ParseContext {
        now: Timestamp::now(),
    };
    let documents = parse_file(&format!("{id}.yaml"), text.as_bytes(), &context);
    let mut found = Vec::new();
    let mut read: Option<&Definition> = None;
    for document in &documents {
        match (&document.result, document.definition()) {
            (_, Some(definition)) => read = Some(definition),
            (Err(errors), _) => {
                found.extend(
                    errors
                        .iter()
                        .map(|error| format!("not valid: {}", error.message)),
                );
            }
            (Ok(_), None) => {}
        }
    }
    // One without times makes no schedule, which is told already.
    let desired = read.and_then(|definition| Desired::of(project, definition, ""));
    if let Some(desired) = desired {
        let differ = Field::ALL
            .into_iter()
            .filter(|field| desired.values.value(*field) != values.value(*field));
        found.extend(differ.map(|field| {
            format!(
                "`{field}` is {}, and the definition says {}",
                values.value(field),
                desired.values.value(field)
            )
        }));
    }
    found
}

fn text(all: &[Imported], args: &ImportArgs) -> Page {
    let mut page = Page::default();
    if args.dry_run {
        let whole = all.iter().filter(|one| !one.text.is_empty());
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
    for one in all.iter().filter(|one| one.written) {
        page.line(format!("{}: {}", one.file.display(), one.schedule));
    }
    let written = all.iter().filter(|one| one.written).count();
    page.line(format!("{written} of {} schedules written", all.len()));
    if written > 0 {
        page.line("each waits, paused, for `almanac adopt`, while the other one exists");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
