//! One request to a gateway's inspect port, over whatever stream leads there.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Method, Request};
use bannou_gateway::inspect::report::Problem;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// As much as a catalog can be.
const MOST: usize = 64 << 20;
/// A preview of a large catalog for many connections takes its time.
const WITHIN: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The gateway's own word.
    Told(String),
    /// What became of the stream.
    Lost(String),
}

impl Failure {
    pub fn into_text(self) -> String {
        match self {
            Failure::Told(text) | Failure::Lost(text) => text,
        }
    }
}

/// Sends a request and reads its JSON answer. `body`: for a POST.
///
/// # Errors
/// What the gateway says, or what became of the stream.
pub async fn ask<T: DeserializeOwned>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<T, Failure> {
    match timeout(WITHIN, exchange(stream, path, body)).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::Lost(format!("it did not answer within {} s", WITHIN.as_secs()))),
    }
}

async fn exchange<T: DeserializeOwned>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<T, Failure> {
    let lost = |error: hyper::Error| Failure::Lost(format!("the connection to it was lost: {error}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let driver = tokio::spawn(connection);
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let request = Request::builder()
        .method(method)
        .uri(path)
        // What it answers to, whatever name or forward led there.
        .header(HOST, "127.0.0.1")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|e| Failure::Told(format!("the question cannot be put: {e}")))?;
    let response = sender.send_request(request).await.map_err(lost)?;
    let status = response.status();
    let read = Limited::new(response.into_body(), MOST).collect().await;
    driver.abort();
    let bytes = read.map_err(|e| Failure::Lost(format!("its answer cannot be read: {e}")))?.to_bytes();
    if !status.is_success() {
        let detail = serde_json::from_slice::<Problem>(&bytes).map(|problem| problem.detail);
        let detail = detail.unwrap_or_else(|_| "is this the inspect port of a gateway?".to_owned());
        return Err(Failure::Told(format!("it answers {}: {detail}", status.as_u16())));
    }
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(&mut json).map_err(|e| {
        Failure::Told(format!("its answer is not that of a gateway of this version: {}: {}", e.path(), e.inner()))
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a request is answered with, over a stream that is no socket: as a port-forward's.
    async fn answered(answer: &'static str) -> Result<serde_json::Value, String> {
        let (ours, mut theirs) = tokio::io::duplex(64);
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                let byte = theirs.read_u8().await.unwrap();
                seen.push(byte);
            }
            assert!(String::from_utf8(seen).unwrap().contains("host: 127.0.0.1\r\n"));
            let _ = theirs.write_all(answer.as_bytes()).await;
        });
        ask(ours, "/v1/status", None).await.map_err(Failure::into_text)
    }

    #[tokio::test]
    async fn an_answer_is_read_over_any_stream_and_a_problem_is_told() {
        let good = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(answered(good).await.unwrap()["a"], 1);
        let bad = "HTTP/1.1 400 Bad Request\r\ncontent-length: 45\r\n\r\n{\"title\":\"x\",\"status\":400,\"detail\":\"no such\"}";
        assert_eq!(answered(bad).await.unwrap_err(), "it answers 400: no such");
        assert!(
            answered("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await.unwrap_err().contains("cannot be read")
        );
        assert!(answered("SSH-2.0\r\n").await.unwrap_err().contains("was lost"));
    }
}
