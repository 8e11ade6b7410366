//! Control messages: what a text frame of a client says, and what the gateway writes.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::handle;
use crate::problem;

/// Of one `id`, as the client wrote it.
const MAX_ID: usize = 128;

/// Answers that a client keeps for exchanges which it does not know to be over.
const MAX_OPEN: usize = 32;

/// The client's `id`, verbatim: a number or a string.
pub type Id = Box<RawValue>;

#[derive(Debug)]
pub struct FromClient {
    pub id: Option<Id>,
    pub what: Message,
}

#[derive(Debug, PartialEq)]
pub enum Message {
    Authenticate {
        token: String,
    },
    Resume(Resume),
    Describe {
        name: String,
    },
    Part {
        label: String,
    },
    Ping,
    /// Known, and not built yet.
    Later(&'static str),
}

/// What a client says of the session that it wants back. Positions as exchange numbers of `LOGGED` frames.
#[derive(Debug, PartialEq)]
pub struct Resume {
    pub token: String,
    pub cursor: u64,
    pub group_cursor: u64,
    /// The set that the client still has.
    pub set: Option<String>,
}

/// What is wrong with a text frame, for its `error`.
#[derive(Debug)]
pub struct Malformed {
    pub id: Option<Id>,
    pub detail: String,
    /// Not even a JSON object with a type: nobody who follows the protocol sends this.
    pub garbage: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    token: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    label: Option<&'a RawValue>,
    #[serde(borrow, default)]
    group: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    group_cursor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    set: Option<&'a RawValue>,
    #[serde(borrow, default)]
    open: Option<&'a RawValue>,
}

/// Reads one control message. Unknown fields are ignored.
///
/// # Errors
/// Not a JSON object with a known `type` and the fields that it needs.
pub fn parse(text: &str) -> Result<FromClient, Malformed> {
    if !text.trim_ascii_start().starts_with('{') {
        let detail = "a control message is one JSON object with a \"type\"".to_owned();
        return Err(Malformed { id: None, detail, garbage: true });
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|e| Malformed {
        id: None,
        detail: format!("not a control message: {e}"),
        garbage: true,
    })?;
    let id = match envelope.id {
        None => None,
        Some(raw) if is_id(raw.get()) => Some(raw.to_owned()),
        Some(raw) if raw.get() == "null" => None,
        Some(_) => {
            let detail = format!("\"id\" is a number or a string of at most {MAX_ID} bytes");
            return Err(Malformed { id: None, detail, garbage: false });
        }
    };
    match message(&envelope) {
        Ok(what) => Ok(FromClient { id, what }),
        Err(detail) => Err(Malformed { id, detail, garbage: false }),
    }
}

fn is_id(raw: &str) -> bool {
    raw.len() <= MAX_ID && matches!(raw.as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9'))
}

fn message(envelope: &Envelope<'_>) -> Result<Message, String> {
    let string = |field: Option<&RawValue>, name: &str, kind: &str| {
        field
            .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok())
            .ok_or_else(|| format!("{kind} needs {name:?}, a string"))
    };
    let kind = string(envelope.r#type, "type", "a control message")?;
    Ok(match kind.as_str() {
        "ping" => Message::Ping,
        "authenticate" => Message::Authenticate { token: string(envelope.token, "token", &kind)? },
        "describe" => Message::Describe { name: string(envelope.name, "name", &kind)? },
        "resume" => {
            let position = |field, name: &str| match field {
                None => Ok(0),
                Some(_) => string(field, name, &kind)?
                    .parse::<u64>()
                    .map_err(|_| format!("{name:?} is a position: a decimal string of at most 64 bits")),
            };
            let numbers = |raw: &RawValue| serde_json::from_str::<Vec<serde_json::Value>>(raw.get()).map(|o| o.len());
            if envelope.open.is_some_and(|raw| !numbers(raw).is_ok_and(|len| len <= MAX_OPEN)) {
                return Err(format!("\"open\" is a list of at most {MAX_OPEN} numbers"));
            }
            Message::Resume(Resume {
                token: string(envelope.token, "token", &kind)?,
                cursor: position(envelope.cursor, "cursor")?,
                group_cursor: position(envelope.group_cursor, "group_cursor")?,
                set: envelope.set.map(|_| string(envelope.set, "set", &kind)).transpose()?,
            })
        }
        "part" if envelope.group.is_some() => Message::Later("groups"),
        "part" => Message::Part { label: string(envelope.label, "label", &kind)? },
        "meet" => Message::Later("meet"),
        "host" | "unhost" => Message::Later("peer-hosted services"),
        other => {
            let shown: String = other.chars().take(64).collect();
            return Err(format!("unknown type {shown:?}"));
        }
    })
}

#[derive(Serialize)]
struct ErrorMessage<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    status: u16,
    title: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
}

/// `error`; `frame` is the handle and number where a binary frame is meant.
pub fn error(id: Option<&RawValue>, status: u16, detail: &str, frame: Option<(&handle::Handle, u64)>) -> Vec<u8> {
    to_json(&ErrorMessage {
        r#type: "error",
        id,
        status,
        title: problem::title(status),
        detail,
        handle: frame.map(|(h, _)| handle::text(h)),
        number: frame.map(|(_, n)| n),
    })
}

/// `ok` with whatever belongs to this answer.
pub fn ok(id: Option<&RawValue>, more: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Ok<'a, M> {
        r#type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        #[serde(flatten)]
        more: &'a M,
    }
    to_json(&Ok { r#type: "ok", id, more })
}

/// What a client should do after a close that the gateway starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reconnect {
    Resume,
    Fresh,
    No,
}

/// Said before every close that the gateway starts.
pub fn closing(code: u16, reason: &str, reconnect: Reconnect, after_ms: u64) -> Vec<u8> {
    to_json(&serde_json::json!({
        "type": "closing", "code": code, "reason": reason, "reconnect": reconnect, "after_ms": after_ms,
    }))
}

/// Serialises what has no map with other keys than strings, which is all that can fail.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> FromClient {
        parse(text).unwrap_or_else(|m| panic!("{text}: {}", m.detail))
    }

    #[test]
    fn what_it_reads() {
        assert_eq!(good(r#"{"type":"ping"}"#).what, Message::Ping);
        let m = good(r#" {"id":18446744073709551617,"type":"authenticate","token":"a\u002eb","other":[1]}"#);
        assert_eq!(m.what, Message::Authenticate { token: "a.b".into() });
        assert_eq!(m.id.as_ref().map(|i| i.get()), Some("18446744073709551617"), "verbatim");
        assert_eq!(good(r#"{"type":"host","service":"x"}"#).what, Message::Later("peer-hosted services"));
        let resume = r#"{"type":"resume","token":"t","cursor":"281474976710661","open":["1"],"set":"s"}"#;
        let whole = Resume { token: "t".into(), cursor: 281_474_976_710_661, group_cursor: 0, set: Some("s".into()) };
        assert_eq!(good(resume).what, Message::Resume(whole));
        assert_eq!(good(r#"{"type":"part","label":"bob","id":null}"#).what, Message::Part { label: "bob".into() });
    }

    #[test]
    fn what_it_refuses_and_with_whose_id() {
        for text in [
            "",
            "[]",
            "[[\"ping\"]]",
            "1",
            "\"ping\"",
            "{",
            r#"{"type":1}"#,
            r#"{}"#,
            r#"{"type":"ping","type":"ping"}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for (text, id) in [
            (r#"{"type":"nope","id":7}"#, Some("7")),
            (r#"{"type":"authenticate","id":"a"}"#, Some("\"a\"")),
            (r#"{"type":"authenticate","token":5,"id":1}"#, Some("1")),
            (r#"{"type":"ping","id":{}}"#, None),
            (r#"{"type":"ping","id":true}"#, None),
            (r#"{"type":"resume","id":1}"#, Some("1")),
            (r#"{"type":"resume","id":1,"token":"t","cursor":5}"#, Some("1")),
            (r#"{"type":"resume","id":1,"token":"t","cursor":"-1"}"#, Some("1")),
            (r#"{"type":"resume","id":1,"token":"t","open":"5"}"#, Some("1")),
        ] {
            let malformed = parse(text).unwrap_err();
            assert_eq!(malformed.id.as_ref().map(|i| i.get()), id, "{text}");
        }
        let long = format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(MAX_ID));
        assert!(parse(&long).is_err());
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!(r#"{{"type":"ping","x":{}1{}}}"#, "[".repeat(8000), "]".repeat(8000));
        assert_eq!(good(&deep).what, Message::Ping);
    }
}
