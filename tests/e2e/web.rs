//! A web server of a test: it remembers what it was asked, and answers as the
//! test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// A request that the server received.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) target: String,
    /// Their names are lower-case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A status and JSON; none: it never answers. A redirection's JSON, if it is a text, is its
/// location.
pub(crate) type Answer = Option<(u16, Value)>;

/// The server. It ends with the test's runtime.
#[derive(Debug)]
pub(crate) struct Web {
    address: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Web {
    /// Listens on a loopback address, with an answer for each request.
    pub(crate) async fn start(
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let request = read(&mut stream).await?;
                    log.lock().expect("no panic").push(request.clone());
                    let Some((status, body)) = answer(&request) else {
                        // Until the one who asked is gone.
                        stream.read_u8().await?;
                        return Ok(());
                    };
                    let location = match &body {
                        Value::String(location) if (300..400).contains(&status) => {
                            format!("location: {location}\r\n")
                        }
                        _ => String::new(),
                    };
                    let body = body.to_string();
                    let head = format!(
                        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\n{location}content-length: {}\r\nconnection: close\r\n\r\n",
                        body.len()
                    );
                    stream.write_all(head.as_bytes()).await?;
                    stream.write_all(body.as_bytes()).await?;
                    anyhow::Ok(())
                });
            }
        });
        Ok(Self { address, asked })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// All that it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().expect("no panic").clone()
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let mut lines = head.lines();
    let mut words = lines.next().context("a request")?.split(' ');
    let mut word = || Some(words.next()?.to_owned());
    let (method, target) = (word().context("a method")?, word().context("a target")?);
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or("0", String::as_str);
    let mut body = vec![0; length.parse()?];
    stream.read_exact(&mut body).await?;
    Ok(Request {
        method,
        target,
        headers,
        body: String::from_utf8(body)?,
    })
}
