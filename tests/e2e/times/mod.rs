//! The server is the reference for `almanac_times`: hundreds of
//! specs are sent to it, and it must take, read and fire each as we say.
//!
//! `ALMANAC_TEST_SEED` and `ALMANAC_TEST_SPECS` generate others, and more.

mod cases;
mod client;
mod generated;

use almanac_tests::{Feature, Scheduler, on_both_schedulers, server};
use almanac_times::{
    CalendarInput, Interval, Role, Spec, check_zone, common_zone, compile_calendar, compile_cron,
};
use anyhow::ensure;
use futures::StreamExt;
use jiff::tz::TimeZoneDatabase;
use jiff::{Span, Timestamp};
use temporalio_common::protos::temporal::api::schedule::v1::{CalendarSpec, ScheduleSpec};

use self::cases::Case;
use self::client::{Client, proto_calendar, proto_interval};
use self::generated::Dice;

const CONCURRENCY: usize = 10;

/// The server answers with so many matching times at most.
const MATCHING_LIMIT: usize = 1000;

/// The spec that Almanac compiles for a case, or the reason why it refuses the case.
fn compile(case: &Case) -> Result<Spec, String> {
    let mut spec = Spec {
        start_at: case.start_at,
        end_at: case.end_at,
        ..Spec::default()
    };
    let mut crons = Vec::new();
    for text in &case.crons {
        crons.push(compile_cron(text).map_err(|error| format!("cron `{text}`: {error}"))?);
    }
    let timezone = Some(case.timezone.as_str());
    spec.timezone = common_zone(&crons, timezone).map_err(|error| error.to_string())?;
    for cron in crons {
        spec.calendars.extend(cron.calendars);
        spec.intervals.extend(cron.intervals);
    }
    for (inputs, role, into) in [
        (&case.calendars, Role::Match, &mut spec.calendars),
        (&case.exclude, Role::Exclude, &mut spec.exclude),
    ] {
        for input in inputs {
            let calendar = compile_calendar(input, role);
            into.insert(calendar.map_err(|errors| format!("calendar {input:?}: {errors:?}"))?);
        }
    }
    for (every, phase) in &case.intervals {
        spec.intervals
            .insert(Interval::new(*every, *phase).map_err(|error| error.to_string())?);
    }
    check_zone(&spec.timezone).map_err(|error| error.to_string())?;
    Ok(spec)
}

/// The case as text, for the server to compile.
fn as_written(case: &Case) -> ScheduleSpec {
    #[expect(deprecated, reason = "the server still reads exclusions as text")]
    ScheduleSpec {
        cron_string: case.crons.clone(),
        calendar: case
            .calendars
            .iter()
            .map(|input| as_text(input, Role::Match))
            .collect(),
        exclude_calendar: case
            .exclude
            .iter()
            .map(|input| as_text(input, Role::Exclude))
            .collect(),
        interval: case.intervals.iter().copied().map(proto_interval).collect(),
        timezone_name: case.timezone.clone(),
        start_time: case
            .start_at
            .map(|time| std::time::SystemTime::from(time).into()),
        end_time: case
            .end_at
            .map(|time| std::time::SystemTime::from(time).into()),
        ..ScheduleSpec::default()
    }
}

/// A calendar with every field, so that the rule of `docs/contract.md#2-definitions` for
/// fields that are left out is compared too, and not the server's.
fn as_text(input: &CalendarInput, role: Role) -> CalendarSpec {
    let fields = [&input.second, &input.minute, &input.hour];
    let coarser =
        |field: usize| role == Role::Match && fields[..=field].iter().all(|text| text.is_none());
    let text = |field: &Option<String>, nought: bool| {
        field
            .clone()
            .unwrap_or_else(|| if nought { "0" } else { "*" }.to_owned())
    };
    CalendarSpec {
        second: text(&input.second, coarser(0)),
        minute: text(&input.minute, coarser(1)),
        hour: text(&input.hour, coarser(2)),
        day_of_month: text(&input.day_of_month, false),
        month: text(&input.month, false),
        year: text(&input.year, false),
        day_of_week: text(&input.day_of_week, false),
        comment: String::new(),
    }
}

/// The spec as we send it.
fn as_compiled(spec: &Spec) -> ScheduleSpec {
    ScheduleSpec {
        structured_calendar: spec.calendars.iter().map(proto_calendar).collect(),
        exclude_structured_calendar: spec.exclude.iter().map(proto_calendar).collect(),
        interval: spec
            .intervals
            .iter()
            .map(|interval| proto_interval((interval.every, interval.phase)))
            .collect(),
        timezone_name: spec.timezone.clone(),
        start_time: spec
            .start_at
            .map(|time| std::time::SystemTime::from(time).into()),
        end_time: spec
            .end_at
            .map(|time| std::time::SystemTime::from(time).into()),
        ..ScheduleSpec::default()
    }
}

/// Sends one case both as written and as compiled; every difference as a line.
async fn compare(
    client: &Client,
    id: &str,
    case: &Case,
    windows: &[Window],
) -> anyhow::Result<Vec<String>> {
    let expected = compile(case);
    let mut differences = Vec::new();
    let before = Timestamp::now();
    let taken = client.create(id, as_written(case)).await?;
    match (&expected, &taken) {
        (Ok(_), Err(refusal)) => {
            differences.push(format!("we take what the server refuses: {refusal}"));
        }
        (Err(error), Ok(())) => {
            differences.push(format!("we refuse what the server takes: {error}"));
        }
        _ => {}
    }
    if let (Ok(spec), Ok(())) = (&expected, &taken) {
        let live = client.describe(id).await?;
        if live.spec != *spec {
            differences.push(format!("the server reads {}, we {spec}", live.spec));
        }
        differences.extend(future(spec, before, Timestamp::now(), &live.future));
        for window in windows {
            let server_times = client.matching(id, window.after, window.until).await?;
            differences.extend(matching(spec, *window, &server_times));
        }
        let again = format!("{id}-compiled");
        if let Err(refusal) = client.create(&again, as_compiled(spec)).await? {
            differences.push(format!("the server refuses what we compiled: {refusal}"));
        } else {
            let compiled = client.describe(&again).await?.spec;
            if compiled != *spec {
                differences.push(format!("what we send comes back as {compiled}, not {spec}"));
            }
            client.delete(&again).await?;
        }
    }
    if taken.is_ok() {
        client.delete(id).await?;
    }
    Ok(differences
        .into_iter()
        .map(|difference| format!("{case:?}: {difference}"))
        .collect())
}

/// The server says the times after a moment between `before` and `after`.
fn future(
    spec: &Spec,
    before: Timestamp,
    after: Timestamp,
    server_times: &[Timestamp],
) -> Option<String> {
    let computed: Vec<Timestamp> = spec.fire_times(before, server_times.len() + 40).times;
    let passed = match server_times.first() {
        Some(first) => computed.iter().take_while(|time| *time < first).count(),
        None => computed.len(),
    };
    let (gone, rest) = computed.split_at(passed);
    let expected: Vec<Timestamp> = rest.iter().copied().take(10).collect();
    let late = gone.iter().any(|time| *time > after);
    (late || expected != server_times)
        .then(|| format!("future times are {server_times:?}, not {gone:?} + {expected:?}"))
}

fn matching(spec: &Spec, window: Window, server_times: &[Timestamp]) -> Option<String> {
    let enough = MATCHING_LIMIT.min(server_times.len() + 1);
    let mut computed = spec.fire_times(window.after, enough).times;
    computed.retain(|time| *time <= window.until);
    let index = computed
        .iter()
        .zip(server_times)
        .take_while(|(computed, server_times)| computed == server_times)
        .count();
    (computed != server_times).then(|| {
        let from = index.saturating_sub(1);
        let part = |times: &[Timestamp]| {
            format!("{:?}", times.iter().skip(from).take(4).collect::<Vec<_>>())
        };
        format!(
            "after {} of {} and {} times we say {}, the server {} ({window:?})",
            index,
            computed.len(),
            server_times.len(),
            part(&computed),
            part(server_times)
        )
    })
}

/// A stretch of time in which to compare every time that matches.
#[derive(Debug, Clone, Copy)]
struct Window {
    after: Timestamp,
    until: Timestamp,
}

impl Window {
    fn new(around: Timestamp, before: Span, after: Span) -> anyhow::Result<Self> {
        Ok(Self {
            after: around.checked_sub(before)?,
            until: around.checked_add(after)?,
        })
    }
}

/// Windows of hours, days and months, where the zone has it around a change of its clock.
fn windows(dice: &mut Dice, case: &Case) -> anyhow::Result<Vec<Window>> {
    let day = 86_400;
    let somewhere = Timestamp::from_second(i64::try_from(dice.number(14_600, 20_600))? * day)?;
    let name = if case.timezone.is_empty() {
        "UTC"
    } else {
        &case.timezone
    };
    let changes: Vec<Timestamp> = match TimeZoneDatabase::bundled().get(name) {
        Ok(zone) => {
            let from = "2010-01-01T00:00:00Z".parse()?;
            let until: Timestamp = "2026-11-01T00:00:00Z".parse()?;
            zone.following(from)
                .map(|change| change.timestamp())
                .take_while(|time| *time < until)
                .collect()
        }
        Err(_) => Vec::new(),
    };
    let years = Span::new().hours(24 * 1500);
    if changes.is_empty() {
        return Ok(vec![Window::new(somewhere, Span::new().hours(24), years)?]);
    }
    let mut at = || *dice.pick(&changes);
    Ok(vec![
        Window::new(at(), Span::new().hours(5), Span::new().hours(11))?,
        Window::new(at(), Span::new().hours(30), Span::new().hours(60))?,
        Window::new(at(), Span::new().hours(24), years)?,
    ])
}

async fn compare_all(on: Scheduler, prefix: &str, cases: Vec<Case>) -> anyhow::Result<()> {
    let client = Client::connect(&server(on).address()).await?;
    let mut dice = Dice::new(7);
    let mut jobs = Vec::new();
    for (index, case) in cases.into_iter().enumerate() {
        let id = format!("times-{prefix}-{index}");
        jobs.push((id, windows(&mut dice, &case)?, case));
    }
    let count = jobs.len();
    let accepted = jobs.iter().filter(|(_, _, case)| compile(case).is_ok());
    let accepted = accepted.count();
    let answers: Vec<anyhow::Result<Vec<String>>> = futures::stream::iter(jobs)
        .map(async |(id, windows, case)| compare(&client, &id, &case, &windows).await)
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    let mut differences = Vec::new();
    for answer in answers {
        differences.extend(answer?);
    }
    let lines = differences.join("\n");
    ensure!(
        lines.is_empty(),
        "{} differences:\n{lines}",
        differences.len()
    );
    // A generator that only made one kind of case would prove half.
    let refused = count - accepted;
    ensure!(
        accepted > 50 && refused > 5,
        "{accepted} accepted, {refused} refused"
    );
    Ok(())
}

on_both_schedulers!(
    the_dialect_is_the_servers,
    generated_specs_fire_as_on_the_server,
    the_search_ends_where_the_search_of_the_server_ends,
);

async fn the_dialect_is_the_servers(on: Scheduler) -> anyhow::Result<()> {
    compare_all(on, "written", cases::written()).await
}

async fn generated_specs_fire_as_on_the_server(on: Scheduler) -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = variable("ALMANAC_TEST_SEED").unwrap_or(20);
    let count = variable("ALMANAC_TEST_SPECS").unwrap_or(200);
    let count = usize::try_from(count)?;
    compare_all(on, "generated", generated::cases(seed, count)).await
}

async fn the_search_ends_where_the_search_of_the_server_ends(on: Scheduler) -> anyhow::Result<()> {
    if !Feature::EndOfSearch.is_there() {
        return Ok(());
    }
    let client = Client::connect(&server(on).address()).await?;
    let case = cases::over_excluding();
    let spec = compile(&case).map_err(anyhow::Error::msg)?;
    let window = Window {
        after: "2026-01-01T00:00:00Z".parse()?,
        until: "2100-12-31T23:59:59Z".parse()?,
    };
    // There are times, in 2100, but nobody looks that far.
    let computed = spec.fire_times(window.after, 1);
    assert!(computed.is_never(), "{computed:?}");
    let id = "times-over-excluding";
    let taken = client.create(id, as_written(&case)).await?;
    assert_eq!(taken, Ok(()));
    let server_times = client.matching(id, window.after, window.until).await?;
    assert_eq!(server_times, []);
    client.delete(id).await
}
