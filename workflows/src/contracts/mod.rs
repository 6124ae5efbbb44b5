//! The contracts: what each handler of the two workflows and each activity is
//! called, what it takes, and what it gives. Each name stands here once.

mod activities;
pub mod reconciler;
pub mod run;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use activities::*;

/// A handler of a workflow: a [`Signal`], a [`Query`] or an [`Update`].
pub trait Handler {
    /// What it is called.
    const NAME: &'static str;
    /// What it is sent; nothing at all for `()`.
    type Takes: Serialize + 'static;
    /// What it answers.
    type Gives: DeserializeOwned;
}

/// A handler that answers nothing.
pub trait Signal: Handler<Gives = ()> {}
/// A handler that changes nothing.
pub trait Query: Handler {}
/// A handler that decides, and answers what it decided.
pub trait Update: Handler {}

/// Contracts of handlers, as `Kind Name("name"): Takes => Gives;`.
macro_rules! handlers {
    ($($(#[$doc:meta])* $kind:ident $name:ident($text:expr): $takes:ty => $gives:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl $name {
            /// What it is called.
            pub const NAME: &'static str = $text;
        }

        impl $crate::contracts::Handler for $name {
            const NAME: &'static str = $name::NAME;
            type Takes = $takes;
            type Gives = $gives;
        }

        impl $crate::contracts::$kind for $name {}
    )*};
}
pub(crate) use handlers;
