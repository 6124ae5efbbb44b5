//! The operators `+ - * / %` on every kind of value.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{shown, strings};
use crate::expression::node::Math;
use crate::expression::number::Num;
use crate::expression::run::Run;
use crate::expression::stop::Stop;
use crate::expression::value::{Map, Val};

impl Run<'_> {
    pub(in crate::expression) fn math(
        &self,
        math: Math,
        left: Val,
        right: Val,
    ) -> Result<Val, Stop> {
        match math {
            Math::Add => self.add(left, right),
            Math::Subtract => self.subtract(left, right),
            Math::Multiply => self.multiply(left, right),
            Math::Divide => match (&left, &right) {
                (Val::Num(left), Val::Num(right)) => Ok(Val::Num(left.divide(*right)?)),
                (Val::Str(left), Val::Str(right)) => strings::split(self, left, right),
                _ => Err(wrong(&left, "be divided by", &right)),
            },
            Math::Remainder => match (&left, &right) {
                (Val::Num(left), Val::Num(right)) => Ok(Val::Num(left.remainder(*right)?)),
                _ => Err(wrong(&left, "be divided by", &right)),
            },
        }
    }

    pub(super) fn add(&self, left: Val, right: Val) -> Result<Val, Stop> {
        match (left, right) {
            (Val::Null, other) | (other, Val::Null) => Ok(other),
            (Val::Num(left), Val::Num(right)) => Ok(Val::Num(left.add(right)?)),
            (Val::Str(left), Val::Str(right)) => {
                self.meter.allocate(left.len() + right.len())?;
                Val::string(&self.meter, &format!("{left}{right}"))
            }
            (Val::Arr(left), Val::Arr(right)) => {
                let mut sum = left;
                for item in right.items() {
                    sum = Val::push(&self.meter, sum, item.clone())?;
                }
                self.meter.steps(right.items().len() / 4)?;
                Ok(Val::Arr(sum))
            }
            (Val::Obj(left), Val::Obj(right)) => {
                let mut sum = left;
                for (key, value) in right.entries() {
                    self.meter.steps(1)?;
                    sum = Val::insert(&self.meter, sum, key.clone(), value.clone())?;
                }
                Ok(Val::Obj(sum))
            }
            (left, right) => Err(wrong(&left, "be added to", &right)),
        }
    }

    fn subtract(&self, left: Val, right: Val) -> Result<Val, Stop> {
        match (left, right) {
            (Val::Num(left), Val::Num(right)) => Ok(Val::Num(left.subtract(right)?)),
            (Val::Arr(left), Val::Arr(right)) => {
                let whole =
                    Val::Arr(Arc::clone(&left)).size() + Val::Arr(Arc::clone(&right)).size();
                self.meter.steps(whole / 8)?;
                let removed: BTreeSet<&Val> = right.items().iter().collect();
                let kept = left.items().iter().filter(|item| !removed.contains(item));
                Val::list(&self.meter, kept.cloned().collect())
            }
            (left, right) => Err(wrong(&right, "be subtracted from", &left)),
        }
    }

    fn multiply(&self, left: Val, right: Val) -> Result<Val, Stop> {
        match (left, right) {
            (Val::Num(left), Val::Num(right)) => Ok(Val::Num(left.multiply(right)?)),
            (Val::Str(text), Val::Num(times)) | (Val::Num(times), Val::Str(text)) => {
                if times < Num::Int(0) {
                    return Ok(Val::Null);
                }
                let times = usize::try_from(times.index()).unwrap_or(usize::MAX);
                self.meter.allocate(text.len().saturating_mul(times))?;
                Val::string(&self.meter, &text.repeat(times))
            }
            (Val::Obj(left), Val::Obj(right)) => self.merge(left, &right),
            (left, right) => Err(wrong(&left, "be multiplied by", &right)),
        }
    }

    /// Merges objects, and objects within them.
    fn merge(&self, left: Arc<Map>, right: &Map) -> Result<Val, Stop> {
        self.meter.enter()?;
        let merged = self.merge_entries(left, right);
        self.meter.leave();
        merged
    }

    fn merge_entries(&self, left: Arc<Map>, right: &Map) -> Result<Val, Stop> {
        let mut merged = left;
        for (key, value) in right.entries() {
            self.meter.steps(1)?;
            let value = match (merged.entries().get(key), value) {
                (Some(Val::Obj(old)), Val::Obj(new)) => self.merge(Arc::clone(old), new)?,
                (_, value) => value.clone(),
            };
            merged = Val::insert(&self.meter, merged, key.clone(), value)?;
        }
        Ok(Val::Obj(merged))
    }
}

/// Evaluates `-x`.
pub(in crate::expression) fn negate(value: &Val) -> Result<Val, Stop> {
    match value {
        Val::Num(number) => Ok(Val::Num(number.negate()?)),
        other => Err(Stop::error(format!("cannot negate {}", shown(other)))),
    }
}

fn wrong(left: &Val, done: &str, right: &Val) -> Stop {
    Stop::error(format!("{} cannot {done} {}", shown(left), shown(right)))
}
