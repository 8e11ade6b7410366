//! What goes out: bounded queues, drain, timeouts, many writers at once.

use std::sync::Arc;
use std::time::Duration;

use bannou_gateway::ws::{Ended, Handler, Limits, Outbox, Payload, Refused, Writer};
use futures_util::{SinkExt, StreamExt};
use socket2::SockRef;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::{LIMITS, Recorder, Session, begin, noise, pair, sockets, soon};

const HEADER: [u8; 24] = [7; 24];

fn message(i: usize) -> Vec<u8> {
    noise(16_000, i as u32)
}

/// Queues messages until one is refused; how many were taken.
fn fill(session: &Arc<Session>) -> usize {
    for i in 0.. {
        match session.writer.binary_bytes(&HEADER, &message(i)) {
            Ok(()) => Writer::flush(session),
            Err(refused) => {
                assert_eq!(refused, Refused::Full);
                return i;
            }
        }
    }
    unreachable!()
}

#[tokio::test]
async fn full_only_when_the_kernel_takes_no_more_and_nothing_is_lost() {
    let limits = Limits { queue_bytes: 256 << 10, ..LIMITS };
    let (_reader, session, mut client) = pair(limits).await;
    let taken = fill(&session);
    let queued = session.writer.queued();
    assert!(queued <= limits.queue_bytes && queued + 16_028 > limits.queue_bytes, "{queued}");
    // Control messages have the same bound; a full queue does not block who writes.
    assert_eq!(session.writer.text(&message(0)), Err(Refused::Full));

    let waiting = {
        let session = session.clone();
        tokio::spawn(async move { session.writer.room(100_000).await })
    };
    for i in 0..taken {
        let received = soon(client.next()).await.unwrap().unwrap().into_data();
        assert_eq!(received[..24], HEADER);
        assert!(received[24..] == message(i), "message {i} of {taken}");
    }
    soon(waiting).await.unwrap();
    soon(session.writer.drained()).await;
    assert_eq!(session.writer.queued(), 0);
    // And on it goes.
    session.writer.text(b"again").unwrap();
    Writer::flush(&session);
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), Message::text("again"));
}

#[tokio::test]
async fn one_message_larger_than_the_queue_passes_when_it_is_empty() {
    let (server, client) = sockets().await;
    // So small that the message cannot be in the kernel all at once.
    SockRef::from(&server).set_send_buffer_size(64 << 10).unwrap();
    let (_reader, session) = begin(server, Limits { queue_bytes: 1000, ..LIMITS });
    let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    let big = noise(3 << 20, 3);
    session.writer.binary_bytes(&HEADER, &big).unwrap();
    assert_eq!(session.writer.binary_bytes(&HEADER, &big), Err(Refused::Full));
    Writer::flush(&session);
    let received = soon(client.next()).await.unwrap().unwrap().into_data();
    assert!(received[24..] == big);
}

#[tokio::test]
async fn a_long_batch_does_not_overflow_for_want_of_a_flush() {
    let (server, client) = sockets().await;
    SockRef::from(&server).set_send_buffer_size(1 << 20).unwrap();
    let (_reader, session) = begin(server, Limits { queue_bytes: 70_000, ..LIMITS });
    for _ in 0..2000 {
        session.writer.binary_bytes(&HEADER, &[1; 64]).expect("the socket takes it");
    }
    drop(client);
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_cut_off() {
    let limits = Limits { queue_bytes: 256 << 10, write_timeout: Duration::from_millis(50), ..LIMITS };
    let (mut reader, session, _client) = pair(limits).await;
    let drained = {
        let session = session.clone();
        tokio::spawn(async move { session.writer.drained().await })
    };
    fill(&session);
    let ended = soon(reader.batch(&session, &mut Recorder::default())).await;
    assert_eq!(ended, Err(Ended::Aborted));
    assert_eq!(session.writer.text(b"late"), Err(Refused::Closed));
    assert_eq!(session.writer.queued(), 0);
    soon(session.writer.room(1)).await;
    soon(drained).await.unwrap();
}

#[tokio::test]
async fn pings_against_a_full_queue_cost_one_pong() {
    let (mut reader, session, mut client) = pair(Limits { queue_bytes: 256 << 10, ..LIMITS }).await;
    let taken = fill(&session);
    // The queue is full to within one pong or less.
    while session.writer.text(b"").is_ok() {}
    for i in 0..1000u32 {
        client.feed(Message::Ping(i.to_be_bytes().to_vec().into())).await.unwrap();
    }
    client.flush().await.unwrap();
    let queued = session.writer.queued();
    let reading = tokio::spawn(async move { while reader.batch(&session, &mut Recorder::default()).await.is_ok() {} });
    let mut binaries = 0;
    let mut pongs = Vec::new();
    while pongs.last() != Some(&999) {
        match soon(client.next()).await.unwrap().unwrap() {
            Message::Binary(_) => binaries += 1,
            Message::Pong(payload) => pongs.push(u32::from_be_bytes(payload[..].try_into().unwrap())),
            _ => {}
        }
    }
    assert_eq!(binaries, taken);
    assert!(pongs.is_sorted() && queued <= 256 << 10, "{queued}");
    reading.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_at_once_keep_their_order() {
    const WRITERS: u32 = 8;
    const EACH: u32 = 2000;
    let (_reader, session, mut client) = pair(LIMITS).await;
    for writer in 0..WRITERS {
        let session = session.clone();
        tokio::spawn(async move {
            for i in 0..EACH {
                let mut header = HEADER;
                header[..4].copy_from_slice(&writer.to_be_bytes());
                header[4..8].copy_from_slice(&i.to_be_bytes());
                session.writer.room(300).await;
                session.writer.binary_bytes(&header, &noise((i % 200) as usize, i)).expect("8 MiB of room");
                Writer::flush(&session);
            }
        });
    }
    let mut next = [0; WRITERS as usize];
    for _ in 0..WRITERS * EACH {
        let received = soon(client.next()).await.unwrap().unwrap().into_data();
        let number = |at: usize| u32::from_be_bytes(received[at..at + 4].try_into().unwrap());
        let (writer, i) = (number(0) as usize, number(4));
        assert_eq!(i, next[writer]);
        assert!(received[24..] == noise((i % 200) as usize, i));
        next[writer] += 1;
    }
    soon(session.writer.drained()).await;
}

#[tokio::test]
async fn text_written_in_place_is_framed_right_whatever_the_hint() {
    let (_reader, session, mut client) = pair(LIMITS).await;
    for (hint, len) in [(5, 5), (0, 0), (125, 126), (126, 125), (10, 70_000), (70_000, 10), (65_535, 65_536), (1, 0)] {
        session.writer.text(b"before").unwrap();
        session.writer.text_with(hint, |out| out.extend(std::iter::repeat_n(b'x', len))).unwrap();
        session.writer.text(b"after").unwrap();
        Writer::flush(&session);
        for expected in ["before", &"x".repeat(len), "after"] {
            assert_eq!(soon(client.next()).await.unwrap().unwrap(), Message::text(expected));
        }
    }
}

/// Relays every message to one target, or to all of them in turn.
struct Relay {
    targets: Vec<Arc<Session>>,
    outbox: Outbox<Session>,
    passed: usize,
    refused: Vec<Refused>,
}

impl Handler for Relay {
    fn binary(&mut self, message: Payload<'_>) {
        let target = &self.targets[(self.passed + self.refused.len()) % self.targets.len()];
        match self.outbox.binary(target, &HEADER, &message) {
            Ok(()) => self.passed += 1,
            Err(refused) => self.refused.push(refused),
        }
    }

    fn text(&mut self, _message: &str) {}
    fn too_large(&mut self, _head: &[u8], _len: u64) {}
    fn pong(&mut self, _payload: &[u8]) {}
}

#[tokio::test]
async fn an_outbox_keeps_targets_apart_and_in_order() {
    // More targets than an outbox keeps apart, and one.
    for count in [1, 3, 20] {
        let (mut reader, session, mut client) = pair(LIMITS).await;
        let mut targets = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..count {
            let (_, target, client) = pair(LIMITS).await;
            targets.push(target);
            clients.push(client);
        }
        const MESSAGES: usize = 600;
        let sender = tokio::spawn(async move {
            for i in 0..MESSAGES {
                client.feed(Message::binary(noise(24 + i * 3, i as u32))).await.unwrap();
            }
            client.flush().await.unwrap();
            client
        });
        let relaying = tokio::spawn(async move {
            let mut relay = Relay { targets, outbox: Outbox::default(), passed: 0, refused: Vec::new() };
            while relay.passed < MESSAGES {
                reader.batch(&session, &mut relay).await.unwrap();
                relay.outbox.flush();
            }
            assert!(relay.refused.is_empty());
            relay
        });
        for i in 0..MESSAGES {
            let received = soon(clients[i % count].next()).await.unwrap().unwrap().into_data();
            assert_eq!(received[..24], HEADER);
            assert!(received[24..] == noise(24 + i * 3, i as u32)[24..], "message {i} of {count} targets");
        }
        soon(relaying).await.unwrap();
        soon(sender).await.unwrap();
    }
}

#[tokio::test]
async fn an_outbox_refuses_what_a_full_or_closed_peer_cannot_take() {
    let limits = Limits { queue_bytes: 100_000, ..LIMITS };
    let (mut reader, session, mut client) = pair(LIMITS).await;
    let (_full_reader, full, mut full_client) = pair(limits).await;
    let filled = fill(&full);
    let mut relay = Relay { targets: vec![full.clone()], outbox: Outbox::default(), passed: 0, refused: Vec::new() };
    const MESSAGES: usize = 20;
    for _ in 0..MESSAGES {
        client.feed(Message::binary(noise(20_000, 5))).await.unwrap();
    }
    client.flush().await.unwrap();
    while relay.passed + relay.refused.len() < MESSAGES {
        soon(reader.batch(&session, &mut relay)).await.unwrap();
        relay.outbox.flush();
    }
    assert!(full.writer.queued() <= 100_000, "{}", full.writer.queued());
    assert!(!relay.refused.is_empty() && relay.refused.iter().all(|refused| *refused == Refused::Full));
    // Everything that was accepted arrives.
    for _ in 0..filled + relay.passed {
        soon(full_client.next()).await.unwrap().unwrap();
    }
    soon(full.writer.drained()).await;
    full.writer.close(1000, "");
    client.send(Message::binary(noise(30, 5))).await.unwrap();
    let refused = relay.refused.len();
    while relay.refused.len() == refused {
        soon(reader.batch(&session, &mut relay)).await.unwrap();
    }
    assert_eq!(relay.refused.last(), Some(&Refused::Closed));
}
