//! A pair of connections over which prebuilt frames flow one way, checked byte for byte, driven by one thread.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Result;
use crate::frames;

/// The frames of a lane: `sent` back to back, and what each becomes at the receiver.
pub struct Script {
    sent: Vec<u8>,
    frame: usize,
    expected: Vec<Vec<u8>>,
    /// The receiver hears WebSocket frames: others than the expected may come between them.
    websocket: bool,
}

impl Script {
    pub fn new(frames: Vec<Vec<u8>>, expected: Vec<Vec<u8>>, websocket: bool) -> Script {
        Script { frame: frames[0].len(), sent: frames.concat(), expected, websocket }
    }
}

pub struct Lane {
    from: TcpStream,
    to: TcpStream,
    script: Script,
    /// Bytes sent since the beginning; frames received.
    sent: u64,
    received: u64,
    inbox: Vec<u8>,
    filled: usize,
    /// What of control frames the sender's side heard.
    heard: Vec<u8>,
    /// Pongs owed by the sender, which may leave only between two frames.
    owed: Vec<u8>,
}

/// What one stretch of time brought.
pub struct Stretch {
    pub messages: u64,
    pub cpu: Duration,
    pub wall: Duration,
}

impl Lane {
    /// # Errors
    /// The sockets cannot be used without blocking.
    pub fn new(from: net::TcpStream, to: net::TcpStream, script: Script) -> Result<Lane> {
        for stream in [&from, &to] {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
        }
        let capacity = (script.sent.len() * 2).clamp(16 * 1024, 1024 * 1024);
        let (from, to) = (TcpStream::from_std(from), TcpStream::from_std(to));
        Ok(Lane {
            from,
            to,
            script,
            sent: 0,
            received: 0,
            inbox: vec![0; capacity],
            filled: 0,
            heard: Vec::new(),
            owed: Vec::new(),
        })
    }

    fn register(&mut self, poll: &Poll, index: usize) -> Result<()> {
        let registry = poll.registry();
        registry.register(&mut self.from, Token(2 * index), Interest::READABLE | Interest::WRITABLE)?;
        registry.register(&mut self.to, Token(2 * index + 1), Interest::READABLE)?;
        Ok(())
    }

    fn deregister(&mut self, poll: &Poll) -> Result<()> {
        poll.registry().deregister(&mut self.from)?;
        poll.registry().deregister(&mut self.to)?;
        Ok(())
    }

    /// Sends until `window` frames are under way, or as much as the socket takes. A window of 0 completes a begun frame.
    fn send(&mut self, window: u64) -> Result<()> {
        let frame = self.script.frame as u64;
        let ring = self.script.sent.len();
        loop {
            if !self.owed.is_empty() && self.sent.is_multiple_of(frame) {
                let owed = std::mem::take(&mut self.owed);
                self.from.write_all(&owed)?;
            }
            let limit = ((self.received + window) * frame).max(self.sent.next_multiple_of(frame));
            let open = usize::try_from(limit - self.sent)?;
            if open == 0 {
                return Ok(());
            }
            let at = usize::try_from(self.sent % ring as u64)?;
            let end = ring.min(at + open);
            let wrapped = (open - (end - at)).min(at);
            let parts = [IoSlice::new(&self.script.sent[at..end]), IoSlice::new(&self.script.sent[..wrapped])];
            match self.from.write_vectored(&parts) {
                Ok(n) => self.sent += n as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("a sender lost its connection: {error}").into()),
            }
        }
    }

    /// Reads all that is there (readiness comes edge-triggered) and answers how many messages that were.
    fn receive(&mut self) -> Result<u64> {
        let before = self.received;
        loop {
            let room = self.inbox.len() - self.filled;
            match self.to.read(&mut self.inbox[self.filled..]) {
                Ok(0) => return Err("a receiver's connection was closed".into()),
                Ok(n) => {
                    self.filled += n;
                    self.take()?;
                    if n < room {
                        return Ok(self.received - before);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(self.received - before),
                Err(error) => return Err(format!("a receiver lost its connection: {error}").into()),
            }
        }
    }

    fn take(&mut self) -> Result<()> {
        let mut at = 0;
        while at < self.filled {
            let rest = &self.inbox[at..self.filled];
            let expected = &self.script.expected[usize::try_from(self.received % self.script.expected.len() as u64)?];
            if rest.starts_with(expected) {
                at += expected.len();
                self.received += 1;
                continue;
            }
            if expected.starts_with(rest) {
                break; // a part of what is due
            }
            if !self.script.websocket {
                return Err(differs(self.received, expected, rest));
            }
            let Some((opcode, range)) = frames::first(rest)? else { break };
            if opcode == frames::BINARY {
                return Err(differs(self.received, expected, rest));
            }
            if let Some(pong) = aside(opcode, &rest[range.clone()])? {
                self.to.write_all(&pong)?;
            }
            at += range.end;
        }
        self.inbox.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }

    /// What the sender hears: nothing but what may come aside.
    fn listen(&mut self) -> Result<()> {
        let mut chunk = [0; 4096];
        loop {
            match self.from.read(&mut chunk) {
                Ok(0) => return Err("a sender's connection was closed".into()),
                Ok(n) => self.heard.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("a sender lost its connection: {error}").into()),
            }
        }
        while let Some((opcode, range)) = frames::first(&self.heard)? {
            if let Some(pong) = aside(opcode, &self.heard[range.clone()])? {
                self.owed.extend(pong);
            }
            self.heard.drain(..range.end);
        }
        Ok(())
    }

    fn open(&self) -> bool {
        self.sent != self.received * self.script.frame as u64
    }
}

/// Lets every lane keep `window` messages under way: `warm` unmeasured, then `measure`, then until all have arrived.
/// `cpu` reads the server's clock.
///
/// # Errors
/// A message was lost or changed, or a connection ended.
pub fn run(
    lanes: &mut [Lane],
    window: u64,
    warm: Duration,
    measure: Duration,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<Stretch> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    for (index, lane) in lanes.iter_mut().enumerate() {
        lane.register(&poll, index)?;
        lane.send(window)?;
    }
    let start = Instant::now();
    let mut messages = 0;
    let mut begun: Option<(Instant, u64, Duration)> = None;
    let mut stretch: Option<Stretch> = None;
    let mut heard = Instant::now();
    while stretch.is_none() || lanes.iter().any(Lane::open) {
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        let now = Instant::now();
        if !events.is_empty() {
            heard = now;
        } else if now - heard > Duration::from_secs(10) {
            let missing = lanes.iter().filter(|lane| lane.open()).count();
            return Err(format!("messages were lost: {missing} of {} lanes still wait after 10 s", lanes.len()).into());
        }
        match &begun {
            None if now - start >= warm => begun = Some((now, messages, cpu()?)),
            Some((since, base, base_cpu)) if stretch.is_none() && now - *since >= measure => {
                stretch = Some(Stretch { messages: messages - base, cpu: cpu()? - *base_cpu, wall: now - *since });
            }
            _ => {}
        }
        let window = if stretch.is_some() { 0 } else { window };
        for event in &events {
            let Token(token) = event.token();
            let lane = &mut lanes[token / 2];
            if token % 2 == 1 {
                messages += lane.receive()?;
            } else if event.is_readable() {
                lane.listen()?;
            }
            lane.send(window)?;
        }
    }
    for lane in lanes.iter_mut() {
        lane.deregister(&poll)?;
    }
    stretch.ok_or_else(|| "nothing was measured".into())
}

/// Frames that may come between the expected ones: a ping, which wants the pong answered here, and a fresh resume token.
fn aside(opcode: u8, payload: &[u8]) -> Result<Option<Vec<u8>>> {
    match opcode {
        frames::PING => Ok(Some(frames::from_client(frames::PONG, payload))),
        frames::TEXT if payload.starts_with(br#"{"type":"resume""#) => Ok(None),
        _ => Err(format!(
            "the server said (opcode {opcode}) {}",
            String::from_utf8_lossy(&payload[..payload.len().min(300)])
        )
        .into()),
    }
}

fn differs(number: u64, expected: &[u8], got: &[u8]) -> crate::Error {
    let at = expected.iter().zip(got).position(|(a, b)| a != b).unwrap_or(0);
    let from = at.saturating_sub(8);
    let show = |bytes: &[u8]| format!("{:02x?}", &bytes[from.min(bytes.len())..bytes.len().min(from + 40)]);
    format!("message {number} is lost or changed: from byte {from}, expected {}, got {}", show(expected), show(got))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    /// Two connected sockets of which the second end is the relay's.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("a connection");
        (client, listener.accept().expect("a connection").0)
    }

    /// Runs one lane through a relay that turns each frame into what `relay` says.
    fn through(relay: impl Fn(u64, &[u8]) -> Vec<u8> + Send + 'static) -> Result<Stretch> {
        let message = |n: u64, flags: u64| frames::message(&[1; 16], flags | n, &n.to_be_bytes());
        let sent: Vec<_> = (0..8).map(|n| frames::from_client(frames::BINARY, &message(n, frames::ONE_WAY))).collect();
        let due: Vec<_> = (0..8)
            .map(|n| frames::from_server(frames::BINARY, &message(n, frames::ONE_WAY | frames::INBOUND)))
            .collect();
        let ((from, mut relay_in), (to, mut relay_out)) = (pair(), pair());
        let (mut frame, answers) = (vec![0; sent[0].len()], due.clone());
        std::thread::spawn(move || {
            for number in 0.. {
                let right = &answers[number as usize % answers.len()];
                if relay_in.read_exact(&mut frame).is_err() || relay_out.write_all(&relay(number, right)).is_err() {
                    return;
                }
            }
        });
        let mut lanes = [Lane::new(from, to, Script::new(sent, due, true))?];
        let moment = Duration::from_millis(5);
        run(&mut lanes, 4, moment, moment, || Ok(Duration::ZERO))
    }

    #[test]
    fn what_arrives_as_it_must_is_counted() {
        assert!(through(|_, right| right.to_vec()).expect("nothing is wrong").messages > 0);
    }

    #[test]
    fn a_ping_between_messages_is_no_message() {
        let ping = frames::from_server(frames::PING, b"x");
        assert!(through(move |_, right| [ping.as_slice(), right].concat()).is_ok());
    }

    #[test]
    fn a_changed_byte_is_seen() {
        let outcome = through(|number, right| {
            let mut wrong = right.to_vec();
            let last = wrong.len() - 1;
            wrong[last] ^= u8::from(number == 5);
            wrong
        });
        assert!(outcome.err().expect("it is seen").to_string().contains("message 5 is lost or changed"));
    }

    #[test]
    fn a_lost_message_is_seen() {
        let outcome = through(|number, right| if number == 5 { Vec::new() } else { right.to_vec() });
        assert!(outcome.err().expect("it is seen").to_string().contains("message 5 is lost or changed"));
    }

    #[test]
    fn an_error_frame_to_the_receiver_is_seen() {
        let closing = frames::from_server(frames::TEXT, br#"{"type":"closing"}"#);
        let outcome = through(move |_, _| closing.clone());
        assert!(outcome.err().expect("it is seen").to_string().contains("closing"));
    }
}
