//! Payloads that no codec encodes, and payloads that the worker's codec could not decode.
//!
//! The codec itself belongs to the worker. It leaves a payload that it cannot decrypt as it is, so
//! that no signal, update or query fails a workflow task.

use almanac_base::names::{READABLE, UNDECODED};
use temporalio_common::data_converters::{
    PayloadConversionError, PayloadConverter, RawValue, TemporalSerializable,
};
use temporalio_protos::temporal::api::common::v1::Payload;
use temporalio_workflow::{ActivityExecutionError, SyncWorkflowContext};

/// Encoding of a payload that is encrypted, or that the codec could not decrypt.
const ENCRYPTED: &[u8] = b"binary/encrypted";

/// A value that no codec encodes.
pub(crate) fn readable<T: TemporalSerializable + 'static>(value: &T) -> RawValue {
    let mut raw = RawValue::from_value(value, &PayloadConverter::default());
    for payload in &mut raw.payloads {
        payload.metadata.insert(READABLE.to_owned(), Vec::new());
    }
    raw
}

/// Returns `true` if the worker's codec could not decrypt one of these payloads.
pub(crate) fn is_undecoded(payloads: &[Payload]) -> bool {
    payloads.iter().any(|payload| {
        payload.metadata.contains_key(UNDECODED)
            || payload.metadata.get("encoding").map(Vec::as_slice) == Some(ENCRYPTED)
    })
}

/// Requires that these payloads are decrypted. They are a workflow's input, or that of an update
/// that was accepted.
///
/// # Panics
/// If a payload is encrypted. That fails the workflow task, which the server repeats until a worker
/// has the key. Any other decision would differ from that of a worker with the key.
pub(crate) fn require_decrypted(payloads: &[Payload]) {
    assert!(
        !is_undecoded(payloads),
        "a payload is encrypted with a key that this worker does not have (--codec-key-file)"
    );
}

/// Returns `true` if this signal, one with the given number in its workflow run, could not be
/// decrypted when it came.
///
/// Anyone may send a signal that no key opens, so it must not fail the workflow task. The history
/// remembers that it was not read, for replays by workers that can read it.
///
/// # Panics
/// If a worker that had the key read the signal, and this worker does not have the key. That fails
/// the workflow task, as in [`require_decrypted`].
pub(crate) fn is_undecoded_signal<W>(
    ctx: &SyncWorkflowContext<W>,
    number: u64,
    payloads: &[Payload],
) -> bool {
    let may_be = is_undecoded(payloads) || ctx.is_replaying();
    if may_be && ctx.patched(&format!("undecoded-signal-{number}")) {
        return true;
    }
    require_decrypted(payloads);
    false
}

/// Returns `true` if the result of an activity is not JSON: in general, it is encrypted with another
/// key.
pub(crate) fn is_unreadable<T>(result: &Result<T, ActivityExecutionError>) -> bool {
    matches!(
        result,
        Err(ActivityExecutionError::Serialization(
            PayloadConversionError::WrongEncoding
        ))
    )
}

/// Requires that the result of an activity is decrypted, like [`require_decrypted`].
///
/// # Panics
/// If the result is not JSON.
pub(crate) fn require_readable<T>(result: &Result<T, ActivityExecutionError>) {
    assert!(
        !is_unreadable(result),
        "the result of an activity is encrypted with a key that this worker does not have \
         (--codec-key-file)"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoding: &[u8]) -> Payload {
        Payload {
            metadata: [("encoding".to_owned(), encoding.to_vec())].into(),
            ..Payload::default()
        }
    }

    #[test]
    fn payloads_without_encryption_are_decrypted() {
        require_decrypted(&[encoded(b"json/plain"), Payload::default()]);
        require_readable(&Ok(1));
    }

    #[test]
    #[should_panic(expected = "a key that this worker does not have")]
    fn an_encrypted_payload_fails_the_workflow_task() {
        require_decrypted(&[encoded(b"json/plain"), encoded(ENCRYPTED)]);
    }

    #[test]
    #[should_panic(expected = "a key that this worker does not have")]
    fn an_encrypted_result_fails_the_workflow_task() {
        let unreadable = PayloadConversionError::WrongEncoding;
        require_readable::<()>(&Err(unreadable.into()));
    }

    #[test]
    fn a_readable_value_says_so_and_is_json() {
        let raw = readable(&serde_json::json!({"v": 1}));
        assert_eq!(raw.payloads[0].data, br#"{"v":1}"#);
        assert!(raw.payloads[0].metadata.contains_key(READABLE));
    }
}
