//! The WebSocket codec against tokio-tungstenite: the decoder alone (`properties`), sessions over real sockets
//! (`session`, `closing`, `pressure`), and the same through the HTTP upgrade, plain and over TLS (`upgrade`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod closing;

mod pressure;
mod properties;
mod session;
mod support;
mod upgrade;
