//! `sort_by`, `group_by`, `unique_by`, `min_by`, `max_by`.

use std::cmp::Ordering;

use super::items;
use crate::expression::node::Node;
use crate::expression::run::{Run, Scope};
use crate::expression::stop::Stop;
use crate::expression::value::{FLAT, Val};

/// An item with the keys by which it is sorted.
type Keyed = (Vec<Val>, Val);

impl Run<'_> {
    pub(in crate::expression) fn sort_by(
        &self,
        f: &Node,
        scope: Scope<'_>,
        input: Val,
    ) -> Result<Val, Stop> {
        let sorted = self.sorted(f, scope, &input, "sort")?;
        let items = sorted.into_iter().map(|(_, item)| item);
        Val::list(&self.meter, items.collect())
    }

    pub(in crate::expression) fn group_by(
        &self,
        f: &Node,
        scope: Scope<'_>,
        input: Val,
    ) -> Result<Val, Stop> {
        let groups = self.groups(f, scope, &input, "group_by")?;
        let groups = groups
            .into_iter()
            .map(|group| Val::list(&self.meter, group));
        Val::list(&self.meter, groups.collect::<Result<_, _>>()?)
    }

    pub(in crate::expression) fn unique_by(
        &self,
        f: &Node,
        scope: Scope<'_>,
        input: Val,
    ) -> Result<Val, Stop> {
        let groups = self.groups(f, scope, &input, "unique")?;
        let firsts = groups
            .into_iter()
            .filter_map(|group| group.into_iter().next());
        Val::list(&self.meter, firsts.collect())
    }

    /// Returns the greatest item, the last of equal ones; or the least item, the first of equal
    /// ones. Returns null if there are no items.
    pub(in crate::expression) fn extreme_by(
        &self,
        f: &Node,
        scope: Scope<'_>,
        input: Val,
        greatest: bool,
    ) -> Result<Val, Stop> {
        let keyed = self.keyed(f, scope, &input, if greatest { "max" } else { "min" })?;
        let best = keyed.into_iter().reduce(|best, next| {
            let better = match next.0.cmp(&best.0) {
                Ordering::Less => !greatest,
                Ordering::Equal | Ordering::Greater => greatest,
            };
            if better { next } else { best }
        });
        Ok(best.map_or(Val::Null, |(_, item)| item))
    }

    fn groups(
        &self,
        f: &Node,
        scope: Scope<'_>,
        input: &Val,
        what: &str,
    ) -> Result<Vec<Vec<Val>>, Stop> {
        let mut groups: Vec<(Vec<Val>, Vec<Val>)> = Vec::new();
        for (key, item) in self.sorted(f, scope, input, what)? {
            match groups.last_mut() {
                Some((last, group)) if *last == key => group.push(item),
                _ => groups.push((key, vec![item])),
            }
        }
        Ok(groups.into_iter().map(|(_, group)| group).collect())
    }

    fn sorted(
        &self,
        f: &Node,
        scope: Scope<'_>,
        input: &Val,
        what: &str,
    ) -> Result<Vec<Keyed>, Stop> {
        let mut keyed = self.keyed(f, scope, input, what)?;
        keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(keyed)
    }

    /// Returns the items with their keys, and takes the steps for sorting them.
    fn keyed(
        &self,
        f: &Node,
        scope: Scope<'_>,
        input: &Val,
        what: &str,
    ) -> Result<Vec<Keyed>, Stop> {
        let mut keyed = Vec::new();
        let mut size = 0;
        for item in items(input, what)? {
            let key = self.collect(f, scope, item.clone())?;
            size += key.iter().map(|part| FLAT + part.size()).sum::<usize>();
            self.meter.allocate(4 * FLAT)?;
            keyed.push((key, item.clone()));
        }
        // Each round of a merge sort reads each key once.
        let rounds = 1 + keyed.len().checked_ilog2().unwrap_or(0) as usize;
        self.meter.steps(rounds * (keyed.len() + size / 16) / 4)?;
        Ok(keyed)
    }
}
