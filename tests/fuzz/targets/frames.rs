//! Bytes of a socket through the frame codec, and each message that comes out through the header rules.
//!
//! The same bytes are decoded whole and in pieces, and must give the same messages and the same end: how the network cuts a
//! stream is no business of the reader's. No limit may be passed, and a frame's failure must be one that the client can match.
#![no_main]

use bannou_gateway::wire::{FromClient, HEADER_LEN, Header, flag_names};
use bannou_gateway::ws::{Decoder, Handler, MessageLimits, Payload, Sink, Stop};
use libfuzzer_sys::fuzz_target;

const LIMITS: MessageLimits = MessageLimits { binary: 300, text: 200 };

#[derive(Debug, PartialEq)]
enum Event {
    Binary(Vec<u8>),
    Text(String),
    TooLarge(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

#[derive(Default)]
struct Seen(Vec<Event>);

impl Handler for Seen {
    fn binary(&mut self, message: Payload<'_>) {
        let mut bytes = Vec::new();
        message.append_to(0, &mut bytes);
        assert_eq!(bytes.len(), message.len());
        assert!(bytes.len() <= LIMITS.binary);
        match message.head() {
            Some(head) => {
                assert_eq!(head[..], bytes[..HEADER_LEN]);
                judge(&head, message.status());
            }
            None => assert!(bytes.len() < HEADER_LEN),
        }
        self.0.push(Event::Binary(bytes));
    }

    fn text(&mut self, message: &str) {
        assert!(message.len() <= LIMITS.text);
        self.0.push(Event::Text(message.to_owned()));
    }

    fn too_large(&mut self, head: &[u8], _known_len: u64) {
        // How much of the length is known when it is reported may depend on the cut; that it is reported may not.
        assert!(head.len() <= HEADER_LEN);
        self.0.push(Event::TooLarge(head.to_vec()));
    }

    fn pong(&mut self, payload: &[u8]) {
        assert!(payload.len() <= 125);
        self.0.push(Event::Pong(payload.to_vec()));
    }
}

impl Sink for Seen {
    fn ping(&mut self, payload: &[u8]) {
        assert!(payload.len() <= 125);
        self.0.push(Event::Ping(payload.to_vec()));
    }
}

fn judge(head: &[u8; HEADER_LEN], status: Option<u16>) {
    let header = Header::read(head);
    assert_eq!(header.to_bytes(), *head);
    assert!(!flag_names(header.id).is_empty());
    if let Some(kind) = FromClient::of(header.id) {
        if let Some(failure) = kind.failure_id(header.id) {
            assert_eq!(Header { id: failure, ..header }.number(), header.number());
        }
        let _ = kind.has_status() && status.is_none();
    }
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Option<Stop>) {
    let (mut decoder, mut seen) = (Decoder::default(), Seen::default());
    for piece in pieces {
        if let Err(stop) = decoder.feed(piece, LIMITS, &mut seen) {
            assert_eq!(decoder.feed(b"more", LIMITS, &mut seen), Err(stop), "an end is final");
            return (seen.0, Some(stop));
        }
    }
    (seen.0, None)
}

fuzz_target!(|input: &[u8]| {
    // The first byte says how long the pieces are.
    let Some((&cut, stream)) = input.split_first() else { return };
    let whole = decode(std::iter::once(stream));
    let pieces = decode(stream.chunks(usize::from(cut % 37) + 1));
    assert_eq!(whole, pieces);
});
