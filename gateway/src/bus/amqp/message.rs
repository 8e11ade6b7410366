//! Messages as AMQP has them. What goes out has a fixed set of properties, so that nothing in a message can steer the broker.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use crate::bus::{Message, To, Unpublished, Value};

use super::config::Limits;

/// Where the exchanges of the fleet are.
pub const CLIENTS: &str = "bannou.clients";
pub const SESSIONS: &str = "bannou.sessions";

/// Headers that are kept, on the way in and out.
const OURS: &str = "bannou-";
/// What a short string of AMQP holds; lapin panics on a longer one.
const SHORT: usize = 255;
const PERSISTENT: u8 = 2;

/// Ready to be published.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub exchange: ShortString,
    pub key: ShortString,
    pub properties: BasicProperties,
    pub body: bytes::Bytes,
    /// To a queue by its name: lost where that is gone.
    pub reply: bool,
}

impl Parcel {
    /// # Errors
    /// What the broker or its client would choke on.
    pub fn pack(to: To, message: Message, user: &str, limits: &Limits) -> Result<Parcel, Unpublished> {
        let reply = matches!(to, To::Queue(_));
        let (exchange, key) = match to {
            To::Clients(key) => (CLIENTS, key),
            To::Sessions(key) => (SESSIONS, key),
            To::Log(log) => ("", log.name()),
            To::Queue(name) => ("", name),
        };
        if message.body.len() > limits.body_bytes {
            return Err(refused(format!(
                "a body of {} bytes is larger than {}",
                message.body.len(),
                limits.body_bytes
            )));
        }
        let mut properties = BasicProperties::default().with_user_id(short("user_id", user.to_owned())?);
        if !reply {
            properties = properties.with_delivery_mode(PERSISTENT);
        }
        if let Some(text) = message.reply_to {
            properties = properties.with_reply_to(short("reply_to", text)?);
        }
        if let Some(text) = message.correlation_id {
            properties = properties.with_correlation_id(short("correlation_id", text)?);
        }
        if let Some(text) = message.message_id {
            properties = properties.with_message_id(short("message_id", text)?);
        }
        let mut headers = FieldTable::default();
        let mut size = 0;
        for (name, value) in message.headers {
            if !name.starts_with(OURS) {
                continue;
            }
            size += name.len() + 16;
            let value = match value {
                Value::Int(number) => AMQPValue::LongLongInt(number),
                Value::Bool(yes) => AMQPValue::Boolean(yes),
                Value::Text(text) => {
                    size += text.len();
                    AMQPValue::LongString(LongString::from(text))
                }
            };
            headers.insert(short("the name of a header", name)?, value);
        }
        // All properties travel in one frame; one that does not fit costs the whole connection.
        if size > limits.header_bytes {
            return Err(refused(format!("headers of {size} bytes are larger than {}", limits.header_bytes)));
        }
        if !headers.inner().is_empty() {
            properties = properties.with_headers(headers);
        }
        let key = short("the routing key", key)?;
        Ok(Parcel { exchange: exchange.into(), key, properties, body: message.body, reply })
    }

    /// As counted against the bytes that may wait.
    pub fn size(&self) -> usize {
        self.body.len() + 512
    }

    /// The properties with the number that tells a returned message from others; nobody else reads it.
    pub fn numbered(&self, number: u64) -> BasicProperties {
        self.properties.clone().with_app_id(number.to_string().into())
    }
}

/// The number that [`Parcel::numbered`] wrote.
pub fn number(properties: &BasicProperties) -> Option<u64> {
    properties.app_id().as_ref()?.as_str().parse().ok()
}

/// As it came; what is not text where text belongs is left out.
pub fn unpack(properties: &BasicProperties, body: Vec<u8>) -> Message {
    let text = |short: &Option<ShortString>| short.as_ref().map(|s| s.as_str().to_owned());
    let headers = properties.headers().as_ref().map(FieldTable::inner).into_iter().flatten();
    let headers = headers.filter(|(name, _)| name.as_str().starts_with(OURS));
    Message {
        body: body.into(),
        user_id: text(properties.user_id()),
        reply_to: text(properties.reply_to()),
        correlation_id: text(properties.correlation_id()),
        message_id: text(properties.message_id()),
        headers: headers.filter_map(|(name, v)| Some((name.as_str().to_owned(), value(v)?))).collect(),
    }
}

/// The offset that the broker writes beside each record of a stream.
pub fn offset(properties: &BasicProperties) -> Option<u64> {
    let headers = properties.headers().as_ref()?.inner();
    match headers.get("x-stream-offset").and_then(value) {
        Some(Value::Int(offset)) => u64::try_from(offset).ok(),
        _ => None,
    }
}

fn value(value: &AMQPValue) -> Option<Value> {
    Some(match value {
        AMQPValue::Boolean(yes) => Value::Bool(*yes),
        AMQPValue::ShortShortInt(n) => Value::Int(i64::from(*n)),
        AMQPValue::ShortShortUInt(n) => Value::Int(i64::from(*n)),
        AMQPValue::ShortInt(n) => Value::Int(i64::from(*n)),
        AMQPValue::ShortUInt(n) => Value::Int(i64::from(*n)),
        AMQPValue::LongInt(n) => Value::Int(i64::from(*n)),
        AMQPValue::LongUInt(n) => Value::Int(i64::from(*n)),
        AMQPValue::LongLongInt(n) => Value::Int(*n),
        AMQPValue::LongString(text) => Value::Text(std::str::from_utf8(text.as_bytes()).ok()?.to_owned()),
        AMQPValue::ShortString(text) => Value::Text(text.as_str().to_owned()),
        _ => return None,
    })
}

fn short(what: &str, text: String) -> Result<ShortString, Unpublished> {
    ShortString::try_new(text).map_err(|_| refused(format!("{what} is longer than {SHORT} bytes")))
}

fn refused(why: String) -> Unpublished {
    Unpublished::Refused(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Log;

    fn pack(to: To, message: Message) -> Result<Parcel, Unpublished> {
        Parcel::pack(to, message, "gw", &Limits::default())
    }

    #[test]
    fn what_is_packed_comes_out_again_and_foreign_headers_do_not() {
        let headers = [
            ("bannou-a".to_owned(), Value::Int(-1)),
            ("bannou-b".to_owned(), Value::Text("é".to_owned())),
            ("bannou-c".to_owned(), Value::Bool(false)),
            ("CC".to_owned(), Value::Text("another queue".to_owned())),
        ];
        let message = Message {
            body: "x".into(),
            user_id: Some("somebody else".to_owned()),
            reply_to: Some("r".to_owned()),
            correlation_id: Some("c".to_owned()),
            message_id: Some("m".to_owned()),
            headers: headers.into(),
        };
        let parcel = pack(To::Clients("k".to_owned()), message.clone()).unwrap();
        let numbered = parcel.numbered(7);
        assert_eq!(number(&numbered), Some(7));
        let came = unpack(&numbered, parcel.body.to_vec());
        let mut expected = Message { user_id: Some("gw".to_owned()), ..message };
        expected.headers.remove("CC");
        assert_eq!(came, expected);
    }

    #[test]
    fn what_lapin_or_the_broker_would_choke_on_is_refused() {
        let long = "x".repeat(256);
        let wrong = [
            pack(To::Clients(long.clone()), Message::default()),
            pack(To::Queue(long.clone()), Message::default()),
            pack(To::Log(Log::Groups), Message { reply_to: Some(long.clone()), ..Message::default() }),
            pack(To::Log(Log::Groups), Message { correlation_id: Some(long.clone()), ..Message::default() }),
            pack(To::Log(Log::Groups), Message { message_id: Some(long.clone()), ..Message::default() }),
            pack(
                To::Log(Log::Groups),
                Message { headers: [(format!("bannou-{long}"), Value::Int(1))].into(), ..Message::default() },
            ),
            pack(
                To::Log(Log::Groups),
                Message {
                    headers: [("bannou-x".to_owned(), Value::Text("x".repeat(20_000)))].into(),
                    ..Message::default()
                },
            ),
            pack(To::Log(Log::Groups), Message { body: vec![0; 5 << 20].into(), ..Message::default() }),
        ];
        for (i, result) in wrong.into_iter().enumerate() {
            assert!(matches!(result, Err(Unpublished::Refused(_))), "{i}");
        }
    }
}
