//! A set that is stored in one piece of memory.
//!
//! Most schedules have one calendar, and ten thousand schedules are stored several times. A
//! tree would reserve room for eleven elements in each.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A sorted list without duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<T>")]
#[serde(bound(deserialize = "T: Ord + Deserialize<'de>"))]
pub struct Sorted<T>(Box<[T]>);

impl<T: Ord> Sorted<T> {
    /// Returns `true` if `other` contains all elements of this list.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|one| other.binary_search(one).is_ok())
    }

    /// Adds an element, unless the list contains it already.
    pub fn insert(&mut self, one: T) {
        self.extend([one]);
    }
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T> Deref for Sorted<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Ord> From<Vec<T>> for Sorted<T> {
    fn from(mut all: Vec<T>) -> Self {
        all.sort_unstable();
        all.dedup();
        Self(all.into_boxed_slice())
    }
}

impl<T: Ord> FromIterator<T> for Sorted<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        all.into_iter().collect::<Vec<_>>().into()
    }
}

impl<T: Ord> Extend<T> for Sorted<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, more: I) {
        let mut all = std::mem::take(&mut self.0).into_vec();
        all.extend(more);
        *self = all.into();
    }
}

impl<T> IntoIterator for Sorted<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_vec().into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Sorted<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sorted_list_is_a_set_in_order() {
        let mut set = Sorted::from(vec![3, 1, 3]);
        set.insert(2);
        set.insert(2);
        assert_eq!(*set, [1, 2, 3]);
        assert_eq!(
            serde_json::from_str::<Sorted<u8>>("[2, 3, 1, 1]").unwrap(),
            set
        );
        assert!(Sorted::from(vec![3, 1]).is_subset(&set));
        assert!(!Sorted::from(vec![4]).is_subset(&set));
    }
}
