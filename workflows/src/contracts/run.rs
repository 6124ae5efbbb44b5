//! The handlers of `RunDefinition`.

use serde_json::Value;

super::handlers! {
    /// Delivers an event to the steps that listen, as `CloudEvents` has it in JSON.
    Signal Event("event"): Value => ();
}
