//! Access to parts of a value: `.[key]`, `.[from:to]`, `.[]`.

use std::sync::Arc;

use super::native::shown;
use super::node::Node;
use super::place::Item;
use super::run::{Out, Run, Scope};
use super::stop::{Flow, Stop};
use super::value::{Map, Val};

impl Run<'_> {
    /// Evaluates an access to a key, `of[key]`.
    pub(super) fn index(
        &self,
        of: &Node,
        key: &Node,
        optional: bool,
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Flow {
        if let Node::Constant(key) = key {
            return self.eval(of, scope, input, &mut |item| {
                self.child(item, key, optional, out)
            });
        }
        self.each(key, scope, input.value.clone(), &mut |key| {
            self.eval(of, scope, input.clone(), &mut |item| {
                self.child(item, &key, optional, out)
            })
        })
    }

    fn child(&self, item: Item, key: &Val, optional: bool, out: &mut Out) -> Flow {
        let value = match self.get(item.value, key) {
            Err(Stop::Error(_)) if optional => return Ok(()),
            value => value?,
        };
        let place = item.place.below(|| key.clone())?;
        out(Item { value, place })
    }

    /// Evaluates an access to a range, `of[from:to]`.
    pub(super) fn slice(
        &self,
        of: &Node,
        (from, to): (Option<&Node>, Option<&Node>),
        optional: bool,
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Flow {
        let nothing = Node::Constant(Val::Null);
        let (from, to) = (from.unwrap_or(&nothing), to.unwrap_or(&nothing));
        self.each(from, scope, input.value.clone(), &mut |from| {
            self.each(to, scope, input.value.clone(), &mut |to| {
                let entries = [("start".into(), from.clone()), ("end".into(), to)];
                let key = Val::map(&self.meter, entries.into_iter().collect())?;
                self.eval(of, scope, input.clone(), &mut |item| {
                    self.child(item, &key, optional, out)
                })
            })
        })
    }

    /// Evaluates an access to all children, `of[]`.
    pub(super) fn iterate(
        &self,
        of: &Node,
        optional: bool,
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Flow {
        self.eval(of, scope, input, &mut |item| match &item.value {
            Val::Arr(_) | Val::Obj(_) => self.children(item, out),
            _ if optional => Ok(()),
            other => Err(Stop::error(format!("cannot iterate over {}", shown(other)))),
        })
    }

    /// Outputs the values directly below an item, in order.
    pub(super) fn children(&self, item: Item, out: &mut Out) -> Flow {
        let Item { value, place } = item;
        match value {
            Val::Arr(list) => {
                for (index, value) in list.items().iter().enumerate() {
                    self.meter.steps(1)?;
                    let place = place.below(|| Val::int(index))?;
                    let value = value.clone();
                    out(Item { value, place })?;
                }
                Ok(())
            }
            Val::Obj(map) => {
                for (key, value) in map.entries() {
                    self.meter.steps(1)?;
                    let place = place.below(|| Val::Str(Arc::clone(key)))?;
                    let value = value.clone();
                    out(Item { value, place })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Returns the value at a key; null if there is none.
    pub(super) fn get(&self, value: Val, key: &Val) -> Result<Val, Stop> {
        match (&value, key) {
            (Val::Obj(map), Val::Str(key)) => {
                self.count_lookup(key)?;
                Ok(map.entries().get(key).cloned().unwrap_or(Val::Null))
            }
            (Val::Arr(list), Val::Num(index)) => {
                let found = position(index.place(), list.items().len());
                let found = found.and_then(|index| list.items().get(index));
                Ok(found.cloned().unwrap_or(Val::Null))
            }
            (Val::Null, Val::Str(_) | Val::Num(_)) => Ok(Val::Null),
            (Val::Null | Val::Arr(_) | Val::Str(_), Val::Obj(bounds)) => self.part(&value, bounds),
            (Val::Arr(_), Val::Arr(_)) => super::native::arrays::indices(self, value, key),
            _ => Err(Stop::error(format!(
                "cannot index {} with {}",
                shown(&value),
                shown(key)
            ))),
        }
    }

    /// Takes the steps for finding a key, which is compared with many others.
    pub(super) fn count_lookup(&self, key: &str) -> Result<(), Stop> {
        self.meter.scan(8 * key.len())
    }

    fn part(&self, value: &Val, bounds: &Map) -> Result<Val, Stop> {
        match value {
            Val::Arr(list) => {
                let (from, to) = range(bounds, list.items().len())?;
                let items = list.items().get(from..to).unwrap_or_default();
                self.meter.steps(items.len() / 4)?;
                Val::list(&self.meter, items.to_vec())
            }
            Val::Str(text) => {
                self.meter.scan(2 * text.len())?;
                let (from, to) = range(bounds, text.chars().count())?;
                let part: String = text.chars().skip(from).take(to - from).collect();
                Val::string(&self.meter, &part)
            }
            _ => Ok(Val::Null),
        }
    }
}

/// Returns an index from the beginning for one that may count from the end.
pub(super) fn position(index: i64, length: usize) -> Option<usize> {
    if index < 0 {
        let back = usize::try_from(index.unsigned_abs()).ok()?;
        length.checked_sub(back)
    } else {
        usize::try_from(index).ok()
    }
}

/// Returns the bounds of a slice within a length, rounded outward to whole numbers.
pub(super) fn range(bounds: &Map, length: usize) -> Result<(usize, usize), Stop> {
    let bound = |name: &str, otherwise: usize, up: bool| match bounds.entries().get(name) {
        Some(Val::Null) => Ok(otherwise),
        Some(Val::Num(number)) => {
            let whole = number.index();
            let fraction = up && number.float() > number.float().floor();
            let whole = whole.saturating_add(i64::from(fraction));
            Ok(match position(whole, length) {
                Some(index) => index.min(length),
                None => 0,
            })
        }
        other => Err(Stop::error(format!(
            "the bounds of a slice must be numbers, not {}",
            other.map_or_else(|| format!("left out (`{name}`)"), shown)
        ))),
    };
    let from = bound("start", 0, false)?;
    let to = bound("end", length, true)?;
    Ok((from, to.max(from)))
}
