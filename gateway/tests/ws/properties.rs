//! The decoder and tungstenite get the same bytes in the same pieces, and must see the same: messages, control frames,
//! and the code of the end.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bannou_gateway::ws::{Decoder, MessageLimits, Stop};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{Event, Recorder, client_frame};

const LIMITS: MessageLimits = MessageLimits { binary: 1 << 20, text: 1 << 20 };

fn by_us(bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut decoder = Decoder::default();
    let mut recorder = Recorder::default();
    for piece in pieces(bytes, cuts) {
        if let Err(stop) = decoder.feed(piece, LIMITS, &mut recorder) {
            recorder.events.push(Event::End(match stop {
                Stop::Closed(code) => code,
                Stop::Violation { code, .. } => Some(code),
            }));
            // Data after the end is ignored, and the end stays what it was.
            assert_eq!(decoder.feed(&client_frame(0x82, b"late"), LIMITS, &mut recorder), Err(stop));
            break;
        }
    }
    recorder.events
}

fn by_tungstenite(bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    let stream = Pieces(pieces(bytes, cuts).into_iter().map(<[u8]>::to_vec).collect());
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    let mut events = Vec::new();
    loop {
        events.push(match socket.read() {
            Ok(Message::Text(text)) => Event::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Event::Binary(bytes.into()),
            Ok(Message::Ping(bytes)) => Event::Ping(bytes.into()),
            Ok(Message::Pong(bytes)) => Event::Pong(bytes.into()),
            Ok(Message::Close(frame)) => Event::End(frame.map(|frame| frame.code.into())),
            Ok(Message::Frame(_)) => unreachable!("never given by read"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return events,
            Err(Error::Protocol(_)) => Event::End(Some(1002)),
            Err(Error::Utf8(_)) => Event::End(Some(1007)),
            Err(Error::Capacity(_)) => Event::End(Some(1009)),
            Err(error) => panic!("unexpected: {error}"),
        });
        if matches!(events.last(), Some(Event::End(_))) {
            return events;
        }
    }
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for cut in cuts.into_iter().chain([bytes.len()]) {
        if cut > from {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
    }
    pieces
}

/// A socket that brings one piece per read (several reads for one that is larger than the reader's buffer), then nothing
/// more for now.
struct Pieces(VecDeque<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = self.0.front_mut().ok_or(io::ErrorKind::WouldBlock)?;
        let len = piece.len().min(into.len());
        into[..len].copy_from_slice(&piece[..len]);
        piece.drain(..len);
        if piece.is_empty() {
            self.0.pop_front();
        }
        Ok(len)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A few frames that belong together.
fn script() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![8 => message(), 3 => control(), 1 => close(), 1 => breach()], 1..8).prop_map(|parts| parts.concat())
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..40),
        2 => vec(any::<u8>(), 120..132),
        1 => vec(any::<u8>(), 65_530..65_545),
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "\\PC{0,60}".prop_map(String::into_bytes),
        // Mostly not UTF-8, sometimes only at its very end.
        1 => vec(any::<u8>(), 1..12),
        1 => "[a-z€𝄞]{1,8}".prop_map(|text| { let mut bytes = text.into_bytes(); bytes.pop(); bytes }),
    ]
}

fn control() -> impl Strategy<Value = Vec<u8>> {
    (prop_oneof![Just(0x89), Just(0x8a)], vec(any::<u8>(), 0..=125))
        .prop_map(|(first, body)| client_frame(first, &body))
}

/// A message in one frame or in fragments, with control frames between them.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![payload().prop_map(|body| (2u8, body)), text().prop_map(|body| (1u8, body))];
    (body, vec(any::<usize>(), 0..5), vec(proptest::option::of(control()), 6)).prop_map(
        |((opcode, body), cuts, between)| {
            let parts = if cuts.is_empty() { vec![&body[..]] } else { pieces(&body, &cuts) };
            let parts = if parts.is_empty() { vec![&body[..]] } else { parts };
            let mut bytes = Vec::new();
            for (i, part) in parts.iter().enumerate() {
                let fin = if i + 1 == parts.len() { 0x80 } else { 0 };
                let opcode = if i == 0 { opcode } else { 0 };
                bytes.extend(client_frame(fin | opcode, part));
                if fin == 0 {
                    bytes.extend(between[i].iter().flatten());
                }
            }
            bytes
        },
    )
}

fn close() -> impl Strategy<Value = Vec<u8>> {
    // tungstenite does not know 1014.
    let code = prop_oneof![Just(1000u16), 990u16..1014, 1015u16..1020, 2990u16..3010, 4990u16..5010, any::<u16>()];
    let code = code.prop_filter("unknown to tungstenite", |code| *code != 1014);
    let with_code = (code, vec(any::<u8>(), 0..12)).prop_map(|(code, reason)| {
        let mut body = code.to_be_bytes().to_vec();
        body.extend(reason);
        body
    });
    prop_oneof![Just(vec![]), Just(vec![3]), with_code].prop_map(|body| client_frame(0x88, &body))
}

fn breach() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0u8..=255, vec(any::<u8>(), 0..20)).prop_map(|(first, body)| client_frame(first, &body)),
        // Not masked.
        vec(any::<u8>(), 0..20).prop_map(|body| [&[0x82, body.len() as u8][..], &body].concat()),
        // Control frames that are too long.
        (0x88u8..0x8b, 126usize..200).prop_map(|(first, len)| client_frame(first, &vec![b'x'; len])),
        // A beginning without an end; a continuation of nothing, or of that.
        Just(client_frame(0x02, b"begun")),
        Just(client_frame(0x80, b"goes on")),
    ]
}

/// At least a thousand cases; `PROPTEST_CASES` for more.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(1000), ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_same_as_tungstenite(bytes in script(), cuts in vec(any::<usize>(), 0..6)) {
        // tungstenite reads into 128 KiB: give it pieces that fit.
        let cuts: Vec<usize> = cuts.into_iter().chain((0..bytes.len()).step_by(60_000)).collect();
        prop_assert_eq!(by_us(&bytes, &cuts), by_tungstenite(&bytes, &cuts));
    }

    #[test]
    fn cuts_change_nothing(bytes in script(), cuts in vec(any::<usize>(), 0..40)) {
        prop_assert_eq!(by_us(&bytes, &cuts), by_us(&bytes, &[]));
    }

    #[test]
    fn any_bytes_at_all(bytes in vec(any::<u8>(), 0..300), cuts in vec(any::<usize>(), 0..4)) {
        prop_assert_eq!(by_us(&bytes, &cuts), by_us(&bytes, &[]));
    }
}

#[test]
fn cut_at_every_byte() {
    let mut bytes = Vec::new();
    bytes.extend(client_frame(0x82, &[7; 300]));
    bytes.extend(client_frame(0x01, "Grü".as_bytes()));
    bytes.extend(client_frame(0x89, b"between"));
    bytes.extend(client_frame(0x00, b""));
    bytes.extend(client_frame(0x80, "ße €".as_bytes()));
    bytes.extend(client_frame(0x82, b""));
    bytes.extend(client_frame(0x02, &[1; 130]));
    bytes.extend(client_frame(0x8a, b""));
    bytes.extend(client_frame(0x80, &[2; 3]));
    bytes.extend(client_frame(0x88, &[0x0f, 0xa1, b'o', b'k']));
    let whole = by_us(&bytes, &[]);
    assert_eq!(whole.len(), 7);
    assert_eq!(whole.last(), Some(&Event::End(Some(4001))));
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(by_us(&bytes, &every), whole);
    for first in 0..bytes.len() {
        assert_eq!(by_us(&bytes, &[first]), whole, "cut at {first}");
        assert_eq!(by_tungstenite(&bytes, &[first]), whole, "tungstenite, cut at {first}");
    }
}

/// What tungstenite lets pass, and we do not.
#[test]
fn stricter_than_tungstenite() {
    let end = |bytes: &[u8]| by_us(bytes, &[]).last().cloned();
    let not_minimal = [&[0x82, 0x80 | 126, 0, 5, 0, 0, 0, 0][..], b"hello"].concat();
    assert_eq!(end(&not_minimal), Some(Event::End(Some(1002))));
    let top_bit = [&[0x82, 0x80 | 127][..], &(1u64 << 63).to_be_bytes(), &[0; 4]].concat();
    assert_eq!(end(&top_bit), Some(Event::End(Some(1002))));
    let mut endless = client_frame(0x02, b"");
    for _ in 0..300 {
        endless.extend(client_frame(0x00, b""));
    }
    assert_eq!(end(&endless), Some(Event::End(Some(1008))));
}
