//! Regular expressions: linear in the text, ASCII classes, no back-references.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex_lite::{Captures, Regex, RegexBuilder};

use super::{shown, text};
use crate::expression::builtin::Function;
use crate::expression::number::Num;
use crate::expression::run::Run;
use crate::expression::stop::Stop;
use crate::expression::value::{FLAT, Val};

/// Maximum length of a pattern, in bytes.
const LONGEST: usize = 1000;
/// Possible sizes of a compiled pattern, in bytes. The cost is that of the least size that fits.
const SIZES: [usize; 5] = [1 << 10, 1 << 12, 1 << 13, 1 << 14, 1 << 15];
/// Size of a state, in bytes.
const STATE: usize = 32;
/// Number of states that a character of the text passes in one step.
const STATES_PER_STEP: usize = 16;

pub(in crate::expression) const FUNCTIONS: &[Function] = &[
    Function::new("test", 2, test),
    Function::new("_matches", 2, matches),
    Function::new("_pair", 1, pair),
    Function::new("_between", 2, between),
    Function::new("_woven", 1, woven),
    Function::new("_captures", 0, captures),
    Function::new("split", 2, split),
];

/// Returns the pattern and the flags of one argument: a text, or an array of both.
fn pair(run: &Run<'_>, _: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let (pattern, flags) = match arguments {
        [Val::Arr(list)] => match list.items() {
            [] => return Err(Stop::error("an empty array is not a regular expression")),
            [pattern] => (pattern.clone(), Val::Null),
            [pattern, flags, ..] => (pattern.clone(), flags.clone()),
        },
        [text @ Val::Str(_)] => (text.clone(), Val::Null),
        [other] => {
            return Err(Stop::error(format!(
                "a regular expression must be a string or an array, not {}",
                shown(other)
            )));
        }
        _ => return Err(Stop::error("an argument is missing")),
    };
    Val::list(&run.meter, vec![pattern, flags])
}

/// The patterns that an evaluation has compiled.
#[derive(Debug, Default)]
pub(in crate::expression) struct Patterns(BTreeMap<(String, String), Arc<Pattern>>);

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    /// Number of steps for each character.
    cost: usize,
    /// `true` if all matches together need one pass over the text.
    linear: bool,
    /// `true` to find every match, not the first alone.
    global: bool,
    /// `true` to leave out empty matches.
    no_empty: bool,
}

/// Returns the pattern of a pair of arguments. Each pattern is compiled once.
fn pattern(run: &Run<'_>, arguments: &[Val]) -> Result<Arc<Pattern>, Stop> {
    let [pattern, flags] = arguments else {
        return Err(Stop::error("an argument is missing"));
    };
    let flags = match flags {
        Val::Null => "",
        flags => text(flags, "flags")?,
    };
    let key = (
        text(pattern, "a regular expression")?.to_owned(),
        flags.to_owned(),
    );
    if let Some(known) = run.patterns.borrow().0.get(&key) {
        return Ok(Arc::clone(known));
    }
    let compiled = Arc::new(compile(run, &key.0, &key.1)?);
    run.patterns
        .borrow_mut()
        .0
        .insert(key, Arc::clone(&compiled));
    Ok(compiled)
}

fn compile(run: &Run<'_>, text: &str, flags: &str) -> Result<Pattern, Stop> {
    let wrong = |why: &str| {
        Stop::error(format!(
            "the regular expression {} {why}",
            shown(&Val::text(text))
        ))
    };
    if text.len() > LONGEST {
        return Err(wrong("is too long"));
    }
    let mut builder = RegexBuilder::new(text);
    builder.nest_limit(30);
    let (mut global, mut no_empty) = (false, false);
    for flag in flags.chars() {
        match flag {
            'g' => global = true,
            'n' => no_empty = true,
            'i' => drop(builder.case_insensitive(true)),
            'x' => drop(builder.ignore_whitespace(true)),
            // The ends of the whole text are the default for `^` and `$`.
            's' => {}
            'p' => drop(builder.dot_matches_new_line(true)),
            other => {
                let message = format!("the flag `{other}` is not one of g, i, n, p, s, x");
                return Err(Stop::error(message));
            }
        }
    }
    run.meter.steps(20 + text.len())?;
    for size in SIZES {
        // The cost of compiling depends on the size; the cost of failing depends on it, too.
        run.meter.allocate(4 * size)?;
        if let Ok(regex) = builder.size_limit(size).build() {
            let states = size / STATE * (1 + regex.captures_len() / 4);
            return Ok(Pattern {
                regex,
                cost: states.div_ceil(STATES_PER_STEP),
                linear: is_linear(text),
                global,
                no_empty,
            });
        }
    }
    match builder.size_limit(1 << 15).build() {
        Err(error) => Err(wrong(&format!("cannot be used: {error}"))),
        Ok(_) => Err(wrong("is too large")),
    }
}

/// Returns `true` if a search goes no further than its match. All matches together then cost
/// one pass. This holds for a pattern without alternatives in which only the very end is
/// unbounded, like `[^,]+` and `(\s+)`.
fn is_linear(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    let mut in_class = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '[' => in_class = true,
            ']' => in_class = false,
            _ if in_class => {}
            '|' => return false,
            '*' | '+' | '{' => return characters.all(|rest| matches!(rest, ')' | '+')),
            _ => {}
        }
    }
    true
}

/// Calls a function with each match.
fn each<'t>(
    run: &Run<'_>,
    pattern: &Pattern,
    text: &'t str,
    f: &mut dyn FnMut(Captures<'t>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut from = 0;
    run.meter
        .steps((1 + text.len()).saturating_mul(pattern.cost))?;
    // An empty match directly after a match counts, as in jq.
    while let Some(found) = text
        .get(from..)
        .and_then(|_| pattern.regex.captures_at(text, from))
    {
        let whole = found.get(0).map_or(from..from, |whole| whole.range());
        from = whole.end;
        if whole.is_empty() {
            let next = text.get(from..).and_then(|rest| rest.chars().next());
            // Beyond the end of the text there is no match.
            from += next.map_or(1, char::len_utf8);
        }
        if !(whole.is_empty() && pattern.no_empty) {
            f(found)?;
            if !pattern.global {
                break;
            }
        }
        // The cost of the next search is taken before the search begins.
        let remaining = if pattern.linear {
            1
        } else {
            (1 + text.len()).saturating_sub(from)
        };
        run.meter.steps(remaining.saturating_mul(pattern.cost))?;
    }
    Ok(())
}

fn test(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let pattern = pattern(run, arguments)?;
    let text = text(&value, "test")?;
    if pattern.no_empty {
        let mut any = false;
        let first = Pattern {
            regex: pattern.regex.clone(),
            global: false,
            ..*pattern
        };
        each(run, &first, text, &mut |_| {
            any = true;
            Ok(())
        })?;
        return Ok(Val::Bool(any));
    }
    run.meter
        .steps((1 + text.len()).saturating_mul(pattern.cost))?;
    Ok(Val::Bool(pattern.regex.is_match(text)))
}

/// Positions in characters, counted from the last position that was asked for.
struct Places<'t> {
    text: &'t str,
    bytes: usize,
    characters: usize,
}

impl Places<'_> {
    fn characters(&mut self, bytes: usize) -> usize {
        if bytes < self.bytes {
            (self.bytes, self.characters) = (0, 0);
        }
        let skipped = self.text.get(self.bytes..bytes).unwrap_or_default();
        self.characters += skipped.chars().count();
        self.bytes = bytes;
        self.characters
    }
}

/// Returns the matches as jq describes them: `{offset, length, string, captures}`.
fn matches(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let pattern = pattern(run, arguments)?;
    let text = text(&value, "match")?;
    let mut places = Places {
        text,
        bytes: 0,
        characters: 0,
    };
    let mut made = Vec::new();
    each(run, &pattern, text, &mut |found| {
        run.meter.allocate(FLAT)?;
        made.push(described(run, &pattern.regex, &found, &mut places)?);
        Ok(())
    })?;
    Val::list(&run.meter, made)
}

fn described(
    run: &Run<'_>,
    regex: &Regex,
    found: &Captures<'_>,
    places: &mut Places<'_>,
) -> Result<Val, Stop> {
    let mut groups = Vec::new();
    let mut whole = BTreeMap::new();
    for (index, (name, group)) in regex.capture_names().zip(found.iter()).enumerate() {
        let mut described = BTreeMap::new();
        let (offset, length, string) = match group {
            Some(group) => {
                run.meter.scan(4 * group.len())?;
                let offset = Val::int(places.characters(group.start()));
                let string = Val::string(&run.meter, group.as_str())?;
                (offset, group.as_str().chars().count(), string)
            }
            None => (Val::Num(Num::Int(-1)), 0, Val::Null),
        };
        described.insert("offset".into(), offset);
        described.insert("length".into(), Val::int(length));
        described.insert("string".into(), string);
        if index == 0 {
            whole = described;
        } else {
            described.insert("name".into(), name.map_or(Val::Null, Val::text));
            groups.push(Val::map(&run.meter, described)?);
        }
    }
    whole.insert("captures".into(), Val::list(&run.meter, groups)?);
    Val::map(&run.meter, whole)
}

/// Returns the texts between the matches and the matches, alternating, for `sub`.
fn between(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let pattern = pattern(run, arguments)?;
    let text = text(&value, "sub")?;
    let mut places = Places {
        text,
        bytes: 0,
        characters: 0,
    };
    let mut made = Vec::new();
    let mut from = 0;
    each(run, &pattern, text, &mut |found| {
        let range = found.get(0).map_or(from..from, |whole| whole.range());
        let before = text.get(from..range.start).unwrap_or_default();
        run.meter.allocate(2 * FLAT)?;
        made.push(Val::string(&run.meter, before)?);
        made.push(described(run, &pattern.regex, &found, &mut places)?);
        from = range.end;
        Ok(())
    })?;
    made.push(Val::string(
        &run.meter,
        text.get(from..).unwrap_or_default(),
    )?);
    Val::list(&run.meter, made)
}

/// Returns the results of `sub`, one for each output of its replacement, from the texts between
/// matches and the arrays of replacements of the matches; without matches, the whole text.
fn woven(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let mut results: Vec<String> = Vec::new();
    let mut gap = "";
    for part in super::items(&value, "sub")? {
        run.meter.steps(1)?;
        match part {
            Val::Str(text) => gap = text,
            inserts => {
                for (index, insert) in super::items(inserts, "sub")?.iter().enumerate() {
                    let insert = match insert {
                        Val::Null => "",
                        other => text(other, "a replacement")?,
                    };
                    run.meter.steps(1)?;
                    run.meter.allocate(gap.len() + insert.len())?;
                    if index == results.len() {
                        run.meter.allocate(FLAT)?;
                        results.push(String::new());
                    }
                    if let Some(result) = results.get_mut(index) {
                        result.push_str(gap);
                        result.push_str(insert);
                    }
                }
            }
        }
    }
    if results.is_empty() {
        return Val::list(&run.meter, arguments.to_vec());
    }
    let results = results
        .into_iter()
        .map(|result| Val::string(&run.meter, &(result + gap)));
    Val::list(&run.meter, results.collect::<Result<_, _>>()?)
}

/// Returns the texts that the named groups of a described match found.
fn captures(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let mut named = BTreeMap::new();
    let groups = run.get(value, &Val::text("captures"))?;
    for group in super::items(&groups, "capture")? {
        let name = run.get(group.clone(), &Val::text("name"))?;
        if let Val::Str(name) = name {
            named.insert(name, run.get(group.clone(), &Val::text("string"))?);
        }
    }
    Val::map(&run.meter, named)
}

/// Splits a text at each match.
fn split(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let parts = match arguments {
        [pattern, flags] => {
            let flags = match flags {
                Val::Null => "g".to_owned(),
                flags => format!("g{}", text(flags, "split")?),
            };
            between(run, value, &[pattern.clone(), Val::text(&flags)])?
        }
        _ => return Err(Stop::error("an argument is missing")),
    };
    let parts = super::items(&parts, "split")?.iter();
    let texts = parts.filter(|part| matches!(part, Val::Str(_))).cloned();
    Val::list(&run.meter, texts.collect())
}
