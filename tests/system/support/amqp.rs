//! A service that speaks AMQP, and a person who looks after the broker.

use bannou_gateway::bus::{Message, Unpublished, Value};
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::sync::mpsc;

use super::broker::Broker;

/// One connection with one channel; messages are published one after the other.
pub struct Peer {
    user: String,
    connection: Connection,
    channel: Channel,
}

impl Peer {
    /// Somebody whose password is the name.
    pub async fn connect(broker: &Broker, user: &str, vhost: &str) -> Peer {
        Peer::login(broker, user, user, vhost).await
    }

    pub async fn login(broker: &Broker, user: &str, password: &str, vhost: &str) -> Peer {
        let url = broker.url_of(user, password, vhost);
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        let channel = confirming(&connection).await;
        Peer { user: user.to_owned(), connection, channel }
    }

    /// As its own user. A channel that the broker closes for it is opened again.
    pub async fn publish(&mut self, exchange: &str, key: &str, message: Message) -> Result<(), Unpublished> {
        let mut headers = FieldTable::default();
        for (name, value) in message.headers {
            let value = match value {
                Value::Int(n) => AMQPValue::LongLongInt(n),
                Value::Bool(b) => AMQPValue::Boolean(b),
                Value::Text(t) => AMQPValue::LongString(LongString::from(t)),
            };
            headers.insert(name.into(), value);
        }
        let user = message.user_id.unwrap_or_else(|| self.user.clone());
        let mut properties = BasicProperties::default().with_user_id(user.into()).with_headers(headers);
        if let Some(text) = message.reply_to {
            properties = properties.with_reply_to(text.into());
        }
        if let Some(text) = message.correlation_id {
            properties = properties.with_correlation_id(text.into());
        }
        if let Some(text) = message.message_id {
            properties = properties.with_message_id(text.into());
        }
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let publish = async {
            let (exchange, key) = (exchange.into(), key.into());
            self.channel.basic_publish(exchange, key, options, &message.body, properties).await?.await
        };
        match publish.await {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(_))) => Err(Unpublished::Returned),
            Ok(other) => Err(Unpublished::Refused(format!("{other:?}"))),
            Err(error) => {
                self.channel = confirming(&self.connection).await;
                Err(Unpublished::Refused(error.to_string()))
            }
        }
    }

    /// A queue of its own, and what comes there.
    pub async fn inbox(&self) -> (String, mpsc::Receiver<Message>) {
        let channel = self.connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
        let queue = channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
        let name = queue.name().as_str().to_owned();
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let mut consumer =
            channel.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default()).await.unwrap();
        let (sender, receiver) = mpsc::channel(1000);
        tokio::spawn(async move {
            let _channel = channel;
            while let Some(Ok(delivery)) = consumer.next().await {
                let text = |s: &Option<lapin::types::ShortString>| s.as_ref().map(|s| s.as_str().to_owned());
                let message = Message {
                    user_id: text(delivery.properties.user_id()),
                    correlation_id: text(delivery.properties.correlation_id()),
                    message_id: text(delivery.properties.message_id()),
                    body: delivery.data.into(),
                    ..Message::default()
                };
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        (name, receiver)
    }

    pub async fn delete_queue(&self, name: &str) {
        let channel = self.connection.create_channel().await.unwrap();
        channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    pub async fn delete_exchange(&self, name: &str) {
        let channel = self.connection.create_channel().await.unwrap();
        channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await.unwrap();
    }

    /// Declares a durable queue with these arguments, or says what the broker has against it.
    pub async fn declare(&self, name: &str, arguments: &[(&str, AMQPValue)]) -> Result<(), String> {
        let channel = self.connection.create_channel().await.unwrap();
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(name.into(), options, table).await.map(drop).map_err(|e| e.to_string())
    }

    /// For what this kit has no word for.
    pub async fn channel(&self) -> Channel {
        self.connection.create_channel().await.unwrap()
    }
}

async fn confirming(connection: &Connection) -> Channel {
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel
}
