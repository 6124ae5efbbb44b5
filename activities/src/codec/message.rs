//! Payloads in the messages of requests that Almanac makes without the SDK.
//!
//! A write replaces only the parts of a schedule that it means to change. So the payloads of an
//! answer remember what the server has, and a request sends that again for those that are unchanged.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use prost::Message as _;
use temporalio_common::data_converters::{
    PayloadCodec, PayloadConversionError, SerializationContextData,
};
use temporalio_common::payload_visitor::{
    AsyncPayloadVisitor, PayloadField, PayloadFieldData, PayloadVisitable,
};
use temporalio_common::protos::temporal::api::common::v1::Payload;

use super::FOUND;

/// A codec as a client has it.
type AnyCodec<'c> = &'c (dyn PayloadCodec + Send + Sync);

/// Decodes the payloads of an answer. Each remembers what the server has.
pub(crate) async fn decode_found<M: PayloadVisitable>(
    message: &mut M,
    codec: AnyCodec<'_>,
) -> Result<(), PayloadConversionError> {
    message.visit_payloads_mut(&mut Found(codec)).await
}

/// Encodes the payloads of a request. Those that an answer had are sent as the server has them.
pub(crate) async fn encode_fresh<M: PayloadVisitable>(
    message: &mut M,
    codec: AnyCodec<'_>,
) -> Result<(), PayloadConversionError> {
    message.visit_payloads_mut(&mut Fresh(codec)).await
}

struct Found<'c>(AnyCodec<'c>);

struct Fresh<'c>(AnyCodec<'c>);

impl AsyncPayloadVisitor for Found<'_> {
    fn visit<'a>(
        &'a mut self,
        field: PayloadField<'a>,
    ) -> BoxFuture<'a, Result<(), PayloadConversionError>> {
        async move {
            let Some(payloads) = encodable(field) else {
                return Ok(());
            };
            let decoded = self
                .0
                .decode(&SerializationContextData::None, payloads.to_vec());
            for (payload, mut decoded) in payloads.iter_mut().zip(decoded.await?) {
                let found = payload.encode_to_vec();
                decoded.metadata.insert(FOUND.to_owned(), found);
                *payload = decoded;
            }
            Ok(())
        }
        .boxed()
    }
}

impl AsyncPayloadVisitor for Fresh<'_> {
    fn visit<'a>(
        &'a mut self,
        field: PayloadField<'a>,
    ) -> BoxFuture<'a, Result<(), PayloadConversionError>> {
        async move {
            let Some(payloads) = encodable(field) else {
                return Ok(());
            };
            let mut fresh = Vec::new();
            for payload in payloads.iter_mut() {
                match payload.metadata.get(FOUND) {
                    Some(found) => {
                        *payload = Payload::decode(&**found).map_err(|error| {
                            PayloadConversionError::EncodingError(Box::new(error))
                        })?;
                    }
                    None => fresh.push(payload),
                }
            }
            let given = fresh.iter().map(|payload| (**payload).clone()).collect();
            let encoded = self.0.encode(&SerializationContextData::None, given);
            for (payload, encoded) in fresh.into_iter().zip(encoded.await?) {
                *payload = encoded;
            }
            Ok(())
        }
        .boxed()
    }
}

/// The payloads of a field. `None` for search attributes, which the server reads.
fn encodable(field: PayloadField<'_>) -> Option<&mut [Payload]> {
    if field.path.contains("SearchAttributes.indexed_fields") {
        return None;
    }
    Some(match field.data {
        PayloadFieldData::Single(payload) => std::slice::from_mut(payload),
        PayloadFieldData::Repeated(payloads) => payloads,
        PayloadFieldData::Payloads(payloads) => &mut payloads.payloads,
    })
}
