//! Peer relay: the same frames through each server in turns, CPU per message, ratio to the plain copy of the same round.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde::Serialize;

use crate::client::{self, Client};
use crate::fixture::Fixture;
use crate::frames::{self, Handle};
use crate::lane::{self, Lane, Script};
use crate::options::Options;
use crate::process::{self, Server};
use crate::report::{Spread, spread};
use crate::{Result, lane::Stretch};

struct Case {
    name: &'static str,
    payload: usize,
    pairs: usize,
    window: u64,
    /// At most this multiple of the plain copy.
    aim: f64,
}

const CASES: [Case; 4] = [
    Case { name: "64 B sparse", payload: 64, pairs: 500, window: 1, aim: 1.1 },
    Case { name: "64 B pipelined", payload: 64, pairs: 16, window: 64, aim: 1.4 },
    Case { name: "1 KiB pipelined", payload: 1024, pairs: 16, window: 64, aim: 1.1 },
    Case { name: "16 KiB pipelined", payload: 16 * 1024, pairs: 16, window: 64, aim: 1.1 },
];

#[derive(Serialize)]
pub struct Outcome {
    pub case: &'static str,
    pub aim: f64,
    /// CPU time that others on the machine took meanwhile, as a share of one core.
    pub disturbance: f64,
    pub servers: Vec<Figures>,
}

#[derive(Serialize)]
pub struct Figures {
    pub server: &'static str,
    pub messages: u64,
    pub messages_per_second: f64,
    /// µs of CPU per message.
    pub micros: Spread,
    /// To the plain copy of the same round.
    pub ratio: Spread,
}

/// # Errors
/// A message was lost or changed, or a server ended.
pub fn measure(options: &Options, fixture: &Fixture) -> Result<Vec<Outcome>> {
    let mut servers = vec![
        process::own("plain TCP copy", "copy", "127.0.0.1:9001".parse()?, options.workers)?,
        fixture.gateway(options)?,
    ];
    if options.peers {
        servers.push(process::own("tokio-tungstenite", "tungstenite", "127.0.0.1:9003".parse()?, options.workers)?);
    }
    let mut outcomes = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(&options.case)) {
        eprintln!("relay {} ({} pairs, {} under way in each)", case.name, case.pairs, case.window);
        outcomes.push(case.measure(options, &mut servers)?);
    }
    Ok(outcomes)
}

impl Case {
    fn measure(&self, options: &Options, servers: &mut [Server]) -> Result<Outcome> {
        let mut lanes = servers.iter().map(|server| self.lanes(server)).collect::<Result<Vec<_>>>()?;
        let mut stretches: Vec<Vec<Stretch>> = servers.iter().map(|_| Vec::new()).collect();
        let mut others = 0.0;
        for _ in 0..options.rounds {
            for (index, server) in servers.iter_mut().enumerate() {
                let own = own_cpu()?;
                let busy = process::machine_busy()?;
                let before = server.cpu()?;
                let stretch =
                    lane::run(&mut lanes[index], self.window, options.warm, options.measure, || server.cpu())?;
                let ours = own_cpu()? - own + (server.cpu()? - before);
                others += (process::machine_busy()? - busy - ours.as_secs_f64()).max(0.0);
                server.check()?;
                stretches[index].push(stretch);
            }
        }
        let wall: f64 = stretches.iter().flatten().map(|s| s.wall.as_secs_f64()).sum();
        let micros: Vec<Vec<f64>> = stretches.iter().map(|s| s.iter().map(micros_of).collect()).collect();
        let servers = servers.iter().enumerate().map(|(index, server)| {
            let messages = stretches[index].iter().map(|s| s.messages).sum();
            let seconds: f64 = stretches[index].iter().map(|s| s.wall.as_secs_f64()).sum();
            Figures {
                server: server.name,
                messages,
                messages_per_second: messages as f64 / seconds,
                micros: spread(&micros[index]),
                ratio: spread(&micros[index].iter().zip(&micros[0]).map(|(own, copy)| own / copy).collect::<Vec<_>>()),
            }
        });
        Ok(Outcome { case: self.name, aim: self.aim, disturbance: others / wall, servers: servers.collect() })
    }

    fn lanes(&self, server: &Server) -> Result<Vec<Lane>> {
        (0..self.pairs)
            .map(|pair| if server.name == "plain TCP copy" { self.copied(server, pair) } else { self.relayed(server) })
            .collect()
    }

    /// Two clients that a service introduced to each other.
    fn relayed(&self, server: &Server) -> Result<Lane> {
        let mut a = Client::connect(server.address, None)?;
        let mut b = Client::connect(server.address, None)?;
        let (to_b, to_a) = client::introduce(&mut a, &mut b)?;
        let sent = self.messages(&to_b, frames::ONE_WAY);
        let received = self.messages(&to_a, frames::ONE_WAY | frames::INBOUND);
        let sent = sent.iter().map(|m| frames::from_client(frames::BINARY, m)).collect();
        let received = received.iter().map(|m| frames::from_server(frames::BINARY, m)).collect();
        Lane::new(a.into_stream()?, b.into_stream()?, Script::new(sent, received, true))
    }

    /// The same bytes from the sender; the receiver gets them as they are.
    fn copied(&self, server: &Server, pair: usize) -> Result<Lane> {
        // Numbers are used once in the server's life.
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let first = NEXT.fetch_add(2, std::sync::atomic::Ordering::Relaxed);
        let open = |number: u32| -> Result<TcpStream> {
            let mut stream = TcpStream::connect(server.address)?;
            stream.write_all(&number.to_be_bytes())?;
            Ok(stream)
        };
        let handle = (pair as u128).to_be_bytes();
        let sent: Vec<_> =
            self.messages(&handle, frames::ONE_WAY).iter().map(|m| frames::from_client(frames::BINARY, m)).collect();
        let (b, a) = (open(first + 1)?, open(first)?);
        Lane::new(a, b, Script::new(sent.clone(), sent, false))
    }

    /// As many different messages as are ever under way, so that a swap is seen as well as a loss.
    fn messages(&self, handle: &Handle, flags: u64) -> Vec<Vec<u8>> {
        let different = self.window.max(8);
        (0..different)
            .map(|number| {
                let payload: Vec<u8> = (0..self.payload).map(|at| (at as u64 * 7 + number) as u8).collect();
                frames::message(handle, flags | number, &payload)
            })
            .collect()
    }
}

fn micros_of(stretch: &Stretch) -> f64 {
    stretch.cpu.as_secs_f64() * 1e6 / stretch.messages.max(1) as f64
}

fn own_cpu() -> Result<Duration> {
    Ok(nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}
