//! The stream of events, and the durable consumer of a project on it.

use std::time::Duration;

use almanac_base::names::Project;
use async_nats::Request;
use async_nats::jetstream::consumer::pull::{Batch, Config};
use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{self, ConsumerErrorKind};
use async_nats::jetstream::{Context, ErrorCode};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};

use super::unreadable::StoredMessage;
use super::{StreamError, StreamSettings};
use crate::steps::{CONNECTION_TIMEOUT, Subject};

/// Name of a stream that is created.
const STREAM: &str = "EVENTS";
/// Time after which a message that nobody speaks of is delivered again.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Maximum number of messages that the processes of a project handle at a time.
const MAX_ACK_PENDING: i64 = 1000;
/// Attempt whose failure is the last: the event becomes a dead letter. With the waits between the
/// attempts, an event is tried for about an hour.
pub(super) const LAST_ATTEMPT: u64 = 20;
/// Maximum number of deliveries of a message. NATS drops the message silently after them, so the
/// limit is far from [`LAST_ATTEMPT`]: deliveries to processes that are killed count too.
const MAX_DELIVER: i64 = 1000;
/// Minimum time after which a consumer delivers a message again.
const SHORTEST_ACK_WAIT: Duration = Duration::from_secs(1);
/// Maximum interval between two signs that a message is being handled.
const LONGEST_PROGRESS: Duration = Duration::from_secs(10);
/// Maximum number of streams that an error names.
const NAMED: usize = 5;

/// Numbers of messages, from the point of view of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Backlog {
    /// Number of messages that have not been delivered yet.
    pub(crate) pending: u64,
    /// Number of messages that were delivered and not acknowledged.
    pub(crate) ack_pending: u64,
    /// Number of messages that were delivered more than once and not acknowledged.
    pub(crate) redelivered: u64,
}

/// A consumer that works.
pub(super) struct Consumer {
    consumer: PullConsumer,
    context: Context,
}

impl Consumer {
    /// Opens the consumer of a project. Creates the consumer, and the stream if the settings say
    /// so, if they are missing. Changes nothing that exists.
    pub(super) async fn open(
        context: &Context,
        project: &Project,
        settings: &StreamSettings,
    ) -> Result<Self, StreamError> {
        let name = stream_of(context, settings).await?;
        let stream = context.get_stream(&name).await.map_err(|error| {
            StreamError::Away(format!("cannot read the stream `{name}`: {error}"))
        })?;
        let config = config(project, &settings.subject);
        let consumer_name = consumer_name(project);
        let opened = stream.get_or_create_consumer(&consumer_name, config).await;
        let consumer: PullConsumer = opened.map_err(|error| match error.kind() {
            ConsumerErrorKind::InvalidConsumerType => StreamError::Configuration(format!(
                "the consumer `{consumer_name}` of the stream `{name}` pushes messages, and must be a \
                 pull consumer; {}",
                hint(&name, &consumer_name)
            )),
            // Such as a stream of a kind on which there can be no such consumer.
            ConsumerErrorKind::JetStream(answer) if (400..500).contains(&answer.code()) => {
                StreamError::Configuration(format!(
                    "cannot create the consumer `{consumer_name}` of the stream `{name}`: {error}"
                ))
            }
            _ => StreamError::Away(format!(
                "cannot open the consumer `{consumer_name}` of the stream `{name}`: {error}"
            )),
        })?;
        let info = consumer.cached_info();
        if let Some(why) = unusable(&info.config, &settings.subject) {
            return Err(StreamError::Configuration(format!(
                "the consumer `{consumer_name}` of the stream `{name}` {why}; {}",
                hint(&name, &consumer_name)
            )));
        }
        Ok(Self {
            consumer,
            context: context.clone(),
        })
    }

    pub(super) fn stream(&self) -> &str {
        &self.consumer.cached_info().stream_name
    }

    pub(super) fn name(&self) -> &str {
        &self.consumer.cached_info().name
    }

    /// Requests up to `count` messages. The batch ends after them, or after `time`.
    pub(super) async fn pull(&self, count: usize, time: Duration) -> Result<Batch, StreamError> {
        let pulled = self.consumer.batch().max_messages(count).expires(time);
        pulled
            .messages()
            .await
            .map_err(|error| StreamError::Away(format!("cannot request messages: {error}")))
    }

    /// Number of the attempt after which an event is not tried again.
    pub(super) fn last_attempt(&self) -> u64 {
        last_attempt(self.consumer.cached_info().config.max_deliver)
    }

    /// Interval between two signs that a message is being handled.
    pub(super) fn progress_interval(&self) -> Duration {
        let config = &self.consumer.cached_info().config;
        (shortest_wait(config) / 3).min(LONGEST_PROGRESS)
    }

    /// Asks NATS for the state of the consumer.
    pub(super) async fn info(&self) -> Result<consumer::Info, StreamError> {
        let info = self.consumer.get_info().await;
        info.map_err(|error| {
            StreamError::Away(format!(
                "cannot read the consumer `{}`: {error}",
                self.name()
            ))
        })
    }

    /// Returns `true` if the consumer delivers messages with a subject.
    pub(super) fn takes(&self, subject: &str) -> bool {
        let mut filters = filters(&self.consumer.cached_info().config).peekable();
        filters.peek().is_none() || filters.any(|filter| includes(filter, subject))
    }

    /// Returns the message at a place of the stream, as it is stored; `None` if it was removed.
    pub(super) async fn stored(&self, place: u64) -> Result<Option<StoredMessage>, String> {
        let Some(mut message) = self.get_stored(json!({ "seq": place })).await? else {
            return Ok(None);
        };
        if message.subject.contains(char::REPLACEMENT_CHARACTER) {
            // The answer has this character for bytes that are not UTF-8, too. The server finds the
            // message by its subject only if the subject has the character itself.
            let query = json!({ "seq": place, "next_by_subj": message.subject });
            let found = self.get_stored(query).await?;
            message.has_bad_subject = found.is_none_or(|found| found.sequence != place);
        }
        Ok(Some(message))
    }

    async fn get_stored(&self, query: Value) -> Result<Option<StoredMessage>, String> {
        #[derive(Deserialize)]
        struct Answer {
            message: StoredMessage,
        }
        let api = format!("STREAM.MSG.GET.{}", self.stream());
        let answer = self.context.request(api, &query).await;
        match answer.map_err(|error| error.to_string())? {
            Response::Ok(Answer { message }) => Ok(Some(message)),
            Response::Err { error } if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => {
                Ok(None)
            }
            Response::Err { error } => Err(error.to_string()),
        }
    }

    /// Ends a message, which is not delivered again. For a message that the client of NATS cannot
    /// read: others are ended by their own acknowledgement.
    pub(super) async fn terminate(&self, place: u64) -> Result<(), String> {
        // Subject of an acknowledgement, which ends with the number of deliveries, the numbers of the
        // message in the stream and in the consumer, its time, and the number of messages after it.
        // The server reads the number in the stream only.
        let subject = format!("$JS.ACK.{}.{}.1.{place}.0.0.0", self.stream(), self.name());
        let request = Request::new()
            .payload("+TERM".into())
            .timeout(Some(CONNECTION_TIMEOUT));
        let answer = self.context.client().send_request(subject, request).await;
        answer.map(drop).map_err(|error| error.to_string())
    }

    /// Asks NATS for the numbers of messages.
    pub(super) async fn backlog(&self) -> Result<Backlog, StreamError> {
        let info = self.info().await?;
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok(Backlog {
            pending: info.num_pending,
            ack_pending: number(info.num_ack_pending),
            redelivered: number(info.num_redelivered),
        })
    }
}

/// The filters of a consumer's messages; none if it delivers all messages of the stream.
fn filters(config: &consumer::Config) -> impl Iterator<Item = &str> {
    let one = Some(config.filter_subject.as_str()).filter(|filter| !filter.is_empty());
    let several = config.filter_subjects.iter().map(String::as_str);
    one.into_iter().chain(several)
}

/// Returns `true` if a filter of subjects, with the placeholders `*` and `>` of NATS, includes a
/// subject.
fn includes(filter: &str, subject: &str) -> bool {
    let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
    loop {
        match (filter.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
}

/// Name of the durable consumer of a project.
fn consumer_name(project: &Project) -> String {
    format!("almanac-{project}")
}

fn config(project: &Project, subject: &Subject) -> Config {
    Config {
        durable_name: Some(consumer_name(project)),
        description: Some("events that start the runs of an Almanac project".to_owned()),
        // A consumer that is created later must not start runs for all that is stored.
        deliver_policy: DeliverPolicy::New,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: MAX_DELIVER,
        max_ack_pending: MAX_ACK_PENDING,
        filter_subject: subject.all(),
        ..Config::default()
    }
}

/// Reason for which a consumer cannot be used, if there is one.
fn unusable(config: &consumer::Config, subject: &Subject) -> Option<String> {
    let mut filters = filters(config);
    let is_other = |filter: &&str| *filter != subject.all() && subject.rest(filter).is_none();
    if let Some(other) = filters.find(is_other) {
        return Some(format!(
            "delivers messages of `{other}`, and events have subjects of `{}`",
            subject.all()
        ));
    }
    if config.ack_policy != AckPolicy::Explicit {
        return Some("must have the acknowledgement policy `explicit`".to_owned());
    }
    if config.headers_only {
        return Some("delivers headers only, and must deliver messages".to_owned());
    }
    let wait = shortest_wait(config);
    if wait < SHORTEST_ACK_WAIT {
        return Some(format!(
            "delivers a message again after {wait:?}; the minimum is {SHORTEST_ACK_WAIT:?}"
        ));
    }
    None
}

/// Shortest time after which a consumer delivers a message again.
fn shortest_wait(config: &consumer::Config) -> Duration {
    let backoff = config.backoff.iter().copied().min();
    backoff.unwrap_or(config.ack_wait)
}

/// The last attempt of a consumer with this maximum number of deliveries: NATS drops a message
/// silently after it.
fn last_attempt(max_deliver: i64) -> u64 {
    match u64::try_from(max_deliver) {
        Ok(limit) if limit > 0 => limit.min(LAST_ATTEMPT),
        _ => LAST_ATTEMPT,
    }
}

fn hint(stream: &str, consumer: &str) -> String {
    format!(
        "hint: `nats consumer rm {stream} {consumer}` removes it, and Almanac creates another, which \
         begins with new events"
    )
}

/// Returns the stream that stores the events.
async fn stream_of(context: &Context, settings: &StreamSettings) -> Result<String, StreamError> {
    let subject = &settings.subject;
    let away = |error: &dyn std::fmt::Display| {
        let url = settings.connection.url();
        StreamError::Away(format!(
            "JetStream of NATS at {url} does not answer: {error}"
        ))
    };
    let named = context.stream_by_subject(subject.all()).await;
    // Only an answer without a stream says that there is none.
    if let Err(error) = &named
        && error.kind() != async_nats::jetstream::context::GetStreamByNameErrorKind::NotFound
    {
        return Err(away(error));
    }
    if let Ok(first) = named {
        return one_of(context, subject, first).await;
    }
    if settings.creates_stream {
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![subject.all()],
            ..stream::Config::default()
        };
        let created = context.create_stream(config).await;
        created.map_err(|error| match code_of(&error) {
            Some(_) => StreamError::Configuration(format!(
                "cannot create the stream `{STREAM}` for `{}`: {error}",
                subject.all()
            )),
            None => away(&error),
        })?;
        tracing::info!(stream = STREAM, subject = subject.all(), "created a stream");
        return Ok(STREAM.to_owned());
    }
    Err(StreamError::Configuration(format!(
        "no JetStream stream at {} stores `{}`; {}",
        settings.connection.url(),
        subject.all(),
        subject.stream_hint()
    )))
}

/// Returns `first` if no other stream stores a part of the events.
async fn one_of(
    context: &Context,
    subject: &Subject,
    first: String,
) -> Result<String, StreamError> {
    let streams = context.streams().take(1000);
    let streams: Result<Vec<_>, _> = streams.try_collect().await;
    let Ok(streams) = streams else {
        // An account may be allowed to use one stream only.
        return Ok(first);
    };
    let stores = |stored: &String| {
        *stored == subject.all() || subject.rest(stored).is_some() || stored == ">"
    };
    let all = streams
        .iter()
        .filter(|info| info.config.subjects.iter().any(stores));
    let names: Vec<_> = all
        .map(|info| format!("`{}`", info.config.name))
        .take(NAMED)
        .collect();
    if names.len() > 1 {
        return Err(StreamError::Configuration(format!(
            "several streams store parts of `{}`: {}; one stream must store all events",
            subject.all(),
            names.join(", ")
        )));
    }
    Ok(first)
}

/// The code of an answer of `JetStream`, if the error is one.
fn code_of(error: &CreateStreamError) -> Option<ErrorCode> {
    match error.kind() {
        CreateStreamErrorKind::JetStream(error) => Some(error.error_code()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_that_cannot_work_is_named_with_its_reason() {
        let good = || consumer::Config {
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            ..consumer::Config::default()
        };
        let subject: Subject = "events".parse().unwrap();
        assert_eq!(unusable(&good(), &subject), None);
        for filter in ["events.>", "events.order.*"] {
            let narrow = consumer::Config {
                filter_subject: filter.to_owned(),
                ..good()
            };
            assert_eq!(unusable(&narrow, &subject), None);
        }
        let second = Duration::from_millis(900);
        for (bad, reason) in [
            (
                consumer::Config {
                    ack_policy: AckPolicy::None,
                    ..good()
                },
                "policy",
            ),
            (
                consumer::Config {
                    ack_policy: AckPolicy::All,
                    ..good()
                },
                "policy",
            ),
            (
                consumer::Config {
                    headers_only: true,
                    ..good()
                },
                "headers only",
            ),
            (
                consumer::Config {
                    ack_wait: second,
                    ..good()
                },
                "900ms",
            ),
            (
                consumer::Config {
                    backoff: vec![ACK_WAIT, second],
                    ..good()
                },
                "900ms",
            ),
            (
                consumer::Config {
                    filter_subject: "shop.>".to_owned(),
                    ..good()
                },
                "`shop.>`",
            ),
            (
                consumer::Config {
                    filter_subjects: vec!["events.paid".to_owned(), "shop.*".to_owned()],
                    ..good()
                },
                "`shop.*`",
            ),
        ] {
            let why = unusable(&bad, &subject).unwrap();
            assert!(why.contains(reason), "{why}");
        }
    }

    #[test]
    fn a_filter_includes_subjects_token_by_token() {
        for (filter, subject, expected) in [
            ("events.>", "events.order.paid", true),
            ("events.>", "events", false),
            ("events.*", "events.paid", true),
            ("events.*", "events.order.paid", false),
            ("events.*.paid", "events.order.paid", true),
            ("events.order", "events.order", true),
            ("events.order", "events.order.paid", false),
            ("events.order.paid", "events.order", false),
            (">", "events", true),
        ] {
            assert_eq!(includes(filter, subject), expected, "{filter} {subject}");
        }
    }

    #[test]
    fn the_last_attempt_is_never_after_the_last_delivery() {
        assert_eq!(last_attempt(MAX_DELIVER), LAST_ATTEMPT);
        assert_eq!(last_attempt(-1), LAST_ATTEMPT);
        assert_eq!(last_attempt(0), LAST_ATTEMPT);
        assert_eq!(last_attempt(3), 3);
    }
}
