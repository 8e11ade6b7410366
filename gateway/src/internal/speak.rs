//! Says something on the bus and waits for what comes of it. Nothing here knows HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::exchanges::Exchanges;
use crate::bus::contract::{DELIVERED, EVENT, MOVED_TO, SERVICE, STATUS, TIMEOUT_MS};
use crate::bus::{Bus, Message, To, Unpublished, Value};

/// Beyond a request's deadline, for the gateway's own word about it to come.
const GRACE: Duration = Duration::from_secs(2);
/// Of one subject, addressed by one call.
const MOST_SESSIONS: usize = 256;
/// Exchanges that may be open at once over this port.
const MOST: usize = 4096;

/// The gateways of a fleet, as far as they are known here.
pub trait Fleet: Send + Sync {
    /// How many are alive, this one among them.
    fn gateways(&self) -> usize;

    /// The `client_id`s of a subject's sessions. `None`: not known (yet), so everybody has to be asked.
    fn sessions_of(&self, issuer: &str, subject: &str) -> Option<Vec<String>>;
}

/// What is said, under whose name.
#[derive(Clone)]
pub struct Speech<'a> {
    /// The routing key.
    pub key: String,
    pub service: &'a str,
    pub event: &'a str,
    pub timeout: Duration,
    pub body: Bytes,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A gateway or the client said so.
    Told(Told),
    /// To so many clients; not `all`: some gateway has not said.
    Delivered { clients: u64, all: bool },
    /// The message is with the fleet; what came of it is not known in time.
    Late,
    /// No log takes it: the gateway of this client is gone.
    Nobody,
    /// The broker does not take it, for this reason.
    Unavailable(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub status: u16,
    pub body: Bytes,
    pub moved_to: Option<String>,
}

pub struct Speaker {
    bus: Arc<dyn Bus>,
    exchanges: Exchanges,
    fleet: Arc<dyn Fleet>,
}

impl Speaker {
    pub fn new(bus: Arc<dyn Bus>, fleet: Arc<dyn Fleet>) -> Speaker {
        Speaker { bus, exchanges: Exchanges::new(MOST), fleet }
    }

    /// Brings answers to those who wait for them, until the bus is shut down.
    pub async fn listen(&self) {
        let mut replies = self.bus.replies();
        while let Some(answer) = replies.recv().await {
            if !self.exchanges.answered(answer) {
                tracing::debug!("an answer of the bus came too late for whoever asked");
            }
        }
    }

    /// To one client: its receipt, or with `request` its answer.
    pub async fn to_one(&self, speech: Speech<'_>, request: bool) -> (Option<Uuid>, Outcome) {
        let within = if request { speech.timeout + GRACE } else { speech.timeout };
        self.exchange(speech, within, |answer| Some(Outcome::Told(told(answer)))).await
    }

    /// To many: the sum of what all gateways say.
    pub async fn to_many(&self, speech: Speech<'_>) -> (Option<Uuid>, Outcome) {
        let within = speech.timeout;
        let gateways = self.fleet.gateways().max(1);
        let (mut answers, mut clients, mut refused) = (0, 0, None);
        let (id, outcome) = self
            .exchange(speech, within, |answer| {
                answers += 1;
                match answer.headers.get(DELIVERED) {
                    Some(Value::Int(n)) => clients += u64::try_from(*n).unwrap_or(0),
                    _ => refused = Some(told(answer)),
                }
                (answers >= gateways).then_some(Outcome::Late)
            })
            .await;
        let outcome = match (outcome, refused) {
            // Each gateway decides alike, so the word of one that refuses stands for all.
            (Outcome::Late, Some(told)) if clients == 0 => Outcome::Told(told),
            (Outcome::Late, _) => Outcome::Delivered { clients, all: answers >= gateways },
            (other, _) => other,
        };
        (id, outcome)
    }

    /// To all sessions of a subject, each at its gateway.
    pub async fn to_subject(&self, issuer: &str, subject: &str, speech: Speech<'_>) -> (Option<Uuid>, Outcome) {
        let Some(mut clients) = self.fleet.sessions_of(issuer, subject) else { return self.to_many(speech).await };
        let all = clients.len() <= MOST_SESSIONS;
        clients.truncate(MOST_SESSIONS);
        let each = clients.into_iter().map(|key| self.to_one(Speech { key, ..speech.clone() }, false));
        let each = futures_util::future::join_all(each).await;
        let id = each.first().and_then(|(id, _)| *id);
        (id, sum(each.into_iter().map(|(_, outcome)| outcome), all))
    }

    /// Publishes and hands answers to `each` until it gives something or the time has passed.
    async fn exchange(
        &self,
        speech: Speech<'_>,
        within: Duration,
        mut each: impl FnMut(Message) -> Option<Outcome>,
    ) -> (Option<Uuid>, Outcome) {
        let Some(mut exchange) = self.exchanges.open() else {
            return (None, Outcome::Unavailable("as many exchanges are open as may"));
        };
        let id = Some(exchange.id);
        let until = Instant::now() + within;
        let (key, message) = self.message(speech, exchange.id);
        let mut confirmed = match self.bus.publish(To::Clients(key), message) {
            Ok(confirmed) => confirmed,
            Err(error) => return (id, unpublished(&error)),
        };
        let mut certain = false;
        loop {
            tokio::select! {
                // Answers first: one that is there says more than the confirmation.
                biased;
                answer = exchange.answer() => {
                    if let Some(outcome) = each(answer) {
                        return (id, outcome);
                    }
                }
                done = &mut confirmed, if !certain => match done {
                    Ok(()) => certain = true,
                    Err(error) => return (id, unpublished(&error)),
                },
                () = tokio::time::sleep_until(until) => {
                    let unsure = Outcome::Unavailable("the broker has not confirmed it in time; it may still arrive");
                    return (id, if certain { Outcome::Late } else { unsure });
                }
            }
        }
    }

    fn message(&self, speech: Speech<'_>, id: Uuid) -> (String, Message) {
        let Speech { key, service, event, timeout, body } = speech;
        let timeout = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let headers = [
            (SERVICE, Value::Text(service.to_owned())),
            (EVENT, Value::Text(event.to_owned())),
            (TIMEOUT_MS, Value::Int(timeout)),
        ];
        let message = Message {
            body,
            reply_to: Some(self.bus.reply_to()),
            correlation_id: Some(id.to_string()),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Message::default()
        };
        (key, message)
    }
}

/// What came of a message to each of several clients; `all`: there were no more.
fn sum(each: impl IntoIterator<Item = Outcome>, mut all: bool) -> Outcome {
    let (mut clients, mut worst) = (0, None);
    for outcome in each {
        match outcome {
            Outcome::Told(Told { status: 200, .. }) => clients += 1,
            Outcome::Told(Told { status: 404, .. }) | Outcome::Nobody => {}
            Outcome::Late => all = false,
            other => worst = Some(other),
        }
    }
    match worst {
        Some(worst) if clients == 0 && all => worst,
        Some(Outcome::Unavailable(_)) => Outcome::Delivered { clients, all: false },
        _ => Outcome::Delivered { clients, all },
    }
}

fn unpublished(error: &Unpublished) -> Outcome {
    match error {
        Unpublished::Returned => Outcome::Nobody,
        Unpublished::Full => Outcome::Unavailable("as many messages wait for the broker as may"),
        Unpublished::Refused(why) => {
            tracing::warn!(%why, "the broker refuses what the internal port publishes");
            Outcome::Unavailable("the broker refuses it")
        }
        Unpublished::ShutDown => Outcome::Unavailable("this gateway is shutting down"),
    }
}

fn told(answer: Message) -> Told {
    let status = match answer.headers.get(STATUS) {
        Some(Value::Int(status)) => u16::try_from(*status).unwrap_or(502),
        _ => 502,
    };
    let moved_to = match answer.headers.get(MOVED_TO) {
        Some(Value::Text(client)) => Some(client.clone()),
        _ => None,
    };
    Told { status, body: answer.body, moved_to }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::bus::local::LocalBroker;
    use crate::bus::{Log, Read, Reader, Slot, Start};

    struct Fixed(AtomicUsize);

    impl Fleet for Fixed {
        fn gateways(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }

        fn sessions_of(&self, _: &str, subject: &str) -> Option<Vec<String>> {
            match subject {
                "two" => Some(vec!["0000000000000001.a.1".to_owned(), "0000000000000002.b.1".to_owned()]),
                "nobody" => Some(Vec::new()),
                _ => None,
            }
        }
    }

    struct World {
        broker: LocalBroker,
        speaker: Arc<Speaker>,
        gateways: [Arc<dyn Bus>; 2],
    }

    fn world() -> World {
        let broker = LocalBroker::default();
        let gateways = [broker.bus(Slot(1), "gw"), broker.bus(Slot(2), "gw")];
        let speaker = Arc::new(Speaker::new(gateways[0].clone(), Arc::new(Fixed(2.into()))));
        let listening = speaker.clone();
        tokio::spawn(async move { listening.listen().await });
        World { broker, speaker, gateways }
    }

    fn speech(key: &str) -> Speech<'static> {
        let timeout = Duration::from_secs(20);
        Speech { key: key.to_owned(), service: "game", event: "e", timeout, body: "hi".into() }
    }

    async fn heard(reader: &mut Reader) -> Message {
        loop {
            match reader.next().await.unwrap() {
                Read::Record(record) if record.message.reply_to.is_some() => return record.message,
                _ => {}
            }
        }
    }

    fn answer(to: &Message, headers: &[(&str, i64)], body: &'static str) -> (To, Message) {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), Value::Int(*v))).collect();
        let message =
            Message { body: body.into(), correlation_id: to.correlation_id.clone(), headers, ..Message::default() };
        (To::Queue(to.reply_to.clone().unwrap()), message)
    }

    fn say(bus: &Arc<dyn Bus>, (to, message): (To, Message)) {
        drop(bus.publish(to, message).unwrap());
    }

    #[tokio::test]
    async fn an_answer_comes_from_the_gateway_that_has_the_client() {
        let w = world();
        let mut reader = w.gateways[1].read(Log::Slot(Slot(2)), Start::First);
        let asking = w.speaker.to_one(speech("0000000000000002.s.1"), true);
        let answering = async {
            let asked = heard(&mut reader).await;
            assert_eq!(asked.user_id.as_deref(), Some("gw"));
            assert_eq!(asked.headers[SERVICE], Value::Text("game".into()));
            assert_eq!(asked.headers[TIMEOUT_MS], Value::Int(20_000));
            say(&w.gateways[1], answer(&asked, &[(STATUS, 200)], "yes"));
        };
        let ((_, outcome), ()) = tokio::join!(asking, answering);
        assert_eq!(outcome, Outcome::Told(Told { status: 200, body: "yes".into(), moved_to: None }));
    }

    #[tokio::test]
    async fn many_are_the_sum_over_all_gateways() {
        let w = world();
        let mut readers = w.gateways.each_ref().map(|g| g.read(Log::Groups, Start::Next));
        let [one, other] = &mut readers;
        let asking = w.speaker.to_many(speech("all"));
        let answering = async {
            let (asked, same) = (heard(one).await, heard(other).await);
            say(&w.gateways[0], answer(&asked, &[(DELIVERED, 3), (STATUS, 200)], ""));
            say(&w.gateways[1], answer(&same, &[(DELIVERED, 4), (STATUS, 200)], ""));
        };
        let ((_, outcome), ()) = tokio::join!(asking, answering);
        assert_eq!(outcome, Outcome::Delivered { clients: 7, all: true });
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_says_nothing_is_waited_for_until_the_time_is_over() {
        let w = world();
        let mut reader = w.gateways[0].read(Log::Groups, Start::Next);
        let asking = w.speaker.to_many(speech("all"));
        let answering = async {
            let asked = heard(&mut reader).await;
            say(&w.gateways[0], answer(&asked, &[(DELIVERED, 3), (STATUS, 200)], ""));
        };
        let ((_, outcome), ()) = tokio::join!(asking, answering);
        assert_eq!(outcome, Outcome::Delivered { clients: 3, all: false });
        let (_, outcome) = w.speaker.to_one(speech("0000000000000002.s.1"), false).await;
        assert_eq!(outcome, Outcome::Late);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_gone_and_a_broker_that_is_away() {
        let w = world();
        assert_eq!(w.speaker.to_one(speech("0000000000000009.s.1"), true).await.1, Outcome::Nobody);
        w.broker.cut_off(Slot(1));
        let (_, outcome) = w.speaker.to_one(speech("0000000000000002.s.1"), true).await;
        assert!(matches!(outcome, Outcome::Unavailable(why) if why.contains("not confirmed")), "{outcome:?}");
        w.broker.restore(Slot(1));
    }

    #[tokio::test]
    async fn what_every_gateway_refuses_is_refused() {
        let w = world();
        let mut readers = w.gateways.each_ref().map(|g| g.read(Log::Groups, Start::Next));
        let [one, other] = &mut readers;
        let answering = async {
            for (reader, bus) in [(one, &w.gateways[0]), (other, &w.gateways[1])] {
                let asked = heard(reader).await;
                say(bus, answer(&asked, &[(STATUS, 403)], ""));
            }
        };
        let ((_, outcome), ()) = tokio::join!(w.speaker.to_many(speech("all")), answering);
        assert!(matches!(outcome, Outcome::Told(Told { status: 403, .. })), "{outcome:?}");
    }

    #[tokio::test]
    async fn each_session_of_a_subject_is_addressed_at_its_gateway() {
        let w = world();
        let mut readers = w.gateways.each_ref().map(|g| g.read(Log::Slot(g.slot()), Start::First));
        let [one, other] = &mut readers;
        let answering = async {
            let (first, second) = (heard(one).await, heard(other).await);
            say(&w.gateways[0], answer(&first, &[(STATUS, 200)], ""));
            say(&w.gateways[1], answer(&second, &[(STATUS, 404)], ""));
        };
        let ((_, outcome), ()) = tokio::join!(w.speaker.to_subject("i", "two", speech("subject.x")), answering);
        assert_eq!(outcome, Outcome::Delivered { clients: 1, all: true });
        let (_, outcome) = w.speaker.to_subject("i", "nobody", speech("subject.x")).await;
        assert_eq!(outcome, Outcome::Delivered { clients: 0, all: true });

        // Not known where: then all gateways hear it.
        let mut groups = w.gateways.each_ref().map(|g| g.read(Log::Groups, Start::Next));
        let answering = async {
            for (reader, bus) in groups.iter_mut().zip(&w.gateways) {
                let asked = heard(reader).await;
                say(bus, answer(&asked, &[(DELIVERED, 1), (STATUS, 200)], ""));
            }
        };
        let ((_, outcome), ()) = tokio::join!(w.speaker.to_subject("i", "x", speech("subject.x")), answering);
        assert_eq!(outcome, Outcome::Delivered { clients: 2, all: true });
    }

    #[test]
    fn what_a_subject_is_told() {
        let told = |status| Outcome::Told(Told { status, body: Bytes::new(), moved_to: None });
        assert_eq!(sum([told(404), told(200), told(403)], true), Outcome::Delivered { clients: 1, all: true });
        assert_eq!(sum([told(403), told(404)], true), told(403));
        assert_eq!(sum([told(200), Outcome::Late], true), Outcome::Delivered { clients: 1, all: false });
        assert_eq!(sum([told(200), Outcome::Unavailable("x")], true), Outcome::Delivered { clients: 1, all: false });
        assert_eq!(super::told(Message::default()).status, 502, "no status is no success");
    }
}
