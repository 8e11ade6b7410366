//! What gateways write into logs for each other: JSON bodies, counted only with the gateways' own `user_id`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{Log, Message, Record, Slot};

/// In the log of a slot, beside what is addressed to its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum SlotRecord {
    /// From here on the session's home under `tag` is `slot`. The first one with a tag wins it.
    Takeover { session: Uuid, tag: u8, slot: Slot, id: Uuid },
    /// A pong has answered a ping sent after the token with this tag: older tokens are void.
    Settled { session: Uuid, tag: u8 },
    /// The session is over, says this gateway.
    Closed { session: Uuid, by: Slot },
    /// Whoever reads its own marker back has read all that was there when it wrote it.
    Marker { by: Slot, number: u64 },
}

/// In `bannou.control`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum ControlRecord {
    /// Every 2 s; a slot that is silent for 10 s is dead. `number` counts up.
    Alive { slot: Slot, address: String, number: u64 },
    /// The log of the slot is deleted, nothing more comes of it.
    Deleted { slot: Slot },
    /// The slot left in order: all its sessions are closed and none comes back. Its log waits for a closer, who answers
    /// what arrived last.
    Left { slot: Slot },
    /// `by` is closing what the dead `slot` left, and gets on: others need not. `number` counts up.
    Closing { slot: Slot, by: Slot, number: u64 },
    /// As in the log of a slot.
    Marker { by: Slot, number: u64 },
}

/// In `bannou.groups`, beside what is addressed to many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum GroupsRecord {
    /// Also the first record of the log: offset 0 stays nobody's, so that a cursor of 0 means "nothing yet".
    Marker { by: Slot, number: u64 },
}

/// Straight in the log of session events, which services read by the exchange: none of these is for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum SessionsRecord {
    /// Whoever reads its own back has read all that was there before.
    Marker { by: Slot, number: u64 },
    /// These sessions live in this slot, still: said again before the log forgets how they began.
    Present { by: Slot, sessions: Vec<Presence> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    pub session: Uuid,
    pub tag: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// On `bannou.sessions`, for services and for the directory of every gateway. The routing key is the event's name.
///
/// Repeats are equal and are dropped by session, tag and event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEvent {
    pub event: SessionEventKind,
    pub session_id: Uuid,
    pub tag: u8,
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEventKind {
    Connected,
    Authenticated,
    Moved,
    Joined,
    Left,
    Disconnected,
}

impl SessionEventKind {
    /// The routing key.
    pub fn key(self) -> &'static str {
        match self {
            SessionEventKind::Connected => "connected",
            SessionEventKind::Authenticated => "authenticated",
            SessionEventKind::Moved => "moved",
            SessionEventKind::Joined => "joined",
            SessionEventKind::Left => "left",
            SessionEventKind::Disconnected => "disconnected",
        }
    }
}

/// A record of `log`, if that is what this is: written straight into the log, by a gateway, and understood.
/// What a later version writes is `None` and skipped.
pub fn of<'a, R: Deserialize<'a>>(record: &'a Record, log: Log, gateways: &str) -> Option<R> {
    let straight = record.key == log.name() && record.message.user_id.as_deref() == Some(gateways);
    straight.then(|| serde_json::from_slice(&record.message.body).ok()).flatten()
}

/// What to publish so that [`of`] reads `record` back.
pub fn message<R: Serialize>(record: &R) -> Message {
    // Records are plain data: there is nothing in them that JSON does not know.
    let body = serde_json::to_vec(record).unwrap_or_default().into();
    Message { body, ..Message::default() }
}

impl Serialize for Slot {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Slot, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &SlotRecord, key: &str, user: Option<&str>) -> Record {
        let message = Message { user_id: user.map(str::to_owned), ..message(body) };
        Record { offset: 7, key: key.to_owned(), message }
    }

    #[test]
    fn a_record_counts_only_from_a_gateway_and_straight_into_the_log() {
        let log = Log::Slot(Slot(1));
        let closed = SlotRecord::Closed { session: Uuid::from_u128(5), by: Slot(1) };
        let of = |key: &str, user| of::<SlotRecord>(&written(&closed, key, user), log, "bannou-gateway");
        assert_eq!(of("bannou.slot.0000000000000001", Some("bannou-gateway")), Some(closed.clone()));
        assert_eq!(of("bannou.slot.0000000000000001", Some("game")), None);
        assert_eq!(of("bannou.slot.0000000000000001", None), None);
        assert_eq!(of("0000000000000001.x.1", Some("bannou-gateway")), None, "through the exchange it is a message");
        assert_eq!(of("bannou.slot.0000000000000002", Some("bannou-gateway")), None);
    }

    #[test]
    fn how_they_are_written() {
        let marker = serde_json::to_string(&SlotRecord::Marker { by: Slot(10), number: 3 }).unwrap();
        assert_eq!(marker, r#"{"record":"marker","by":"000000000000000a","number":3}"#);
        let alive =
            serde_json::from_str(r#"{"record":"alive","slot":"000000000000000a","address":"h:1","number":1,"x":0}"#);
        assert_eq!(alive.ok(), Some(ControlRecord::Alive { slot: Slot(10), address: "h:1".into(), number: 1 }));
        assert!(serde_json::from_str::<ControlRecord>(r#"{"record":"news"}"#).is_err());
    }
}
