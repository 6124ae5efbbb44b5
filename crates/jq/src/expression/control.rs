//! Functions that evaluate their arguments themselves, and the folds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builtin::Control;
use super::native::{shown, values};
use super::node::{Fold, Node};
use super::number::Num;
use super::place::{Item, Place};
use super::run::{Out, Run, Scope};
use super::stop::{Flow, Stop};
use super::value::{FLAT, Val};

/// Decides for an item, once or several times, if it is output, and if the filter is applied to it.
type Choose<'c> = dyn FnMut(&Item, &mut dyn FnMut(bool, bool)) -> Flow + 'c;

/// A remaining step of a repetition.
enum Step {
    Visit(Item),
    /// Output the item, apply the filter to it.
    Go(Item, bool, bool),
    Fail(Stop),
}

impl Run<'_> {
    pub(super) fn control(
        &self,
        control: Control,
        arguments: &[Node],
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Flow {
        match (control, arguments) {
            (Control::Empty, _) => Ok(()),
            (Control::Error, [message]) => {
                self.each(message, scope, input.value, &mut |m| Err(Stop::Error(m)))
            }
            (Control::First, [f]) => self.taking(1, f, scope, input, out),
            (Control::Last, [f]) => self.last_of(f, scope, input, out),
            (Control::Limit, [n, f]) => self.limit(n, f, scope, input, out),
            (Control::Skip, [n, f]) => self.each(n, scope, input.value.clone(), &mut |n| {
                let mut left = count(&n, "skip")?;
                self.eval(f, scope, input.clone(), &mut |item| {
                    if left == 0 {
                        return out(item);
                    }
                    left -= 1;
                    Ok(())
                })
            }),
            (Control::RecurseBy, [f]) => self.recurse(f, scope, input, out),
            (Control::While | Control::Until, [condition, f]) => {
                self.while_or_until(control == Control::Until, condition, f, scope, input, out)
            }
            (Control::Repeat, [f]) => self.repeat(f, scope, input, out),
            (Control::Path, [f]) => {
                input.untracked()?;
                self.eval(f, scope, Item::root(input.value), &mut |item| {
                    let keys = Val::list(&self.meter, item.place.keys())?;
                    out(Item::of(keys))
                })
            }
            (Control::GetPath, [path]) => {
                self.each(path, scope, input.value.clone(), &mut |path| {
                    out(self.at_path(input.clone(), &path)?)
                })
            }
            _ => self.made_by(control, arguments, scope, input, out),
        }
    }

    /// Evaluates the functions that make new values, which have no path.
    fn made_by(
        &self,
        control: Control,
        arguments: &[Node],
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Flow {
        input.untracked()?;
        let input = input.value;
        let made = |result: Result<Val, Stop>| result.map(Item::of);
        match (control, arguments) {
            (Control::Any, [generator, condition]) => {
                let found = self.found(generator, condition, true, scope, input);
                out(made(found.map(Val::Bool))?)
            }
            (Control::All, [generator, condition]) => {
                let found = self.found(generator, condition, false, scope, input);
                out(made(found.map(|found| Val::Bool(!found)))?)
            }
            (Control::IsEmpty, [f]) => {
                let first = self.first(f, scope, input)?;
                out(Item::of(Val::Bool(first.is_none())))
            }
            (Control::Range, [from, to, by]) => {
                self.each(from, scope, input.clone(), &mut |from| {
                    self.each(to, scope, input.clone(), &mut |to| {
                        self.each(by, scope, input.clone(), &mut |by| {
                            self.range(&from, &to, &by, out)
                        })
                    })
                })
            }
            (Control::Combinations, []) => self.combinations(&input, out),
            (Control::ToStream, []) => self.stream(input, &mut Vec::new(), out),
            (Control::Walk, [f]) => self.walk(f, scope, input, &mut |value| out(Item::of(value))),
            (Control::SortBy, [f]) => out(made(self.sort_by(f, scope, input))?),
            (Control::GroupBy, [f]) => out(made(self.group_by(f, scope, input))?),
            (Control::UniqueBy, [f]) => out(made(self.unique_by(f, scope, input))?),
            (Control::MinBy, [f]) => out(made(self.extreme_by(f, scope, input, false))?),
            (Control::MaxBy, [f]) => out(made(self.extreme_by(f, scope, input, true))?),
            _ => Err(Stop::error("wrong number of arguments")),
        }
    }

    /// Outputs the last output of a filter. For none, the result is null without a path, as jq's
    /// fold.
    fn last_of(&self, f: &Node, scope: Scope<'_>, input: Item, out: &mut Out) -> Flow {
        let mut last = None;
        let place = input.place.clone();
        self.eval(f, scope, input, &mut |item| {
            last = Some(item);
            Ok(())
        })?;
        match (last, place) {
            (Some(last), _) => out(last),
            (None, Place::Untracked) => out(Item::of(Val::Null)),
            (None, _) => Ok(()),
        }
    }

    fn limit(&self, n: &Node, f: &Node, scope: Scope<'_>, input: Item, out: &mut Out) -> Flow {
        self.each(n, scope, input.value.clone(), &mut |n| match most(&n)? {
            Some(0) => Ok(()),
            Some(n) => self.taking(n, f, scope, input.clone(), out),
            None => self.eval(f, scope, input.clone(), out),
        })
    }

    fn recurse(&self, f: &Node, scope: Scope<'_>, input: Item, out: &mut Out) -> Flow {
        self.spread(f, scope, input, out, &mut |_, put| {
            put(true, true);
            Ok(())
        })
    }

    /// Evaluates `while` and `until`. `while` outputs an item and continues if its condition holds;
    /// `until` outputs an item if its condition holds, and continues otherwise. Each output of the
    /// condition counts.
    fn while_or_until(
        &self,
        until: bool,
        condition: &Node,
        f: &Node,
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Flow {
        self.spread(f, scope, input, out, &mut |item, put| {
            self.each(condition, scope, item.value.clone(), &mut |holds| {
                match (until, holds.is_true()) {
                    (true, holds) => put(holds, !holds),
                    (false, true) => put(true, true),
                    (false, false) => {}
                }
                Ok(())
            })
        })
    }

    /// Outputs a filter's outputs on the same input, again and again.
    fn repeat(&self, f: &Node, scope: Scope<'_>, input: Item, out: &mut Out) -> Flow {
        loop {
            self.meter.steps(1)?;
            self.eval(f, scope, input.clone(), out)?;
        }
    }

    /// Outputs the first `n` outputs of a filter and then stops the filter.
    fn taking(&self, n: usize, f: &Node, scope: Scope<'_>, input: Item, out: &mut Out) -> Flow {
        let label = self.fresh_label();
        let mut left = n;
        let flow = self.eval(f, scope, input, &mut |item| {
            left -= 1;
            out(item)?;
            if left == 0 {
                return Err(Stop::Break(label));
            }
            Ok(())
        });
        match flow {
            Err(Stop::Break(to)) if to == label => Ok(()),
            flow => flow,
        }
    }

    /// Returns the first output of a filter, if there is any.
    pub(super) fn first(
        &self,
        f: &Node,
        scope: Scope<'_>,
        input: Val,
    ) -> Result<Option<Val>, Stop> {
        let mut first = None;
        self.taking(1, f, scope, Item::of(input), &mut |item| {
            first = Some(item.value);
            Ok(())
        })?;
        Ok(first)
    }

    /// Evaluates a filter on an item, then on each of its outputs, and so on, without recursion.
    /// If a filter, or `choose`, fails, the items that it gave before are processed before the
    /// failure is returned.
    fn spread(
        &self,
        f: &Node,
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
        choose: &mut Choose<'_>,
    ) -> Flow {
        let mut open = vec![Step::Visit(input)];
        while let Some(step) = open.pop() {
            let begin = open.len();
            let flow = match step {
                Step::Fail(stop) => return Err(stop),
                Step::Visit(item) => {
                    self.meter.steps(1)?;
                    choose(&item, &mut |put, go_on| {
                        open.push(Step::Go(item.clone(), put, go_on));
                    })
                }
                Step::Go(item, put, go_on) => {
                    if put {
                        out(item.clone())?;
                    }
                    if !go_on {
                        continue;
                    }
                    self.eval(f, scope, item, &mut |item| {
                        self.meter.allocate(4 * FLAT)?;
                        open.push(Step::Visit(item));
                        Ok(())
                    })
                }
            };
            match flow {
                Err(Stop::Exceeded(limit)) => return Err(Stop::Exceeded(limit)),
                Err(stop) => open.push(Step::Fail(stop)),
                Ok(()) => {}
            }
            // The first output is processed next.
            if let Some(made) = open.get_mut(begin..) {
                made.reverse();
            }
        }
        Ok(())
    }

    fn at_path(&self, input: Item, path: &Val) -> Result<Item, Stop> {
        let Item {
            mut value,
            mut place,
        } = input;
        for key in Self::as_path(path)? {
            self.meter.steps(1)?;
            value = self.get(value, &key)?;
            place = place.below(|| key)?;
        }
        Ok(Item { value, place })
    }

    /// Returns `true` if a condition gives `wanted` for any output of a generator.
    fn found(
        &self,
        generator: &Node,
        condition: &Node,
        wanted: bool,
        scope: Scope<'_>,
        input: Val,
    ) -> Result<bool, Stop> {
        let label = self.fresh_label();
        let flow = self.each(generator, scope, input, &mut |value| {
            self.each(condition, scope, value, &mut |holds| {
                if holds.is_true() == wanted {
                    return Err(Stop::Break(label));
                }
                Ok(())
            })
        });
        match flow {
            Ok(()) => Ok(false),
            Err(Stop::Break(to)) if to == label => Ok(true),
            Err(stop) => Err(stop),
        }
    }

    fn range(&self, from: &Val, to: &Val, by: &Val, out: &mut Out) -> Flow {
        let number = |value: &Val| match value {
            Val::Num(number) => Ok(*number),
            other => Err(Stop::error(format!(
                "range needs numbers, not {}",
                shown(other)
            ))),
        };
        let (mut at, to, by) = (number(from)?, number(to)?, number(by)?);
        let zero = Num::Int(0);
        if by == zero {
            return Ok(());
        }
        while if by > zero { at < to } else { at > to } {
            self.meter.steps(1)?;
            out(Item::of(Val::Num(at)))?;
            at = at.add(by)?;
        }
        Ok(())
    }

    /// Outputs each choice of one item of each list. The last list's item changes fastest.
    fn combinations(&self, lists: &Val, out: &mut Out) -> Flow {
        let lists: Vec<Vec<Val>> = match lists {
            Val::Null => Vec::new(),
            Val::Obj(map) if map.entries().is_empty() => Vec::new(),
            Val::Str(text) if text.is_empty() => Vec::new(),
            Val::Arr(lists) => {
                let lists = lists.items().iter().map(|list| values(self, list));
                lists.collect::<Result<_, _>>()?
            }
            other => {
                return Err(Stop::error(format!(
                    "combinations needs an array of arrays, not {}",
                    shown(other)
                )));
            }
        };
        if lists.iter().any(Vec::is_empty) {
            return Ok(());
        }
        let mut chosen = vec![0_usize; lists.len()];
        loop {
            self.meter.steps(1 + lists.len() / 4)?;
            let items = lists.iter().zip(&chosen);
            let items = items.filter_map(|(list, at)| list.get(*at).cloned());
            out(Item::of(Val::list(&self.meter, items.collect())?))?;
            // The next choice is found like the next number: from the last digit.
            let digits = lists.iter().zip(&mut chosen).rev();
            let mut carried = true;
            for (list, at) in digits {
                *at += 1;
                if *at < list.len() {
                    carried = false;
                    break;
                }
                *at = 0;
            }
            if carried {
                return Ok(());
            }
        }
    }

    /// Outputs the events of `tostream`: `[path, leaf]`, and `[path]` at the end of an array or
    /// object. The function recurses no deeper than the value's depth.
    fn stream(&self, value: Val, path: &mut Vec<Val>, out: &mut Out) -> Flow {
        self.meter.steps(1)?;
        let children: Vec<(Val, Val)> = match &value {
            Val::Arr(list) => {
                let items = list.items().iter().enumerate();
                items
                    .map(|(at, item)| (Val::int(at), item.clone()))
                    .collect()
            }
            Val::Obj(map) => {
                let entries = map.entries().iter();
                let entries =
                    entries.map(|(key, value)| (Val::Str(Arc::clone(key)), value.clone()));
                entries.collect()
            }
            _ => Vec::new(),
        };
        self.meter.allocate(2 * FLAT * children.len())?;
        let event = |path: &[Val], value: Option<Val>| {
            let path = Val::list(&self.meter, path.to_vec())?;
            let parts = std::iter::once(path).chain(value);
            Val::list(&self.meter, parts.collect()).map(Item::of)
        };
        let Some((last, _)) = children.last().cloned() else {
            return out(event(path, Some(value))?);
        };
        self.meter.enter()?;
        for (key, child) in children {
            path.push(key);
            self.stream(child, path, out)?;
            path.pop();
        }
        self.meter.leave();
        path.push(last);
        let flow = event(path, None).and_then(out);
        path.pop();
        flow
    }

    /// Applies a filter to all parts of a value, from the leaves up.
    fn walk(
        &self,
        f: &Node,
        scope: Scope<'_>,
        value: Val,
        out: &mut dyn FnMut(Val) -> Flow,
    ) -> Flow {
        self.meter.enter()?;
        let flow = self
            .walk_below(f, scope, value)
            .and_then(|value| self.each(f, scope, value, out));
        self.meter.leave();
        flow
    }

    fn walk_below(&self, f: &Node, scope: Scope<'_>, value: Val) -> Result<Val, Stop> {
        match value {
            Val::Arr(list) => {
                let mut items = Vec::new();
                for item in list.items() {
                    self.walk(f, scope, item.clone(), &mut |value| {
                        self.meter.allocate(FLAT)?;
                        items.push(value);
                        Ok(())
                    })?;
                }
                Val::list(&self.meter, items)
            }
            Val::Obj(map) => {
                let mut entries = BTreeMap::new();
                for (key, value) in map.entries() {
                    let mut first = None;
                    self.walk(f, scope, value.clone(), &mut |value| {
                        first.get_or_insert(value);
                        Ok(())
                    })?;
                    if let Some(value) = first {
                        entries.insert(key.clone(), value);
                    }
                }
                Val::map(&self.meter, entries)
            }
            other => Ok(other),
        }
    }

    /// Evaluates `reduce`. The state after an update is the update's last output, or null.
    pub(super) fn reduce(&self, fold: &Fold, scope: Scope<'_>, input: Item, out: &mut Out) -> Flow {
        self.eval(&fold.start, scope, input.clone(), &mut |start| {
            let place = start.place.clone();
            let mut state = Some(start);
            self.each(&fold.source, scope, input.value.clone(), &mut |value| {
                self.bind(&fold.pattern, scope, &value, &mut |scope| {
                    let before = state.take().unwrap_or_else(|| nothing(&place));
                    self.eval(&fold.update, scope, before, &mut |item| {
                        state = Some(item);
                        Ok(())
                    })
                })
            })?;
            out(state.unwrap_or_else(|| nothing(&place)))
        })
    }

    /// Evaluates `foreach`: outputs each state. An update without output gives null, as in jq.
    pub(super) fn foreach(
        &self,
        fold: &Fold,
        extract: Option<&Node>,
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Flow {
        self.eval(&fold.start, scope, input.clone(), &mut |start| {
            let place = start.place.clone();
            let mut state = Some(start);
            self.each(&fold.source, scope, input.value.clone(), &mut |value| {
                self.bind(&fold.pattern, scope, &value, &mut |scope| {
                    let before = state.take().unwrap_or_else(|| nothing(&place));
                    self.eval(&fold.update, scope, before, &mut |item| {
                        state = Some(item.clone());
                        match extract {
                            Some(extract) => self.eval(extract, scope, item, out),
                            None => out(item),
                        }
                    })
                })
            })
        })
    }
}

fn nothing(place: &Place) -> Item {
    Item {
        value: Val::Null,
        place: match place {
            Place::Untracked => Place::Untracked,
            _ => Place::Root,
        },
    }
}

/// Number of outputs that a limit allows: a fraction counts as one, and below zero all, as in jq.
fn most(n: &Val) -> Result<Option<usize>, Stop> {
    match n {
        Val::Null | Val::Bool(_) => Ok(None),
        Val::Num(number) if *number < Num::Int(0) => Ok(None),
        Val::Num(number) => {
            let whole = usize::try_from(number.index()).unwrap_or(usize::MAX);
            let part = number.float() > number.float().floor();
            Ok(Some(whole.saturating_add(usize::from(part))))
        }
        other => Err(Stop::error(format!(
            "limit needs a number, not {}",
            shown(other)
        ))),
    }
}

fn count(n: &Val, name: &str) -> Result<usize, Stop> {
    match n {
        Val::Num(number) if *number >= Num::Int(0) => {
            Ok(usize::try_from(number.index()).unwrap_or(usize::MAX))
        }
        other => Err(Stop::error(format!(
            "{name} needs a number of 0 or more, not {}",
            shown(other)
        ))),
    }
}
