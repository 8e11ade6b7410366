//! The way in: one task per connection reads, one read at a time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::decode::{Decoder, MessageLimits, Sink, Stop};
use super::tls::Plain;
use super::{Ended, Handler, Limits, Payload, Writer, pool};

/// Reads in a row that found the socket ready, before other tasks of the thread get their turn.
const BURST: u8 = 16;

/// What one batch was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Bytes decoded, frame headers included.
    pub bytes: usize,
}

/// The reading side of one connection.
#[derive(Debug)]
pub struct Reader {
    socket: OwnedReadHalf,
    decoder: Decoder,
    limits: MessageLimits,
    /// Bytes that the HTTP side had read already.
    leftover: Bytes,
    secured: bool,
    /// There may be bytes that no read will bring: `leftover`, or what the record layer holds.
    primed: bool,
    burst: u8,
    ended: Option<Ended>,
}

impl Reader {
    pub(super) fn new(socket: OwnedReadHalf, leftover: Bytes, secured: bool, limits: &Limits) -> Self {
        Reader {
            socket,
            decoder: Decoder::default(),
            limits: MessageLimits { binary: limits.binary_bytes, text: limits.text_bytes },
            primed: secured || !leftover.is_empty(),
            leftover,
            secured,
            burst: 0,
            ended: None,
        }
    }

    /// Changes the longest binary message; counts from the next frame on.
    pub fn set_binary_limit(&mut self, bytes: usize) {
        self.limits.binary = bytes;
    }

    /// Waits until there is something to read, reads once, hands each whole message to `handler`, and flushes the
    /// connection's own writer (answered pings, close frames, whatever the handler wrote to itself). Other targets are
    /// the caller's to flush. Cancel-safe: whatever was read has been handled.
    ///
    /// Once it has failed it fails the same way each time; [`Reader::finish`] is what is left to do.
    pub async fn batch<O, H>(&mut self, owner: &Arc<O>, handler: &mut H) -> Result<Flow, Ended>
    where
        O: AsRef<Writer> + Send + Sync + 'static,
        H: Handler,
    {
        std::future::poll_fn(|cx| self.poll_batch(cx, owner, handler)).await
    }

    /// [`Reader::batch`] as a poll function.
    pub fn poll_batch<O, H>(
        &mut self,
        cx: &mut Context<'_>,
        owner: &Arc<O>,
        handler: &mut H,
    ) -> Poll<Result<Flow, Ended>>
    where
        O: AsRef<Writer> + Send + Sync + 'static,
        H: Handler,
    {
        if let Some(ended) = self.ended {
            return Poll::Ready(Err(ended));
        }
        let writer: &Writer = (**owner).as_ref();
        let result = match self.poll_decode(cx, writer, handler) {
            Poll::Pending => {
                self.burst = 0;
                return Poll::Pending;
            }
            Poll::Ready(result) => result,
        };
        if let Err(ended) = result {
            if let Ended::Protocol { code, reason } = ended {
                handler.violated(code, reason);
            }
            self.end(writer, ended);
        }
        Writer::flush(owner);
        Poll::Ready(result)
    }

    fn poll_decode<H: Handler>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &Writer,
        handler: &mut H,
    ) -> Poll<Result<Flow, Ended>> {
        if writer.is_closed() {
            if writer.is_dead() {
                return Poll::Ready(Err(Ended::Aborted));
            }
            self.decoder.deafen();
        }
        let mut scratch = pool::scratch();
        if self.primed {
            self.primed = false;
            let leftover = std::mem::take(&mut self.leftover);
            let bytes = self.decode(&leftover, writer, handler)?;
            let held = if self.secured { self.decode_tls(&[], &mut scratch, writer, handler)? } else { 0 };
            if bytes + held > 0 {
                return Poll::Ready(Ok(Flow { bytes: bytes + held }));
            }
        }
        if self.burst >= BURST {
            self.burst = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.burst += 1;
        let (target, plain) =
            if self.secured { scratch.split_at_mut(pool::SCRATCH / 2) } else { (&mut scratch[..], &mut [][..]) };
        let mut read = ReadBuf::new(target);
        if let Err(error) = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read)) {
            return Poll::Ready(Err(failed(writer, &error)));
        }
        let data = read.filled();
        if data.is_empty() {
            return Poll::Ready(Err(if writer.is_dead() { Ended::Aborted } else { Ended::Eof }));
        }
        let bytes = if self.secured {
            self.decode_tls(data, plain, writer, handler)?
        } else {
            self.decode(data, writer, handler)?
        };
        Poll::Ready(Ok(Flow { bytes }))
    }

    #[inline]
    fn decode<H: Handler>(&mut self, data: &[u8], writer: &Writer, handler: &mut H) -> Result<usize, Ended> {
        let mut sink = Answering { writer, handler };
        match self.decoder.feed(data, self.limits, &mut sink) {
            Ok(()) => Ok(data.len()),
            Err(Stop::Closed(code)) => Err(Ended::PeerClosed { code }),
            Err(Stop::Violation { code, reason }) => Err(Ended::Protocol { code, reason }),
        }
    }

    /// Decrypts and decodes by turns: the record layer is locked only while it decrypts, since the handler may write to
    /// this same connection.
    fn decode_tls<H: Handler>(
        &mut self,
        mut cipher: &[u8],
        plain: &mut [u8],
        writer: &Writer,
        handler: &mut H,
    ) -> Result<usize, Ended> {
        let mut bytes = 0;
        loop {
            let Some(found) = writer.with_tls(|tls| tls.decrypt(&mut cipher, plain)) else {
                return Ok(bytes);
            };
            match found {
                Ok(Plain::Some(0)) => return Ok(bytes),
                Ok(Plain::Some(len)) => bytes += self.decode(&plain[..len], writer, handler)?,
                Ok(Plain::Closed) => return Err(Ended::Eof),
                Err(error) => return Err(failed(writer, &error)),
            }
        }
    }

    fn end(&mut self, writer: &Writer, ended: Ended) {
        self.ended = Some(ended);
        match ended {
            Ended::PeerClosed { code } => writer.close_with(code, ""),
            Ended::Protocol { code, reason } => writer.close(code, reason),
            // Nothing can be said any more; who waits for room or for the queue to drain must learn of it.
            Ended::Eof => writer.retire(),
            Ended::Io(_) | Ended::Aborted => writer.abort(),
        }
    }

    /// The rest of the close handshake, after [`Writer::close`] or after the reader has ended: writes what is queued,
    /// waits for the peer's close frame if it has not come, says the end of the stream, waits for the peer's. All that
    /// for at most `bound`, then the connection is cut.
    pub async fn finish<O>(mut self, owner: &Arc<O>, bound: Duration)
    where
        O: AsRef<Writer> + Send + Sync + 'static,
    {
        let writer: &Writer = (**owner).as_ref();
        match tokio::time::timeout(bound, self.shake_hands(owner)).await {
            Ok(()) => writer.retire(),
            Err(_) => writer.abort(),
        }
    }

    async fn shake_hands<O>(&mut self, owner: &Arc<O>)
    where
        O: AsRef<Writer> + Send + Sync + 'static,
    {
        let writer: &Writer = (**owner).as_ref();
        if writer.is_dead() {
            return;
        }
        writer.close(1000, "");
        Writer::flush(owner);
        self.decoder.deafen();
        while self.batch(owner, &mut Deaf).await.is_ok() {}
        writer.drained().await;
        if writer.is_dead() {
            return;
        }
        // A socket closed with unread bytes is reset, and the reset can overtake the close frame: read to the end.
        writer.end_of_stream();
        std::future::poll_fn(|cx| {
            let mut scratch = pool::scratch();
            loop {
                let mut read = ReadBuf::new(&mut scratch);
                match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read)) {
                    Ok(()) if !read.filled().is_empty() => {}
                    _ => return Poll::Ready(()),
                }
            }
        })
        .await;
    }
}

fn failed(writer: &Writer, error: &io::Error) -> Ended {
    if writer.is_dead() { Ended::Aborted } else { Ended::Io(error.kind()) }
}

/// The handler, with pings answered.
struct Answering<'a, H> {
    writer: &'a Writer,
    handler: &'a mut H,
}

impl<H: Handler> Handler for Answering<'_, H> {
    #[inline]
    fn binary(&mut self, message: Payload<'_>) {
        self.handler.binary(message);
    }

    fn text(&mut self, message: &str) {
        self.handler.text(message);
    }

    fn too_large(&mut self, head: &[u8], len: u64) {
        self.handler.too_large(head, len);
    }

    fn pong(&mut self, payload: &[u8]) {
        self.handler.pong(payload);
    }

    #[inline]
    fn should_stop(&self) -> bool {
        self.handler.should_stop()
    }
}

impl<H: Handler> Sink for Answering<'_, H> {
    fn ping(&mut self, payload: &[u8]) {
        self.writer.pong(payload);
    }
}

/// Takes nothing, while the close handshake goes on.
struct Deaf;

impl Handler for Deaf {
    fn binary(&mut self, _: Payload<'_>) {}
    fn text(&mut self, _: &str) {}
    fn too_large(&mut self, _: &[u8], _: u64) {}
    fn pong(&mut self, _: &[u8]) {}
}
