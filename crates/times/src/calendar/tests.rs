//! Calendars keep their meaning as text, as ranges and serialised.

use proptest::prelude::*;

use super::*;

fn input(fields: &[(FieldName, &str)]) -> CalendarInput {
    let get = |name| {
        fields
            .iter()
            .find(|(field, _)| *field == name)
            .map(|(_, text)| (*text).to_owned())
    };
    CalendarInput {
        second: get(FieldName::Second),
        minute: get(FieldName::Minute),
        hour: get(FieldName::Hour),
        day_of_month: get(FieldName::DayOfMonth),
        month: get(FieldName::Month),
        year: get(FieldName::Year),
        day_of_week: get(FieldName::DayOfWeek),
    }
}

#[test]
fn a_field_left_out_matches_0_if_it_is_finer_than_the_other_fields() {
    use FieldName::{DayOfMonth, DayOfWeek, Hour, Minute, Month, Second};
    for (fields, expected) in [
        (vec![(Hour, "9"), (DayOfWeek, "MON")], "0 9 * * 1"),
        (vec![(Minute, "30")], "30 * * * *"),
        (vec![(Second, "10")], "10 * * * * * *"),
        (vec![(DayOfMonth, "1")], "0 0 1 * *"),
        (vec![(Month, "dec")], "0 0 * 12 *"),
        (vec![(Hour, "9"), (Second, "5")], "5 * 9 * * * *"),
        (vec![(Minute, "  "), (Hour, "9")], "0 9 * * *"),
    ] {
        let calendar = compile_calendar(&input(&fields), Role::Match).unwrap();
        assert_eq!(calendar.to_string(), expected, "{fields:?}");
    }
}

#[test]
fn a_field_left_out_of_an_exclusion_matches_everything() {
    let christmas = input(&[(FieldName::Month, "12"), (FieldName::DayOfMonth, "24-26")]);
    let calendar = compile_calendar(&christmas, Role::Exclude).unwrap();
    assert_eq!(calendar.to_string(), "* * * 24-26 12 * *");
}

#[test]
fn all_errors_of_a_calendar_come_at_once() {
    let wrong = input(&[(FieldName::Hour, " 25"), (FieldName::DayOfWeek, "mo,fr-we")]);
    let errors = compile_calendar(&wrong, Role::Match).unwrap_err();
    let lines: Vec<String> = errors
        .iter()
        .map(|(field, error)| format!("{field} at {:?}: {error}; {:?}", error.offset, error.hint))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    hour at Some(1): hour `25` is not from 0 to 23; None
    day_of_week at Some(3): day_of_week `fr-we` ends before it starts; Some("ranges do not wrap around; write `fr-6,0-we`")
    "#);
}

#[test]
fn a_calendar_without_a_value_in_a_field_is_never_and_is_serialized_so() {
    let mut ranges = compile_calendar(&CalendarInput::default(), Role::Match)
        .unwrap()
        .ranges();
    ranges.minute.clear();
    let never = Calendar::from_ranges(&ranges);
    assert_eq!(never, Calendar::NEVER);
    assert_eq!(Calendar::from_ranges(&never.ranges()), never);
    assert_eq!(serde_json::to_string(&never).unwrap(), "\"never\"");
}

#[test]
fn all_years_and_any_year_are_one() {
    let any = compile_calendar(&input(&[(FieldName::Year, "*")]), Role::Match).unwrap();
    let all = compile_calendar(&input(&[(FieldName::Year, "2000-2100")]), Role::Match).unwrap();
    assert_eq!(any, all);
    assert_eq!(all.ranges().year, []);
}

fn values<const MIN: u16, const MAX: u16>() -> impl Strategy<Value = Values<MIN, MAX>> {
    let some = proptest::collection::vec(MIN..=MAX, 1..20).prop_map(Values::from_iter);
    prop_oneof![Just(Values::ALL), some]
}

prop_compose! {
    fn calendars()(
        second in values(), minute in values(), hour in values(), day_of_month in values(),
        month in values(), year in values(), day_of_week in values(),
    ) -> Calendar {
        Calendar { second, minute, hour, day_of_month, month, year, day_of_week }
    }
}

proptest! {
    #[test]
    fn ranges_and_text_keep_a_calendar(calendar in calendars()) {
        prop_assert_eq!(Calendar::from_ranges(&calendar.ranges()), calendar);
        let json = serde_json::to_string(&calendar).unwrap();
        prop_assert_eq!(serde_json::from_str::<Calendar>(&json).unwrap(), calendar);
    }
}
