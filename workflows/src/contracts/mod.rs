//! The contracts of handlers and activities: the name, the input and the answer of each.
//!
//! Each name stands here once.

mod activities;
pub mod reconciler;
pub mod run;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use activities::*;

/// A handler of a workflow: a [`Signal`], a [`Query`] or an [`Update`].
pub trait Handler {
    /// Name of the handler in Temporal.
    const NAME: &'static str;
    /// Input of the handler. For `()` nothing is sent.
    type Takes: Serialize + 'static;
    /// Answer of the handler.
    type Gives: DeserializeOwned;
}

/// A handler that answers nothing.
pub trait Signal: Handler<Gives = ()> {}
/// A handler that changes nothing.
pub trait Query: Handler {}
/// A handler that makes a decision and answers with it.
pub trait Update: Handler {}

/// Defines contracts of handlers, as `Kind Name("name"): Takes => Gives;`.
macro_rules! handlers {
    ($($(#[$doc:meta])* $kind:ident $name:ident($text:expr): $takes:ty => $gives:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl $name {
            /// Name of the handler in Temporal.
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
