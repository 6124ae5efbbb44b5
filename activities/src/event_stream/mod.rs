//! Events from a stream of NATS (`JetStream`): they start the runs of the definitions whose
//! triggers take them.
//!
//! Always holds: a message is acknowledged after its runs were started, or after no trigger took
//! its event. An event that is not tried again was written as a dead letter before. While Temporal
//! is not available, messages are held and no more are pulled. A message never waits for another
//! one, beyond 32 messages that are handled at a time.

mod consumer;
mod dead_letters;
mod handling;
mod reading;
mod status;
mod temporal_gate;
mod unreadable;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_base::names::Project;
use async_nats::Event;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::Batch;
use async_nats::jetstream::message::AckKind;
use futures::{FutureExt as _, StreamExt as _};
use temporalio_client::Client;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use handling::delivery_id;
pub use status::{StreamError, StreamStatus};

use crate::metrics;
use crate::router::EventRouter;
use crate::steps::{CONNECTION_TIMEOUT, CredentialsWatch, NatsConnection, Subject};
use consumer::{Backlog, Consumer};
use dead_letters::{DeadLetters, KnownDeadLetters, LetterReader};
use handling::Handler;
use status::SharedStatus;
use temporal_gate::TemporalGate;
use unreadable::{Search, Searched, StoredMessage};

/// Maximum number of messages that a process handles at a time.
const HANDLED: u32 = 32;
/// Maximum number of messages that a process holds: some wait, so that a message follows at once
/// when another one ends.
const HELD: u32 = 40;
/// Time for which the server keeps a request for messages. The next request follows at once.
const PULL: Duration = Duration::from_secs(5);
/// Maximum number of places in the stream that a search looks at after one error.
const SEARCHED: u64 = 100_000;
/// Maximum time of a search before messages are pulled. It continues beside that.
const SEARCH_FIRST: Duration = Duration::from_secs(5);
/// Time after which a search that failed is tried again.
const SEARCH_AGAIN: Duration = Duration::from_secs(30);
/// Interval between two readings of the consumer's state, for metrics.
const UPKEEP: Duration = Duration::from_secs(10);
/// Time to hand messages back at the end.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// The description of a stream of events and of its readers.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// NATS server.
    pub connection: NatsConnection,
    /// Start of the subjects of all events.
    pub subject: Subject,
    /// A message that has no headers of an event is JSON, and its type is the subject.
    pub reads_plain_json: bool,
    /// The stream is created if it is missing.
    pub creates_stream: bool,
}

impl StreamSettings {
    /// Checks the settings for a project.
    ///
    /// # Errors
    /// The subjects of events would include that of dead letters, which would become events again.
    pub fn check(&self, project: &Project) -> Result<(), StreamError> {
        let dead = dead_letters::subject(project);
        if self.subject.rest(&dead).is_some() {
            return Err(StreamError::Configuration(format!(
                "`{}` includes the subject of dead letters, `{dead}`",
                self.subject.all()
            )));
        }
        Ok(())
    }
}

/// The events of a stream, as one process takes them.
pub struct EventStream {
    project: Project,
    settings: StreamSettings,
    router: Arc<EventRouter>,
    temporal: Arc<TemporalGate>,
    slots: Arc<Semaphore>,
    status: Arc<SharedStatus>,
    /// The last client, for the last acknowledgements.
    client: Mutex<Option<async_nats::Client>>,
    /// The stream of dead letters, once there is a connection.
    dead_letters: Mutex<Option<DeadLetters>>,
    known_dead_letters: tokio::sync::Mutex<KnownDeadLetters>,
    /// The places that were searched for messages that the client cannot read.
    searched: tokio::sync::Mutex<Searched>,
    /// A search is due: an error ended a connection since the last one.
    search_is_due: AtomicBool,
    /// A search made dead letters since somebody asked.
    found_unreadable: AtomicBool,
    /// Canceled when no more messages are pulled. Messages that wait for Temporal go back.
    stop: CancellationToken,
    /// Canceled when every message that is left goes back.
    hand_back: CancellationToken,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "EventStream({}, {})",
            self.project, self.settings.subject
        )
    }
}

impl EventStream {
    /// Describes the events of a stream for a project. `clients` has the connection to Temporal.
    /// After `stop`, no more messages are pulled.
    pub fn new(
        project: Project,
        settings: StreamSettings,
        router: Arc<EventRouter>,
        clients: watch::Receiver<Option<Client>>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            temporal: Arc::new(TemporalGate::new(&project, clients)),
            project,
            settings,
            router,
            slots: Arc::new(Semaphore::new(HELD as usize)),
            status: Arc::default(),
            client: Mutex::default(),
            dead_letters: Mutex::default(),
            known_dead_letters: tokio::sync::Mutex::default(),
            searched: tokio::sync::Mutex::default(),
            search_is_due: AtomicBool::new(false),
            found_unreadable: AtomicBool::new(false),
            stop,
            hand_back: CancellationToken::new(),
        }
    }

    /// The state of the connection, for people.
    pub fn status(&self) -> StreamStatus {
        self.status.now()
    }

    /// Notes why there is no connection. Returns `false` if the last error was the same.
    pub fn note(&self, error: &StreamError) -> bool {
        self.status.failed(error)
    }

    /// Connects to NATS and handles events, until `stop`, until the credentials change or until
    /// something is wrong. Except after `stop`, the caller calls again.
    pub async fn run(&self) -> Result<(), StreamError> {
        let (lost, mut is_lost) = watch::channel(false);
        let mut credentials = self.settings.connection.watch_credentials();
        let connecting = self.settings.connection.connect(|options| {
            options.event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    lost.send_replace(true);
                }
                std::future::ready(())
            })
        });
        let url = self.settings.connection.url();
        let away = |why: String| StreamError::Away(format!("NATS at {url} {why}"));
        let client = tokio::select! {
            client = connecting => client.map_err(away)?,
            () = self.stop.cancelled() => return Ok(()),
        };
        *lock(&self.client) = Some(client.clone());
        let mut context = jetstream::new(client);
        context.set_timeout(CONNECTION_TIMEOUT);
        let consumer = tokio::select! {
            consumer = Consumer::open(&context, &self.project, &self.settings) => consumer?,
            () = self.stop.cancelled() => return Ok(()),
        };
        let dead_letters = DeadLetters::new(context, &self.project, Arc::clone(&self.status));
        if let Err(reason) = dead_letters.ensure().await {
            // The stream may exist under another name: a write shows it.
            tracing::warn!(
                reason,
                stream = dead_letters.stream(),
                "cannot create the stream of dead letters"
            );
        }
        *lock(&self.dead_letters) = Some(dead_letters.clone());
        tracing::info!(
            stream = consumer.stream(),
            consumer = consumer.name(),
            subject = self.settings.subject.all(),
            "taking events from NATS"
        );
        self.status.connected(consumer.stream());
        let handler = Arc::new(Handler {
            router: Arc::clone(&self.router),
            temporal: Arc::clone(&self.temporal),
            dead_letters: dead_letters.clone(),
            subject: self.settings.subject.clone(),
            reads_plain_json: self.settings.reads_plain_json,
            last_attempt: consumer.last_attempt(),
            progress: consumer.progress_interval(),
            turns: Semaphore::new(HANDLED as usize),
            stop: self.stop.clone(),
            hand_back: self.hand_back.clone(),
        });
        // First, because the messages would come again and end this connection too.
        let mut logged = None;
        tokio::select! {
            () = self.search_unreadable(&consumer, &handler, &mut logged) => {}
            () = tokio::time::sleep(SEARCH_FIRST) => {}
            () = self.stop.cancelled() => return Ok(()),
        }
        let taken = tokio::select! {
            taken = self.take_messages(&consumer, &handler, &mut is_lost, &mut credentials) => taken,
            never = self.watch_dead_letters(&dead_letters) => match never {},
            never = self.watch_unreadable(&consumer, &handler, logged) => match never {},
        };
        // Whatever it was: the client may tell of a lost connection later, and of a panic never.
        if taken.is_err() {
            self.search_is_due.store(true, Ordering::Relaxed);
        }
        taken
    }

    /// Continues a search that has not ended, again and again. Does not end.
    async fn watch_unreadable(
        &self,
        consumer: &Consumer,
        handler: &Handler,
        mut logged: Option<String>,
    ) -> Infallible {
        loop {
            self.search_unreadable(consumer, handler, &mut logged).await;
            tokio::time::sleep(SEARCH_AGAIN).await;
        }
    }

    /// Makes dead letters of the messages that the client cannot read, if a search is due. A failure
    /// with the reason `logged` is not logged again.
    async fn search_unreadable(
        &self,
        consumer: &Consumer,
        handler: &Handler,
        logged: &mut Option<String>,
    ) {
        if !self.search_is_due.load(Ordering::Relaxed) {
            return;
        }
        match self.set_unreadable_aside(consumer, handler).await {
            Ok(()) => self.search_is_due.store(false, Ordering::Relaxed),
            Err(reason) if logged.as_ref() == Some(&reason) => {}
            Err(reason) => {
                tracing::warn!(
                    reason,
                    stream = consumer.stream(),
                    "cannot set aside the messages that cannot be read; trying again"
                );
                *logged = Some(reason);
            }
        }
    }

    async fn set_unreadable_aside(
        &self,
        consumer: &Consumer,
        handler: &Handler,
    ) -> Result<(), String> {
        let stream = consumer.stream();
        let mut searched = self.searched.lock().await;
        let mut search = Search::begin(consumer, &mut searched).await?;
        for _ in 0..SEARCHED / unreadable::CHUNK {
            let Some(found) = search.next().await? else {
                break;
            };
            for (message, reason) in found {
                if !self.is_known(handler, stream, &message).await {
                    handler.bury_unreadable(stream, &message, &reason).await?;
                }
                consumer.terminate(message.sequence).await?;
                self.found_unreadable.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Returns `true` if there is a dead letter about a message, which another process may have
    /// written.
    async fn is_known(&self, handler: &Handler, stream: &str, message: &StoredMessage) -> bool {
        let letters = self.letter_reader(&handler.dead_letters);
        let mut known = self.known_dead_letters.lock().await;
        if let Err(reason) = known.refresh(&letters).await {
            // A second dead letter is better than none.
            tracing::debug!(reason, "cannot read the dead letters");
        }
        known.has(&delivery_id(stream, message.sequence), message.stored_at)
    }

    /// Returns `true` if messages that closed the connection were set aside since the last call.
    pub fn take_found_unreadable(&self) -> bool {
        self.found_unreadable.swap(false, Ordering::Relaxed)
    }

    /// Pulls messages and hands them to `handler`, until `stop`, until the credentials change or
    /// until something is wrong.
    async fn take_messages(
        &self,
        consumer: &Consumer,
        handler: &Arc<Handler>,
        is_lost: &mut watch::Receiver<bool>,
        credentials: &mut CredentialsWatch,
    ) -> Result<(), StreamError> {
        let url = self.settings.connection.url();
        let away = |why: String| StreamError::Away(format!("NATS at {url} {why}"));
        let mut upkeep = tokio::time::interval(UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut permits = loop {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Ok(()),
                    _ = is_lost.changed() => return Err(away("closed the connection".to_owned())),
                    permits = self.room() => break permits,
                    _ = upkeep.tick() => {
                        if self.keep_up(consumer, credentials).await? == Credentials::Changed {
                            return Ok(());
                        }
                    }
                }
            };
            let mut batch = consumer.pull(permits.len(), PULL).await?;
            loop {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => {
                        return_unread(&mut batch).await;
                        return Ok(());
                    }
                    _ = is_lost.changed() => return Err(away("closed the connection".to_owned())),
                    message = batch.next() => match message {
                        Some(Ok(message)) => {
                            let permit = permits.pop();
                            let handler = Arc::clone(handler);
                            tokio::spawn(async move {
                                handler.handle(message).await;
                                drop(permit);
                            });
                        }
                        Some(Err(error)) => return Err(away(format!("gives no messages: {error}"))),
                        None => break,
                    },
                    _ = upkeep.tick() => {
                        if self.keep_up(consumer, credentials).await? == Credentials::Changed {
                            return_unread(&mut batch).await;
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Waits until the messages that are being handled have ended, at most for `grace`. Those that
    /// are left go back to the stream, for another process.
    pub async fn drain(&self, grace: Duration) {
        let all = || self.slots.acquire_many(HELD);
        if tokio::time::timeout(grace, all()).await.is_err() {
            self.hand_back.cancel();
            if tokio::time::timeout(LAST_MOMENT, all()).await.is_err() {
                tracing::warn!(
                    "some events could not be handed back to NATS; they come again later"
                );
            }
        }
        let client = lock(&self.client).take();
        if let Some(client) = client {
            let sent = tokio::time::timeout(LAST_MOMENT, client.flush()).await;
            if !matches!(sent, Ok(Ok(()))) {
                tracing::debug!("the last acknowledgements may not have reached NATS");
            }
        }
    }

    /// Removes the dead letter of a delivery, whose event has been handled since.
    ///
    /// # Errors
    /// The dead letter could not be removed. It is known again after a restart.
    pub async fn remove_dead_letter(&self, delivery: &str) -> Result<(), String> {
        let Some(letters) = lock(&self.dead_letters).clone() else {
            return Err("there is no connection to NATS".to_owned());
        };
        let mut known = self.known_dead_letters.lock().await;
        known.remove(&self.letter_reader(&letters), delivery).await
    }

    /// Reads the state of the consumer for the metrics, and looks for other credentials.
    async fn keep_up(
        &self,
        consumer: &Consumer,
        credentials: &mut CredentialsWatch,
    ) -> Result<Credentials, StreamError> {
        let Backlog {
            pending,
            ack_pending,
            redelivered,
        } = consumer.backlog().await?;
        metrics::event_consumer(pending, ack_pending, redelivered);
        if credentials.has_changed() {
            tracing::info!("the credentials for NATS have changed; connecting again");
            return Ok(Credentials::Changed);
        }
        Ok(Credentials::Same)
    }

    /// Reads the dead letters of other processes, again and again. Does not end.
    async fn watch_dead_letters(&self, letters: &DeadLetters) -> Infallible {
        loop {
            {
                let mut known = self.known_dead_letters.lock().await;
                if let Err(reason) = known.refresh(&self.letter_reader(letters)).await {
                    tracing::debug!(reason, "cannot read the dead letters");
                }
            }
            tokio::time::sleep(UPKEEP).await;
        }
    }

    fn letter_reader<'a>(&'a self, letters: &'a DeadLetters) -> LetterReader<'a> {
        LetterReader {
            letters,
            router: &self.router,
            subject: &self.settings.subject,
            reads_plain_json: self.settings.reads_plain_json,
        }
    }

    /// Waits for room for messages, and for Temporal.
    async fn room(&self) -> Vec<OwnedSemaphorePermit> {
        self.temporal.available().await;
        let mut permits = Vec::new();
        // The semaphore is never closed.
        permits.extend(Arc::clone(&self.slots).acquire_owned().await.ok());
        while let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            permits.push(permit);
        }
        permits
    }
}

/// The credentials file, compared with that of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credentials {
    Same,
    Changed,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands back the messages of a batch that have arrived and that nobody has read.
async fn return_unread(batch: &mut Batch) {
    let deadline = Instant::now() + LAST_MOMENT;
    while let Some(Some(Ok(message))) = batch.next().now_or_never() {
        let handed_back = message.ack_with(AckKind::Nak(None));
        match tokio::time::timeout_at(deadline, handed_back).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "cannot hand a message back"),
            Err(_elapsed) => return,
        }
    }
}
