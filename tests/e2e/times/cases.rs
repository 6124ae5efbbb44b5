//! The specs to send that were written by hand: the dialect's corners.

use std::time::Duration;

use almanac_times::CalendarInput;
use jiff::Timestamp;

/// A spec as a person would write it.
#[derive(Debug, Clone, Default)]
pub(super) struct Case {
    pub(super) crons: Vec<String>,
    pub(super) calendars: Vec<CalendarInput>,
    pub(super) exclude: Vec<CalendarInput>,
    pub(super) intervals: Vec<(Duration, Duration)>,
    pub(super) timezone: String,
    pub(super) start_at: Option<Timestamp>,
    pub(super) end_at: Option<Timestamp>,
}

/// Zones whose clocks change, or do not, in ways that differ: at midnight, by
/// half an hour, by two, over the date line, backwards in summer.
pub(super) const ZONES: [&str; 25] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Havana",
    "America/Caracas",
    "Atlantic/Azores",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Pacific/Chatham",
    "EST5EDT",
    "Etc/GMT+5",
];

/// Cron strings that try one rule each, taken or refused.
const CRONS: &[&str] = &[
    // Fields and their number.
    "30 2 * * 1-5",
    "30 2 * * MON-FRI",
    "0 0 29 2 *",
    "0 0 30 2 *",
    "0 0 31 4,6,9,11 *",
    "0 12 1 1 * 2030",
    "0 12 1 1 * 2027-2040/4",
    "0 12 1 1 * *",
    "0 12 1 1 * */2",
    "0 12 1 1 * 2000-2100",
    "15 30 2 * * * *",
    "*/20 * * * * * *",
    "15 30 2 * * * 2031",
    "* * * *",
    "* * * * * * * *",
    "",
    "  ",
    " 5   4 *\t* * ",
    // Values, ranges, steps, names.
    "7/15 * * * *",
    "1-20/3,40,50-59/4 * * * *",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * 32 * *",
    "* * * 0 *",
    "* * * 13 *",
    "* * * * 8",
    "0 0 * * * 1999",
    "0 0 * * * 2101",
    "*/0 * * * *",
    "*/-5 * * * *",
    "*/5/5 * * * *",
    "*/x * * * *",
    "*/ * * * *",
    "/5 * * * *",
    "1-2-3 * * * *",
    "5-1 * * * *",
    "-1 * * * *",
    "1- * * * *",
    "1,,2 * * * *",
    "1, * * * *",
    "+5 * * * *",
    "007 * * * *",
    "5-5 * * * *",
    "*/99 * * * *",
    "0 */4294967296 * * *",
    "0 */4294967298 * * *",
    "0 */2147483648 * * *",
    "0 */9223372036854775808 * * *",
    "0 0 1 jan *",
    "0 0 1 JANU *",
    "0 0 1 ja *",
    "0 0 1 januaryx *",
    "0 0 1 sept-dec *",
    "0 0 1 mar/3 *",
    "0 0 1 nov-feb *",
    "0 0 * * tu,Th",
    "0 0 * * wednes",
    "0 0 * * m",
    "0 0 * * fri-mon",
    "0 0 * * sat-7",
    "0 0 * * mon-sun",
    "0 0 * * sun-mon",
    // Sunday.
    "0 0 * * 7",
    "0 0 * * 0",
    "0 0 * * 0-7",
    "0 0 * * 1-7",
    "0 0 * * 1/1",
    "0 0 * * 2-7",
    "0 0 * * 1-7/2",
    "0 0 * * 3-7/3",
    "0 0 * * */7",
    "0 0 * * 7/2",
    "0 0 * * 6-7/1",
    // Both days.
    "0 0 13 * 5",
    "0 0 13 * FRI",
    "0 0 1-7 * MON",
    "0 15 2 * * *",
    "0 0 * * FRI-7,MON",
    // What other crons have.
    "0 0 L * *",
    "0 0 15W * *",
    "0 0 ? * *",
    "0 0 * * 5#3",
    "0 0 * * 5L",
    "0 0 1/5/2 * *",
    "H * * * *",
    // Comments.
    "0 0 * * 1 # Mondays",
    "#",
    "# only",
    "0 0 # * * *",
    "@daily # every day",
    // Names of times.
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
    "@Daily",
    "@reboot",
    "@daily extra",
    // Intervals.
    "@every 5m",
    "@every 90m/10m",
    "@every 1d",
    "@every 1.5d/36m",
    "@every .5h",
    "@every 1h30m10s",
    "@every 1500ms",
    "@every 1500ms/1400ms",
    "@every 999ms",
    "@every 0",
    "@every 0s",
    "@every -5m",
    "@every +5m",
    "@every 5",
    "@every 5x",
    "@every",
    "@every ",
    "@every  5m",
    "@every\t5m",
    "@everything 5m",
    "@every 5m/",
    "@every 5m/5m",
    "@every 5m/6m",
    "@every 5m/1m/1m",
    "@every 5m/-1m",
    "@every 5m # comment",
    "@every 1h 30m",
    "@every 3000000h",
    "@every 100000d",
    "@every 1e3s",
    "@every 5µs",
    "@every 2m60000000µs",
    // Zones.
    "TZ=Europe/Berlin 30 2 * * *",
    "CRON_TZ=America/New_York 0 9 * * MON-FRI",
    "TZ=Europe/Berlin   30 2 * * *",
    "TZ=Europe/Berlin\t30 2 * * *",
    "TZ=Europe/Berlin",
    "TZ= 0 0 * * *",
    "TZ=Nowhere/Land 0 0 * * *",
    "TZ=europe/berlin 0 0 * * *",
    "TZ=Europe 0 0 * * *",
    "TZ=../UTC 0 0 * * *",
    "tz=UTC 0 0 * * *",
    "TZ=UTC @daily",
    "TZ=Europe/Berlin @every 5m",
    "TZ=Nowhere/Land @every 5m",
    "TZ=Europe/Berlin 0 0 * * * # TZ=UTC",
    "0 0 * * * TZ=UTC",
];

/// Names of zones, alone.
const ZONE_NAMES: &[&str] = &[
    "",
    "UTC",
    "Etc/UTC",
    "GMT",
    "GMT+0",
    "Zulu",
    "US/Eastern",
    "CET",
    "EST",
    "America/Argentina/Ushuaia",
    "Europe/Kyiv",
    "Europe/Kiev",
    "europe/berlin",
    "Europe/berlin",
    "Berlin",
    "Europe/",
    "/Europe/Berlin",
    "CEST",
    "UTC+1",
    "GMT+1",
    "Etc/GMT-14",
    "Etc/GMT-15",
    "Mars/Olympus",
];

/// The hand-written cases.
pub(super) fn written() -> Vec<Case> {
    let seconds = Duration::from_secs;
    let millis = Duration::from_millis;
    let mut cases: Vec<Case> = CRONS.iter().map(|cron| of_crons(&[cron])).collect();
    cases.push(of_crons(&[&format!("0 0 * * * # {}", "x".repeat(200))]));
    cases.push(of_crons(&[&format!("0 0 * * * # {}", "x".repeat(201))]));
    cases.push(of_crons(&[&format!("@every 5m # {}", "x".repeat(201))]));
    for crons in [
        ["0 1 * * *", "0 2 * * *"],
        ["0 1 * * *", "0 1 * * *"],
        ["0 1 * * *", "0 1 * * 0-7"],
        ["TZ=Europe/Berlin 0 1 * * *", "TZ=Europe/Berlin 0 2 * * *"],
        [
            "TZ=Europe/Berlin 0 1 * * *",
            "CRON_TZ=Europe/Berlin @weekly",
        ],
        ["TZ=Europe/Berlin 0 1 * * *", "TZ=Europe/London 0 2 * * *"],
        ["TZ=Europe/Berlin 0 1 * * *", "0 2 * * *"],
        ["0 2 * * *", "TZ=Europe/Berlin 0 1 * * *"],
        ["TZ=Europe/Berlin 0 1 * * *", "@every 5m"],
        ["TZ= 0 1 * * *", "0 2 * * *"],
        ["@hourly", "@every 45m/7m"],
        ["@hourly", "bad"],
    ] {
        cases.push(of_crons(&crons));
    }
    for (cron, timezone) in [
        ("TZ=Europe/Berlin 0 1 * * *", "Europe/Berlin"),
        ("TZ=Europe/Berlin 0 1 * * *", "UTC"),
        ("0 1 * * *", "Asia/Tokyo"),
        ("@every 7h", "Asia/Tokyo"),
    ] {
        cases.push(Case {
            timezone: timezone.to_owned(),
            ..of_crons(&[cron])
        });
    }
    cases.extend(ZONE_NAMES.iter().map(|zone| Case {
        timezone: (*zone).to_owned(),
        ..of_crons(&["0 5 * * *"])
    }));
    for (every, phase) in [
        (seconds(1), seconds(0)),
        (millis(999), seconds(0)),
        (millis(2500), millis(2400)),
        (seconds(0), seconds(0)),
        (seconds(3600), seconds(900)),
        (seconds(3600), seconds(3600)),
        (seconds(3600), seconds(7200)),
        (seconds(86_400 * 7), seconds(86_400 * 4)),
        (seconds(86_400 * 36_500), seconds(86_400 * 36_499)),
        (seconds(86_400 * 200_000), seconds(86_400)),
    ] {
        cases.push(Case {
            intervals: vec![(every, phase)],
            ..Case::default()
        });
    }
    cases.extend(changing_clocks());
    cases.extend(bounded());
    cases.extend(excluding());
    cases
}

fn of_crons(crons: &[&str]) -> Case {
    Case {
        crons: crons.iter().map(|cron| (*cron).to_owned()).collect(),
        ..Case::default()
    }
}

/// Times in and beside the hours in which clocks change, zone by zone.
fn changing_clocks() -> Vec<Case> {
    const HOURS: [&str; 5] = ["1", "2", "0", "3", "23"];
    let mut cases = Vec::new();
    for (index, zone) in ZONES.iter().enumerate() {
        for hour in [HOURS[index % 3], HOURS[index % 5], "0-4"] {
            let cron = format!("30 {hour} * * *");
            cases.push(Case {
                timezone: (*zone).to_owned(),
                ..of_crons(&[&cron])
            });
        }
    }
    cases
}

/// Bounds at, between and beside the times.
fn bounded() -> Vec<Case> {
    let at = |text: &str| -> Option<Timestamp> { text.parse().ok() };
    let mut cases = Vec::new();
    for (start, end) in [
        (at("2030-01-01T00:00:00Z"), None),
        (at("2030-01-01T00:00:01Z"), None),
        (at("2030-01-01T00:00:00.5Z"), None),
        (at("2029-12-31T23:59:59.999Z"), None),
        (at("2030-01-01T00:00:00Z"), at("2030-01-01T00:00:00Z")),
        (at("2030-01-01T00:00:00Z"), at("2030-01-02T00:00:00Z")),
        (at("2030-01-01T00:00:00Z"), at("2030-01-01T23:59:59.999Z")),
        (at("2030-01-01T00:00:00Z"), at("2030-01-02T00:00:00.5Z")),
        (None, at("2020-01-01T00:00:00Z")),
        (at("2101-01-01T00:00:00Z"), None),
        (at("2100-12-30T12:00:00Z"), None),
        (at("1960-01-01T00:00:00Z"), None),
    ] {
        cases.push(Case {
            start_at: start,
            end_at: end,
            ..of_crons(&["0 */12 * * *"])
        });
        let intervals = vec![(Duration::from_hours(12), Duration::ZERO)];
        cases.push(Case {
            intervals,
            start_at: start,
            end_at: end,
            ..Case::default()
        });
    }
    cases
}

/// Excludes a century of seconds.
pub(super) fn over_excluding() -> Case {
    let exclude = CalendarInput {
        year: Some("2000-2099".to_owned()),
        ..CalendarInput::default()
    };
    Case {
        exclude: vec![exclude],
        ..of_crons(&["* * * * * * *"])
    }
}

/// Exclusions: whole days, hours, single seconds, and nothing.
fn excluding() -> Vec<Case> {
    let all = || CalendarInput {
        second: Some("*".into()),
        minute: Some("*".into()),
        hour: Some("*".into()),
        ..CalendarInput::default()
    };
    let some = |text: &str| Some(text.to_owned());
    let exclusions = [
        CalendarInput {
            month: some("12"),
            day_of_month: some("24-26"),
            ..all()
        },
        CalendarInput {
            day_of_week: some("SAT,SUN"),
            ..all()
        },
        CalendarInput {
            day_of_week: some("1-7"),
            ..all()
        },
        CalendarInput {
            hour: some("0-8,17/1"),
            ..all()
        },
        CalendarInput {
            hour: some("12"),
            minute: some("30"),
            ..all()
        },
        CalendarInput {
            hour: some("12"),
            minute: some("30"),
            second: some("0"),
            ..all()
        },
        CalendarInput {
            hour: some("12"),
            second: some("0/7"),
            ..all()
        },
        CalendarInput {
            minute: some("99"),
            ..all()
        },
    ];
    let mut cases = Vec::new();
    for exclude in exclusions {
        for cron in ["0 */6 * * *", "*/10 * * * * * *", "30 12 * * *"] {
            for timezone in ["UTC", "Australia/Lord_Howe"] {
                let exclude = vec![exclude.clone()];
                cases.push(Case {
                    exclude,
                    timezone: timezone.to_owned(),
                    ..of_crons(&[cron])
                });
            }
        }
    }
    cases
}
