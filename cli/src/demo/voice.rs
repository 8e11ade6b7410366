//! How the demo services speak first: a message on the bus, as any service publishes one on RabbitMQ.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bannou_gateway::bus::{Bus, Message, To, Unpublished, Value, contract};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Requests that wait for their answer at once.
const MAX_WAITING: usize = 1024;
/// Beyond a request's own timeout, for the way there and back; the gateway answers in any case.
const GRACE: Duration = Duration::from_secs(2);

/// A mouth and an ear on the bus; clones are the same one.
#[derive(Clone)]
pub struct Voice(Arc<Inner>);

struct Inner {
    bus: Arc<dyn Bus>,
    reply_to: String,
    waiting: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
}

/// What a client answered, or what the gateway says of it in the client's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's: 200 from the client; 404 gone, 408 no answer in time, or what the client answered instead.
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    fn gateway(status: u16) -> Answer {
        Answer { status, body: Bytes::new() }
    }
}

impl Voice {
    /// `replies`: what comes to the queue that `reply_to` names. Ends when that does.
    pub fn new(bus: Arc<dyn Bus>, reply_to: String, mut replies: mpsc::Receiver<Message>) -> Voice {
        let voice = Voice(Arc::new(Inner { bus, reply_to, waiting: Mutex::default() }));
        let ears = voice.clone();
        tokio::spawn(async move {
            while let Some(message) = replies.recv().await {
                ears.hear(message);
            }
        });
        voice
    }

    /// Tells the clients behind a routing key something: a `client_id`, `tier.<name>`, `subject.<hash>`, `all`.
    ///
    /// # Errors
    /// The bus takes no more, or no gateway has that client.
    pub async fn tell(&self, key: &str, event: &str, payload: &Json) -> Result<(), Unpublished> {
        self.publish(key, event, payload, Message::default()).await
    }

    /// Asks one client and waits for its answer, at most `patience` and a little.
    pub async fn ask(&self, client_id: &str, event: &str, payload: &Json, patience: Duration) -> Answer {
        let id = uuid::Uuid::new_v4().to_string();
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.0.waiting.lock();
            waiting.retain(|_, tell| !tell.is_closed());
            if waiting.len() >= MAX_WAITING {
                return Answer::gateway(503);
            }
            waiting.insert(id.clone(), tell);
        }
        let millis = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        let message = Message {
            reply_to: Some(self.0.reply_to.clone()),
            correlation_id: Some(id.clone()),
            headers: [(contract::TIMEOUT_MS.to_owned(), Value::Int(millis))].into(),
            ..Message::default()
        };
        let whole = async {
            match self.publish(client_id, event, payload, message).await {
                Ok(()) => told.await.unwrap_or(Answer::gateway(503)),
                Err(Unpublished::Returned) => Answer::gateway(404),
                Err(_) => Answer::gateway(503),
            }
        };
        let answer = timeout(patience + GRACE, whole).await.unwrap_or(Answer::gateway(408));
        self.0.waiting.lock().remove(&id);
        answer
    }

    /// `event`: `<service>.<event>`, as the exposure declares it.
    async fn publish(&self, key: &str, event: &str, payload: &Json, mut message: Message) -> Result<(), Unpublished> {
        let (service, event) = event.split_once('.').unwrap_or((event, ""));
        message.body = payload.to_string().into();
        for (name, value) in [(contract::SERVICE, service), (contract::EVENT, event)] {
            message.headers.insert(name.to_owned(), Value::Text(value.to_owned()));
        }
        self.0.bus.publish(To::Clients(key.to_owned()), message)?.await
    }

    fn hear(&self, message: Message) {
        let waiting = message.correlation_id.and_then(|id| self.0.waiting.lock().remove(&id));
        let status = match message.headers.get(contract::STATUS) {
            Some(Value::Int(status)) => u16::try_from(*status).unwrap_or(502),
            _ => 502,
        };
        // Nobody waits: the first answer counts, and this is another.
        let _ = waiting.map(|tell| tell.send(Answer { status, body: message.body }));
    }
}
