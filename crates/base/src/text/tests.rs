use proptest::prelude::*;
use regex::Regex;

use super::*;

/// Texts in which what must not get through is as likely as what may.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        any::<char>().prop_map(String::from),
        proptest::sample::select(vec![
            "\u{1b}[2J",
            "\u{9b}31m",
            "\u{1b}]52;c;eA==\u{7}",
            "\r",
            "\n",
            "\u{85}",
            "\u{2028}",
            "\u{2029}",
            "\u{202e}",
            "\u{2066}",
            "\u{200f}",
            "\u{61c}",
            "\u{feff}",
            "\u{e0041}",
            "\u{fe0f}",
            "\u{7f}",
            "\0",
            "##",
            "[",
            "#",
            "vso",
            "::",
            "::error::x",
            " ",
            "\u{a0}",
            "\\",
            "\\u{1b}",
            "n",
            "`",
            "|",
            "\u{301}",
            "é",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

fn is_command(line: &str) -> bool {
    let anywhere = Regex::new(r"##[A-Za-z0-9-]*\[").unwrap();
    line.trim_start().starts_with("::") || anywhere.is_match(line)
}

proptest! {
    #[test]
    fn hidden_characters_are_escaped_and_escaping_twice_changes_nothing(text in hostile()) {
        for shown in [escaped(&text), line(&text)] {
            prop_assert!(!shown.contains(is_hidden), "{shown:?}");
            prop_assert!(!shown.contains(char::is_control), "{shown:?}");
        }
        let once = line(&text).into_owned();
        prop_assert!(!is_command(&once), "{once:?}");
        prop_assert_eq!(line(&once), once.as_str());
    }

    #[test]
    fn json_stays_the_same_document(text in hostile()) {
        let value = serde_json::json!({ text.clone(): [text] });
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let shown = json(&pretty);
        prop_assert!(!shown.chars().any(|c| c != '\n' && is_hidden(c)), "{shown:?}");
        prop_assert_eq!(shown.lines().count(), 5);
        prop_assert!(!shown.lines().any(is_command), "{shown:?}");
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn code_is_one_span_on_one_line(text in hostile(), limit in 0_usize..40) {
        let shown = code(&text, limit);
        prop_assert!(!shown.contains(is_hidden), "{shown:?}");
        let inner = shown.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).unwrap();
        prop_assert!(!inner.is_empty() && !inner.contains(['`', '|']), "{shown:?}");
    }
}

#[test]
fn each_class_of_hidden_characters_is_escaped() {
    for (text, shown) in [
        (
            "plain ünïcode 日本 👍 e\u{301}",
            "plain ünïcode 日本 👍 e\u{301}",
        ),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\u{1b}[2J\u{7}\0\u{7f}", "\\u{1b}[2J\\u{7}\\u{0}\\u{7f}"),
        ("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}"),
        ("x\u{2028}y\u{2029}", "x\\u{2028}y\\u{2029}"),
        (
            "\u{202e}\u{2066}\u{200e}\u{61c}",
            "\\u{202e}\\u{2066}\\u{200e}\\u{61c}",
        ),
        ("a\u{200b}b\u{feff}\u{ad}", "a\\u{200b}b\\u{feff}\\u{ad}"),
        (
            "\u{e0041}\u{fe0f}\u{e0100}",
            "\\u{e0041}\\u{fe0f}\\u{e0100}",
        ),
        (
            "\u{fdd0}\u{ffff}\u{10ffff}",
            "\\u{fdd0}\\u{ffff}\\u{10ffff}",
        ),
        (r"\d \n C:\temp \u{1b}", r"\d \n C:\temp \u{1b}"),
        (
            "##[error]x ##vso[task]",
            "#\\u{23}[error]x #\\u{23}vso[task]",
        ),
        ("#1 ## [x] a#[b]", "#1 ## [x] a#[b]"),
    ] {
        assert_eq!(escaped(text), shown);
    }
    assert_eq!(line("::error::x"), "\\u{3a}:error::x");
    assert_eq!(line(" \u{3000}::x"), " \u{3000}\\u{3a}:x");
    assert_eq!(line("a::b"), "a::b");
}

#[test]
fn many_combining_marks_are_cut_and_the_marks_of_scripts_stay() {
    let pile = format!("a{}", "\u{336}".repeat(30));
    let shown = escaped(&pile);
    assert_eq!(shown.matches('\u{336}').count(), MARKS);
    assert_eq!(shown.matches("\\u{336}").count(), 30 - MARKS);
    for text in ["שָׁלוֹם", "नमस्ते", "Việt", "กำลัง"] {
        assert_eq!(escaped(text), text);
    }
}

#[test]
fn the_table_has_only_invisible_characters() {
    for (first, last) in INVISIBLE {
        for c in first..=last {
            let is_unprintable = c.escape_debug().len() > 1;
            // Fillers of Hangul count as letters, and show nothing.
            let is_filler = matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}');
            assert!(is_unprintable || is_filler, "U+{:04X}", u32::from(c));
        }
    }
    assert!(INVISIBLE.windows(2).all(|pair| pair[0].1 < pair[1].0));
}

#[test]
fn markdown_is_code_where_it_could_be_markup() {
    for plain in ["do/0/fetch", "do/1/pay_all/do/2/x", "emit order.paid"] {
        assert_eq!(markdown(plain, 80), plain);
    }
    for (text, shown) in [
        ("a\n\n# Injected", "`a\\n\\n# Injected`"),
        ("[x](http://evil)", "`[x](http://evil)`"),
        ("<img src=x>", "`<img src=x>`"),
        ("a *b* `c` | d", "`a *b* 'c' / d`"),
        ("1. __x__", "`1. __x__`"),
        ("http://evil", "`http://evil`"),
        ("- x", "`- x`"),
        ("", "` `"),
    ] {
        assert_eq!(markdown(text, 80), shown);
    }
    assert_eq!(code("abcdef", 3), "`abc…`");
}
