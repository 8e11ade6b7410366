//! The hex examples of `docs/protocol.md` are what they say.

#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says by its panic what failed; Clippy sees only part of these as tests"
)]

use bannou_gateway::wire::{ERROR, FromClient, HEADER_LEN, Header, INBOUND, LOGGED, MORE, NUMBER, ONE_WAY};

/// What a client may send, and what it only receives, by the names of the examples.
fn expected(name: &str) -> (u64, Option<FromClient>) {
    match name {
        "request" => (0, Some(FromClient::Request)),
        "one-way" => (ONE_WAY, Some(FromClient::OneWay)),
        "cancel" => (ERROR, Some(FromClient::Cancel)),
        "peer-answer-sent" => (INBOUND, Some(FromClient::Answer { error: false })),
        "peer-part-sent" => (INBOUND | MORE, Some(FromClient::Answer { error: false })),
        "peer-failure-sent" => (INBOUND | ERROR, Some(FromClient::Answer { error: true })),
        "service-answer-sent" => (INBOUND | LOGGED, Some(FromClient::LoggedAnswer { error: false })),
        "service-failure-sent" => (INBOUND | LOGGED | ERROR, Some(FromClient::LoggedAnswer { error: true })),
        "answer" => (0, None),
        "answer-part" => (MORE, None),
        "answer-failure" => (ERROR, None),
        "peer-request-seen" => (INBOUND, None),
        "peer-one-way-seen" => (INBOUND | ONE_WAY, None),
        "service-request" => (INBOUND | LOGGED, None),
        "service-request-over" => (INBOUND | LOGGED | ERROR, None),
        "push" | "push-to-many" => (INBOUND | ONE_WAY | LOGGED, None),
        other => panic!("{other}: an example that this test does not know"),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn hex_examples() {
    let text = include_str!("../../docs/protocol.md");
    let block = text.split("```hex\n").nth(1).unwrap().split("```").next().unwrap();
    let mut seen = 0;
    for line in block.lines() {
        let (name, hex) = line.split_once(' ').unwrap();
        let frame = bytes(&hex.replace(' ', ""));
        let header = Header::read(frame.first_chunk::<HEADER_LEN>().unwrap());
        let payload = &frame[HEADER_LEN..];
        let (flags, sent) = expected(name);
        assert_eq!(header.id & !NUMBER, flags, "{name}");
        if let Some(kind) = sent {
            assert_eq!(FromClient::of(header.id), Some(kind), "{name}");
        }
        if flags & ERROR != 0 {
            let status = u16::from_be_bytes(*payload.first_chunk().unwrap());
            let right = match name {
                "cancel" => 499,
                "answer-failure" => 403,
                "service-failure-sent" => 501,
                "service-request-over" => 408,
                _ => 404,
            };
            assert_eq!(status, right, "{name}");
        }
        if flags & LOGGED != 0 {
            let number = header.id & NUMBER;
            let place = match name {
                "push" => (1, 42),
                "push-to-many" => (0, 7),
                _ => (1, 43),
            };
            assert_eq!((number >> 48, number & ((1 << 48) - 1)), place, "{name}");
        }
        assert_eq!(header.to_bytes(), frame[..HEADER_LEN], "{name}");
        seen += 1;
    }
    assert_eq!(seen, 17);
}
