//! Functions of arrays, and functions that search in both arrays and strings.

use std::cmp::Ordering;

use super::{items, shown, text, values};
use crate::expression::builtin::Function;
use crate::expression::number::Num;
use crate::expression::run::Run;
use crate::expression::stop::Stop;
use crate::expression::value::{FLAT, Val};

pub(in crate::expression) const FUNCTIONS: &[Function] = &[
    Function::new("add", 0, add),
    Function::new("reverse", 0, reverse),
    Function::new("flatten", 0, |run, x, _| flatten(run, &x, usize::MAX)),
    Function::new("flatten", 1, flatten_to),
    Function::new("transpose", 0, transpose),
    Function::new("indices", 1, |run, x, of| indices(run, x, argument(of)?)),
    Function::new("index", 1, |run, x, of| found(run, x, of, <[Val]>::first)),
    Function::new("rindex", 1, |run, x, of| found(run, x, of, <[Val]>::last)),
    Function::new("bsearch", 1, bsearch),
    Function::new("contains", 1, contained),
];

fn argument(arguments: &[Val]) -> Result<&Val, Stop> {
    arguments
        .first()
        .ok_or_else(|| Stop::error("an argument is missing"))
}

/// Returns the sum of the items, or of an object's values.
fn add(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let summands = values(run, &value)?;
    // All strings are joined together: adding one by one would copy the beginning again and again.
    if summands.iter().all(|item| matches!(item, Val::Str(_))) && !summands.is_empty() {
        run.meter.allocate(value.size())?;
        let texts = summands.iter().filter_map(|item| text(item, "add").ok());
        return Val::string(&run.meter, &texts.collect::<String>());
    }
    summands
        .into_iter()
        .try_fold(Val::Null, |sum, item| run.add(sum, item))
}

fn reverse(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    match value {
        Val::Null => Val::list(&run.meter, Vec::new()),
        Val::Str(text) => {
            run.meter.allocate(text.len())?;
            Val::string(&run.meter, &text.chars().rev().collect::<String>())
        }
        Val::Arr(list) => {
            let mut items = Val::into_items(&run.meter, list)?;
            items.reverse();
            Val::list(&run.meter, items)
        }
        other => Err(Stop::error(format!("cannot reverse {}", shown(&other)))),
    }
}

fn flatten_to(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    match argument(arguments)? {
        Val::Num(depth) if *depth >= Num::Int(0) => {
            let depth = usize::try_from(depth.index()).unwrap_or(usize::MAX);
            flatten(run, &value, depth)
        }
        other => Err(Stop::error(format!(
            "flatten needs a depth of 0 or more, not {}",
            shown(other)
        ))),
    }
}

fn flatten(run: &Run<'_>, value: &Val, depth: usize) -> Result<Val, Stop> {
    let mut flat = Vec::new();
    flatten_into(run, &values(run, value)?, depth, &mut flat)?;
    Val::list(&run.meter, flat)
}

/// Flattens a value. The function recurses no deeper than the value's depth.
fn flatten_into(
    run: &Run<'_>,
    items: &[Val],
    depth: usize,
    flat: &mut Vec<Val>,
) -> Result<(), Stop> {
    for item in items {
        run.meter.allocate(FLAT)?;
        run.meter.steps(1)?;
        match item {
            Val::Arr(inner) if depth > 0 => flatten_into(run, inner.items(), depth - 1, flat)?,
            other => flat.push(other.clone()),
        }
    }
    Ok(())
}

fn transpose(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let rows = items(&value, "transpose")?;
    let mut width = 0;
    for row in rows {
        width = width.max(items(row, "transpose")?.len());
    }
    run.meter.steps(width.saturating_mul(rows.len()))?;
    let mut columns = Vec::new();
    for column in 0..width {
        let mut cells = Vec::new();
        for row in rows {
            let cell = items(row, "transpose")?.get(column);
            cells.push(cell.cloned().unwrap_or(Val::Null));
        }
        columns.push(Val::list(&run.meter, cells)?);
    }
    Val::list(&run.meter, columns)
}

/// Returns the positions of a part: of a string in characters, of an array in items.
pub(in crate::expression) fn indices(run: &Run<'_>, value: Val, part: &Val) -> Result<Val, Stop> {
    let mut places = Vec::new();
    match (&value, part) {
        // An empty text has no position; otherwise it would have every position.
        (Val::Str(_), Val::Str(part)) if part.is_empty() => {}
        (Val::Str(text), Val::Str(part)) => {
            run.meter.scan(16 * text.len())?;
            let (mut characters, mut before) = (0, 0);
            for at in overlapping(text, part) {
                run.meter.allocate(FLAT)?;
                run.meter.scan(part.len())?;
                characters += text
                    .get(before..at)
                    .map_or(0, |skipped| skipped.chars().count());
                before = at;
                places.push(Val::int(characters));
            }
        }
        (Val::Arr(list), Val::Arr(part)) => {
            let (items, part) = (list.items(), part.items());
            let all = items.len().saturating_mul(part.len());
            run.meter.steps(all)?;
            run.meter.scan(value.size().saturating_mul(part.len()))?;
            if !part.is_empty() {
                let windows = items.windows(part.len()).enumerate();
                places.extend(
                    windows
                        .filter(|(_, w)| *w == part)
                        .map(|(at, _)| Val::int(at)),
                );
            }
        }
        (Val::Arr(list), part) => {
            run.meter.steps(list.items().len())?;
            run.meter.scan(value.size())?;
            let items = list.items().iter().enumerate();
            places.extend(
                items
                    .filter(|(_, item)| *item == part)
                    .map(|(at, _)| Val::int(at)),
            );
        }
        // Any other value is a key to look up, as in jq.
        (_, part) => return run.get(value, part),
    }
    Val::list(&run.meter, places)
}

/// Returns the positions of a part in a text, in bytes. The parts may overlap.
fn overlapping<'t>(text: &'t str, part: &'t str) -> impl Iterator<Item = usize> + 't {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + text.get(from..)?.find(part)?;
        let step = text.get(at..)?.chars().next().map_or(1, char::len_utf8);
        from = at + step;
        Some(at)
    })
}

fn found(
    run: &Run<'_>,
    value: Val,
    arguments: &[Val],
    which: fn(&[Val]) -> Option<&Val>,
) -> Result<Val, Stop> {
    let places = indices(run, value, argument(arguments)?)?;
    Ok(match places {
        Val::Arr(list) => which(list.items()).cloned().unwrap_or(Val::Null),
        Val::Null => Val::Null,
        other => return run.get(other, &Val::int(0)),
    })
}

/// Returns the position of an item in a sorted array, or -1 less the position at which it would
/// be inserted.
fn bsearch(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let target = argument(arguments)?;
    let items = match &value {
        Val::Arr(list) => list.items(),
        Val::Null => &[],
        other => {
            return Err(Stop::error(format!(
                "bsearch needs an array, not {}",
                shown(other)
            )));
        }
    };
    let (mut low, mut high) = (0_usize, items.len());
    while low < high {
        // The range is halved as in jq, so that the same of several equal items is found.
        let middle = usize::midpoint(low, high - 1);
        let Some(item) = items.get(middle) else { break };
        run.meter.steps(1 + item.size().min(target.size()) / 32)?;
        match item.cmp(target) {
            Ordering::Equal => return Ok(Val::int(middle)),
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
        }
    }
    let place = i128::try_from(low).unwrap_or(i128::MAX);
    Ok(Val::Num(Num::whole(-1 - place)?))
}

fn contained(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    contains(run, &value, argument(arguments)?).map(Val::Bool)
}

/// Returns `true` if `whole` contains `part`. The function recurses no deeper than a value's depth.
fn contains(run: &Run<'_>, whole: &Val, part: &Val) -> Result<bool, Stop> {
    run.meter.steps(1)?;
    match (whole, part) {
        (Val::Str(whole), Val::Str(part)) => {
            run.meter.scan(4 * whole.len())?;
            Ok(whole.contains(part.as_ref()))
        }
        (Val::Arr(whole), Val::Arr(part)) => {
            for part in part.items() {
                let mut any = false;
                for item in whole.items() {
                    if item.kind() == part.kind() && contains(run, item, part)? {
                        any = true;
                        break;
                    }
                }
                if !any {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Val::Obj(whole), Val::Obj(part)) => {
            for (key, part) in part.entries() {
                match whole.entries().get(key) {
                    Some(item) if item.kind() == part.kind() && contains(run, item, part)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (whole, part) if whole.kind() == part.kind() => Ok(whole == part),
        (whole, part) => Err(Stop::error(format!(
            "{} cannot contain {}",
            shown(whole),
            shown(part)
        ))),
    }
}
