//! The bare consumer that the gateway is compared with: a process of its own that takes messages from a stream or a queue,
//! acknowledges them in batches, and does nothing else.

use std::io::Write;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::clock;
use crate::Result;

const PREFETCH: u16 = 1000;
const BATCH: u64 = 100;

/// What it prints at its end, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Taken {
    pub messages: u64,
    /// µs of CPU of the whole process, from its first message to its last.
    pub cpu_micros: f64,
    /// µs from publish to here.
    pub latencies: Vec<f64>,
}

/// `consume URL QUEUE COUNT`: says `ready` when it consumes, and what it took when it has taken so many.
///
/// # Errors
/// The broker refuses, or the arguments are not these.
pub fn serve(arguments: &[String]) -> Result<()> {
    let [url, queue, count] = arguments else { return Err("consume URL QUEUE COUNT".into()) };
    let count: u64 = count.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(consume(url, queue, count))
}

async fn consume(url: &str, queue: &str, count: u64) -> Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let mut arguments = FieldTable::default();
    if queue.ends_with("stream") {
        arguments.insert("x-stream-offset".into(), AMQPValue::LongString("next".into()));
    }
    let options = BasicConsumeOptions::default();
    let mut consumer = channel.basic_consume(queue.into(), "bench".into(), options, arguments).await?;
    println!("ready");
    std::io::stdout().flush()?;
    let mut taken = Taken { messages: 0, cpu_micros: 0.0, latencies: Vec::new() };
    let mut began = cpu()?;
    while taken.messages < count {
        let next = tokio::time::timeout(Duration::from_secs(30), consumer.next()).await;
        let delivery = next.map_err(|_| "messages are missing")?.ok_or("the consumer ended")??;
        if taken.messages == 0 {
            began = cpu()?;
        }
        taken.messages += 1;
        taken.latencies.push(clock::since(&delivery.data)?);
        if taken.messages.is_multiple_of(BATCH) || taken.messages == count {
            delivery.acker.ack(BasicAckOptions { multiple: true }).await?;
        }
    }
    taken.cpu_micros = (cpu()? - began).as_secs_f64() * 1e6;
    println!("{}", serde_json::to_string(&taken)?);
    Ok(())
}

fn cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}
