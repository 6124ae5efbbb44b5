//! Changes below a value: assignments, `setpath`, `delpaths`.
//!
//! All paths are collected first, so no update recurses deeper than the value's depth.

use std::collections::{BTreeMap, BTreeSet};

use super::access::{position, range};
use super::native::shown;
use super::node::Node;
use super::place::Item;
use super::run::{Run, Scope};
use super::stop::{Flow, Stop};
use super::value::{FLAT, Val};

/// The keys from a value to a value below it.
pub(super) type Path = Vec<Val>;

impl Run<'_> {
    /// Returns the paths of a filter's outputs.
    pub(super) fn paths(
        &self,
        node: &Node,
        scope: Scope<'_>,
        input: Val,
    ) -> Result<Vec<Path>, Stop> {
        let mut paths = Vec::new();
        self.eval(node, scope, Item::root(input), &mut |item| {
            let keys = item.place.keys();
            self.meter.allocate(FLAT * (2 + keys.len()))?;
            paths.push(keys);
            Ok(())
        })?;
        Ok(paths)
    }

    /// Evaluates `=`, `|=`, `+=` and the like, and `//=`.
    pub(super) fn assignment(
        &self,
        node: &Node,
        scope: Scope<'_>,
        input: Val,
        out: &mut dyn FnMut(Val) -> Flow,
    ) -> Flow {
        match node {
            Node::Update(target, filter) => {
                let paths = self.paths(target, scope, input.clone())?;
                out(self.update(input, &paths, filter, scope)?)
            }
            Node::Assign(target, value) => {
                self.assign(target, value, scope, input, out, &|_, new| Ok(new))
            }
            Node::UpdateMath(math, target, value) => {
                let combine = |old, new| self.math(*math, old, new);
                self.assign(target, value, scope, input, out, &combine)
            }
            Node::UpdateAlternative(target, value) => {
                let combine = |old: Val, new| Ok(if old.is_true() { old } else { new });
                self.assign(target, value, scope, input, out, &combine)
            }
            _ => Err(Stop::error("not an assignment")),
        }
    }

    /// Outputs a result for each new value: each path is set to a function of the old and new
    /// value.
    fn assign(
        &self,
        target: &Node,
        value: &Node,
        scope: Scope<'_>,
        input: Val,
        out: &mut dyn FnMut(Val) -> Flow,
        combine: &dyn Fn(Val, Val) -> Result<Val, Stop>,
    ) -> Flow {
        let values = self.collect(value, scope, input.clone())?;
        if values.is_empty() {
            return Ok(());
        }
        let paths = self.paths(target, scope, input.clone())?;
        let mut whole = Some(input);
        for (index, value) in values.iter().enumerate() {
            // The last new value may change the input in place.
            let last = index + 1 == values.len();
            let Some(mut changed) = (if last { whole.take() } else { whole.clone() }) else {
                break;
            };
            for path in &paths {
                changed = self.change(changed, path, &mut |old| combine(old, value.clone()))?;
            }
            out(changed)?;
        }
        Ok(())
    }

    /// Sets each path to the first output of a filter; deletes the path if there is no output.
    fn update(
        &self,
        mut whole: Val,
        paths: &[Path],
        filter: &Node,
        scope: Scope<'_>,
    ) -> Result<Val, Stop> {
        let mut deleted = Vec::new();
        for path in paths {
            let mut none = false;
            whole = self.change(whole, path, &mut |old| {
                let first = self.first(filter, scope, old)?;
                none = first.is_none();
                Ok(first.unwrap_or(Val::Null))
            })?;
            if none {
                deleted.push(path.clone());
            }
        }
        self.delete(whole, deleted)
    }

    /// Replaces the value at a path by the result of a function. Missing values on the way are
    /// created.
    pub(super) fn change(
        &self,
        value: Val,
        path: &[Val],
        new: &mut dyn FnMut(Val) -> Result<Val, Stop>,
    ) -> Result<Val, Stop> {
        let Some((key, rest)) = path.split_first() else {
            return new(value);
        };
        self.meter.enter()?;
        let changed = self.change_below(value, key, rest, new);
        self.meter.leave();
        changed
    }

    fn change_below(
        &self,
        value: Val,
        key: &Val,
        rest: &[Val],
        new: &mut dyn FnMut(Val) -> Result<Val, Stop>,
    ) -> Result<Val, Stop> {
        let value = match (value, key) {
            (Val::Null, Val::Str(_)) => Val::map(&self.meter, BTreeMap::new())?,
            (Val::Null, Val::Num(_) | Val::Obj(_)) => Val::list(&self.meter, Vec::new())?,
            (value, _) => value,
        };
        match (value, key) {
            (Val::Obj(mut map), Val::Str(key)) => {
                self.count_lookup(key)?;
                let old = Val::take_entry(&mut map, key);
                let changed = self.change(old, rest, new)?;
                Val::insert(&self.meter, map, key.clone(), changed).map(Val::Obj)
            }
            (Val::Arr(mut list), Val::Num(index)) => {
                let length = list.items().len();
                let at = position(index.place(), length)
                    .ok_or_else(|| Stop::error("an index from the end is out of bounds"))?;
                let old = Val::take_item(&mut list, at);
                let changed = self.change(old, rest, new)?;
                if at < length {
                    return Val::replace(&self.meter, list, at, changed);
                }
                let mut items = Val::into_items(&self.meter, list)?;
                self.meter.allocate(FLAT.saturating_mul(at - length))?;
                items.resize(at, Val::Null);
                items.push(changed);
                Val::list(&self.meter, items)
            }
            (Val::Arr(list), Val::Obj(bounds)) => {
                let (from, to) = range(bounds, list.items().len())?;
                let old = self.get(Val::Arr(list.clone()), key)?;
                let Val::Arr(changed) = self.change(old, rest, new)? else {
                    return Err(Stop::error("a slice can only be set to an array"));
                };
                let mut items = Val::into_items(&self.meter, list)?;
                self.meter.allocate(FLAT * changed.items().len())?;
                items.splice(from..to, changed.items().iter().cloned());
                Val::list(&self.meter, items)
            }
            (value, key) => Err(Stop::error(format!(
                "cannot set {} of {}",
                shown(key),
                shown(&value)
            ))),
        }
    }

    /// Removes the values at these paths. Paths that lead to no value are ignored.
    pub(super) fn delete(&self, value: Val, paths: Vec<Path>) -> Result<Val, Stop> {
        if paths.is_empty() {
            return Ok(value);
        }
        if paths.iter().any(Vec::is_empty) {
            return Ok(Val::Null);
        }
        self.meter.enter()?;
        let value = self.delete_below(value, paths);
        self.meter.leave();
        value
    }

    fn delete_below(&self, mut value: Val, paths: Vec<Path>) -> Result<Val, Stop> {
        // Paths below the children come first, because the children's places are still valid then.
        let mut here = BTreeSet::new();
        let mut below: BTreeMap<Val, Vec<Path>> = BTreeMap::new();
        let rounds = 1 + paths.len().ilog2() as usize;
        for mut path in paths {
            let size: usize = path.first().map_or(0, Val::size);
            self.meter.steps(1 + path.len() + rounds * (size / 16))?;
            let rest = path.split_off(1);
            let Some(key) = path.pop() else { continue };
            if rest.is_empty() {
                here.insert(key);
            } else {
                below.entry(key).or_default().push(rest);
            }
        }
        for (key, rest) in below {
            if self.get(value.clone(), &key)? == Val::Null {
                continue;
            }
            let mut rest = Some(rest);
            value = self.change(value, &[key], &mut |old| {
                self.delete(old, rest.take().unwrap_or_default())
            })?;
        }
        match value {
            Val::Null => Ok(Val::Null),
            Val::Obj(map) => {
                let mut entries = Val::into_entries(&self.meter, map)?;
                for key in here {
                    entries.remove(&self.key(&key)?);
                }
                Val::map(&self.meter, entries)
            }
            Val::Arr(list) => {
                let length = list.items().len();
                let mut kept = vec![true; length];
                for key in here {
                    let (from, to) = match &key {
                        Val::Num(index) => match position(index.place(), length) {
                            Some(at) if at < length => (at, at + 1),
                            _ => continue,
                        },
                        Val::Obj(bounds) => range(bounds, length)?,
                        other => {
                            let message = format!("cannot delete {} of an array", shown(other));
                            return Err(Stop::error(message));
                        }
                    };
                    self.meter.steps((to - from) / 16)?;
                    if let Some(range) = kept.get_mut(from..to) {
                        range.fill(false);
                    }
                }
                let items = Val::into_items(&self.meter, list)?;
                let items = items.into_iter().zip(kept);
                let items = items.filter(|(_, kept)| *kept).map(|(item, _)| item);
                Val::list(&self.meter, items.collect())
            }
            other => match here.first() {
                Some(key) => Err(Stop::error(format!(
                    "cannot delete {} of {}",
                    shown(key),
                    shown(&other)
                ))),
                None => Ok(other),
            },
        }
    }

    /// Converts a value to the path that it represents.
    pub(super) fn as_path(value: &Val) -> Result<Path, Stop> {
        match value {
            Val::Arr(list) => Ok(list.items().to_vec()),
            other => Err(Stop::error(format!(
                "a path must be an array, not {}",
                shown(other)
            ))),
        }
    }
}
