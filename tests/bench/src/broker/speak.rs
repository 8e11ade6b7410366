//! The service that speaks: a plain AMQP publisher with confirms, and a caller by direct reply-to.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};

use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind, PublisherConfirm};
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::clock;
use super::rabbitmq::URL;
use crate::Result;

pub const STREAM: &str = "bench.stream";
pub const QUEUE: &str = "bench.queue";
const EXCHANGE: &str = "bench";
/// Not confirmed at once.
const UNDER_WAY: usize = 512;
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Speaker {
    _connection: Connection,
    channel: Channel,
    replies: Mutex<Consumer>,
}

impl Speaker {
    /// # Errors
    /// The broker refuses.
    pub async fn connect() -> Result<Speaker> {
        let connection = Connection::connect(URL, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let topic = ExchangeKind::Topic;
        channel
            .exchange_declare(EXCHANGE.into(), topic, ExchangeDeclareOptions::default(), FieldTable::default())
            .await?;
        for (name, kind) in [(STREAM, "stream"), (QUEUE, "classic")] {
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(name.into(), durable, arguments).await?;
            let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
            channel.queue_bind(name.into(), EXCHANGE.into(), name.into(), bind, none).await?;
        }
        let direct = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let replies = channel
            .basic_consume("amq.rabbitmq.reply-to".into(), "bench".into(), direct, FieldTable::default())
            .await?;
        Ok(Speaker { _connection: connection, channel, replies: Mutex::new(replies) })
    }

    /// To the bare consumer.
    pub async fn bare(&self, queue: &str, count: u64, pace: Option<u64>) -> Result<()> {
        let key = [queue.to_owned()];
        self.publish(EXCHANGE, &key, count, pace, |_| BasicProperties::default()).await
    }

    /// To clients in turn, by the contract.
    pub async fn push(&self, keys: &[String], count: u64, pace: Option<u64>) -> Result<()> {
        self.publish("bannou.clients", keys, count, pace, |_| properties("push")).await
    }

    /// Asks clients in turn; µs until each answer.
    pub async fn request(&self, keys: &[String], count: u64, pace: Option<u64>) -> Result<Vec<f64>> {
        let asked = self.publish("bannou.clients", keys, count, pace, |number| {
            let id = number.to_string();
            properties("ask").with_reply_to("amq.rabbitmq.reply-to".into()).with_correlation_id(id.into())
        });
        let answers = async {
            let mut replies = self.replies.lock().await;
            let mut latencies = Vec::new();
            while (latencies.len() as u64) < count {
                let reply = timeout(PATIENCE, replies.next()).await.map_err(|_| "answers are missing")?;
                let reply = reply.ok_or("no more replies")??;
                let headers = reply.properties.headers().as_ref().map(FieldTable::inner);
                let status = headers.and_then(|h| h.get("bannou-status"));
                // The client answers with what it was asked.
                let micros = clock::since(&reply.data).map_err(|_| format!("a request ended with {status:?}"))?;
                latencies.push(micros);
            }
            Ok::<_, crate::Error>(latencies)
        };
        let (asked, answers) = tokio::join!(asked, answers);
        asked?;
        answers
    }

    async fn publish(
        &self,
        exchange: &str,
        keys: &[String],
        count: u64,
        pace: Option<u64>,
        properties: impl Fn(u64) -> BasicProperties,
    ) -> Result<()> {
        let mut ticks = interval(pace.map_or(Duration::from_secs(1), |pace| Duration::from_secs(1) / pace as u32));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut under_way: VecDeque<PublisherConfirm> = VecDeque::new();
        let began = Instant::now();
        for number in 0..count {
            if pace.is_some() {
                ticks.tick().await;
            }
            if under_way.len() >= UNDER_WAY {
                confirmed(under_way.pop_front()).await?;
            }
            let key = keys[(number % keys.len() as u64) as usize].as_str();
            let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let (stamp, properties) = (clock::stamp(), properties(number));
            under_way.push_back(
                self.channel.basic_publish(exchange.into(), key.into(), mandatory, &stamp, properties).await?,
            );
            if began.elapsed() > PATIENCE * 10 {
                return Err("the broker takes messages too slowly".into());
            }
        }
        while !under_way.is_empty() {
            confirmed(under_way.pop_front()).await?;
        }
        Ok(())
    }
}

async fn confirmed(confirm: Option<PublisherConfirm>) -> Result<()> {
    let Some(confirm) = confirm else { return Ok(()) };
    let confirmation = timeout(PATIENCE, confirm).await.map_err(|_| "the broker does not confirm")??;
    if confirmation.is_ack() && confirmation.take_message().is_none() {
        Ok(())
    } else {
        Err("the broker did not take a message, or nobody's log does".into())
    }
}

fn properties(event: &str) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in [("bannou-service", "bench"), ("bannou-event", event)] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    BasicProperties::default().with_headers(headers).with_user_id("guest".into())
}
