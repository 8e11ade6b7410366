//! The way out: anybody appends frames to the connection's buffer; whoever flushes writes it.
//!
//! The lock is held to append and to swap buffers, never during a system call: a flush takes the buffer out, writes
//! it, and looks again for what others appended meanwhile (with TLS it is held, since reading and writing share the
//! record layer). What the socket does not take is left to one drain task, which exists only as long as that lasts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustls::ServerConnection;
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use super::frame::{self, MAX_CONTROL, Opcode};
use super::tls::Tls;
use super::{HEADER, Limits, Payload, Refused, pool};

/// A buffer of this size is written at once, so that a large batch for one target does not overflow its queue merely
/// because the flush comes at the end.
const EAGER: usize = 64 * 1024;

/// Buffers that one flush writes: others who append as fast as the peer reads must not keep it here for ever.
const ROUNDS: u32 = 8;

const OPEN: u8 = 0;
/// A close frame is queued; nothing may follow it.
const CLOSING: u8 = 1;
const DEAD: u8 = 2;

/// The writing side of one connection. Meant to sit inside the session's `Arc`; see [`Writer::flush`].
#[derive(Debug)]
pub struct Writer {
    out: Mutex<Out>,
    /// Bytes not yet with the kernel. Changed under the lock, read anywhere.
    queued: AtomicUsize,
    /// [`OPEN`], [`CLOSING`] or [`DEAD`]. Changed under the lock, read anywhere.
    state: AtomicU8,
    /// Tasks that wait for `progress`: without any, nobody need be notified.
    waiting: AtomicU32,
    progress: Notify,
    queue_bytes: AtomicUsize,
    /// Bytes of frames that have left the queue since the start. Changed under the lock, read anywhere.
    taken: AtomicU64,
    write_timeout: Duration,
    socket: OwnedWriteHalf,
}

#[derive(Debug)]
struct Out {
    /// Frames to be written; the first `start` bytes are written already.
    buffer: Vec<u8>,
    start: usize,
    /// Bytes of a buffer that a flush has taken out and is writing just now.
    flying: usize,
    /// A drain task exists.
    draining: bool,
    /// The newest pong that found the queue full.
    pong: Option<Box<[u8]>>,
    tls: Option<Tls>,
}

impl Out {
    #[inline]
    fn buffer(&mut self) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = pool::take();
        }
        &mut self.buffer
    }

    fn put_pong(&mut self, payload: &[u8]) {
        let buffer = self.buffer();
        frame::put_header(buffer, Opcode::Pong, payload.len());
        buffer.extend_from_slice(payload);
    }
}

/// What a write left behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing, or nothing that is the caller's to care for: another flush or the drain task is at it.
    Nothing,
    /// Bytes that the socket did not take, and no drain task yet.
    Some,
}

/// What one turn of the drain task came to.
enum Drained {
    All,
    Part,
    OthersWrite,
}

impl Writer {
    pub(super) fn new(socket: OwnedWriteHalf, tls: Option<Box<ServerConnection>>, limits: &Limits) -> Self {
        Writer {
            out: Mutex::new(Out {
                buffer: Vec::new(),
                start: 0,
                flying: 0,
                draining: false,
                pong: None,
                tls: tls.map(Tls::new),
            }),
            queued: AtomicUsize::new(0),
            state: AtomicU8::new(OPEN),
            waiting: AtomicU32::new(0),
            progress: Notify::new(),
            queue_bytes: AtomicUsize::new(limits.queue_bytes),
            taken: AtomicU64::new(0),
            write_timeout: limits.write_timeout,
            socket,
        }
    }

    /// Queues a binary message: `header`, then what follows the first 24 bytes of `body`, unmasked on the way.
    #[inline]
    pub fn binary(&self, header: &[u8; HEADER], body: &Payload<'_>) -> Result<(), Refused> {
        let rest = body.len().saturating_sub(HEADER);
        self.append(Opcode::Binary, HEADER + rest, |out| {
            out.extend_from_slice(header);
            body.append_to(HEADER, out);
        })
    }

    /// Queues a binary message: `header`, then `body`.
    pub fn binary_bytes(&self, header: &[u8; HEADER], body: &[u8]) -> Result<(), Refused> {
        self.append(Opcode::Binary, HEADER + body.len(), |out| {
            out.extend_from_slice(header);
            out.extend_from_slice(body);
        })
    }

    /// Queues a binary message just as it came.
    pub fn binary_unchanged(&self, message: &Payload<'_>) -> Result<(), Refused> {
        self.append(Opcode::Binary, message.len(), |out| message.append_to(0, out))
    }

    /// Queues a text message.
    pub fn text(&self, json: &[u8]) -> Result<(), Refused> {
        self.append(Opcode::Text, json.len(), |out| out.extend_from_slice(json))
    }

    /// Queues a text message that `write` appends to the out-buffer itself, under the lock: no waiting in there, and
    /// nothing but appending. `len_hint` decides whether it fits; a wrong hint costs a move, never a wrong frame.
    pub fn text_with(&self, len_hint: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Refused> {
        self.put(frame::header_len(len_hint) + len_hint, |out| {
            let at = out.len();
            frame::put_header(out, Opcode::Text, len_hint);
            let body = out.len();
            write(out);
            let len = out.len().saturating_sub(body);
            if len != len_hint {
                let mut header = Vec::with_capacity(10);
                frame::put_header(&mut header, Opcode::Text, len);
                out.splice(at..body, header);
            }
        })
    }

    /// Queues a ping, unless the queue is full: then the peer has enough to answer for.
    pub fn ping(&self, payload: &[u8]) {
        let payload = &payload[..payload.len().min(MAX_CONTROL)];
        let _ = self.append(Opcode::Ping, payload.len(), |out| out.extend_from_slice(payload));
    }

    /// Queues the answer to a ping. With a full queue only the newest is kept, and sent when there is room.
    pub(super) fn pong(&self, payload: &[u8]) {
        let mut out = self.out.lock();
        if self.is_closed() {
            return;
        }
        if self.fits(payload.len() + frame::header_len(payload.len())) {
            out.put_pong(payload);
            self.count(&out);
        } else {
            out.pong = Some(payload.into());
        }
    }

    /// Queues a close frame, past the limit of the queue, and tries to write it; nothing can be queued after it. Only
    /// the first call counts. [`super::Reader::finish`] does the rest of the close handshake.
    pub fn close(&self, code: u16, reason: &str) {
        self.close_with(Some(code), reason);
    }

    /// [`Writer::close`], or a close frame without a code.
    pub(super) fn close_with(&self, code: Option<u16>, reason: &str) {
        let mut out = self.out.lock();
        if self.state.load(Ordering::Relaxed) != OPEN {
            return;
        }
        self.state.store(CLOSING, Ordering::Release);
        out.pong = None;
        let reason = frame::close_reason(reason);
        let buffer = out.buffer();
        match code {
            Some(code) => {
                frame::put_header(buffer, Opcode::Close, 2 + reason.len());
                buffer.extend_from_slice(&code.to_be_bytes());
                buffer.extend_from_slice(reason.as_bytes());
            }
            None => frame::put_header(buffer, Opcode::Close, 0),
        }
        self.count(&out);
        self.write_out(out, false);
    }

    /// Writes what is queued. What the socket does not take at once is left to a drain task (one at most), which keeps
    /// `owner` alive until it is done, the connection is aborted, or the socket took nothing for the write timeout.
    /// Nothing queued costs one relaxed load.
    #[inline]
    pub fn flush<O>(owner: &Arc<O>)
    where
        O: AsRef<Writer> + Send + Sync + 'static,
    {
        let writer: &Writer = (**owner).as_ref();
        if writer.queued.load(Ordering::Relaxed) == 0 {
            return;
        }
        let out = writer.out.lock();
        if writer.write_out(out, true) == Left::Some {
            tokio::spawn(drain(owner.clone()));
        }
    }

    /// Appends whole frames, then [`Writer::flush`].
    pub(super) fn send<O>(owner: &Arc<O>, mut frames: Vec<u8>)
    where
        O: AsRef<Writer> + Send + Sync + 'static,
    {
        let writer: &Writer = (**owner).as_ref();
        let mut out = writer.out.lock();
        writer.put_frames(&mut out, &mut frames);
        let left = writer.write_out(out, true);
        pool::put(frames);
        if left == Left::Some {
            tokio::spawn(drain(owner.clone()));
        }
    }

    /// Appends whole frames and tries to write them, leaving `frames` empty.
    pub(super) fn hand_over(&self, frames: &mut Vec<u8>) {
        let mut out = self.out.lock();
        self.put_frames(&mut out, frames);
        self.write_out(out, false);
    }

    /// Whether a frame of `len` bytes may be staged behind `staged`; hands these over when that makes the room.
    #[inline]
    pub(super) fn admit(&self, staged: &mut Vec<u8>, len: usize) -> Result<(), Refused> {
        if self.state.load(Ordering::Relaxed) != OPEN {
            return Err(Refused::Closed);
        }
        let ahead = self.queued() + staged.len();
        if ahead == 0 || ahead.saturating_add(len) <= self.queue_bytes.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.hand_over(staged);
        if self.fits(len) { Ok(()) } else { Err(Refused::Full) }
    }

    /// Bytes not yet with the kernel.
    #[inline]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Changes how many bytes may wait for the socket; counts from the next message on.
    pub fn set_queue_limit(&self, bytes: usize) {
        self.queue_bytes.store(bytes, Ordering::Relaxed);
    }

    /// A close frame is queued or sent, or the connection is gone: nothing can be queued any more.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) != OPEN
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state.load(Ordering::Acquire) == DEAD
    }

    /// Waits until a frame of `bytes` fits the queue; at once when the connection is closing (then queueing says so).
    /// Flush before waiting: without a flush nothing moves. Dropping the future is fine.
    pub async fn room(&self, bytes: usize) {
        self.wait_until(|writer| writer.is_closed() || writer.fits(bytes)).await;
    }

    /// Waits until everything queued is with the kernel, or the connection is gone. Flush before waiting.
    pub async fn drained(&self) {
        self.wait_until(|writer| writer.is_dead() || writer.queued() == 0).await;
    }

    /// Where the queue ends now: what is queued has left once [`Writer::has_passed`] this.
    pub fn mark(&self) -> u64 {
        let _out = self.out.lock();
        self.taken.load(Ordering::Relaxed) + self.queued() as u64
    }

    /// Whether everything before the mark is with the kernel.
    pub fn has_passed(&self, mark: u64) -> bool {
        !self.is_dead() && (self.queued() == 0 || self.taken.load(Ordering::Relaxed) >= mark)
    }

    /// Waits for [`Writer::has_passed`]; `false`: the connection ended before.
    pub async fn passed(&self, mark: u64) -> bool {
        self.wait_until(|writer| writer.is_dead() || writer.has_passed(mark)).await;
        self.has_passed(mark)
    }

    /// Drops what is queued and cuts the connection; the reader ends with [`super::Ended::Aborted`].
    pub fn abort(&self) {
        self.die(self.out.lock(), true);
    }

    /// The end after all was said: what the kernel still holds is delivered.
    pub(super) fn retire(&self) {
        self.die(self.out.lock(), false);
    }

    /// Says to the peer that nothing more will follow (after a close frame).
    pub(super) fn end_of_stream(&self) {
        let mut out = self.out.lock();
        if let Some(tls) = &mut out.tls {
            tls.close_notify();
            self.count(&out);
            self.write_out(out, false);
        }
        let _ = SockRef::from(self.socket.as_ref()).shutdown(std::net::Shutdown::Write);
    }

    /// Runs `work` on the record layer of a TLS connection; counts what it left to be written.
    pub(super) fn with_tls<R>(&self, work: impl FnOnce(&mut Tls) -> R) -> Option<R> {
        let mut out = self.out.lock();
        let done = work(out.tls.as_mut()?);
        self.count(&out);
        Some(done)
    }

    #[inline]
    fn append(&self, opcode: Opcode, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Refused> {
        let whole = frame::header_len(len) + len;
        self.put(whole, |out| {
            out.reserve(whole);
            frame::put_header(out, opcode, len);
            write(out);
        })
    }

    #[inline]
    fn put(&self, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Refused> {
        let mut out = self.out.lock();
        if self.state.load(Ordering::Relaxed) != OPEN {
            return Err(Refused::Closed);
        }
        if !self.fits(len) {
            self.write_out(out, false);
            out = self.out.lock();
            if self.state.load(Ordering::Relaxed) != OPEN {
                return Err(Refused::Closed);
            }
            if !self.fits(len) {
                return Err(Refused::Full);
            }
        }
        write(out.buffer());
        self.count(&out);
        if out.buffer.len() - out.start >= EAGER {
            self.write_out(out, false);
        }
        Ok(())
    }

    /// Swaps when it can, copies when it must; nothing may follow a close frame.
    fn put_frames(&self, out: &mut Out, frames: &mut Vec<u8>) {
        if self.state.load(Ordering::Relaxed) == OPEN {
            if out.buffer.is_empty() {
                std::mem::swap(&mut out.buffer, frames);
            } else {
                out.buffer.extend_from_slice(frames);
            }
            self.count(out);
        }
        frames.clear();
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        let queued = self.queued.load(Ordering::Relaxed);
        queued == 0 || queued.saturating_add(len) <= self.queue_bytes.load(Ordering::Relaxed)
    }

    #[inline]
    fn count(&self, out: &Out) {
        let in_tls = out.tls.as_ref().map_or(0, Tls::pending);
        self.queued.store(out.buffer.len() - out.start + out.flying + in_tls, Ordering::Relaxed);
    }

    /// Writes until the buffer is empty or the socket takes no more. `to_drain` says that the caller will start a drain
    /// task when told that bytes are left.
    fn write_out<'a>(&'a self, mut out: MutexGuard<'a, Out>, to_drain: bool) -> Left {
        for round in 1.. {
            if out.flying > 0 || self.state.load(Ordering::Relaxed) == DEAD {
                return Left::Nothing;
            }
            let written = if out.tls.is_some() { self.write_tls(&mut out) } else { self.write_tcp(&mut out) };
            // An abort may have come while the lock was open: what was queued is of no use then.
            let (Ok(blocked), false) = (written, self.is_dead()) else {
                self.die(out, true);
                return Left::Nothing;
            };
            if out.start == out.buffer.len() {
                out.start = 0;
                pool::put(std::mem::take(&mut out.buffer));
                if let Some(pong) = out.pong.take() {
                    out.put_pong(&pong);
                }
            }
            self.count(&out);
            if self.waiting.load(Ordering::Relaxed) > 0 {
                self.progress.notify_waiters();
            }
            if self.queued.load(Ordering::Relaxed) == 0 {
                return Left::Nothing;
            }
            if blocked || round == ROUNDS {
                if out.draining || !to_drain {
                    return Left::Nothing;
                }
                out.draining = true;
                return Left::Some;
            }
        }
        Left::Nothing
    }

    /// One turn of the drain task.
    fn drain_once(&self) -> Drained {
        self.write_out(self.out.lock(), false);
        let mut out = self.out.lock();
        if self.queued() == 0 || self.is_dead() {
            out.draining = false;
            return Drained::All;
        }
        if out.flying > 0 { Drained::OthersWrite } else { Drained::Part }
    }

    /// One `send` of the whole buffer, outside the lock; whether the socket takes no more for now.
    fn write_tcp(&self, out: &mut MutexGuard<'_, Out>) -> io::Result<bool> {
        let mut buffer = std::mem::take(&mut out.buffer);
        let mut start = std::mem::take(&mut out.start);
        out.flying = buffer.len() - start;
        let result = MutexGuard::unlocked(out, || {
            loop {
                match self.socket.try_write(&buffer[start..]) {
                    Ok(sent) => {
                        start += sent;
                        self.taken.fetch_add(sent as u64, Ordering::Relaxed);
                        break Ok(start < buffer.len());
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(true),
                    Err(error) => break Err(error),
                }
            }
        });
        out.flying = 0;
        if start == buffer.len() {
            pool::put(buffer);
        } else {
            // What is left comes before what others appended meanwhile.
            if !out.buffer.is_empty() {
                buffer.extend_from_slice(&out.buffer);
            }
            pool::put(std::mem::replace(&mut out.buffer, buffer));
            if start >= EAGER && start >= out.buffer.len() / 2 {
                out.buffer.drain(..start);
                start = 0;
            }
            out.start = start;
        }
        result
    }

    fn write_tls(&self, out: &mut Out) -> io::Result<bool> {
        let Out { buffer, start, tls: Some(tls), .. } = out else {
            return Ok(false);
        };
        let before = buffer.len() - *start + tls.pending();
        *start += tls.write(&buffer[*start..], &self.socket)?;
        let left = buffer.len() - *start + tls.pending();
        self.taken.fetch_add(before.saturating_sub(left) as u64, Ordering::Relaxed);
        Ok(left > 0)
    }

    /// Ends the connection for good: the reader and all who wait are woken.
    fn die(&self, mut out: MutexGuard<'_, Out>, reset: bool) {
        out.start = 0;
        out.pong = None;
        pool::put(std::mem::take(&mut out.buffer));
        self.queued.store(0, Ordering::Relaxed);
        let first = self.state.swap(DEAD, Ordering::AcqRel) != DEAD;
        drop(out);
        if !first {
            return;
        }
        let socket = SockRef::from(self.socket.as_ref());
        if reset {
            // What the kernel still holds is not worth keeping a dead peer's socket for.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        let _ = socket.shutdown(std::net::Shutdown::Both);
        self.progress.notify_waiters();
    }

    async fn wait_until(&self, done: impl Fn(&Writer) -> bool) {
        if done(self) {
            return;
        }
        let _waiting = Waiting::new(&self.waiting);
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            // Under the lock: whoever writes either sees this task waiting, or has finished and is seen here.
            let now = {
                let _out = self.out.lock();
                done(self)
            };
            if now {
                return;
            }
            progress.await;
        }
    }
}

/// Counts a waiting task, also when it is dropped half-way.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes whenever the socket takes something, until nothing is queued.
async fn drain<O: AsRef<Writer>>(owner: Arc<O>) {
    let writer: &Writer = (*owner).as_ref();
    loop {
        match tokio::time::timeout(writer.write_timeout, writer.socket.writable()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return writer.abort(),
        }
        match writer.drain_once() {
            Drained::All => return,
            Drained::Part => {}
            // Readiness stands until that write is over: let it go on instead of spinning.
            Drained::OthersWrite => tokio::task::yield_now().await,
        }
    }
}
