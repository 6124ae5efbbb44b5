//! Functions of strings, and conversions from and to strings.

use super::{items, shown, text, values};
use crate::expression::builtin::Function;
use crate::expression::formats::Format;
use crate::expression::number::Num;
use crate::expression::run::Run;
use crate::expression::stop::Stop;
use crate::expression::value::{FLAT, Val};

pub(in crate::expression) const FUNCTIONS: &[Function] = &[
    Function::new("length", 0, length),
    Function::new("utf8bytelength", 0, |_, x, _| {
        Ok(Val::int(text(&x, "utf8bytelength")?.len()))
    }),
    Function::new("tostring", 0, to_string),
    Function::new("tojson", 0, |run, x, _| {
        Val::string(&run.meter, &x.write(&run.meter)?)
    }),
    Function::new("fromjson", 0, from_json),
    Function::new("tonumber", 0, to_number),
    Function::new("ascii_downcase", 0, |run, x, _| {
        changed(run, &x, str::to_ascii_lowercase)
    }),
    Function::new("ascii_upcase", 0, |run, x, _| {
        changed(run, &x, str::to_ascii_uppercase)
    }),
    Function::new("trim", 0, |run, x, _| {
        changed(run, &x, |s| s.trim().to_owned())
    }),
    Function::new("ltrim", 0, |run, x, _| {
        changed(run, &x, |s| s.trim_start().to_owned())
    }),
    Function::new("rtrim", 0, |run, x, _| {
        changed(run, &x, |s| s.trim_end().to_owned())
    }),
    Function::new("startswith", 1, |run, x, of| {
        edge(run, &x, of, "startswith", |s, part| s.starts_with(part))
    }),
    Function::new("endswith", 1, |run, x, of| {
        edge(run, &x, of, "endswith", |s, part| s.ends_with(part))
    }),
    Function::new("ltrimstr", 1, |run, x, of| {
        trimmed(run, x, of, |s, part| s.strip_prefix(part))
    }),
    Function::new("rtrimstr", 1, |run, x, of| {
        trimmed(run, x, of, |s, part| s.strip_suffix(part))
    }),
    Function::new("split", 1, split_by),
    Function::new("join", 1, join),
    Function::new("explode", 0, explode),
    Function::new("implode", 0, implode),
    Function::new("@csv", 0, |run, x, _| format(run, Format::Csv, &x)),
    Function::new("@tsv", 0, |run, x, _| format(run, Format::Tsv, &x)),
    Function::new("@html", 0, |run, x, _| format(run, Format::Html, &x)),
    Function::new("@uri", 0, |run, x, _| format(run, Format::Uri, &x)),
    Function::new("@sh", 0, |run, x, _| format(run, Format::Sh, &x)),
    Function::new("@urid", 0, |run, x, _| format(run, Format::UriDecoded, &x)),
    Function::new("@base32", 0, |run, x, _| format(run, Format::Base32, &x)),
    Function::new("@base32d", 0, |run, x, _| {
        format(run, Format::Base32Decoded, &x)
    }),
    Function::new("format", 1, format_named),
    Function::new("@base64", 0, |run, x, _| format(run, Format::Base64, &x)),
    Function::new("@base64d", 0, |run, x, _| {
        format(run, Format::Base64Decoded, &x)
    }),
];

fn format(run: &Run<'_>, format: Format, value: &Val) -> Result<Val, Stop> {
    Val::string(&run.meter, &format.apply(&run.meter, value)?)
}

fn format_named(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let name = argument(arguments, "format")?;
    let Some(named) = Format::named(&format!("@{name}")) else {
        let name = shown(&Val::text(name));
        return Err(Stop::error(format!("{name} is not a format")));
    };
    format(run, named, &value)
}

fn argument<'v>(arguments: &'v [Val], what: &str) -> Result<&'v str, Stop> {
    text(arguments.first().unwrap_or(&Val::Null), what)
}

fn length(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    Ok(match &value {
        Val::Null => Val::int(0),
        Val::Num(number) if *number < Num::Int(0) => Val::Num(number.negate()?),
        Val::Num(number) => Val::Num(*number),
        Val::Str(text) => {
            run.meter.scan(text.len())?;
            Val::int(text.chars().count())
        }
        Val::Arr(list) => Val::int(list.items().len()),
        Val::Obj(map) => Val::int(map.entries().len()),
        Val::Bool(_) => return Err(Stop::error(format!("{} has no length", shown(&value)))),
    })
}

fn to_string(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    match value {
        Val::Str(_) => Ok(value),
        other => Val::string(&run.meter, &other.write(&run.meter)?),
    }
}

fn from_json(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let text = text(&value, "fromjson")?;
    // A value takes many times the memory of its shortest text.
    run.meter.allocate(FLAT * text.len())?;
    run.meter.steps(text.len() / 4)?;
    match serde_json::from_str(text) {
        Ok(json) => Val::from_json(&json),
        Err(error) => Err(Stop::error(format!(
            "{} is not JSON: {error}",
            shown(&value)
        ))),
    }
}

fn to_number(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let parsed = match &value {
        Val::Num(number) => Some(*number),
        Val::Str(text) => {
            run.meter.scan(4 * text.len())?;
            Num::spelt(text)
        }
        _ => None,
    };
    parsed
        .map(Val::Num)
        .ok_or_else(|| Stop::error(format!("{} is not a number", shown(&value))))
}

fn changed(run: &Run<'_>, value: &Val, f: fn(&str) -> String) -> Result<Val, Stop> {
    let text = text(value, "this")?;
    run.meter.allocate(text.len())?;
    Val::string(&run.meter, &f(text))
}

fn edge(
    run: &Run<'_>,
    value: &Val,
    arguments: &[Val],
    what: &str,
    f: fn(&str, &str) -> bool,
) -> Result<Val, Stop> {
    let (text, part) = (text(value, what)?, argument(arguments, what)?);
    run.meter.scan(part.len())?;
    Ok(Val::Bool(f(text, part)))
}

/// Trims a string. Other values do not change, as in jq.
fn trimmed(
    run: &Run<'_>,
    value: Val,
    arguments: &[Val],
    f: for<'t> fn(&'t str, &str) -> Option<&'t str>,
) -> Result<Val, Stop> {
    match (&value, arguments) {
        (Val::Str(text), [Val::Str(part)]) => match f(text, part) {
            Some(rest) => Val::string(&run.meter, rest),
            None => Ok(value),
        },
        _ => Ok(value),
    }
}

fn split_by(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    split(run, text(&value, "split")?, argument(arguments, "split")?)
}

/// Splits a text at each separator; without a separator, into characters.
pub(super) fn split(run: &Run<'_>, text: &str, separator: &str) -> Result<Val, Stop> {
    if text.is_empty() {
        return Val::list(&run.meter, Vec::new());
    }
    run.meter.scan(4 * text.len())?;
    let parts: Box<dyn Iterator<Item = &str>> = if separator.is_empty() {
        let ends = text.char_indices().map(|(at, c)| (at, at + c.len_utf8()));
        Box::new(ends.filter_map(|(from, to)| text.get(from..to)))
    } else {
        Box::new(text.split(separator))
    };
    let mut made = Vec::new();
    for part in parts {
        run.meter.steps(1)?;
        made.push(Val::string(&run.meter, part)?);
    }
    Val::list(&run.meter, made)
}

fn join(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let items = values(run, &value)?;
    // Separators are only needed between items: for a single item, any value is accepted.
    let separator = match arguments.first() {
        _ if items.len() < 2 => "",
        Some(Val::Null) => "",
        Some(separator) => text(separator, "join")?,
        None => return Err(Stop::error("an argument is missing")),
    };
    let mut joined = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            run.meter.allocate(separator.len())?;
            joined.push_str(separator);
        }
        run.meter.steps(1)?;
        match item {
            Val::Null => {}
            Val::Str(text) => {
                run.meter.allocate(text.len())?;
                joined.push_str(text);
            }
            Val::Bool(_) | Val::Num(_) => joined.push_str(&item.write(&run.meter)?),
            other => return Err(Stop::error(format!("{} cannot be joined", shown(other)))),
        }
    }
    Val::string(&run.meter, &joined)
}

fn explode(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let text = text(&value, "explode")?;
    run.meter.allocate(FLAT * text.len())?;
    let points = text
        .chars()
        .map(|c| Val::Num(Num::Int(i128::from(u32::from(c)))));
    Val::list(&run.meter, points.collect())
}

fn implode(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let mut text = String::new();
    for point in items(&value, "implode")? {
        run.meter.steps(1)?;
        let character = match point {
            Val::Num(number) => u32::try_from(number.index()).ok().and_then(char::from_u32),
            _ => None,
        };
        let Some(character) = character else {
            return Err(Stop::error(format!("{} is not a code point", shown(point))));
        };
        text.push(character);
    }
    Val::string(&run.meter, &text)
}
