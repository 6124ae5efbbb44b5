//! Words denote exactly the times of a spec.

use proptest::prelude::*;

use super::*;
use crate::interval::go_duration;
use crate::{CalendarInput, Months, Role, WholeDays, Years, compile_calendar, compile_cron};

fn spec(crons: &[&str]) -> Spec {
    let mut spec = Spec::default();
    for cron in crons {
        let cron = compile_cron(cron).unwrap();
        spec.calendars.extend(cron.calendars);
        spec.intervals.extend(cron.intervals);
    }
    spec
}

fn words(crons: &[&str]) -> String {
    spec(crons).words(None)
}

#[test]
fn crons_have_words() {
    let table: Vec<String> = [
        "* * * * *",
        "* * * * * * *",
        "*/20 * * * * * *",
        "30 * * * * * *",
        "*/15 * * * *",
        "5-59/15 * * * *",
        "0 * * * *",
        "30 * * * *",
        "5,10 * * * *",
        "0 */2 * * *",
        "15 */6 * * *",
        "0 1-23/2 * * *",
        "@every 20s",
        "@every 1m",
        "@every 6h/15m",
        "@every 7d/12h",
        "30 4 * * *",
        "15 30 4 * * * *",
        "30 4,16 * * MON,WED",
        "0 9-17 * * 1-5",
        "30 8-18/2 * * *",
        "*/5 9-17 * * MON-FRI",
        "* 9 * * *",
        "0 2 1 * *",
        "0 2 1,15 JAN,JUL *",
        "0 12 24 12 * 2026",
        "0 12 24 12 *",
        "0 9 1-7 * MON",
        "0 9 8-14 3 TUE",
        "0 9 13 * FRI",
        "0 0 * * SAT,SUN",
        "0 0 * * SUN",
        "0 0 * 6-8 *",
        "0 0 1 1 * 2026-2028",
        "@yearly",
    ]
    .iter()
    .map(|cron| format!("{cron} = {}", words(&[cron])))
    .collect();
    insta::assert_snapshot!(table.join("\n"), @r"
    * * * * * = every minute
    * * * * * * * = every second
    */20 * * * * * * = every 20s
    30 * * * * * * = every minute at +30s
    */15 * * * * = every 15m
    5-59/15 * * * * = every 15m at +5m
    0 * * * * = hourly
    30 * * * * = hourly at :30
    5,10 * * * * = hourly at :05 and :10
    0 */2 * * * = every 2h
    15 */6 * * * = every 6h at +15m
    0 1-23/2 * * * = 01:00–23:00 every 2h
    @every 20s = every 20s
    @every 1m = every minute
    @every 6h/15m = every 6h at +15m
    @every 7d/12h = every 7d at +12h
    30 4 * * * = 04:30 daily
    15 30 4 * * * * = 04:30:15 daily
    30 4,16 * * MON,WED = 04:30 and 16:30 Mon, Wed
    0 9-17 * * 1-5 = 09:00–17:00 hourly Mon–Fri
    30 8-18/2 * * * = 08:30–18:30 every 2h
    */5 9-17 * * MON-FRI = every 5m 09:00–17:59 Mon–Fri
    * 9 * * * = every minute 09:00–09:59
    0 2 1 * * = 02:00 on the 1st
    0 2 1,15 JAN,JUL * = 02:00 on the 1st and 15th of Jan, Jul
    0 12 24 12 * 2026 = 12:00 on 2026-12-24
    0 12 24 12 * = 12:00 on the 24th of Dec
    0 9 1-7 * MON = 09:00 on the first Mon of the month
    0 9 8-14 3 TUE = 09:00 on the second Tue of Mar
    0 9 13 * FRI = 09:00 on the 13th if Fri
    0 0 * * SAT,SUN = 00:00 Sat–Sun
    0 0 * * SUN = 00:00 Sun
    0 0 * 6-8 * = 00:00 daily in Jun–Aug
    0 0 1 1 * 2026-2028 = 00:00 on the 1st of Jan 2026–2028
    @yearly = 00:00 on the 1st of Jan
    ");
}

#[test]
fn irregular_crons_stay_crons() {
    for cron in [
        "0-56/7 * * * *",
        "0 1,2,3,5,8 * * *",
        "0-45/15 9,17 * * *",
        "* 30 4 * * * *",
        "0 0 1-31/2 * *",
        "0 0 1 1-11/2 *",
        "0-30 * * * *",
    ] {
        let calendar = compile_cron(cron).unwrap().calendars[0];
        assert_eq!(words(&[cron]), calendar.to_string());
    }
}

#[test]
fn several_times_are_joined_and_the_rest_is_counted() {
    assert_eq!(
        words(&["30 4 * * *", "0 16 * * *"]),
        "04:30 and 16:00 daily"
    );
    assert_eq!(
        words(&["30 4 * * *", "0 16 * * MON"]),
        "04:30 daily; 16:00 Mon"
    );
    let many = [
        "30 4 * * *",
        "0 16 * * MON",
        "0 17 1 * *",
        "*/7 * * * *",
        "@every 6h",
    ];
    assert_eq!(words(&many), "04:30 daily; 16:00 Mon; +3 more");
    // A list of the server may have been cut.
    let cut = |number| spec(&many).words(Some(number));
    assert_eq!(cut(5), "04:30 daily; 16:00 Mon; +3 more");
    assert_eq!(cut(4), "04:30 daily; 16:00 Mon; +3 or more");
    let merged = spec(&["30 4 * * *", "0 16 * * *"]);
    assert_eq!(merged.words(Some(2)), "04:30 and 16:00 daily; maybe more");
}

#[test]
fn a_spec_without_times_and_a_spec_that_never_fires_have_different_texts() {
    assert_eq!(Spec::default().words(None), "-");
    let mut never = Spec {
        calendars: [Calendar::NEVER].into_iter().collect(),
        ..Spec::default()
    };
    assert_eq!(never.words(None), "never");
    never.calendars.extend(spec(&["@daily"]).calendars);
    assert_eq!(never.words(None), "00:00 daily");
    never.exclude.insert(Calendar::NEVER);
    assert_eq!(never.words(None), "00:00 daily");
    never.exclude.insert(Calendar::ALWAYS);
    assert_eq!(never.words(None), "never");
}

#[test]
fn the_zone_is_shown_if_it_matters() {
    let zoned = |cron| Spec {
        timezone: "Europe/Berlin".to_owned(),
        ..spec(&[cron])
    };
    assert_eq!(
        zoned("30 4 * * 1-5").words(None),
        "04:30 Mon–Fri Europe/Berlin"
    );
    // Intervals count from the epoch in any zone.
    assert_eq!(zoned("@every 6h").words(None), "every 6h");
}

#[test]
fn bounds_and_jitter_come_last() {
    let bounded = Spec {
        timezone: "Europe/Berlin".to_owned(),
        start_at: Some("2025-12-31T23:00:00Z".parse().unwrap()),
        end_at: Some("2026-12-31T12:30:05Z".parse().unwrap()),
        jitter: Duration::from_secs(30),
        ..spec(&["@every 6h"])
    };
    assert_eq!(
        bounded.words(None),
        "every 6h from 2025-12-31 23:00 until 2026-12-31 12:30:05, jitter 30s"
    );
    let zoned = Spec {
        end_at: None,
        ..bounded
    };
    let zoned = Spec {
        calendars: spec(&["30 4 * * *"]).calendars,
        intervals: Sorted::default(),
        ..zoned
    };
    assert_eq!(
        zoned.words(None),
        "04:30 daily Europe/Berlin from 2026-01-01, jitter 30s"
    );
}

#[test]
fn exclusions_are_few_words() {
    let except = |crons: &[&str]| Spec {
        exclude: spec(crons).calendars,
        ..spec(&["30 4 * * *"])
    };
    for (crons, expected) in [
        (&["* * * * * SAT,SUN *"][..], "Sat–Sun"),
        (&["* * * 24 12 * 2026"], "on 2026-12-24"),
        (&["* * * 24-26 12 * *"], "on the 24th–26th of Dec"),
        (&["* * 12-13 * * * *"], "12:00–13:59"),
        (&["0 12 * * *"], "12:00 daily"),
        (&["* * * 30 2,12 * 2026", "* * * 1 1 * 2026"], "2 days"),
        (
            &["* * * 29,30 2 * *", "* * * 29 2 * 2028", "* * * 1 1 * 2026"],
            "1 day and 1 day a year",
        ),
        (&["* * * * * SUN *", "* * * 1,2 1 * 2026"], "Sun and 2 days"),
        (&["* * * * * SUN *", "* * 12 * * * *"], "2 rules"),
    ] {
        let words = except(crons).words(None);
        assert_eq!(words, format!("04:30 daily except {expected}"));
    }
    let two = except(&["* * * 2 1 * 2026", "* * * 1 1 * 2026"]);
    assert_eq!(two.words(Some(2)), "04:30 daily except 2 or more days");
}

#[test]
fn a_set_of_days_is_counted_by_days() {
    let mut days = WholeDays::default();
    for day in 1..=12 {
        days.insert_date(jiff::civil::date(2026, day, day));
    }
    let spec = Spec {
        exclude: days.compile(),
        ..spec(&["30 4 * * 1-5"])
    };
    assert_eq!(spec.words(None), "04:30 Mon–Fri except 12 days");
}

#[test]
fn the_length_has_a_limit() {
    let long = Spec {
        timezone: "America/Argentina/ComodRivadavia".to_owned(),
        jitter: Duration::from_secs(30),
        ..spec(&["30 4,16 * * MON,WED", "0 2 1,15 JAN,JUL *"])
    };
    assert_eq!(
        long.words(None),
        "02:00 on the 1st and 15th of Jan, Jul; +1 more America/Argentina/ComodRivadavia…"
    );
    assert_eq!(length(&long.words(None)), LIMIT);
    // A calendar whose words are longer than its cron string keeps the string.
    let cron = "0 1,2,5,9 1,2,5,9 1,2,5,9 0,2,3";
    assert_eq!(words(&[cron]), cron);
}

/// The times of day and the days that words denote, read independently of how they are written.
struct Meaning {
    seconds: BTreeSet<u32>,
    days: Calendar,
}

impl Meaning {
    fn of(calendar: &Calendar) -> Self {
        let clocks = (0..86_400).filter(|at: &u32| {
            let part = |value: u32| u16::try_from(value).unwrap();
            calendar.hour.contains(part(at / 3600))
                && calendar.minute.contains(part(at / 60 % 60))
                && calendar.second.contains(part(at % 60))
        });
        Self {
            seconds: clocks.collect(),
            days: Calendar {
                second: Values::ALL,
                minute: Values::ALL,
                hour: Values::ALL,
                ..*calendar
            },
        }
    }

    fn read(words: &str) -> Self {
        let mut words = Words(words.split(' ').collect());
        let seconds = words.seconds();
        let days = words.days();
        assert!(words.0.is_empty(), "{:?} is left", words.0);
        Self { seconds, days }
    }
}

struct Words<'a>(Vec<&'a str>);

fn clock(text: &str) -> u32 {
    let parts: Vec<u32> = text.split(':').map(|part| part.parse().unwrap()).collect();
    parts[0] * 3600 + parts[1] * 60 + parts.get(2).copied().unwrap_or_default()
}

fn period(text: &str) -> usize {
    let seconds = match text {
        "second" => 1,
        "minute" => 60,
        _ => go_duration(text).unwrap().as_secs(),
    };
    usize::try_from(seconds).unwrap()
}

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        self.0.remove(0)
    }

    fn eat(&mut self, word: &str) -> bool {
        let is_next = self.0.first() == Some(&word);
        if is_next {
            self.next();
        }
        is_next
    }

    /// The words of a list such as `a, b and c` that `is_item` accepts.
    fn list(&mut self, is_item: impl Fn(&str) -> bool) -> Vec<&'a str> {
        let mut items = Vec::new();
        while let Some(next) = self.0.first() {
            let item = next.trim_end_matches(',');
            if !is_item(item) {
                break;
            }
            let goes_on = next.ends_with(',');
            items.push(item);
            self.next();
            if !self.eat("and") && !goes_on {
                break;
            }
        }
        items
    }

    /// The seconds of a day.
    fn seconds(&mut self) -> BTreeSet<u32> {
        let all: BTreeSet<u32> = if self.eat("every") {
            let step = period(self.next());
            let first = if self.eat("at") {
                period(self.next().strip_prefix('+').unwrap())
            } else {
                0
            };
            let first = u32::try_from(first).unwrap();
            (first..86_400).step_by(step).collect()
        } else if self.eat("hourly") {
            let offsets = if self.eat("at") {
                let texts = self.list(|item| item.starts_with(':'));
                texts
                    .iter()
                    .map(|text| clock(&format!("0{text}")))
                    .collect()
            } else {
                vec![0]
            };
            let hours = 0..24;
            let times = hours.flat_map(|hour| offsets.iter().map(move |at| hour * 3600 + at));
            times.collect()
        } else if self.0[0].contains('–') {
            let (first, last) = self.next().split_once('–').unwrap();
            let step = if self.eat("hourly") {
                3600
            } else {
                assert!(self.eat("every"));
                period(self.next())
            };
            return (clock(first)..=clock(last)).step_by(step).collect();
        } else {
            let texts = self.list(|item| item.contains(':'));
            let is_daily = self.eat("daily");
            let is_dated = self.0.first().is_some_and(|word| *word != "in");
            assert!(is_daily != is_dated, "each clock time says on which days");
            return texts.into_iter().map(clock).collect();
        };
        match self.0.first().filter(|word| word.contains(':')) {
            None => all,
            Some(window) => {
                let (first, last) = window.split_once('–').unwrap();
                let hours = clock(first)..clock(last) + 60;
                self.next();
                all.into_iter().filter(|at| hours.contains(at)).collect()
            }
        }
    }

    fn days(&mut self) -> Calendar {
        let mut days = Calendar::ALWAYS;
        if self.eat("on") {
            if !self.eat("the") {
                let date: Vec<&str> = self.next().split('-').collect();
                days.year = Years::only(date[0].parse().unwrap());
                days.month = Months::only(date[1].parse().unwrap());
                days.day_of_month = DaysOfMonth::only(date[2].parse().unwrap());
                return days;
            }
            let weeks = ["first", "second", "third", "fourth"];
            if let Some(week) = weeks.iter().position(|week| *week == self.0[0]) {
                self.next();
                let first = u16::try_from(week * 7 + 1).unwrap();
                days.day_of_month = (first..first + 7).collect();
                days.day_of_week = self.weekdays();
                if self.0.starts_with(&["of", "the", "month"]) {
                    self.0.drain(..3);
                }
            } else {
                let items = self.list(|item| item.starts_with(|c: char| c.is_ascii_digit()));
                let number = |text: &str| {
                    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
                    digits.parse::<u16>().ok()
                };
                days.day_of_month = values(&items, number);
            }
        } else {
            let all = self.weekdays();
            if !all.is_empty() {
                days.day_of_week = all;
            }
        }
        if self.eat("in") || self.eat("of") {
            let months = self.list(|item| item.starts_with(char::is_alphabetic));
            if !months.is_empty() {
                days.month = values(&months, position(&MONTHS, 1));
            }
            let years = self.list(|item| item.starts_with("20") || item.starts_with("21"));
            if !years.is_empty() {
                days.year = values(&years, |text| text.parse().ok());
            }
        }
        if self.eat("if") {
            days.day_of_week = self.weekdays();
        }
        days
    }

    fn weekdays(&mut self) -> crate::DaysOfWeek {
        let items = self.list(|item| WEEKDAYS.contains(&item.split('–').next().unwrap()));
        let days: Values<1, 7> = values(&items, position(&WEEKDAYS, 1));
        days.iter().map(|day| day % 7).collect()
    }
}

fn position(names: &'static [&str], first: usize) -> impl Fn(&str) -> Option<u16> {
    move |text| {
        let index = names.iter().position(|name| *name == text)?;
        u16::try_from(index + first).ok()
    }
}

fn values<const MIN: u16, const MAX: u16>(
    items: &[&str],
    number: impl Fn(&str) -> Option<u16>,
) -> Values<MIN, MAX> {
    let mut values = Values::NONE;
    for item in items {
        let (first, last) = item.split_once('–').unwrap_or((item, item));
        (number(first).unwrap()..=number(last).unwrap()).for_each(|value| values.insert(value));
    }
    values
}

/// Fields as people write them, and some that nobody writes.
fn field<const MIN: u16, const MAX: u16>() -> impl Strategy<Value = Values<MIN, MAX>> {
    let range = (MIN..=MAX, MIN..=MAX).prop_map(|(a, b)| (a.min(b)..=a.max(b)).collect());
    let steps = (MIN..=MAX, MIN..=MAX, 1_u16..31).prop_map(|(a, b, step)| {
        let range = a.min(b)..=a.max(b);
        range.step_by(usize::from(step)).collect()
    });
    let even = (0_u16..10, 1_u16..31).prop_map(|(first, step)| {
        (MIN + first % step..=MAX)
            .step_by(usize::from(step))
            .collect()
    });
    prop_oneof![
        4 => Just(Values::ALL),
        4 => Just(Values::only(MIN)),
        3 => (MIN..=MAX).prop_map(Values::only),
        2 => range,
        2 => steps,
        4 => even,
        3 => proptest::collection::vec(MIN..=MAX, 1..5).prop_map(Values::from_iter),
    ]
}

prop_compose! {
    fn calendars()(
        second in prop_oneof![3 => Just(Sixty::only(0)), 1 => field()],
        minute in field(), hour in field(),
        day_of_month in prop_oneof![Just(Values::ALL), field(), Just((8..15).collect())],
        month in prop_oneof![Just(Values::ALL), field()],
        year in prop_oneof![3 => Just(Values::ALL), 1 => field()],
        day_of_week in prop_oneof![Just(Values::ALL), field()],
    ) -> Calendar {
        Calendar { second, minute, hour, day_of_month, month, year, day_of_week }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn words_denote_exactly_the_calendar(calendar in calendars()) {
        prop_assume!(!calendar.is_never());
        if let Some((time, days)) = phrase(&calendar) {
            let words = sentence(&time, &days);
            let (read, meant) = (Meaning::read(&words), Meaning::of(&calendar));
            prop_assert_eq!(read.seconds, meant.seconds, "{}", words);
            prop_assert_eq!(read.days, meant.days, "{}", words);
        }
    }

    #[test]
    fn words_of_several_calendars_denote_their_union(
        one in calendars(), hour in 0_u16..24, minute in 0_u16..60,
    ) {
        prop_assume!(!one.is_never());
        let other = Calendar {
            second: Values::only(0),
            minute: Values::only(minute),
            hour: Values::only(hour),
            ..one
        };
        // Two equal calendars are one calendar, which may have no words.
        prop_assume!(other != one);
        let both = Spec { calendars: [one, other].into_iter().collect(), ..Spec::default() };
        if let [only] = &parts(&both)[..] {
            let mut meant = Meaning::of(&one);
            meant.seconds.extend(Meaning::of(&other).seconds);
            let read = Meaning::read(only);
            prop_assert_eq!(read.seconds, meant.seconds, "{}", only);
            prop_assert_eq!(read.days, meant.days, "{}", only);
        }
    }

    #[test]
    fn words_of_an_interval_denote_it(seconds in 1_u64..10_000_000, phase in 0_u64..10_000_000) {
        let phase = phase % seconds;
        let duration = Duration::from_secs;
        let interval = Interval::new(duration(seconds), duration(phase)).unwrap();
        let words = interval_words(&interval);
        let words = words.strip_prefix("every ").unwrap();
        let (every, at) = words.split_once(" at +").unwrap_or((words, "0"));
        prop_assert_eq!(period(every) as u64, seconds);
        prop_assert_eq!(period(at) as u64, phase);
    }

    #[test]
    fn words_are_short_and_never_panic(
        all in proptest::collection::vec(calendars(), 0..6),
        exclude in proptest::collection::vec(calendars(), 0..4),
        zone in "[A-Za-z/ü]{0,90}",
    ) {
        let spec = Spec {
            calendars: all.into(),
            exclude: exclude.into(),
            timezone: zone,
            ..Spec::default()
        };
        let words = spec.words(Some(4));
        prop_assert!(length(&words) <= LIMIT, "{}", words);
        prop_assert!(!words.is_empty());
    }
}

#[test]
fn calendars_of_definitions_have_words() {
    let nine = CalendarInput {
        hour: Some("9".to_owned()),
        day_of_week: Some("MON-FRI".to_owned()),
        ..CalendarInput::default()
    };
    let calendar = compile_calendar(&nine, Role::Match).unwrap();
    let spec = Spec {
        calendars: [calendar].into_iter().collect(),
        ..Spec::default()
    };
    assert_eq!(spec.words(None), "09:00 Mon–Fri");
}
