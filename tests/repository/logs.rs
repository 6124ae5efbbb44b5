//! `docs/logs.md` lists each line that Almanac logs, with its level and its fields, and each field
//! with its meaning.

use std::collections::{BTreeMap, BTreeSet};

use almanac_tests::workspace;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::{Expr, Ident, LitStr, Token};

use crate::files::files;

const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];
const CRATES: [&str; 4] = ["activities/src", "crates", "worker/src", "workflows/src"];

/// A line: its message and the names of its fields.
type Line = (String, BTreeSet<String>);

/// The lines with their levels.
type Lines = BTreeMap<Line, BTreeSet<String>>;

/// The arguments of `tracing::info!` and the like.
#[derive(Debug, PartialEq)]
struct Arguments {
    fields: BTreeSet<String>,
    message: String,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut fields = BTreeSet::new();
        while !input.peek(LitStr) {
            let is_formatted = parse_sigil(input)?;
            // `self.flag` alone is no field of this code: each field has a name.
            let name: Ident = input.parse()?;
            if !is_formatted && input.peek(Token![=]) {
                input.parse::<Token![=]>()?;
                parse_sigil(input)?;
                input.parse::<Expr>()?;
            }
            fields.insert(name.to_string());
            input.parse::<Token![,]>()?;
        }
        let message: LitStr = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        if !input.is_empty() || message.value().contains('{') {
            return Err(input.error("the message is not constant"));
        }
        Ok(Self {
            fields,
            message: message.value(),
        })
    }
}

/// Parses the `%` or `?` before a value.
fn parse_sigil(input: ParseStream<'_>) -> syn::Result<bool> {
    let sigil = input.parse::<Option<Token![%]>>()?.is_some();
    Ok(input.parse::<Option<Token![?]>>()?.is_some() || sigil)
}

/// The text up to the parenthesis that closes the one before `text`.
fn until_closed(text: &str) -> &str {
    let (mut depth, mut is_text, mut is_escaped) = (1, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_text => is_escaped = true,
            '"' => is_text = !is_text,
            _ if is_text => {}
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    panic!("no end: {text}");
}

/// The uses of a macro in `source`: each with its place and its arguments.
fn uses<'s>(source: &'s str, name: &str) -> Vec<(usize, &'s str)> {
    let begin = format!("{name}!(");
    let found = source.match_indices(&begin);
    let arguments = |at: usize| until_closed(&source[at + begin.len()..]);
    found.map(|(at, _)| (at, arguments(at))).collect()
}

/// The lines that a source logs, without its tests. A macro of the source may log too: its
/// parameters `$level` and `$message` have the values of its uses.
fn logged(source: &str) -> Lines {
    let source = source
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(source);
    let mut lines = Lines::new();
    for level in LEVELS.into_iter().chain(["$level"]) {
        for (at, arguments) in uses(source, &format!("tracing::{level}")) {
            let macro_uses = match source[..at].rsplit_once("macro_rules! ") {
                Some((_, definition)) if arguments.contains("$message") || level == "$level" => {
                    let name = definition.split_whitespace().next().unwrap();
                    uses(source, name)
                }
                _ => vec![(at, "")],
            };
            for (_, values) in macro_uses {
                let level = match level {
                    "$level" => values.split(',').next().unwrap(),
                    level => level,
                };
                let message = values.find('"').map_or("", |at| &values[at..]);
                let arguments = arguments.replace("$message", message);
                let parsed = Arguments::parse.parse_str(&arguments);
                let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {arguments}"));
                let line = (parsed.message, parsed.fields);
                lines.entry(line).or_default().insert(level.to_uppercase());
            }
        }
    }
    lines
}

/// The lines of the whole program.
fn all_logged() -> Lines {
    let mut all = Lines::new();
    for (path, source) in files() {
        let path = path.strip_prefix(workspace()).unwrap().to_str().unwrap();
        let is_test = path.contains("/tests");
        let is_source = CRATES.iter().any(|one| path.starts_with(one));
        if is_source && !is_test {
            // Otherwise its lines would not be found.
            let is_imported = LEVELS
                .iter()
                .any(|level| source.contains(&format!("use tracing::{level}")));
            assert!(!is_imported, "{path}");
            for (line, levels) in logged(&source) {
                all.entry(line).or_default().extend(levels);
            }
        }
    }
    assert!(all.len() > 100, "{}", all.len());
    all
}

/// The texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The rows of the tables of a page whose first cell is accepted: the cells of each.
fn rows(page: &str, first: impl Fn(&str) -> bool) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| {
        let cells = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(cells.split('|').map(str::trim).collect::<Vec<_>>())
    });
    rows.filter(|cells| first(cells[0])).collect()
}

fn read(page: &str) -> String {
    std::fs::read_to_string(workspace().join("docs").join(page)).unwrap()
}

/// The lines of `docs/logs.md`.
fn documented(page: &str) -> Lines {
    let is_level =
        |cell: &str| LEVELS.contains(&cell.split(", ").next().unwrap().to_lowercase().as_str());
    let mut lines = Lines::new();
    for cells in rows(page, is_level) {
        let [levels, message, fields, meaning] = cells[..] else {
            panic!("{cells:?}");
        };
        assert!(!meaning.is_empty(), "{message}");
        let message = message.trim_matches('`').to_owned();
        let levels = levels.split(", ").map(str::to_owned).collect();
        let before = lines.insert((message, quoted(fields).collect()), levels);
        assert_eq!(before, None, "{cells:?}");
    }
    lines
}

#[test]
fn the_page_lists_each_line_with_its_level_and_its_fields() {
    let (logged, documented) = (all_logged(), documented(&read("logs.md")));
    let missing: Vec<_> = logged
        .iter()
        .filter(|(line, levels)| documented.get(line) != Some(levels))
        .collect();
    let gone: Vec<_> = documented
        .iter()
        .filter(|(line, levels)| logged.get(line) != Some(levels))
        .collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not listed: {missing:#?}\nnot logged: {gone:#?}"
    );
}

#[test]
fn the_page_lists_each_field() {
    let page = read("logs.md");
    let (_, section) = page.split_once("\n## Fields\n").unwrap();
    let rows = rows(section, |cell| cell.starts_with('`'));
    let listed: Vec<_> = rows.iter().flat_map(|cells| quoted(cells[0])).collect();
    let mut sorted: Vec<_> = documented(&page)
        .into_keys()
        .flat_map(|(_, fields)| fields)
        .collect();
    sorted.sort();
    sorted.dedup();
    assert_eq!(listed, sorted);
    let has_meaning = |cells: &Vec<&str>| cells.len() == 2 && !cells[1].is_empty();
    assert!(rows.iter().all(has_meaning));
}

#[test]
fn operators_are_told_about_lines_that_exist() {
    let page = read("operating.md");
    let (_, section) = page
        .split_once("\n## What does that log line mean?\n")
        .unwrap();
    let section = section.split("\n## ").next().unwrap();
    let logged = all_logged();
    let is_level = |cell: &str| {
        cell.split(' ')
            .next()
            .is_some_and(|word| LEVELS.contains(&word.to_lowercase().as_str()))
    };
    let rows = rows(section, is_level);
    assert!(rows.len() > 30, "{}", rows.len());
    for cells in rows {
        // A line may have several messages, of which each has its levels before it.
        for part in cells[0].split("`, ") {
            let (levels, message) = part.split_once(" `").unwrap_or(("", part));
            let message = message.trim_matches('`');
            let level = levels.split(' ').next().unwrap();
            let found = logged.iter().any(|((known, _), known_levels)| {
                known.starts_with(message) && (level.is_empty() || known_levels.contains(level))
            });
            assert!(found, "{level} {message}");
        }
    }
}

#[test]
fn lines_are_found_in_sources_and_their_macros() {
    let source = r#"
        macro_rules! log {
            ($level:ident, $message:literal) => {
                tracing::$level!(%id, ?at, of = %self.of(")"), $message)
            };
        }
        fn some() {
            tracing::warn!(error, "it said \"(\"");
            log!(info, "good");
            log!(warn, "bad");
        }
    "#;
    let line = |message: &str, fields: &[&str]| {
        let fields = fields.iter().map(|one| (*one).to_owned()).collect();
        (message.to_owned(), fields)
    };
    let fields = ["id", "at", "of"];
    let expected = Lines::from([
        (line("good", &fields), ["INFO".to_owned()].into()),
        (line("bad", &fields), ["WARN".to_owned()].into()),
        (
            line("it said \"(\"", &["error"]),
            ["WARN".to_owned()].into(),
        ),
    ]);
    assert_eq!(logged(source), expected);
    let source = format!("{source}\n#[cfg(test)]\nmod tests {{ tracing::info!(\"no\") }}");
    assert_eq!(logged(&source), expected);
}

#[test]
fn a_message_that_is_not_constant_is_refused() {
    for arguments in ["\"{what}\"", "error, \"{}\", what", "\"said\", what"] {
        assert!(
            Arguments::parse.parse_str(arguments).is_err(),
            "{arguments}"
        );
    }
}
