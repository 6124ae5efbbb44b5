//! Documents of `kind: calendar`, and definitions that name them.

use super::{context, definition, parse, rendered, report};
use crate::definition::{Calendars, DayCalendar, Definition, Kind};

pub(super) const HOLIDAYS: &str = r#"
kind: calendar
id: de-holidays
description: Public holidays
labels: { country: de }
dates:
  - 2026-04-03
  - 2026-05-14/2026-05-16
  - 12-25
  - 12-31
  - "10-30/11-01"
  - { day_of_week: SUN }
  - { month: AUG, year: 2026 }
"#;

#[track_caller]
fn calendar(text: &str) -> DayCalendar {
    let documents = parse(text);
    let [document] = &documents[..] else {
        panic!("{documents:?}")
    };
    assert_eq!(document.warnings, [], "{}", rendered(&document.warnings));
    assert_eq!(document.kind, Kind::Calendar);
    match document.calendar() {
        Some(calendar) => DayCalendar::clone(calendar),
        None => panic!("{:?}", document.result),
    }
}

fn exclusions(calendar: &DayCalendar) -> String {
    let texts: Vec<_> = calendar
        .exclusions
        .iter()
        .map(ToString::to_string)
        .collect();
    texts.join("\n")
}

/// The only document of `text`, with these calendars to name.
fn resolve(text: &str, calendars: &[DayCalendar]) -> Result<Definition, String> {
    let documents = parse(text);
    let failing = ["broken".parse().unwrap()];
    Calendars::new(calendars, &failing)
        .resolve(documents[0].definition().unwrap(), &documents[0].calendars)
        .map_err(|errors| rendered(&errors))
}

fn naming(exclude: &str) -> String {
    format!("schedule:\n  cron: 0 9 * * *\n  exclude: {exclude}\ndo: [a: {{ wait: PT1S }}]\n")
}

#[test]
fn a_calendar_is_its_days() {
    let calendar = calendar(HOLIDAYS);
    assert_eq!(calendar.id.as_str(), "de-holidays");
    assert_eq!(calendar.description.as_deref(), Some("Public holidays"));
    assert_eq!(calendar.labels.get("country"), Some("de"));
    insta::assert_snapshot!(exclusions(&calendar), @r"
    * * * 1 11 * *
    * * * 3 4 * 2026
    * * * 14-16 5 * 2026
    * * * 25,31 12 * *
    * * * 30,31 10 * *
    * * * * 8 * 2026
    * * * * * 0 *
    ");
}

#[test]
fn the_files_name_is_the_id_of_a_lone_calendar() {
    let calendar = calendar("kind: calendar\ndates: [02-29]\n");
    assert_eq!(calendar.id.as_str(), "nightly");
    assert_eq!(exclusions(&calendar), "* * * 29 2 * *");
}

#[test]
fn a_calendars_revision_depends_only_on_its_meaning() {
    let one = calendar("kind: calendar\nid: a\ndates: [2026-01-01, 2026-01-02]\n");
    let same = calendar("id: b # other\nkind: calendar\ndates: [2026-01-01/2026-01-02]\n");
    assert_eq!(one.revision, same.revision);
    for other in [
        "dates: [2026-01-01]",
        "description: x\ndates: [2026-01-01, 2026-01-02]",
    ] {
        let other = calendar(&format!("kind: calendar\nid: a\n{other}\n"));
        assert_ne!(one.revision, other.revision);
    }
}

#[test]
fn all_errors_of_a_calendar_are_reported_at_their_place() {
    let found = report(
        r"kind: calendar
id: Holidays
cron: 0 9 * * *
dates:
  - 2026-02-29
  - 2026-13-01
  - 02-30
  - 24.12.2026
  - 1999-01-01
  - 2026-12-31/2026-12-24
  - 12-24/01-02
  - 2026-01-01/2027-12-31
  - 2026-01-01/12-31
  - 2026-01-01/2026-01-32
  - 20261224
  - [2026-12-24]
  - { hour: 9 }
  - { month: 13 }
  - {}
---
kind: calendar
id: empty
dates: []
---
kind: calendar
id: none
date: [2026-01-01]
---
kind: calendar
id: nothing
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:2:5: `id` must be 1 to 128 of a-z, 0-9, `.`, `_` and `-` and begin with a letter or digit, not `Holidays`
      2 | id: Holidays
        |     ^
      hint: `holidays` would be valid
    jobs/nightly.yaml:3:1: unknown key `cron` in a calendar's document
      3 | cron: 0 9 * * *
        | ^
      hint: the keys are kind, id, description, labels, dates
    jobs/nightly.yaml:5:5: `dates`: the day `2026-02-29` does not exist
      5 |   - 2026-02-29
        |     ^
      hint: the month comes before the day
    jobs/nightly.yaml:6:5: `dates`: the day `2026-13-01` does not exist
      6 |   - 2026-13-01
        |     ^
      hint: the month comes before the day
    jobs/nightly.yaml:7:5: `dates`: the day `02-30` does not exist
      7 |   - 02-30
        |     ^
      hint: the month comes before the day
    jobs/nightly.yaml:8:5: `dates`: `24.12.2026` is not a date
      8 |   - 24.12.2026
        |     ^
      hint: write 2026-12-24, 12-25 for a day of every year, or a range of either: 2026-12-24/2026-12-26
    jobs/nightly.yaml:9:5: `dates`: the year of `1999-01-01` is not from 2000 to 2100
      9 |   - 1999-01-01
        |     ^
      hint: Temporal supports only these years
    jobs/nightly.yaml:10:16: `dates`: the range `2026-12-31/2026-12-24` ends before it begins
      10 |   - 2026-12-31/2026-12-24
         |                ^
      hint: write the earlier date first
    jobs/nightly.yaml:11:11: `dates`: the range `12-24/01-02` ends before it begins
      11 |   - 12-24/01-02
         |           ^
      hint: for a range past the end of the year, write two: 12-24/12-31 and 01-01/01-02
    jobs/nightly.yaml:12:16: `dates`: the range `2026-01-01/2027-12-31` has 730 days, over the limit of 366
      12 |   - 2026-01-01/2027-12-31
         |                ^
      hint: end the schedule with `end_at`, or write a rule such as { year: 2027 }
    jobs/nightly.yaml:13:16: `dates`: `2026-01-01/12-31` has a year at one end only
      13 |   - 2026-01-01/12-31
         |                ^
      hint: give both ends a year, or neither
    jobs/nightly.yaml:14:16: `dates`: the day `2026-01-32` does not exist
      14 |   - 2026-01-01/2026-01-32
         |                ^
      hint: the month comes before the day
    jobs/nightly.yaml:15:5: an entry of `dates` must be a date, not `20261224`
      15 |   - 20261224
         |     ^
      hint: write 2026-12-24, 12-25 for a day of every year, or a range of either: 2026-12-24/2026-12-26
    jobs/nightly.yaml:16:5: an entry of `dates` must be a date, not a list
      16 |   - [2026-12-24]
         |     ^
      hint: write 2026-12-24, 12-25 for a day of every year, or a range of either: 2026-12-24/2026-12-26
    jobs/nightly.yaml:17:7: unknown key `hour` in a rule of `dates`
      17 |   - { hour: 9 }
         |       ^
      hint: the keys are day_of_month, month, year, day_of_week
    jobs/nightly.yaml:18:14: `dates.month`: month `13` is not from 1 to 12
      18 |   - { month: 13 }
         |              ^
    jobs/nightly.yaml:19:5: an entry of `dates` has no field
      19 |   - {}
         |     ^
      hint: an empty entry would exclude every time
    jobs/nightly.yaml:23:8: `dates` is an empty list
      23 | dates: []
         |        ^
    jobs/nightly.yaml:27:1: unknown key `date` in a calendar's document
      27 | date: [2026-01-01]
         | ^
      hint: did you mean `dates`?
    jobs/nightly.yaml:29:1: `dates` is missing
      29 | kind: calendar
         | ^
      hint: write 2026-12-24, 12-25 for a day of every year, or a range of either: 2026-12-24/2026-12-26
    ");
}

#[test]
fn days_that_are_listed_twice_warn() {
    let found = report(
        "kind: calendar\ndates:\n  - 2026-12-24\n  - 2026-12-20/2026-12-26\n  - 12-24\n  - { day_of_week: SUN }\n  - { day_of_week: 0 }\n",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:4:5: warning: `dates`: 2026-12-24 is already listed
      4 |   - 2026-12-20/2026-12-26
        |     ^
      hint: remove one of the two
    jobs/nightly.yaml:5:5: warning: `dates`: 12-24 is already listed
      5 |   - 12-24
        |     ^
      hint: remove one of the two
    jobs/nightly.yaml:7:5: warning: `dates`: this rule is already listed
      7 |   - { day_of_week: 0 }
        |     ^
      hint: remove one of the two
    ");
}

#[test]
fn a_calendar_with_broken_syntax_is_still_recognized_as_a_calendar() {
    let documents = parse("kind: calendar # x\nid: a\ndates: [\n");
    assert_eq!(documents[0].kind, Kind::Calendar);
    assert_eq!(documents[0].id.as_ref().unwrap().as_str(), "a");
    assert!(documents[0].result.is_err());
}

#[test]
fn a_definition_excludes_the_days_of_the_calendars_it_names() {
    let calendars = [
        calendar("kind: calendar\nid: christmas\ndates: [12-24/12-26]\n"),
        calendar("kind: calendar\nid: sundays\ndates: [{ day_of_week: SUN }]\n"),
    ];
    let text = naming("[{ calendar: christmas }, { calendar: sundays }, { hour: 9, month: 1 }]");
    let named = resolve(&text, &calendars).unwrap();
    let spelled_out = definition(&naming(
        "[{ month: 12, day_of_month: 24-26 }, { day_of_week: 0 }, { hour: 9, month: 1 }]",
    ));
    // So another way to say the same writes nothing.
    assert_eq!(named, spelled_out);
    assert_ne!(named.revision, definition(&text).revision);
}

#[test]
fn a_definition_without_calendars_keeps_its_revision() {
    let plain = definition(&naming("[]"));
    assert_eq!(resolve(&naming("[]"), &[]), Ok(plain));
}

#[test]
fn calendars_that_leave_no_time_warn() {
    let sundays = calendar("kind: calendar\nid: sundays\ndates: [{ day_of_week: SUN }]\n");
    let warning = |cron: &str| {
        let text = naming("[{ calendar: sundays }]").replace("0 9 * * *", cron);
        let document = parse(&text).remove(0);
        let parsed = document.definition().unwrap();
        let resolved = Calendars::new([&sundays], []).resolve(parsed, &document.calendars);
        let resolved = resolved.unwrap();
        let warning = Calendars::warning(parsed, &resolved, &document.calendars, context().now);
        rendered(warning.as_slice())
    };
    insta::assert_snapshot!(warning("0 9 * * SUN"), @r"
    jobs/nightly.yaml:3:25: warning: `schedule.exclude`: the schedule never fires, because its calendars exclude every time
      3 |   exclude: [{ calendar: sundays }]
        |                         ^
      hint: no date is left, or so much is excluded that the server stops searching
    ");
    assert_eq!(warning("0 9 * * *"), "");
    // That it never fires was said when it was parsed.
    assert_eq!(warning("0 9 30 2 *"), "");
}

#[test]
fn an_unknown_calendar_is_reported_at_its_place() {
    let text = naming("[{ calendar: de-holiday }, { calendar: x }, { calendar: broken }]");
    let known = |id: &str| calendar(&format!("kind: calendar\nid: {id}\ndates: [12-25]\n"));
    let found = resolve(&text, &[known("de-holidays"), known("us-holidays")]).unwrap_err();
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:3:25: `schedule.exclude`: there is no calendar `de-holiday`
      3 |   exclude: [{ calendar: de-holiday }, { calendar: x }, { calendar: broken }]
        |                         ^
      hint: did you mean `de-holidays`?
    jobs/nightly.yaml:3:51: `schedule.exclude`: there is no calendar `x`
      3 |   exclude: [{ calendar: de-holiday }, { calendar: x }, { calendar: broken }]
        |                                                   ^
      hint: the calendars are de-holidays and us-holidays
    jobs/nightly.yaml:3:68: `schedule.exclude`: calendar `broken` is invalid
      3 |   exclude: [{ calendar: de-holiday }, { calendar: x }, { calendar: broken }]
        |                                                                    ^
      hint: fix its document; no earlier valid version is known
    ");
    let found = resolve(&naming("[{ calendar: x }]"), &[]).unwrap_err();
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:3:25: `schedule.exclude`: there is no calendar `x`
      3 |   exclude: [{ calendar: x }]
        |                         ^
      hint: a calendar is a document with `kind: calendar` and `dates`
    ");
}

#[test]
fn an_invalid_calendar_name_is_refused() {
    let text = naming(
        "[{ calendar: De Holidays }, { calendar: 5 }, { calendar: a, month: 12 }, { calendar: }, { calender: a }]",
    );
    insta::assert_snapshot!(report(&text), @r#"
    jobs/nightly.yaml:3:25: `schedule.exclude.calendar` must be 1 to 128 of a-z, 0-9, `.`, `_` and `-` and begin with a letter or digit, not `De Holidays`
      3 |   exclude: [{ calendar: De Holidays }, { calendar: 5 }, { calendar: a, month: 12 }, { calendar: }, { calender: a }]
        |                         ^
      hint: `de-holidays` would be valid
    jobs/nightly.yaml:3:52: `schedule.exclude.calendar` must be text, not `5`
      3 |   exclude: [{ calendar: De Holidays }, { calendar: 5 }, { calendar: a, month: 12 }, { calendar: }, { calender: a }]
        |                                                    ^
      hint: quote it: "5"
    jobs/nightly.yaml:3:72: `month` cannot be combined with `calendar`
      3 |   exclude: [{ calendar: De Holidays }, { calendar: 5 }, { calendar: a, month: 12 }, { calendar: }, { calender: a }]
        |                                                                        ^
      hint: write two entries: a time that matches either is excluded
    jobs/nightly.yaml:3:87: `schedule.exclude.calendar` has no value
      3 |   exclude: [{ calendar: De Holidays }, { calendar: 5 }, { calendar: a, month: 12 }, { calendar: }, { calender: a }]
        |                                                                                       ^
      hint: give it a value, or remove the key
    jobs/nightly.yaml:3:102: unknown key `calender` in an exclusion
      3 |   exclude: [{ calendar: De Holidays }, { calendar: 5 }, { calendar: a, month: 12 }, { calendar: }, { calender: a }]
        |                                                                                                      ^
      hint: did you mean `calendar`?
    "#);
}

#[test]
fn too_many_exclusions_are_refused_where_they_are_named() {
    let rules: Vec<_> = (0..1000)
        .map(|n| {
            format!(
                "{{ year: {}, day_of_month: {} }}",
                2000 + n / 25,
                n % 25 + 1
            )
        })
        .collect();
    let rules = format!("kind: calendar\nid: rules\ndates: [{}]\n", rules.join(", "));
    let christmas = calendar("kind: calendar\nid: christmas\ndates: [12-25]\n");
    let calendars = [calendar(&rules), christmas];
    let just = resolve(&naming("[{ calendar: rules }]"), &calendars).unwrap();
    assert_eq!(just.schedule.unwrap().spec.exclude.len(), 1000);
    let text = naming("[{ calendar: rules }, { calendar: christmas }]");
    insta::assert_snapshot!(resolve(&text, &calendars).unwrap_err(), @r"
    jobs/nightly.yaml:3:46: `schedule.exclude`: with calendar `christmas` there are 1001 exclusions, over the limit of 1000
      3 |   exclude: [{ calendar: rules }, { calendar: christmas }]
        |                                              ^
      hint: the same days of several months or years need only one exclusion; remove years that have passed
    ");
}
