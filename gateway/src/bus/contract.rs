//! What a message on `bannou.clients` means. Pure: the same for every way in.

use std::borrow::Cow;

use uuid::Uuid;

use super::{Message, Record, Slot, Value};

pub const SERVICE: &str = "bannou-service";
pub const EVENT: &str = "bannou-event";
pub const TIMEOUT_MS: &str = "bannou-timeout-ms";
/// In a receipt or an answer: what became of the message, as an HTTP status.
pub const STATUS: &str = "bannou-status";
/// In a receipt for what went to many: to how many clients of one gateway.
pub const DELIVERED: &str = "bannou-delivered";

/// Beside a 404: the client's new `client_id`, where it is known.
pub const MOVED_TO: &str = "bannou-moved-to";

/// The longest payload a service may send to a client, in bytes.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// To whom, by the routing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `<slot>.<session id>.<tag>`; any past `client_id` names its session.
    Client {
        slot: Slot,
        session: Uuid,
        tag: u8,
    },
    /// `subject.<hex SHA-256 of issuer, newline, subject>`.
    Subject(String),
    Tier(String),
    Group(String),
    All,
}

impl Address {
    /// `None`: no routing key of the contract.
    pub fn parse(key: &str) -> Option<Address> {
        if key == "all" {
            return Some(Address::All);
        }
        let (first, rest) = key.split_once('.')?;
        match first {
            "subject" => {
                let hex = rest.len() == 64 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                hex.then(|| Address::Subject(rest.to_owned()))
            }
            "tier" if !rest.is_empty() => Some(Address::Tier(rest.to_owned())),
            "group" if !rest.is_empty() => Some(Address::Group(rest.to_owned())),
            _ => {
                let (session, tag) = rest.split_once('.')?;
                let tag = tag.parse::<u8>().ok().filter(|t| *t > 0 && tag == t.to_string())?;
                let session = Uuid::try_parse(session).ok().filter(|_| session.len() == 36)?;
                Some(Address::Client { slot: first.parse().ok()?, session, tag })
            }
        }
    }
}

/// How a subject is written in a routing key.
pub fn subject_key(issuer: &str, subject: &str) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    let digest = Sha256::new().chain_update(issuer).chain_update("\n").chain_update(subject).finalize();
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Who hears what became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub to: String,
    pub correlation_id: Option<String>,
}

impl Reply {
    /// The message that tells it: a status, and a body where a client answered.
    pub fn message(&self, status: u16, body: bytes::Bytes) -> Message {
        Message {
            body,
            correlation_id: self.correlation_id.clone(),
            headers: [(STATUS.to_owned(), Value::Int(status.into()))].into(),
            ..Message::default()
        }
    }
}

/// A message of a service, taken apart; whether it may be said is checked where the catalog is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speech<'a> {
    pub to: Address,
    pub service: &'a str,
    pub event: &'a str,
    /// `None`: nobody asked, or the place is not one that gateways write to.
    pub reply: Option<Reply>,
    pub timeout_ms: Option<u64>,
    pub message_id: Option<&'a str>,
    pub user: Option<&'a str>,
    pub body: &'a bytes::Bytes,
}

impl Speech<'_> {
    /// The event's name in the catalog.
    pub fn name(&self) -> String {
        format!("{}.{}", self.service, self.event)
    }
}

/// Why a message is none of the contract, and who hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub reply: Option<Reply>,
    pub status: u16,
    pub reason: &'static str,
}

/// Takes a message apart.
///
/// # Errors
/// A routing key or header that the contract does not know, or a payload over [`MAX_PAYLOAD`].
pub fn parse<'a>(record: &'a Record, allow: &ReplyAllow) -> Result<Speech<'a>, Malformed> {
    let message = &record.message;
    let correlation_id = message.correlation_id.clone();
    let reply = match &message.reply_to {
        Some(to) if allow.allows(to) => Some(Reply { to: to.clone(), correlation_id }),
        _ => None,
    };
    let bad = |reason| Malformed { reply: reply.clone(), status: 400, reason };
    let text = |name: &str| match message.headers.get(name) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    };
    let to = Address::parse(&record.key).ok_or_else(|| bad("routing key unknown"))?;
    let service = text(SERVICE).ok_or_else(|| bad("bannou-service missing"))?;
    let event = text(EVENT).ok_or_else(|| bad("bannou-event missing"))?;
    let timeout_ms = match message.headers.get(TIMEOUT_MS) {
        None => None,
        // Some clients have only strings for headers.
        Some(Value::Text(text)) => Some(text.parse::<u64>().map_err(|_| bad("bannou-timeout-ms malformed"))?),
        Some(Value::Int(ms)) => Some(u64::try_from(*ms).map_err(|_| bad("bannou-timeout-ms malformed"))?),
        Some(Value::Bool(_)) => return Err(bad("bannou-timeout-ms malformed")),
    };
    if message.reply_to.is_some() && reply.is_none() {
        return Err(Malformed { reply: None, status: 403, reason: "reply_to not allowed" });
    }
    if message.body.len() > MAX_PAYLOAD {
        return Err(Malformed { reply, status: 413, reason: "payload too large" });
    }
    let message_id = message.message_id.as_deref();
    let user = message.user_id.as_deref();
    Ok(Speech { to, service, event, reply, timeout_ms, message_id, user, body: &message.body })
}

/// Queues that `reply_to` may name: patterns in which `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyAllow(Vec<Cow<'static, str>>);

impl Default for ReplyAllow {
    /// Direct reply-to, queues named by the broker, and those of gateways.
    fn default() -> ReplyAllow {
        ReplyAllow(["amq.rabbitmq.reply-to*", "amq.gen-*", "bannou.reply.*"].map(Cow::Borrowed).to_vec())
    }
}

impl ReplyAllow {
    /// What gateways need of each other is allowed in any case.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> ReplyAllow {
        let given = patterns.into_iter().map(Cow::Owned);
        ReplyAllow(given.chain([Cow::Borrowed("bannou.reply.*")]).collect())
    }

    /// A log is a queue too: whatever the patterns say, an answer must never become a record.
    pub fn allows(&self, queue: &str) -> bool {
        let ours = queue.starts_with("bannou.") && !queue.starts_with("bannou.reply.");
        !queue.is_empty() && queue.len() <= 255 && !ours && self.0.iter().any(|p| matches(p, queue))
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "00000000000000ab.8c3f2a10-7d5e-4c21-9f9e-6a1b0c2d3e4f.1";

    fn record(key: &str, headers: &[(&str, Value)]) -> Record {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        Record { offset: 1, key: key.to_owned(), message: Message { headers, ..Message::default() } }
    }

    fn named() -> [(&'static str, Value); 2] {
        [(SERVICE, Value::Text("game".into())), (EVENT, Value::Text("match_found".into()))]
    }

    #[test]
    fn routing_keys() {
        let session = Uuid::parse_str("8c3f2a10-7d5e-4c21-9f9e-6a1b0c2d3e4f").unwrap();
        assert_eq!(Address::parse(CLIENT), Some(Address::Client { slot: Slot(0xab), session, tag: 1 }));
        assert_eq!(Address::parse("all"), Some(Address::All));
        assert_eq!(Address::parse("tier.player"), Some(Address::Tier("player".into())));
        assert_eq!(Address::parse("group.game.m.1"), Some(Address::Group("game.m.1".into())));
        let hex = subject_key("https://id.example.com/", "42");
        assert_eq!(Address::parse(&format!("subject.{hex}")), Some(Address::Subject(hex)));
        for key in [
            "",
            "All",
            "tier.",
            "subject.42",
            "00000000000000ab",
            "00000000000000ab.x.1",
            "00000000000000ab.8c3f2a107d5e4c219f9e6a1b0c2d3e4f.1",
            "00000000000000ab.8c3f2a10-7d5e-4c21-9f9e-6a1b0c2d3e4f.0",
            "00000000000000ab.8c3f2a10-7d5e-4c21-9f9e-6a1b0c2d3e4f.01",
            "00000000000000ab.8c3f2a10-7d5e-4c21-9f9e-6a1b0c2d3e4f.256",
            "00000000000000ab.8c3f2a10-7d5e-4c21-9f9e-6a1b0c2d3e4f.1.2",
            "bannou.slot.00000000000000ab",
        ] {
            assert_eq!(Address::parse(key), None, "{key}");
        }
    }

    #[test]
    fn the_subjects_key_is_the_published_one() {
        // printf 'https://id.example.com/\n42' | sha256sum
        let hex = "168e4dd1d33b6d9132f4c64d9b75c034f0fd4fbcb209bc58254c7bf5214c1de9";
        assert_eq!(subject_key("https://id.example.com/", "42"), hex);
    }

    #[test]
    fn what_is_said_of_a_message() {
        let mut whole = record(CLIENT, &named());
        whole.message.reply_to = Some("amq.rabbitmq.reply-to.g1h2".into());
        whole.message.correlation_id = Some("c".into());
        whole.message.headers.insert(TIMEOUT_MS.into(), Value::Text("250".into()));
        let speech = parse(&whole, &ReplyAllow::default()).unwrap();
        assert_eq!((speech.name().as_str(), speech.timeout_ms), ("game.match_found", Some(250)));
        assert_eq!(speech.reply.as_ref().map(|r| r.to.as_str()), Some("amq.rabbitmq.reply-to.g1h2"));
        let answer = speech.reply.as_ref().unwrap().message(404, bytes::Bytes::new());
        assert_eq!(answer.headers.get(STATUS), Some(&Value::Int(404)));
        assert_eq!(answer.correlation_id.as_deref(), Some("c"));

        let reason = |r: &Record| parse(r, &ReplyAllow::default()).unwrap_err().reason;
        assert_eq!(reason(&record("nobody", &named())), "routing key unknown");
        assert_eq!(reason(&record("all", &named()[..1])), "bannou-event missing");
        assert_eq!(reason(&record("all", &[(SERVICE, Value::Int(1)), named()[1].clone()])), "bannou-service missing");
        let negative = [named()[0].clone(), named()[1].clone(), (TIMEOUT_MS, Value::Int(-1))];
        assert_eq!(reason(&record("all", &negative)), "bannou-timeout-ms malformed");
        let mut large = record("all", &named());
        large.message.body = vec![0; MAX_PAYLOAD + 1].into();
        assert_eq!(parse(&large, &ReplyAllow::default()).unwrap_err().status, 413);
        whole.message.reply_to = Some("billing".into());
        let refused = parse(&whole, &ReplyAllow::default()).unwrap_err();
        assert_eq!((refused.status, refused.reply), (403, None), "nothing goes to a queue that is not allowed");
    }

    #[test]
    fn where_answers_may_go() {
        let own = ReplyAllow::new(["replies.*.v1".to_owned(), "*".to_owned()]);
        for (allow, queue, may) in [
            (ReplyAllow::default(), "amq.rabbitmq.reply-to", true),
            (ReplyAllow::default(), "amq.rabbitmq.reply-to.g1", true),
            (ReplyAllow::default(), "amq.gen-Xy", true),
            (ReplyAllow::default(), "bannou.reply.00000000000000ab", true),
            (ReplyAllow::default(), "replies.game.v1", false),
            (ReplyAllow::new(["replies.*.v1".to_owned()]), "replies.game.v1", true),
            (ReplyAllow::new(["replies.*.v1".to_owned()]), "replies.game.v10", false),
            (ReplyAllow::new(["exact".to_owned()]), "exactly", false),
            (own.clone(), "anything", true),
            (own.clone(), "bannou.slot.00000000000000ab", false),
            (own.clone(), "bannou.control", false),
            (own, "", false),
        ] {
            assert_eq!(allow.allows(queue), may, "{queue} by {allow:?}");
        }
    }
}
