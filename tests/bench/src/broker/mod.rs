//! Push and request through the broker, against a bare AMQP consumer of a stream and of a queue, in one run; and what clients cost
//! the broker.

pub mod bare;
mod clients;
mod clock;
mod rabbitmq;
mod speak;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::Result;
use crate::fixture::Fixture;
use crate::options::Options;
use crate::process::Server;
use clients::Clients;
use rabbitmq::{RabbitMq, URL};
use speak::Speaker;

/// Clients that pushes go to in turn.
const CLIENTS: usize = 100;
/// Messages a second when latency is measured: far from what anybody here cannot take.
const PACE: u64 = 1_000;

#[derive(Serialize)]
pub struct Outcome {
    pub ways: Vec<Way>,
    pub footprint: Footprint,
}

/// One way of a message, under load and at a walking pace.
#[derive(Serialize)]
pub struct Way {
    pub name: &'static str,
    /// µs of CPU of whoever receives from the broker, per message.
    pub micros: f64,
    pub messages_per_second: f64,
    /// µs from publish to arrival (a request: to its answer), paced.
    pub p50: f64,
    pub p99: f64,
}

/// What so many connected clients are to the broker.
#[derive(Clone, Copy, Serialize)]
pub struct Footprint {
    pub connections: usize,
    pub queues: i64,
    pub bindings: i64,
    /// Bytes.
    pub memory: i64,
}

/// # Errors
/// A message was lost, or a server ended.
pub fn measure(options: &Options, fixture: &Fixture) -> Result<Outcome> {
    eprintln!("push and request through RabbitMQ");
    let mut broker = RabbitMq::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let speaker = runtime.block_on(Speaker::connect())?;
    let flood = if options.quick { 20_000 } else { 100_000 };
    let paced = if options.quick { PACE } else { 5 * PACE };
    let mut ways = Vec::new();
    for (name, queue) in [("bare consumer, stream", speak::STREAM), ("bare consumer, queue", speak::QUEUE)] {
        let key = queue.to_owned();
        let (under_load, wall) = bare(&runtime, &speaker, &key, flood, None)?;
        let (walking, _) = bare(&runtime, &speaker, &key, paced, Some(PACE))?;
        ways.push(way(name, under_load.cpu_micros, flood, wall, walking.latencies));
    }
    let gateway = fixture.gateway_on(options, URL)?;
    gateway.ready(fixture.admin())?;
    let clients = runtime.block_on(Clients::connect(gateway.address, CLIENTS))?;
    let keys: Vec<String> = clients.ids.clone();

    let (cpu, wall, _) = through(&runtime, &gateway, || speaker.push(&keys, flood, None), || clients.take(flood))?;
    let (_, _, latencies) =
        through(&runtime, &gateway, || speaker.push(&keys, paced, Some(PACE)), || clients.take(paced))?;
    ways.push(way("gateway, push to a client", cpu, flood, wall, latencies));

    let asked = flood / 5;
    let began = (gateway.cpu()?, std::time::Instant::now());
    runtime.block_on(speaker.request(&keys, asked, None))?;
    let (cpu, wall) = (gateway.cpu()? - began.0, began.1.elapsed());
    let latencies = runtime.block_on(speaker.request(&keys, paced, Some(PACE)))?;
    ways.push(way("gateway, request and answer", cpu.as_secs_f64() * 1e6, asked, wall, latencies));
    drop(clients);
    let footprint = footprint(options, fixture, &broker, &gateway)?;
    broker.check()?;
    Ok(Outcome { ways, footprint })
}

fn way(name: &'static str, cpu_micros: f64, messages: u64, wall: Duration, mut latencies: Vec<f64>) -> Way {
    latencies.sort_by(f64::total_cmp);
    let at = |part: f64| latencies.get((latencies.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    Way {
        name,
        micros: cpu_micros / messages as f64,
        messages_per_second: messages as f64 / wall.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
    }
}

/// CPU µs of the gateway, the time it took, and the latencies that the receivers saw.
fn through<P, T>(
    runtime: &tokio::runtime::Runtime,
    gateway: &Server,
    publish: impl FnOnce() -> P,
    take: impl FnOnce() -> T,
) -> Result<(f64, Duration, Vec<f64>)>
where
    P: Future<Output = Result<()>>,
    T: Future<Output = Result<Vec<f64>>>,
{
    let began = (gateway.cpu()?, std::time::Instant::now());
    let (published, taken) = runtime.block_on(async { tokio::join!(publish(), take()) });
    published?;
    Ok(((gateway.cpu()? - began.0).as_secs_f64() * 1e6, began.1.elapsed(), taken?))
}

/// A bare consumer takes so many.
fn bare(
    runtime: &tokio::runtime::Runtime,
    speaker: &Speaker,
    queue: &str,
    count: u64,
    pace: Option<u64>,
) -> Result<(bare::Taken, Duration)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["consume", URL, queue, &count.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    if lines.next().transpose()?.as_deref() != Some("ready") {
        return Err("the bare consumer did not start".into());
    }
    let began = std::time::Instant::now();
    runtime.block_on(speaker.bare(queue, count, pace))?;
    let taken = lines.next().transpose()?.ok_or("the bare consumer says nothing")?;
    let wall = began.elapsed();
    child.wait()?;
    Ok((serde_json::from_str(&taken)?, wall))
}

/// What connects add to the broker.
fn footprint(options: &Options, fixture: &Fixture, broker: &RabbitMq, gateway: &Server) -> Result<Footprint> {
    let now = || -> Result<[i64; 3]> {
        Ok([broker.count("list_queues")? as i64, broker.count("list_bindings")? as i64, broker.memory()? as i64])
    };
    let before = now()?;
    let crowd = crate::connects::idle(fixture, gateway.address, options.connections)?;
    let after = now()?;
    drop(crowd);
    let [queues, bindings, memory] = [0, 1, 2].map(|i| after[i] - before[i]);
    Ok(Footprint { connections: options.connections, queues, bindings, memory })
}
