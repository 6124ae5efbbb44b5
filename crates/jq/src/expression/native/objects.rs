//! Functions of objects and paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{items, shown};
use crate::expression::builtin::Function;
use crate::expression::run::Run;
use crate::expression::stop::Stop;
use crate::expression::value::Val;

pub(in crate::expression) const FUNCTIONS: &[Function] = &[
    Function::new("type", 0, |_, x, _| Ok(Val::text(x.kind()))),
    Function::new("keys", 0, keys),
    // The keys of an object are always sorted.
    Function::new("keys_unsorted", 0, keys),
    Function::new("has", 1, has),
    Function::new("to_entries", 0, to_entries),
    Function::new("from_entries", 0, from_entries),
    Function::new("setpath", 2, set_path),
    Function::new("delpaths", 1, delete_paths),
];

fn keys(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let keys: Vec<Val> = match &value {
        Val::Obj(map) => map
            .entries()
            .keys()
            .map(|key| Val::Str(Arc::clone(key)))
            .collect(),
        Val::Arr(list) => (0..list.items().len()).map(Val::int).collect(),
        other => return Err(Stop::error(format!("{} has no keys", shown(other)))),
    };
    Val::list(&run.meter, keys)
}

fn has(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    match (&value, arguments) {
        (Val::Obj(map), [Val::Str(key)]) => {
            run.count_lookup(key)?;
            Ok(Val::Bool(map.entries().contains_key(key)))
        }
        (Val::Arr(list), [Val::Num(index)]) => {
            let inside = usize::try_from(index.index()).is_ok_and(|at| at < list.items().len());
            Ok(Val::Bool(inside))
        }
        (value, [key, ..]) => Err(Stop::error(format!(
            "{} has no key like {}",
            shown(value),
            shown(key)
        ))),
        _ => Err(Stop::error("an argument is missing")),
    }
}

fn to_entries(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let entries: Vec<(Val, &Val)> = match &value {
        Val::Obj(map) => {
            let entries = map.entries().iter();
            entries
                .map(|(key, value)| (Val::Str(Arc::clone(key)), value))
                .collect()
        }
        Val::Arr(list) => {
            let items = list.items().iter().enumerate();
            items.map(|(index, item)| (Val::int(index), item)).collect()
        }
        other => return Err(Stop::error(format!("{} has no keys", shown(other)))),
    };
    let entries = entries.into_iter().map(|(key, value)| {
        let entry = [("key".into(), key), ("value".into(), value.clone())];
        Val::map(&run.meter, BTreeMap::from(entry))
    });
    Val::list(&run.meter, entries.collect::<Result<_, _>>()?)
}

/// Accepts the names that jq accepts: `key`, `k`, `name`, `Name`, `Key`, `K`; `value`, `v`,
/// `Value`, `V`.
fn from_entries(run: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    let entries: Vec<&Val> = match &value {
        Val::Obj(map) => map.entries().values().collect(),
        other => items(other, "from_entries")?.iter().collect(),
    };
    run.meter.steps(2 * entries.len())?;
    let mut made = BTreeMap::new();
    for entry in entries {
        let Val::Obj(entry) = entry else {
            return Err(Stop::error(format!("{} is not an entry", shown(entry))));
        };
        let entry = entry.entries();
        let key = ["key", "k", "name", "Name", "Key", "K"]
            .into_iter()
            .filter_map(|name| entry.get(name))
            .find(|key| !matches!(key, Val::Null));
        let key = match key.unwrap_or(&Val::Null) {
            Val::Str(key) => Arc::clone(key),
            other @ (Val::Null | Val::Bool(_) | Val::Num(_)) => shown(other).into(),
            other => {
                return Err(Stop::error(format!("{} cannot be a key", shown(other))));
            }
        };
        run.count_lookup(&key)?;
        let value = ["value", "v", "Value", "V"]
            .into_iter()
            .find_map(|name| entry.get(name));
        made.insert(key, value.cloned().unwrap_or(Val::Null));
    }
    Val::map(&run.meter, made)
}

fn set_path(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    match arguments {
        [path, new] => {
            let path = Run::as_path(path)?;
            run.change(value, &path, &mut |_| Ok(new.clone()))
        }
        _ => Err(Stop::error("an argument is missing")),
    }
}

fn delete_paths(run: &Run<'_>, value: Val, arguments: &[Val]) -> Result<Val, Stop> {
    let [paths] = arguments else {
        return Err(Stop::error("an argument is missing"));
    };
    let paths = items(paths, "delpaths")?.iter();
    let paths: Vec<_> = paths.map(Run::as_path).collect::<Result<_, _>>()?;
    run.meter.steps(paths.iter().map(Vec::len).sum())?;
    run.delete(value, paths)
}
