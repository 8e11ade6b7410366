//! Ten thousand connects to a fresh gateway, each with a token of its own, until each has its discovery of 200 services: CPU per
//! connect, and the memory that they hold once all are idle.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use crate::fixture::{Fixture, Login, SERVICES};
use crate::options::Options;
use crate::process::Memory;
use crate::{Result, client, frames};

/// Connects under way at once.
const CONCURRENCY: usize = 32;
/// Connections made before the clock starts: they pay for what is built once.
const WARM: usize = 100;

#[derive(Serialize)]
pub struct Outcome {
    pub login: String,
    pub connections: usize,
    pub connects_per_second: f64,
    /// µs of CPU per connect, until its discovery was received.
    pub micros: f64,
    /// Bytes per connection, by both of the kernel's counts.
    pub private_dirty: f64,
    pub anonymous: f64,
    /// Of one discovery, in bytes on the wire.
    pub discovery: usize,
}

/// # Errors
/// A connect was refused, a discovery was not whole, or the gateway ended.
pub fn measure(options: &Options, fixture: &Fixture) -> Result<Vec<Outcome>> {
    [Login::Hs256, Login::Es256, Login::Anonymous]
        .into_iter()
        .map(|login| measure_one(options, fixture, login))
        .collect()
}

fn measure_one(options: &Options, fixture: &Fixture, login: Login) -> Result<Outcome> {
    eprintln!("connect {} times ({login:?})", options.connections);
    let tokens: Vec<Option<String>> =
        (0..WARM + options.connections).map(|n| fixture.token(login, n)).collect::<Result<_>>()?;
    let mut gateway = fixture.gateway(options)?;
    let (warm, counted) = tokens.split_at(WARM);
    let mut crowd = Crowd::default();
    crowd.join(gateway.address, warm)?;
    let before = settled(|| gateway.memory())?;
    let (start, cpu) = (Instant::now(), gateway.cpu()?);
    let discovery = crowd.join(gateway.address, counted)?;
    let (wall, cpu) = (start.elapsed(), gateway.cpu()? - cpu);
    let after = settled(|| gateway.memory())?;
    gateway.check()?;
    crowd.still_there()?;
    let each = |bytes: u64, base: u64| bytes.saturating_sub(base) as f64 / options.connections as f64;
    Ok(Outcome {
        login: format!("{login:?}"),
        connections: options.connections,
        connects_per_second: options.connections as f64 / wall.as_secs_f64(),
        micros: cpu.as_secs_f64() * 1e6 / options.connections as f64,
        private_dirty: each(after.private_dirty, before.private_dirty),
        anonymous: each(after.anonymous, before.anonymous),
        discovery,
    })
}

/// So many connected clients that do nothing, each with a token of its own.
///
/// # Errors
/// A connect was refused, or a discovery was not whole.
pub fn idle(fixture: &Fixture, address: SocketAddr, count: usize) -> Result<Crowd> {
    let tokens: Vec<Option<String>> = (0..count).map(|n| fixture.token(Login::Hs256, n)).collect::<Result<_>>()?;
    let mut crowd = Crowd::default();
    crowd.join(address, &tokens)?;
    Ok(crowd)
}

/// The figure once it holds still: twice the same, a quarter of a second apart.
#[expect(clippy::disallowed_methods, reason = "another process has no event for this")]
fn settled(memory: impl Fn() -> Result<Memory>) -> Result<Memory> {
    let mut last = memory()?;
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(250));
        let now = memory()?;
        if now.private_dirty.abs_diff(last.private_dirty) <= 16 * 1024 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

/// Connections that stay.
#[derive(Default)]
pub struct Crowd {
    idle: Vec<TcpStream>,
}

struct Arriving {
    stream: TcpStream,
    request: Vec<u8>,
    inbox: Vec<u8>,
    upgraded: bool,
}

impl Crowd {
    /// Connects once per token, a few at a time, and answers the size of a discovery.
    fn join(&mut self, address: SocketAddr, tokens: &[Option<String>]) -> Result<usize> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(256);
        let mut slots: Vec<Option<Arriving>> = (0..CONCURRENCY).map(|_| None).collect();
        let mut free: VecDeque<usize> = (0..CONCURRENCY).collect();
        let mut waiting = tokens.iter();
        let mut size = 0;
        let all = self.idle.len() + tokens.len();
        while self.idle.len() < all {
            while !free.is_empty()
                && let Some(token) = waiting.next()
                && let Some(slot) = free.pop_front()
            {
                let mut stream = TcpStream::connect(address)?;
                poll.registry().register(&mut stream, Token(slot), Interest::READABLE | Interest::WRITABLE)?;
                let request = frames::upgrade(token.as_deref()).into_bytes();
                slots[slot] = Some(Arriving { stream, request, inbox: Vec::with_capacity(16 * 1024), upgraded: false });
            }
            poll.poll(&mut events, Some(Duration::from_secs(10)))?;
            if events.is_empty() {
                return Err(format!("{} of {all} connects got no discovery within 10 s", all - self.idle.len()).into());
            }
            for event in &events {
                let Token(slot) = event.token();
                let Some(arriving) = &mut slots[slot] else { continue };
                if let Some(bytes) = arriving.go_on()?
                    && let Some(mut arrived) = slots[slot].take()
                {
                    size = bytes;
                    poll.registry().deregister(&mut arrived.stream)?;
                    self.idle.push(arrived.stream);
                    free.push_back(slot);
                }
            }
        }
        Ok(size)
    }

    /// Reads until every client was told of this service's endpoint: `bench.<name>`.
    ///
    /// # Errors
    /// One was not within 60 s, or was disconnected.
    pub fn told(&mut self, name: &str) -> Result<()> {
        let sought = format!("\"bench.{name}\"");
        let deadline = Instant::now() + Duration::from_secs(60);
        let all = self.idle.len();
        let (mut told, mut missing) = (vec![false; all], all);
        self.read(|index, bytes| {
            // An update of one name is far shorter than what the kernel hands over at once.
            if !told[index] && bytes.windows(sought.len()).any(|w| w == sought.as_bytes()) {
                told[index] = true;
                missing -= 1;
            }
            missing == 0 || Instant::now() > deadline
        })?;
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {all} clients were not told").into()) }
    }

    /// Reads whatever comes until `until` says so; it is asked at least every 100 ms.
    ///
    /// # Errors
    /// One was disconnected.
    pub fn listen(&mut self, until: impl Fn() -> bool) -> Result<()> {
        self.read(|_, _| until())
    }

    fn read(&mut self, mut each: impl FnMut(usize, &[u8]) -> bool) -> Result<()> {
        let mut poll = Poll::new()?;
        for (index, stream) in self.idle.iter_mut().enumerate() {
            poll.registry().register(stream, Token(index), Interest::READABLE)?;
        }
        let (mut events, mut chunk, mut done) = (Events::with_capacity(1024), vec![0; 64 * 1024], false);
        while !done {
            poll.poll(&mut events, Some(Duration::from_millis(100)))?;
            done = each(0, &[]);
            for event in &events {
                let Token(index) = event.token();
                loop {
                    match self.idle[index].read(&mut chunk) {
                        Ok(0) => return Err("the gateway closed a connection".into()),
                        Ok(n) => done |= each(index, &chunk[..n]),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        for stream in &mut self.idle {
            poll.registry().deregister(stream)?;
        }
        Ok(())
    }

    /// # Errors
    /// The gateway has closed one of them.
    fn still_there(&mut self) -> Result<()> {
        let closed =
            self.idle.iter_mut().map(|stream| stream.read(&mut [0; 1024])).filter(|read| matches!(read, Ok(0))).count();
        if closed == 0 { Ok(()) } else { Err(format!("the gateway closed {closed} idle connections").into()) }
    }
}

impl Arriving {
    /// The size of the discovery, once it is there, whole and right.
    fn go_on(&mut self) -> Result<Option<usize>> {
        if !self.request.is_empty() {
            match self.stream.write(&self.request) {
                Ok(n) => drop(self.request.drain(..n)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
                Err(error) => return Err(format!("connect failed: {error}").into()),
            }
        }
        let mut chunk = [0; 32 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    return Err(format!("closed before the discovery: {}", String::from_utf8_lossy(&self.inbox)).into());
                }
                Ok(n) => self.inbox.extend_from_slice(&chunk[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(format!("connect failed: {error}").into()),
            }
        }
        if !self.upgraded
            && let Some(start) = frames::upgraded(&self.inbox)?
        {
            self.inbox.drain(..start);
            self.upgraded = true;
        }
        if !self.upgraded {
            return Ok(None);
        }
        let Some((opcode, range)) = frames::first(&self.inbox)? else { return Ok(None) };
        let found = client::discovery(opcode, &self.inbox[range.clone()])?.services.len();
        if found == SERVICES {
            Ok(Some(range.end))
        } else {
            Err(format!("a discovery held {found} services instead of {SERVICES}").into())
        }
    }
}
