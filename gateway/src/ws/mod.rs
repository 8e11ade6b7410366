//! WebSocket framing (RFC 6455, server side) on the gateway's hot path.
//!
//! axum and hyper speak HTTP and the upgrade ([`handshake`]); from there on this codec owns the raw transport. One task
//! reads ([`Reader`]); anybody may write ([`Writer`]). What one read brought is parsed in one go, each message is handed
//! to a [`Handler`] while it still lies masked in the thread's scratch buffer, and is unmasked while it is copied into
//! the buffer of its target ([`Outbox`] for a batch, [`Writer`] otherwise). Each target is flushed once, at the end of the
//! batch: one `recv` and one `send` however many messages there were. A connection that is idle owns no buffer at all.
//!
//! ```text
//! recv → scratch (one per thread) → Decoder → Handler → Outbox → Writer of the target → send
//!                                                          └ socket full: a drain task, until it is not
//! ```

mod decode;
mod frame;
pub mod handshake;
mod mask;
mod outbox;
mod payload;
mod pool;
mod read;
mod tls;
mod write;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

pub use decode::{Decoder, MAX_EMPTY_FRAGMENTS, MessageLimits, Sink, Stop};
pub use outbox::Outbox;
pub use payload::Payload;
pub use read::{Flow, Reader};
pub use write::Writer;

/// The bytes of a Bannou header: 16 of handle, 8 of message ID.
pub const HEADER: usize = 24;

/// What one connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest binary message in bytes. A longer one is skipped and reported, the connection stays open.
    pub binary_bytes: usize,
    /// Longest text message in bytes. A longer one ends the connection with 1009.
    pub text_bytes: usize,
    /// Most bytes that may wait for the socket. One message on an empty queue always fits.
    pub queue_bytes: usize,
    /// How long the socket may take nothing at all before the connection is aborted.
    pub write_timeout: Duration,
}

/// What the connection runs on after the HTTP upgrade.
#[derive(Debug)]
pub enum Transport {
    Tcp(TcpStream),
    Tls(TcpStream, Box<rustls::ServerConnection>),
}

/// Takes what one read batch brought. Everything here is called synchronously, between one `recv` and the next:
/// no waiting, no locks that others hold for long.
pub trait Handler {
    /// A whole binary message within the limit.
    fn binary(&mut self, message: Payload<'_>);
    /// A whole text message within the limit.
    fn text(&mut self, message: &str);
    /// A binary message over the limit, reported once, its payload being skipped: its first bytes (up to [`HEADER`]) and
    /// the length known so far.
    fn too_large(&mut self, head: &[u8], len: u64);
    /// The answer to a ping (pings themselves are answered by the codec).
    fn pong(&mut self, payload: &[u8]);
    /// The peer broke the protocol. What is written now goes out before the close frame with this code.
    fn violated(&mut self, code: u16, reason: &'static str) {
        let _ = (code, reason);
    }
    /// Once true, no further data message is handed over; control frames still count, so that a close handshake can end.
    fn should_stop(&self) -> bool {
        false
    }
}

/// Why the reader will bring nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The peer sent a close frame; the answer is queued.
    #[error("closed by the peer, code {code:?}")]
    PeerClosed { code: Option<u16> },
    /// The stream ended without a close frame.
    #[error("the connection ended without a close frame")]
    Eof,
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
    /// The peer broke the protocol; the close frame is queued.
    #[error("protocol violation, code {code}: {reason}")]
    Protocol { code: u16, reason: &'static str },
    /// [`Writer::abort`], by somebody else or because the peer read nothing for [`Limits::write_timeout`].
    #[error("aborted")]
    Aborted,
}

impl Ended {
    /// A word for logs and metric labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Ended::PeerClosed { .. } => "peer_closed",
            Ended::Eof => "eof",
            Ended::Io(_) => "io",
            Ended::Protocol { .. } => "protocol",
            Ended::Aborted => "aborted",
        }
    }
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The kernel takes no more and the queue is at its limit.
    #[error("the peer's queue is full")]
    Full,
    /// A close frame is queued already, or the connection is gone.
    #[error("the connection is closing")]
    Closed,
}

impl Refused {
    /// A word for logs and metric labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Refused::Full => "full",
            Refused::Closed => "closed",
        }
    }
}

/// Starts the codec on an upgraded connection. `leftover` is what the HTTP side had read past the upgrade request.
///
/// The writer is returned by value: it is meant to sit inside the session's own `Arc`, which the reader and the drain
/// task reach by `AsRef<Writer>`.
pub fn start(transport: Transport, leftover: Bytes, limits: Limits) -> (Reader, Writer) {
    let (stream, tls) = match transport {
        Transport::Tcp(stream) => (stream, None),
        Transport::Tls(stream, connection) => (stream, Some(connection)),
    };
    let secured = tls.is_some();
    let (read_half, write_half) = stream.into_split();
    // A copy, even of nothing: what hyper hands over keeps its whole read buffer alive (8 KiB).
    let leftover = if leftover.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(&leftover) };
    (Reader::new(read_half, leftover, secured, &limits), Writer::new(write_half, tls, &limits))
}
