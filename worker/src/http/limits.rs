//! How much a request may be, and how long it may take.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use tokio::time::timeout;

use super::problem::Problem;

/// The largest request body, in bytes.
pub(super) const BODY_LIMIT: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long an answer may take. Longer than anything should.
pub(super) const ANSWER_TIME: Duration = Duration::from_mins(2);
/// How long what nobody wants is read, so that a client that is still sending
/// gets to see its answer: closing before would reset the connection.
const LINGER: Duration = Duration::from_secs(10);

/// Reads the body before the handler runs, when it is not too large.
pub(super) async fn body(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let stated = request.headers().get(header::CONTENT_LENGTH);
    let stated = stated.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > BODY_LIMIT) {
        return refuse(request, too_large());
    }
    let (head, body) = request.into_parts();
    let mut stream = body.into_data_stream();
    let problem = match timeout(BODY_TIME, read(&mut stream)).await {
        Ok(Ok(body)) => return next.run(Request::from_parts(head, body.into())).await,
        Ok(Err(problem)) => problem,
        Err(_) => {
            let detail = format!("the body takes longer than {BODY_TIME:?}");
            return Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response();
        }
    };
    linger(stream);
    problem.into_response()
}

/// Ends a request whose answer does not come.
pub(super) async fn time(request: Request, next: Next) -> Response {
    timeout(ANSWER_TIME, next.run(request))
        .await
        .unwrap_or_else(|_| {
            let detail = format!("there was no answer within {ANSWER_TIME:?}");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        })
}

/// Answers without a look at the body, in a way that reaches the client.
pub(super) fn refuse(request: Request, answer: impl IntoResponse) -> Response {
    // Who waits for a word to go on does not send now.
    let is_waiting = request.headers().contains_key(header::EXPECT);
    let body: Body = request.into_body();
    if !is_waiting && !body.is_end_stream() {
        linger(body.into_data_stream());
    }
    answer.into_response()
}

async fn read(stream: &mut BodyDataStream) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            let detail = format!("the body cannot be read: {error}");
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })?;
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_large() -> Problem {
    let detail = format!("the body is larger than {BODY_LIMIT} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn linger(mut stream: BodyDataStream) {
    tokio::spawn(timeout(LINGER, async move {
        while let Some(Ok(_)) = stream.next().await {}
    }));
}
