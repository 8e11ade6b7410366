//! `POST /join`: introduces the newcomer to everybody in the room, and so, one after another, all to each other. The service
//! never sees what they then say. `POST /say` is for what everybody is to hear, in a room or not: the event `chat.notice`.
//!
//! Of an introduction's two labels the first is what the caller calls the other, the second what the other calls the caller.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use super::Voice;
use super::http::{from_gateway, no_client, parse, problem, repeat_request_id, silent};

const INTRODUCE: HeaderName = HeaderName::from_static("bannou-introduce");
const MAX_ROOMS: usize = 256;
const MAX_MEMBERS: usize = 50;
const MAX_ROOM_NAME: usize = 32;
const MAX_NOTICE_CHARS: usize = 500;
/// Nobody tells this service that a client has gone; the gateway ignores introductions to those who have.
const FORGET_AFTER: Duration = Duration::from_secs(4 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    room: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Say {
    text: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Member {
    client_id: String,
    label: String,
    joined: Instant,
}

/// Rooms by name, each with its members in order of joining.
#[derive(Default)]
struct Rooms(HashMap<String, Vec<Member>>);

pub fn router(voice: Option<Voice>) -> Router {
    let rooms = Arc::new(Mutex::new(Rooms::default()));
    Router::new()
        .route("/join", post(move |h: HeaderMap, b: Bytes| async move { join(&rooms, &h, &b) }))
        .route("/say", post(move |h: HeaderMap, b: Bytes| async move { say(voice.as_ref(), &h, &b).await }))
}

async fn say(voice: Option<&Voice>, headers: &HeaderMap, body: &[u8]) -> Response {
    let Say { text } = match parse(body, r#"{"text":"hello"}"#) {
        Ok(say) => say,
        Err(refusal) => return refusal,
    };
    if text.trim().is_empty() || text.chars().count() > MAX_NOTICE_CHARS {
        return problem(StatusCode::BAD_REQUEST, format!("text: 1 to {MAX_NOTICE_CHARS} characters"));
    }
    let Some(client_id) = from_gateway(headers, "bannou-client-id") else { return no_client() };
    let Some(voice) = voice else { return silent() };
    let from = from_gateway(headers, "bannou-subject").unwrap_or_else(|| label(None, &client_id));
    match voice.to_all("chat.notice", &json!({"from": from, "text": text})).await {
        Ok(told) if told.status.is_success() => Json(json!({"told": "everybody"})).into_response(),
        Ok(told) => problem(StatusCode::BAD_GATEWAY, format!("the gateway answered {}", told.status)),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

fn join(rooms: &Mutex<Rooms>, headers: &HeaderMap, body: &[u8]) -> Response {
    let Join { room } = match parse(body, r#"{"room":"lobby"}"#) {
        Ok(join) => join,
        Err(refusal) => return refusal,
    };
    if !is_room_name(&room) {
        let detail = format!("room: 1 to {MAX_ROOM_NAME} letters, digits, '-' or '_'");
        return problem(StatusCode::BAD_REQUEST, detail);
    }
    let Some(client_id) = from_gateway(headers, "bannou-client-id") else {
        return no_client();
    };
    let label = label(from_gateway(headers, "bannou-subject").as_deref(), &client_id);
    let me = Member { client_id, label, joined: Instant::now() };
    let members = rooms.lock().join(&room, me);
    let mut answer = Json(json!({"room": room, "members": members.len()})).into_response();
    let (me, others) = members.split_last().expect("who joins is in the room");
    for other in others {
        let value = format!("{}; label={}; label={}", other.client_id, other.label, me.label);
        // A client id that is no header value came from no gateway.
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().append(INTRODUCE, value);
        }
    }
    repeat_request_id(headers, &mut answer);
    answer
}

fn is_room_name(name: &str) -> bool {
    (1..=MAX_ROOM_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What the others call a member: who it says it is, and enough of its address to tell two tabs of one player apart.
fn label(subject: Option<&str>, client_id: &str) -> String {
    let plain = |text: &str, most: usize| -> String {
        text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(most).collect()
    };
    let name = subject.map(|s| plain(s, 24)).filter(|n| !n.is_empty()).unwrap_or_else(|| "guest".into());
    // What comes before the first dot is the gateway's, the same for all who are on it.
    let own = client_id.split_once('.').map_or(client_id, |(_, own)| own);
    format!("{name}-{}", plain(own, 6))
}

impl Rooms {
    /// Everybody who is in the room now, the newcomer last. Joining twice is joining once.
    fn join(&mut self, room: &str, me: Member) -> Vec<Member> {
        let now = me.joined;
        self.0.retain(|_, members| {
            members.retain(|m| now.duration_since(m.joined) < FORGET_AFTER);
            !members.is_empty()
        });
        if !self.0.contains_key(room) && self.0.len() >= MAX_ROOMS {
            let quietest = self.0.iter().min_by_key(|(_, m)| m.last().map(|m| m.joined)).map(|(name, _)| name.clone());
            self.0.remove(&quietest.unwrap_or_default());
        }
        let members = self.0.entry(room.to_owned()).or_default();
        members.retain(|m| m.client_id != me.client_id);
        if members.len() >= MAX_MEMBERS {
            members.remove(0);
        }
        members.push(me);
        members.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, joined: Instant) -> Member {
        Member { client_id: id.into(), label: id.into(), joined }
    }

    fn ids(members: &[Member]) -> Vec<&str> {
        members.iter().map(|m| m.client_id.as_str()).collect()
    }

    #[test]
    fn a_room_keeps_its_newest_members_once_each() {
        let mut rooms = Rooms::default();
        let now = Instant::now();
        rooms.join("r", member("a", now));
        rooms.join("r", member("b", now));
        assert_eq!(ids(&rooms.join("r", member("a", now))), ["b", "a"]);
        for i in 0..MAX_MEMBERS {
            rooms.join("r", member(&i.to_string(), now));
        }
        let members = rooms.join("r", member("last", now));
        assert_eq!(members.len(), MAX_MEMBERS);
        assert_eq!(ids(&members)[MAX_MEMBERS - 1], "last");
        assert!(!ids(&members).contains(&"a"));
    }

    #[test]
    fn members_and_rooms_are_forgotten_in_time_and_by_number() {
        let mut rooms = Rooms::default();
        let start = Instant::now();
        rooms.join("old", member("a", start));
        rooms.join("new", member("b", start + FORGET_AFTER));
        assert!(!rooms.0.contains_key("old"));
        for i in 0..MAX_ROOMS {
            rooms.join(&format!("room{i}"), member("c", start + FORGET_AFTER + Duration::from_secs(1)));
        }
        assert_eq!(rooms.0.len(), MAX_ROOMS);
        assert!(!rooms.0.contains_key("new"), "the quietest room went first");
    }

    #[test]
    fn labels_are_plain_and_tell_two_tabs_apart() {
        assert_eq!(label(Some("ada"), "1f3c9a77-00"), "ada-1f3c9a");
        assert_ne!(label(Some("ada"), "5107.aaaaaa-00.1"), label(Some("ada"), "5107.bbbbbb-00.1"), "on one gateway");
        assert_eq!(label(Some("x; label=y\r\n"), "c"), "xlabely-c");
        assert_eq!(label(Some("日本"), "c"), "guest-c");
        assert_eq!(label(None, "c"), "guest-c");
    }

    #[test]
    fn room_names_are_checked() {
        assert!(is_room_name("lobby-2_b"));
        for bad in ["", "a b", "a/b", "é", &"x".repeat(MAX_ROOM_NAME + 1)] {
            assert!(!is_room_name(bad), "{bad:?}");
        }
    }
}
