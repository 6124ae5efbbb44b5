//! Conversions between the model and the server's messages, in both directions.

mod action;
mod schedule;
mod spec;

pub use crate::payload::{decode_json, encode_json};
pub(super) use action::holds_search_attribute;
pub(super) use action::started;
pub(crate) use action::{decode_run_memo, encode_start};
pub(crate) use schedule::encode_overlap;
pub use schedule::{
    Described, decode_values, encode_create, encode_update, live, owner_in, owner_memo, owner_of,
    run_input, undecoded,
};
pub(super) use spec::holds_duration;
pub use spec::{decode_spec, encode_spec};
pub(crate) use spec::{decode_time, encode_time};
