//! Values with their places, for filters that need paths.

use std::sync::Arc;

use super::meter::{Limit, MAX_DEPTH};
use super::stop::Stop;
use super::value::Val;

/// A value in evaluation, with its path if paths are needed.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) value: Val,
    pub(super) place: Place,
}

/// Place of a value in the input.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// No filter needs the path.
    Untracked,
    /// The place at which the search began.
    Root,
    /// A place below another place.
    Below(Arc<Below>),
}

#[derive(Debug)]
pub(super) struct Below {
    key: Val,
    of: Place,
    length: usize,
}

impl Item {
    /// Makes an item of a value whose path is not needed.
    pub(super) fn of(value: Val) -> Self {
        Self {
            value,
            place: Place::Untracked,
        }
    }

    /// Makes an item of a value at which a search for paths begins.
    pub(super) fn root(value: Val) -> Self {
        Self {
            value,
            place: Place::Root,
        }
    }

    /// Returns an error if the item's path is needed.
    pub(super) fn untracked(&self) -> Result<(), Stop> {
        match self.place {
            Place::Untracked => Ok(()),
            _ => Err(Stop::error(
                "a path is needed, like `.a` or `.[0]`, not a computed value",
            )),
        }
    }
}

impl Place {
    /// Returns the place below this one. A path is no longer than a value is deep.
    pub(super) fn below(&self, key: impl FnOnce() -> Val) -> Result<Self, Stop> {
        let length = match self {
            Self::Untracked => return Ok(Self::Untracked),
            Self::Root => 1,
            Self::Below(below) => below.length + 1,
        };
        if length > MAX_DEPTH {
            return Err(Stop::Exceeded(Limit::Depth));
        }
        Ok(Self::Below(Arc::new(Below {
            key: key(),
            of: self.clone(),
            length,
        })))
    }

    /// Keys of the place, from the beginning of the search.
    pub(super) fn keys(&self) -> Vec<Val> {
        let mut keys = Vec::new();
        let mut place = self;
        while let Self::Below(below) = place {
            keys.push(below.key.clone());
            place = &below.of;
        }
        keys.reverse();
        keys
    }
}
