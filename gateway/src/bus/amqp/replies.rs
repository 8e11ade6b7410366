//! Answers to what this process asked: a queue that lives as long as the connection that made it.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::sync::mpsc;

use super::Shared;
use super::dial::Conn;
use super::fault::{Backoff, Fault};
use super::link::Link;
use super::message;
use crate::bus::{Message, Slot};

/// What to write into `reply_to`.
pub fn name(slot: Slot) -> String {
    format!("bannou.reply.{slot}")
}

/// Its name in the status.
pub const PART: &str = "replies";

/// Until nobody takes them.
pub async fn run(shared: Arc<Shared>, mut link: Link, sender: mpsc::Sender<Message>) {
    let mut backoff = Backoff::new(shared.dialer.config.timeouts.retry);
    while let Some(conn) = link.get().await {
        let fault = tokio::select! {
            () = sender.closed() => return,
            fault = read(&shared, &conn, &sender, &mut backoff) => fault,
        };
        match fault {
            Ok(()) => return,
            // Also where it is held by the connection before, until the broker notices that this is gone.
            Err(fault) => shared.status.awaits(PART, format!("the queue for answers: {fault}")),
        }
        backoff.wait().await;
    }
}

async fn read(
    shared: &Shared,
    conn: &Conn,
    sender: &mpsc::Sender<Message>,
    backoff: &mut Backoff,
) -> Result<(), Fault> {
    let name = name(shared.slot);
    let prefetch = shared.dialer.config.limits.prefetch.max(4);
    let channel = conn.channel().await?;
    conn.call("basic.qos", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let declare = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
    conn.call("queue.declare", declare).await?;
    let call = channel.basic_consume(
        name.as_str().into(),
        "".into(),
        BasicConsumeOptions { exclusive: true, ..Default::default() },
        FieldTable::default(),
    );
    let mut consumer = conn.call("basic.consume", call).await?;
    shared.status.well(PART);
    backoff.reset();
    let mut unacknowledged = 0;
    let mut ended = std::pin::pin!(conn.ended());
    loop {
        let delivery = tokio::select! {
            fault = &mut ended => return Err(fault),
            delivery = consumer.next() => delivery,
        };
        let delivery =
            delivery.transpose()?.ok_or_else(|| Fault::Broken("the queue for answers is gone".to_owned()))?;
        if sender.send(message::unpack(&delivery.properties, delivery.data)).await.is_err() {
            return Ok(());
        }
        unacknowledged += 1;
        if unacknowledged >= prefetch / 4 {
            let options = BasicAckOptions { multiple: true };
            conn.call("basic.ack", channel.basic_ack(delivery.delivery_tag, options)).await?;
            unacknowledged = 0;
        }
    }
}
