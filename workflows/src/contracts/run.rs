//! The handlers of `RunDefinition`.

use serde_json::Value;

super::handlers! {
    /// An event for the steps that listen, as `CloudEvents` has it in JSON.
    Signal Event("event"): Value => ();
}
