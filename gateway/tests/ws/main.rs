//! The WebSocket codec against tokio-tungstenite: the decoder alone (`differential`), sessions over real sockets
//! (`session`, `closing`, `pressure`), and the same through the HTTP upgrade, plain and over TLS (`upgrade`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod closing;
mod differential;
mod pressure;
mod session;
mod support;
mod upgrade;
