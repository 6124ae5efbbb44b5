//! The tasks `switch`, `for`, `fork` and `raise`.

use std::collections::BTreeMap;

use almanac_base::size::weight;
use serde_json::Value;

use super::evaluate::View;
use super::frames::Place;
use super::state::Doing;
use super::tasks::Interpreter;
use super::{Fault, Standard};
use crate::language::{Case, For, Kind, RaisedError, Task, Template, describe};

impl Interpreter<'_> {
    pub(super) fn switch(&mut self, place: Place, cases: &[Case]) -> Result<(), Fault> {
        let input = self.frame(place).input();
        let default = cases.iter().find(|case| case.when.is_none());
        let mut then = default.map(|case| &case.then);
        for case in cases {
            if let Some(when) = &case.when
                && self.condition(View::body(place), when, input)?
            {
                then = Some(&case.then);
                break;
            }
        }
        let output = input.clone();
        self.finish(place, output, then)
    }

    pub(super) fn begin_for(&mut self, place: Place, each: &For) -> Result<(), Fault> {
        let input = self.frame(place).input();
        let items = match self.fill(View::body(place), &each.items, input)? {
            Value::Array(items) => items,
            other => {
                let what = match &each.items {
                    Template::Expression(expression) => format!("`{}`", expression.text()),
                    _ => "`in`".to_owned(),
                };
                return Err(Standard::Expression
                    .fault(format!("{what} must be a list, not {}", describe(&other))));
            }
        };
        self.keep(weight(input))?;
        let items = Value::Array(items);
        self.take(&items)?;
        let Value::Array(items) = items else {
            return Ok(());
        };
        let data = self.frame(place).input().clone();
        self.set_doing(place, Doing::For { items, next: 0 });
        self.iterate(place, data)
    }

    /// Runs the list for the next item. The input is the output of the previous iteration.
    pub(super) fn iterate(&mut self, place: Place, data: Value) -> Result<(), Fault> {
        let Some(each) = self.for_of(place) else {
            return Ok(());
        };
        let Some(Doing::For { items, next }) = self.doing_mut(place) else {
            return Ok(());
        };
        let Some(item) = items.get_mut(*next) else {
            return self.finish(place, data, None);
        };
        // The item is not needed again.
        let item = std::mem::take(item);
        let index = Value::from(*next);
        *next += 1;
        let variables = [(each.each.as_str(), item), (each.at.as_str(), index)];
        if let Some(condition) = &each.condition
            && !self.condition(View::body(place).with(&variables), condition, &data)?
        {
            return self.finish(place, data, None);
        }
        let list = format!("{}/do", self.task(place).path);
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.enter(place, list, data, variables);
        Ok(())
    }

    pub(super) fn begin_fork(&mut self, place: Place, task: &Task) -> Result<(), Fault> {
        let list = format!("{}/fork/branches", task.path);
        let branches = self.flow.list(&list).len();
        // Each branch has its own copy of the variables.
        let variables = self.frames(place).iter().flat_map(|frame| &frame.variables);
        let variables: u64 = variables.map(|(_, value)| weight(value)).sum();
        let input = self.frame(place).input();
        let each = weight(input).saturating_add(variables);
        self.keep(each.saturating_mul(branches as u64))?;
        let input = input.clone();
        let outputs = BTreeMap::new();
        self.set_doing(place, Doing::Fork { outputs });
        for branch in 0..branches {
            self.branch(place, branch, &list, input.clone());
        }
        Ok(())
    }

    pub(super) fn branch_done(
        &mut self,
        place: Place,
        branch: usize,
        output: Value,
    ) -> Result<(), Fault> {
        let task = self.task(place);
        if let Kind::Fork { compete: true } = task.kind {
            self.abandon_branches(place);
            return self.finish(place, output, None);
        }
        let count = self
            .flow
            .list(&format!("{}/fork/branches", task.path))
            .len();
        let Some(Doing::Fork { outputs }) = self.doing_mut(place) else {
            return Ok(());
        };
        outputs.insert(branch, output);
        if outputs.len() < count {
            return Ok(());
        }
        let outputs = std::mem::take(outputs).into_values().collect();
        self.finish(place, outputs, None)
    }

    /// Returns the error that a `raise` states.
    pub(super) fn raised(&self, place: Place, error: &RaisedError) -> Result<Fault, Fault> {
        let input = self.frame(place).input();
        let text = |template: &Template| {
            self.fill(View::body(place), template, input)
                .map(|value| match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                })
        };
        let optional = |template: &Option<Template>| template.as_ref().map(text).transpose();
        Ok(Fault {
            kind: text(&error.kind)?,
            status: error.status,
            title: optional(&error.title)?,
            detail: optional(&error.detail)?,
            instance: optional(&error.instance)?,
        })
    }
}
