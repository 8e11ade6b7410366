//! The decoder: bytes in, messages out, no I/O.
//!
//! Three shapes of a message, by cost. A whole binary frame within the bytes at hand goes to the sink as it lies there.
//! A frame that is cut, or a message in fragments, is unmasked into an assembly buffer as it arrives (each byte once,
//! however long the frame). A message over its limit is counted and dropped as it arrives.

use super::frame::{self, Header, MAX_CONTROL, MAX_HEADER, Opcode};
use super::mask::{extend_unmasked, rotate, unmask};
use super::{HEADER, Handler, Payload, pool};

/// Empty fragments that one message may have: each costs the peer six bytes, and without a bound a message of them
/// would never end. Fragments with bytes in them are bounded by the message's limit.
pub const MAX_EMPTY_FRAGMENTS: u16 = 256;

/// Longest messages in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MessageLimits {
    pub binary: usize,
    pub text: usize,
}

/// Where the decoder puts what it finds.
pub trait Sink: Handler {
    /// A ping that wants its payload back.
    fn ping(&mut self, payload: &[u8]);
}

/// Why there is nothing more to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A valid close frame, with its code if it had one.
    Closed(Option<u16>),
    /// The peer broke the protocol: the code to close with, and why.
    Violation { code: u16, reason: &'static str },
}

/// A breach of the protocol, within the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub code: u16,
    pub reason: &'static str,
}

impl Violation {
    pub fn protocol(reason: &'static str) -> Self {
        Violation { code: 1002, reason }
    }
}

impl From<Violation> for Stop {
    fn from(Violation { code, reason }: Violation) -> Self {
        Stop::Violation { code, reason }
    }
}

/// The state between two reads. Small when nothing is under way: its buffers are the pool's.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The bytes of a header that was cut.
    head: [u8; MAX_HEADER],
    head_len: u8,
    frame: Option<Frame>,
    message: Kind,
    /// The message so far, unmasked; of one that is too large, its first [`HEADER`] bytes.
    assembly: Vec<u8>,
    /// How much of a text's assembly is known to be UTF-8.
    valid: usize,
    empty_fragments: u16,
    /// A control frame that was cut.
    control: Vec<u8>,
    deaf: bool,
    stopped: Option<Stop>,
}

/// A frame whose payload is under way.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    /// Rotated to the next byte.
    mask: [u8; 4],
    left: u64,
}

/// The data message under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    None,
    Text,
    Binary,
    /// Over the limit, not yet reported for want of its first bytes.
    TooLarge(u64),
    /// Dropped without a word: reported already, or nobody listens.
    Skipped,
}

impl Decoder {
    /// From now on data messages are dropped as they arrive; control frames still count.
    pub fn deafen(&mut self) {
        self.deaf = true;
    }

    /// Decodes all of `data`, which continues where the last call's ended. After an error every call gives the same one.
    #[inline]
    pub fn feed<S: Sink>(&mut self, mut data: &[u8], limits: MessageLimits, sink: &mut S) -> Result<(), Stop> {
        if let Some(stop) = self.stopped {
            return Err(stop);
        }
        while !data.is_empty() {
            let step = match self.frame {
                None => self.begin(data, limits, sink),
                Some(frame) => self.go_on(frame, data, sink),
            };
            match step {
                Ok(rest) => data = rest,
                Err(stop) => {
                    self.stopped = Some(stop);
                    self.release();
                    pool::put(std::mem::take(&mut self.control));
                    return Err(stop);
                }
            }
        }
        Ok(())
    }

    /// At the start of a frame, or within its header.
    #[inline]
    fn begin<'a, S: Sink>(&mut self, data: &'a [u8], limits: MessageLimits, sink: &mut S) -> Result<&'a [u8], Stop> {
        let (header, data) = if self.head_len == 0 {
            match frame::parse(data)? {
                Some((header, size)) => (header, &data[size..]),
                None => {
                    self.head[..data.len()].copy_from_slice(data);
                    self.head_len = data.len() as u8;
                    return Ok(&[]);
                }
            }
        } else {
            let had = self.head_len as usize;
            let more = data.len().min(MAX_HEADER - had);
            self.head[had..had + more].copy_from_slice(&data[..more]);
            match frame::parse(&self.head[..had + more])? {
                // What was there before was not enough, so the header ends within the new bytes.
                Some((header, size)) => {
                    self.head_len = 0;
                    (header, &data[size - had..])
                }
                None => {
                    self.head_len += more as u8;
                    return Ok(&data[more..]);
                }
            }
        };
        if header.opcode.is_control() {
            return self.begin_control(header, data, sink);
        }
        let in_message = self.message != Kind::None;
        match header.opcode {
            Opcode::Continuation if !in_message => {
                return Err(Violation::protocol("continuation of nothing").into());
            }
            Opcode::Text | Opcode::Binary if in_message => {
                return Err(Violation::protocol("message within a message").into());
            }
            _ => {}
        }
        if !in_message {
            if header.opcode == Opcode::Binary && header.fin && header.len <= data.len() as u64 && !self.deaf {
                let (payload, rest) = data.split_at(header.len as usize);
                if payload.len() <= limits.binary {
                    sink.binary(Payload::masked(payload, header.mask));
                    self.listen_or_not(sink);
                    return Ok(rest);
                }
            }
            self.message = match header.opcode {
                _ if self.deaf => Kind::Skipped,
                Opcode::Text => Kind::Text,
                _ => Kind::Binary,
            };
            if self.assembly.capacity() == 0 {
                self.assembly = pool::take();
            }
        }
        if header.len == 0 && !header.fin {
            self.empty_fragments += 1;
            if self.empty_fragments > MAX_EMPTY_FRAGMENTS {
                return Err(Stop::Violation { code: 1008, reason: "too many empty fragments" });
            }
        }
        let total = header.len.saturating_add(self.assembly.len() as u64);
        match self.message {
            Kind::Text if total > limits.text as u64 => {
                return Err(Stop::Violation { code: 1009, reason: "text message too long" });
            }
            Kind::Binary if total > limits.binary as u64 => {
                self.message = Kind::TooLarge(total);
                self.assembly.truncate(HEADER);
            }
            Kind::TooLarge(known) => self.message = Kind::TooLarge(known.saturating_add(header.len)),
            _ => {}
        }
        let frame = Frame { opcode: header.opcode, fin: header.fin, mask: header.mask, left: header.len };
        self.go_on(frame, data, sink)
    }

    fn begin_control<'a, S: Sink>(&mut self, header: Header, data: &'a [u8], sink: &mut S) -> Result<&'a [u8], Stop> {
        let len = header.len as usize;
        if data.len() < len {
            self.control = pool::take();
            let frame = Frame { opcode: header.opcode, fin: true, mask: header.mask, left: header.len };
            return self.go_on(frame, data, sink);
        }
        let (masked, rest) = data.split_at(len);
        let mut payload = [0; MAX_CONTROL];
        let payload = &mut payload[..len];
        payload.copy_from_slice(masked);
        unmask(payload, header.mask);
        control(header.opcode, payload, sink)?;
        Ok(rest)
    }

    /// Within the payload of a frame (or at its end, for an empty one).
    fn go_on<'a, S: Sink>(&mut self, mut frame: Frame, data: &'a [u8], sink: &mut S) -> Result<&'a [u8], Stop> {
        let now = data.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
        let (masked, rest) = data.split_at(now);
        let left = frame.left;
        frame.left -= now as u64;
        let mask = frame.mask;
        frame.mask = rotate(mask, now);
        self.frame = (frame.left > 0).then_some(frame);

        if frame.opcode.is_control() {
            extend_unmasked(&mut self.control, masked, mask);
            if frame.left == 0 {
                let payload = std::mem::take(&mut self.control);
                let done = control(frame.opcode, &payload, sink);
                pool::put(payload);
                done?;
            }
            return Ok(rest);
        }

        let ends = frame.left == 0 && frame.fin;
        match self.message {
            Kind::Text | Kind::Binary => {
                self.make_room(now, left);
                extend_unmasked(&mut self.assembly, masked, mask);
                if self.message == Kind::Text && !ends {
                    self.check_text_so_far()?;
                }
            }
            Kind::TooLarge(known) => {
                let wanted = now.min(HEADER.saturating_sub(self.assembly.len()));
                extend_unmasked(&mut self.assembly, &masked[..wanted], mask);
                if ends || self.assembly.len() >= HEADER {
                    sink.too_large(&self.assembly, known);
                    self.message = Kind::Skipped;
                    self.assembly.clear();
                    self.listen_or_not(sink);
                }
            }
            Kind::Skipped | Kind::None => {}
        }
        if ends {
            self.deliver(sink)?;
        }
        Ok(rest)
    }

    /// Grows the assembly by doubling, but never past what the frame announced: a long length alone costs nothing.
    fn make_room(&mut self, now: usize, left: u64) {
        let buffer = &mut self.assembly;
        if buffer.capacity() - buffer.len() < now {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            buffer.reserve_exact(now.max(buffer.len().min(left)));
        }
    }

    fn check_text_so_far(&mut self) -> Result<(), Stop> {
        match std::str::from_utf8(&self.assembly[self.valid..]) {
            Ok(_) => self.valid = self.assembly.len(),
            Err(error) if error.error_len().is_some() => return Err(NOT_UTF8),
            Err(error) => self.valid += error.valid_up_to(),
        }
        Ok(())
    }

    fn deliver<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop> {
        match self.message {
            _ if self.deaf => {}
            Kind::Text => match std::str::from_utf8(&self.assembly) {
                Ok(text) => sink.text(text),
                Err(_) => return Err(NOT_UTF8),
            },
            Kind::Binary => sink.binary(Payload::assembled(&mut self.assembly)),
            Kind::TooLarge(_) | Kind::Skipped | Kind::None => {}
        }
        self.release();
        self.listen_or_not(sink);
        Ok(())
    }

    /// Forgets the message under way and gives its buffer back.
    fn release(&mut self) {
        self.message = Kind::None;
        self.valid = 0;
        self.empty_fragments = 0;
        pool::put(std::mem::take(&mut self.assembly));
    }

    #[inline]
    fn listen_or_not<S: Sink>(&mut self, sink: &S) {
        self.deaf |= sink.should_stop();
    }
}

const NOT_UTF8: Stop = Stop::Violation { code: 1007, reason: "text is not UTF-8" };

fn control<S: Sink>(opcode: Opcode, payload: &[u8], sink: &mut S) -> Result<(), Stop> {
    match opcode {
        Opcode::Ping => sink.ping(payload),
        Opcode::Pong => sink.pong(payload),
        _ => return Err(closed(payload)),
    }
    Ok(())
}

fn closed(payload: &[u8]) -> Stop {
    match payload {
        [] => Stop::Closed(None),
        [_] => Violation::protocol("close code cut short").into(),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if std::str::from_utf8(reason).is_err() {
                Stop::Violation { code: 1007, reason: "close reason is not UTF-8" }
            } else if !frame::is_close_code(code) {
                Violation::protocol("close code not allowed").into()
            } else {
                Stop::Closed(Some(code))
            }
        }
    }
}
