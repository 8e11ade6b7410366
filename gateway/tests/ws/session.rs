//! What comes in: messages of all shapes over a real socket, limits, control frames, cancellation.

use bannou_gateway::ws::{self, Ended, Limits, Transport};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::{
    Event, LIMITS, Recorder, Session, bare, client_frame, echo, noise, pair, read_to_end, sockets, soon,
};

#[tokio::test]
async fn messages_of_all_sizes_come_back() {
    let (reader, session, mut client) = pair(LIMITS).await;
    let server = tokio::spawn(echo(reader, session));
    for (i, len) in
        [0, 1, 23, 24, 25, 88, 125, 126, 127, 4096, 65_535, 65_536, 300_000, 2 << 20].into_iter().enumerate()
    {
        let message = Message::binary(noise(len, i as u32));
        soon(client.send(message.clone())).await.unwrap();
        assert_eq!(soon(client.next()).await.unwrap().unwrap(), message);
    }
    for len in [0, 1, 125, 126, 5461] {
        let message = Message::text("€".repeat(len));
        soon(client.send(message.clone())).await.unwrap();
        assert_eq!(soon(client.next()).await.unwrap().unwrap(), message);
    }
    soon(client.close(None)).await.unwrap();
    while soon(client.next()).await.is_some() {}
    drop(client);
    assert_eq!(soon(server).await.unwrap(), Ended::PeerClosed { code: None });
}

#[tokio::test]
async fn many_messages_in_one_write() {
    let (reader, session, mut client) = pair(LIMITS).await;
    tokio::spawn(echo(reader, session));
    for i in 0..2000 {
        soon(client.feed(Message::binary(noise(i % 300, i as u32)))).await.unwrap();
    }
    soon(client.flush()).await.unwrap();
    for i in 0..2000 {
        assert_eq!(soon(client.next()).await.unwrap().unwrap(), Message::binary(noise(i % 300, i as u32)));
    }
}

#[tokio::test]
async fn fragments_with_control_frames_between_them() {
    let (reader, session, mut client) = pair(LIMITS).await;
    tokio::spawn(echo(reader, session));
    let body = noise(200_000, 9);
    let parts: Vec<&[u8]> = body.chunks(33_333).collect();
    for (i, part) in parts.iter().enumerate() {
        let opcode = OpCode::Data(if i == 0 { Data::Binary } else { Data::Continue });
        let frame = Frame::message(Bytes::copy_from_slice(part), opcode, i + 1 == parts.len());
        soon(client.send(Message::Frame(frame))).await.unwrap();
        soon(client.send(Message::Ping(vec![i as u8].into()))).await.unwrap();
    }
    let mut pongs = Vec::new();
    loop {
        match soon(client.next()).await.unwrap().unwrap() {
            Message::Pong(payload) => pongs.extend_from_slice(&payload),
            Message::Binary(message) => {
                assert_eq!(message, body);
                break;
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    // The ping after the last fragment may be answered before or after the echo; the others come before it, in order.
    assert!(pongs.iter().copied().eq(0..pongs.len() as u8) && pongs.len() >= parts.len() - 1, "{pongs:?}");
}

#[tokio::test]
async fn what_http_had_read_already_comes_first() {
    let (server, mut client) = sockets().await;
    let bytes = [client_frame(0x82, b"first"), client_frame(0x81, b"second"), client_frame(0x82, &[5; 500])].concat();
    let (early, late) = bytes.split_at(20);
    let (mut reader, writer) = ws::start(Transport::Tcp(server), Bytes::copy_from_slice(early), LIMITS);
    let session = std::sync::Arc::new(Session { writer });
    let mut recorder = Recorder::default();
    soon(reader.batch(&session, &mut recorder)).await.unwrap();
    assert_eq!(recorder.events, [Event::Binary(b"first".to_vec())]);
    client.write_all(late).await.unwrap();
    drop(client);
    let (events, ended) = soon(read_to_end(&mut reader, &session)).await;
    assert_eq!(events, [Event::Text("second".into()), Event::Binary(vec![5; 500])]);
    assert_eq!(ended, Ended::Eof);
}

#[tokio::test]
async fn too_large_is_skipped_and_the_connection_stays() {
    let limits = Limits { binary_bytes: 1000, ..LIMITS };
    let (mut reader, session, mut client) = bare(limits).await;
    let big = noise(3_000_000, 1);
    let mut bytes = client_frame(0x82, &big);
    // In fragments: over the limit with the third, which is not the last.
    for (i, part) in big[..2000].chunks(400).enumerate() {
        bytes.extend(client_frame(if i == 0 { 0x02 } else { 0 }, part));
        bytes.extend(client_frame(0x89, b"still here"));
    }
    bytes.extend(client_frame(0x80, b""));
    bytes.extend(client_frame(0x82, &big[..1000]));
    bytes.extend(client_frame(0x82, &big[..1001]));
    bytes.extend(client_frame(0x82, b"after"));
    let sender = tokio::spawn(async move {
        client.write_all(&bytes).await.unwrap();
        client
    });
    let (events, _) = {
        let mut recorder = Recorder::default();
        while recorder.events.last() != Some(&Event::Binary(b"after".to_vec())) {
            soon(reader.batch(&session, &mut recorder)).await.unwrap();
        }
        (recorder.events, sender.await.unwrap())
    };
    let head = big[..24].to_vec();
    assert_eq!(
        events,
        [
            Event::TooLarge { head: head.clone(), len: 3_000_000 },
            Event::TooLarge { head: head.clone(), len: 1200 },
            Event::Binary(big[..1000].to_vec()),
            Event::TooLarge { head, len: 1001 },
            Event::Binary(b"after".to_vec()),
        ]
    );
}

#[tokio::test]
async fn a_limit_can_change_while_the_connection_is_open() {
    let (mut reader, session, mut client) = bare(Limits { binary_bytes: 10, ..LIMITS }).await;
    let mut recorder = Recorder::default();
    client.write_all(&client_frame(0x82, &[1; 20])).await.unwrap();
    while recorder.events.is_empty() {
        soon(reader.batch(&session, &mut recorder)).await.unwrap();
    }
    reader.set_binary_limit(20);
    client.write_all(&client_frame(0x82, &[1; 20])).await.unwrap();
    while recorder.events.len() < 2 {
        soon(reader.batch(&session, &mut recorder)).await.unwrap();
    }
    // Shorter than a header: what there is of it.
    assert_eq!(recorder.events, [Event::TooLarge { head: vec![1; 20], len: 20 }, Event::Binary(vec![1; 20])]);
}

#[tokio::test]
async fn text_over_its_limit_ends_with_1009() {
    let (mut reader, session, mut client) = pair(Limits { text_bytes: 100, ..LIMITS }).await;
    client.send(Message::text("x".repeat(100))).await.unwrap();
    client.send(Message::text("x".repeat(101))).await.unwrap();
    let (events, ended) = soon(read_to_end(&mut reader, &session)).await;
    assert_eq!(events, [Event::Text("x".repeat(100))]);
    assert!(matches!(ended, Ended::Protocol { code: 1009, .. }), "{ended:?}");
    let Message::Close(Some(frame)) = soon(client.next()).await.unwrap().unwrap() else { panic!("a close frame") };
    assert_eq!(u16::from(frame.code), 1009);
}

#[tokio::test]
async fn pongs_reach_the_handler() {
    let (mut reader, session, mut client) = pair(LIMITS).await;
    session.writer.ping(b"are you there");
    bannou_gateway::ws::Writer::flush(&session);
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), Message::Ping(Bytes::from_static(b"are you there")));
    soon(client.flush()).await.unwrap();
    let mut recorder = Recorder::default();
    while recorder.events.is_empty() {
        soon(reader.batch(&session, &mut recorder)).await.unwrap();
    }
    assert_eq!(recorder.events, [Event::Pong(b"are you there".to_vec())]);
}

#[tokio::test]
async fn a_handler_can_stop_the_batch() {
    let (mut reader, session, mut client) = bare(LIMITS).await;
    let bytes = [client_frame(0x82, b"1"), client_frame(0x82, b"2"), client_frame(0x82, b"3"), client_frame(0x88, b"")];
    client.write_all(&bytes.concat()).await.unwrap();
    let mut recorder = Recorder { enough: Some(2), ..Recorder::default() };
    let ended = loop {
        if let Err(ended) = soon(reader.batch(&session, &mut recorder)).await {
            break ended;
        }
    };
    assert_eq!(recorder.events, [Event::Binary(b"1".to_vec()), Event::Binary(b"2".to_vec())]);
    // The close frame behind them still counts.
    assert_eq!(ended, Ended::PeerClosed { code: None });
}

#[tokio::test]
async fn a_batch_can_be_dropped_at_any_time() {
    let (mut reader, session, mut client) = bare(LIMITS).await;
    let messages: Vec<Vec<u8>> = (0..20).map(|i| noise(i * 13, i as u32)).collect();
    let bytes: Vec<u8> = messages.iter().flat_map(|message| client_frame(0x82, message)).collect();
    let sender = tokio::spawn(async move {
        for byte in bytes {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        client
    });
    let mut recorder = Recorder::default();
    while recorder.events.len() < messages.len() {
        tokio::select! {
            biased;
            batch = reader.batch(&session, &mut recorder) => { batch.unwrap(); }
            () = tokio::task::yield_now() => {}
        }
    }
    sender.await.unwrap();
    assert_eq!(recorder.events, messages.into_iter().map(Event::Binary).collect::<Vec<_>>());
}

/// An idle connection owns no buffer: what it costs here is this, beside tokio's socket.
#[test]
fn what_a_connection_owns_is_small() {
    let owned = size_of::<ws::Reader>() + size_of::<ws::Writer>();
    assert!(owned <= 416, "{owned} bytes");
}
