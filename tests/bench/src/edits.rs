//! One edit of a catalog with ten thousand endpoints, with ten thousand clients connected: the gateway's CPU until each has been told,
//! and the longest that a frame between two clients is on its way meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::{self, Client};
use crate::fixture::{Fixture, Login};
use crate::frames::{self, Handle};
use crate::options::Options;
use crate::report::{Spread, spread};
use crate::{Result, connects};

/// Endpoints in the catalog beside those that every client sees.
pub const ENDPOINTS: usize = 10_000;
/// How long the figures without an edit are taken.
const CALM: Duration = Duration::from_secs(2);

#[derive(Serialize)]
pub struct Outcome {
    pub connections: usize,
    pub endpoints: usize,
    /// Milliseconds of CPU of the gateway's process, reading and compiling the file included, until the last client was told.
    pub cpu_ms: Spread,
    /// The same for an edit that no client sees: reading and compiling alone.
    pub unseen_ms: Spread,
    /// Milliseconds from the write of the file, of which up to 500 are the wait until the gateway looks.
    pub told_ms: Spread,
    /// The longest that a frame took from one client to another, in milliseconds: while nothing was edited, and during edits.
    pub calm_ms: f64,
    pub pause_ms: Spread,
}

/// # Errors
/// A client was not told, a frame was lost, or the gateway ended.
pub fn measure(options: &Options) -> Result<Outcome> {
    let connections = options.connections;
    eprintln!("one edit of {ENDPOINTS} endpoints, {connections} connections");
    let fixture = Fixture::large(ENDPOINTS)?;
    let mut gateway = fixture.gateway(options)?;
    let mut crowd = connects::idle(&fixture, gateway.address, connections)?;
    let pair = Pair::connect(&fixture, gateway.address)?;
    let calm_ms = pair.longest(|| {
        let calm = Instant::now();
        crowd.listen(|| calm.elapsed() >= CALM)
    })?;
    let (mut cpu_ms, mut unseen_ms, mut told_ms, mut pause_ms) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let cpu = gateway.cpu()?;
        let applied = gateway.applied(fixture.admin())?;
        fixture.edit(&format!("unseen{round}"), "other")?;
        gateway.until_applied(fixture.admin(), applied + 1)?;
        unseen_ms.push(millis(gateway.cpu()? - cpu));

        let (cpu, began) = (gateway.cpu()?, Instant::now());
        let name = format!("edit{round}");
        fixture.edit(&name, "anonymous")?;
        pause_ms.push(pair.longest(|| crowd.told(&name))?);
        cpu_ms.push(millis(gateway.cpu()? - cpu));
        told_ms.push(millis(began.elapsed()));
        gateway.check()?;
    }
    Ok(Outcome {
        connections,
        endpoints: ENDPOINTS,
        cpu_ms: spread(&cpu_ms),
        unseen_ms: spread(&unseen_ms),
        told_ms: spread(&told_ms),
        calm_ms,
        pause_ms: spread(&pause_ms),
    })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Two clients that know each other.
struct Pair {
    from: TcpStream,
    to: TcpStream,
    handle: Handle,
}

impl Pair {
    fn connect(fixture: &Fixture, address: std::net::SocketAddr) -> Result<Pair> {
        let token = fixture.token(Login::Hs256, usize::MAX)?;
        let (mut a, mut b) = (Client::connect(address, token.as_deref())?, Client::connect(address, None)?);
        let (handle, _) = client::introduce(&mut a, &mut b)?;
        Ok(Pair { from: a.into_stream()?, to: b.into_stream()?, handle })
    }

    /// Sends one frame after the other while `work` runs; the longest way of one, in milliseconds.
    fn longest(&self, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        let done = Arc::new(AtomicBool::new(false));
        let (from, to, handle, stop) = (self.from.try_clone()?, self.to.try_clone()?, self.handle, done.clone());
        let relaying = std::thread::spawn(move || relay(from, to, &handle, &stop));
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let longest = relaying.join().map_err(|_| "the relay's thread panicked")??;
        worked?;
        Ok(millis(longest))
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, handle: &Handle, stop: &AtomicBool) -> Result<Duration> {
    let (mut longest, mut inbox, mut number) = (Duration::ZERO, Vec::new(), 0u64);
    to.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut chunk = [0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        // One-way, so that nothing is kept of it.
        let id = 1 << 60 | number;
        let sent = Instant::now();
        from.write_all(&frames::from_client(frames::BINARY, &frames::message(handle, id, &number.to_be_bytes())))?;
        loop {
            let Some((opcode, range)) = frames::first(&inbox)? else {
                match to.read(&mut chunk)? {
                    0 => return Err("a client of the pair was disconnected".into()),
                    n => inbox.extend_from_slice(&chunk[..n]),
                }
                continue;
            };
            let payload = inbox[range.clone()].to_vec();
            inbox.drain(..range.end);
            match opcode {
                frames::BINARY if payload[24..] == number.to_be_bytes() => break,
                frames::BINARY => return Err(format!("another frame came than number {number}").into()),
                frames::PING => to.write_all(&frames::from_client(frames::PONG, &payload))?,
                _ => {}
            }
        }
        longest = longest.max(sent.elapsed());
        drain(&mut from, &mut chunk)?;
    }
    Ok(longest)
}

/// What the sender is told is of no interest here, but its pings are answered.
fn drain(stream: &mut TcpStream, chunk: &mut [u8]) -> Result<()> {
    stream.set_nonblocking(true)?;
    let mut inbox = Vec::new();
    loop {
        match stream.read(chunk) {
            Ok(0) => return Err("a client of the pair was disconnected".into()),
            Ok(n) => inbox.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    stream.set_nonblocking(false)?;
    // A frame that was cut here is one of the gateway's long ones, never a ping.
    while let Some((opcode, range)) = frames::first(&inbox)? {
        let payload = inbox[range.clone()].to_vec();
        inbox.drain(..range.end);
        if opcode == frames::PING {
            stream.write_all(&frames::from_client(frames::PONG, &payload))?;
        }
    }
    Ok(())
}
