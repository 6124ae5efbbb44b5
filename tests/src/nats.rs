//! A NATS server with `JetStream`, of a test's own.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use async_nats::jetstream::consumer;
use async_nats::jetstream::stream::{Config, RawMessageErrorKind};
use async_nats::{ConnectOptions, HeaderMap, jetstream};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

use crate::cli::tool;
use crate::nats_secured::SecuredNats;
use crate::ports::free_port;
use crate::process::Supervised;
use crate::wait::SOON;

/// A user that the server knows, beside whoever has no name.
const USER: &str = "almanac";

/// A running NATS server, which keeps its streams through a restart.
#[derive(Debug)]
pub struct Nats {
    port: u16,
    password: Option<String>,
    folder: TempDir,
    secured: Option<SecuredNats>,
    /// Port of the listener for MQTT.
    mqtt: Option<u16>,
    process: Option<Supervised>,
}

/// A connection to a server.
#[derive(Debug)]
pub struct NatsClient(jetstream::Context);

impl NatsClient {
    /// Publishes messages, and waits until the stream has them all.
    pub async fn publish_all(
        &self,
        subject: &str,
        bodies: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<()> {
        let mut sent = Vec::new();
        for body in bodies {
            sent.push(self.0.publish(subject.to_owned(), body.into()).await?);
            if sent.len() == 500 {
                for sent in sent.drain(..) {
                    sent.await?;
                }
            }
        }
        for sent in sent {
            sent.await?;
        }
        Ok(())
    }

    /// Describes a consumer of a stream.
    pub async fn consumer(&self, stream: &str, name: &str) -> anyhow::Result<consumer::Info> {
        let stream = self.0.get_stream_no_info(stream).await?;
        Ok(stream.consumer_info(name).await?)
    }
}

/// A message of a stream.
#[derive(Debug)]
pub struct Stored {
    /// Subject of the message.
    pub subject: String,
    /// A header of it.
    pub headers: async_nats::HeaderMap,
    /// Body of the message.
    pub body: Vec<u8>,
}

impl Nats {
    /// Starts one on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        let mut nats = Self::away(None)?;
        nats.begin().await?;
        Ok(nats)
    }

    /// Starts one that wants this password.
    pub async fn with_password(password: &str) -> anyhow::Result<Self> {
        let mut nats = Self::away(Some(password))?;
        nats.begin().await?;
        Ok(nats)
    }

    /// Starts one that wants TLS, a client's certificate and the JWT of a user.
    pub async fn secured() -> anyhow::Result<Self> {
        let mut nats = Self::away(None)?;
        nats.secured = Some(SecuredNats::write(nats.folder.path())?);
        nats.begin().await?;
        Ok(nats)
    }

    /// Starts one that takes MQTT as well.
    pub async fn with_mqtt() -> anyhow::Result<Self> {
        let mut nats = Self::away(None)?;
        nats.mqtt = Some(free_port());
        nats.begin().await?;
        Ok(nats)
    }

    /// The files of a server that [`Nats::secured`] started.
    pub fn files(&self) -> anyhow::Result<&SecuredNats> {
        self.secured.as_ref().context("not secured")
    }

    /// Creates a server that has an address, and does not run yet.
    pub fn away(password: Option<&str>) -> anyhow::Result<Self> {
        Ok(Self {
            port: free_port(),
            password: password.map(str::to_owned),
            folder: tempfile::tempdir()?,
            secured: None,
            mqtt: None,
            process: None,
        })
    }

    /// Starts it, on its port and with its streams.
    pub async fn begin(&mut self) -> anyhow::Result<()> {
        let store = self.folder.path().join("store").display().to_string();
        let port = self.port.to_string();
        let mut args = vec!["-a", "127.0.0.1", "-p", &port, "-js", "-sd", &store];
        if let Some(password) = &self.password {
            args.extend(["--user", USER, "--pass", password]);
        }
        let config = match (&self.secured, self.mqtt) {
            (Some(secured), _) => Some(secured.file("nats.conf")),
            (None, Some(port)) => {
                let file = self.folder.path().join("nats.conf");
                let mqtt = format!("mqtt {{ listen: \"127.0.0.1:{port}\" }}");
                std::fs::write(&file, format!("server_name: one\n{mqtt}\n"))?;
                Some(file.display().to_string())
            }
            (None, None) => None,
        };
        if let Some(config) = &config {
            args.extend(["-c", config]);
        }
        let log = self.folder.path().join("nats.log");
        let deadline = Instant::now() + SOON;
        let started = Supervised::spawn(&tool("nats-server")?, args, &[], &log)?;
        let process = self.process.insert(started);
        loop {
            if !process.is_running()? || Instant::now() > deadline {
                bail!("no NATS server: {}", std::fs::read_to_string(&log)?);
            }
            let address = ("127.0.0.1", self.port);
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Kills it.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Address of the server, with the credentials.
    pub fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("nats://{USER}:{password}@127.0.0.1:{}", self.port),
            None => format!("nats://127.0.0.1:{}", self.port),
        }
    }

    /// Makes a stream of these subjects.
    pub async fn stream(&self, name: &str, subjects: &str) -> anyhow::Result<()> {
        self.stream_up_to(name, subjects, -1).await
    }

    /// The same, of messages up to this size.
    pub async fn stream_up_to(&self, name: &str, subjects: &str, bytes: i32) -> anyhow::Result<()> {
        let config = Config {
            name: name.to_owned(),
            subjects: vec![subjects.to_owned()],
            max_message_size: bytes,
            allow_direct: true,
            ..Config::default()
        };
        self.context().await?.create_stream(config).await?;
        Ok(())
    }

    /// All that a stream holds, in its order.
    pub async fn stored(&self, stream: &str) -> anyhow::Result<Vec<Stored>> {
        let stream = self.context().await?.get_stream(stream).await?;
        let last = stream.get_info().await?.state.last_sequence;
        let mut all = Vec::new();
        for sequence in 1..=last {
            match stream.get_raw_message(sequence).await {
                Ok(message) => all.push(Stored {
                    subject: message.subject.to_string(),
                    headers: message.headers,
                    body: message.payload.to_vec(),
                }),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {}
                Err(error) => return Err(error).context("reading a message"),
            }
        }
        Ok(all)
    }

    /// Publishes a message with these headers, and returns its number in the stream.
    pub async fn publish(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> anyhow::Result<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        let context = self.context().await?;
        let sent = context
            .publish_with_headers(subject.to_owned(), map, body.to_owned().into())
            .await?;
        Ok(sent.await?.sequence)
    }

    /// Publishes many messages without headers, and waits until all are stored.
    pub async fn publish_all(
        &self,
        subject: &str,
        bodies: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<()> {
        self.connect().await?.publish_all(subject, bodies).await
    }

    /// Publishes a message to a topic of MQTT 3.1.1 with the quality of service 1, and waits until
    /// the server has it. Each packet has less than 128 bytes.
    pub async fn publish_mqtt(&self, topic: &str, body: &str) -> anyhow::Result<()> {
        const CONNECT: u8 = 0x10;
        const PUBLISH_AT_LEAST_ONCE: u8 = 0x32;
        const PACKET: [u8; 2] = [0, 1];
        let text = |text: &str| -> anyhow::Result<Vec<u8>> {
            let length = u16::try_from(text.len())?.to_be_bytes();
            Ok([&length, text.as_bytes()].concat())
        };
        let port = self.mqtt.context("a server without MQTT")?;
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        // Version 4, a clean session, and 60 s between two packets.
        let connect = [text("MQTT")?, vec![4, 2, 0, 60], text("a-test")?].concat();
        let publish = [text(topic)?, PACKET.to_vec(), body.as_bytes().to_vec()].concat();
        for (kind, content, expected) in [
            (CONNECT, connect, [0x20, 2, 0, 0]),
            (
                PUBLISH_AT_LEAST_ONCE,
                publish,
                [0x40, 2, PACKET[0], PACKET[1]],
            ),
        ] {
            let length = u8::try_from(content.len())?;
            ensure!(length < 128, "a packet of {length} bytes");
            stream
                .write_all(&[&[kind, length], &content[..]].concat())
                .await?;
            let mut answer = [0; 4];
            tokio::time::timeout(SOON, stream.read_exact(&mut answer)).await??;
            ensure!(answer == expected, "{answer:?}");
        }
        Ok(())
    }

    /// Publishes a message with any bytes as its subject and its headers, which the client would
    /// not send. Returns its number in the stream.
    pub async fn publish_raw(
        &self,
        subject: &[u8],
        headers: &[u8],
        body: &str,
    ) -> anyhow::Result<u64> {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
        let sizes = format!("{} {}", headers.len(), headers.len() + body.len());
        let sent = [
            b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB answer 1\r\nHPUB ",
            subject,
            b" answer ",
            sizes.as_bytes(),
            b"\r\n",
            headers,
            body.as_bytes(),
            b"\r\n",
        ];
        stream.write_all(&sent.concat()).await?;
        let mut lines = tokio::io::BufReader::new(stream).lines();
        // The line after the line `MSG` is the answer of the stream.
        let answer = tokio::time::timeout(SOON, async {
            while let Some(line) = lines.next_line().await? {
                ensure!(!line.starts_with("-ERR"), "{line}");
                if line.starts_with("MSG ") {
                    return lines.next_line().await?.context("the answer");
                }
            }
            bail!("no answer")
        });
        let answer: Value = serde_json::from_str(&answer.await??)?;
        answer["seq"]
            .as_u64()
            .with_context(|| format!("not stored: {answer}"))
    }

    /// Makes a consumer of a stream.
    pub async fn make_consumer(
        &self,
        stream: &str,
        config: consumer::pull::Config,
    ) -> anyhow::Result<()> {
        let stream = self.context().await?.get_stream(stream).await?;
        stream.create_consumer(config).await?;
        Ok(())
    }

    /// State of a consumer.
    pub async fn consumer(&self, stream: &str, name: &str) -> anyhow::Result<consumer::Info> {
        self.connect().await?.consumer(stream, name).await
    }

    /// Opens a connection for many requests. Other methods open one for each.
    pub async fn connect(&self) -> anyhow::Result<NatsClient> {
        Ok(NatsClient(self.context().await?))
    }

    /// Removes a consumer.
    pub async fn remove_consumer(&self, stream: &str, name: &str) -> anyhow::Result<()> {
        let stream = self.context().await?.get_stream(stream).await?;
        stream.delete_consumer(name).await?;
        Ok(())
    }

    /// Removes a stream.
    pub async fn remove_stream(&self, name: &str) -> anyhow::Result<()> {
        self.context().await?.delete_stream(name).await?;
        Ok(())
    }

    async fn context(&self) -> anyhow::Result<jetstream::Context> {
        let options = match (&self.password, &self.secured) {
            (Some(password), _) => {
                ConnectOptions::with_user_and_password(USER.into(), password.clone())
            }
            (None, Some(secured)) => {
                let _chosen_before = rustls::crypto::ring::default_provider().install_default();
                ConnectOptions::with_credentials(&secured.credentials()?.0)?
                    .require_tls(true)
                    .add_root_certificates(secured.file("ca.pem").into())
                    .add_client_certificate(
                        secured.file("client.pem").into(),
                        secured.file("client.key.pem").into(),
                    )
            }
            (None, None) => ConnectOptions::new(),
        };
        let address = format!("nats://127.0.0.1:{}", self.port);
        Ok(jetstream::new(options.connect(address).await?))
    }
}
