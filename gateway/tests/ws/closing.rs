//! How connections end: by us, by the peer, by a breach, by an abort.

use std::time::Duration;

use bannou_gateway::ws::{Ended, Refused, Writer};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Event, HANG, LIMITS, Recorder, bare, client_frame, pair, read_to_end, soon};

#[tokio::test]
async fn by_us_after_what_was_queued() {
    let (reader, session, mut client) = pair(LIMITS).await;
    session.writer.text(b"last words").unwrap();
    session.writer.close(1012, "drained");
    session.writer.close(4403, "too late to change");
    assert!(session.writer.is_closed());
    assert_eq!(session.writer.text(b"more"), Err(Refused::Closed));
    let server = {
        let session = session.clone();
        tokio::spawn(async move { reader.finish(&session, HANG).await })
    };
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), Message::text("last words"));
    let Message::Close(Some(frame)) = soon(client.next()).await.unwrap().unwrap() else { panic!("a close frame") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1012, "drained"));
    // tungstenite answers the close frame, then sees the end of the stream.
    while let Some(message) = soon(client.next()).await {
        message.expect("an orderly end");
    }
    drop(client);
    soon(server).await.unwrap();
}

#[tokio::test]
async fn by_us_against_a_peer_that_says_nothing() {
    let (reader, session, mut client) = bare(LIMITS).await;
    session.writer.close(1001, "");
    soon(reader.finish(&session, Duration::from_millis(50))).await;
    drop(session);
    let mut received = Vec::new();
    // Cut off: the end of the stream or a reset, after the close frame.
    let _ = soon(client.read_to_end(&mut received)).await;
    assert!(received.is_empty() || received == [0x88, 2, 0x03, 0xe9], "{received:?}");
}

#[tokio::test]
async fn by_the_peer_with_the_same_code_back() {
    for (payload, code) in [(&[][..], None), (&[0x0f, 0xa3, b'b', b'y', b'e'], Some(4003))] {
        let (mut reader, session, mut client) = bare(LIMITS).await;
        let bytes =
            [client_frame(0x82, b"x"), client_frame(0x88, payload), client_frame(0x82, b"after the end")].concat();
        client.write_all(&bytes).await.unwrap();
        let (events, ended) = soon(read_to_end(&mut reader, &session)).await;
        assert_eq!(events, [Event::Binary(b"x".to_vec())]);
        assert_eq!(ended, Ended::PeerClosed { code });
        assert_eq!(soon(reader.batch(&session, &mut Recorder::default())).await, Err(ended));
        let finished = tokio::spawn(async move { reader.finish(&session, HANG).await });
        let mut received = Vec::new();
        soon(client.read_to_end(&mut received)).await.unwrap();
        let expected: &[u8] = if code.is_some() { &[0x88, 2, 0x0f, 0xa3] } else { &[0x88, 0] };
        assert_eq!(received, expected);
        drop(client);
        soon(finished).await.unwrap();
    }
}

#[tokio::test]
async fn by_a_breach_with_its_code() {
    let cases: [(&[u8], u16); 5] = [
        (&[0x82, 0x01, 0x00], 1002),
        (&client_frame(0xc2, b""), 1002),
        (&client_frame(0x88, &[0x03, 0xed]), 1002),
        (&client_frame(0x81, &[0xff]), 1007),
        // The first fragment is enough to know.
        (&client_frame(0x01, &[b'a', 0xc0, 0xaf]), 1007),
    ];
    for (bytes, code) in cases {
        let (mut reader, session, mut client) = bare(LIMITS).await;
        client.write_all(bytes).await.unwrap();
        let (_, ended) = soon(read_to_end(&mut reader, &session)).await;
        let Ended::Protocol { code: said, reason } = ended else { panic!("{bytes:?}: {ended:?}") };
        assert_eq!(said, code, "{bytes:?}");
        let finished = tokio::spawn(async move { reader.finish(&session, HANG).await });
        let mut received = Vec::new();
        soon(client.read_to_end(&mut received)).await.unwrap();
        let mut expected = vec![0x88, 2 + reason.len() as u8];
        expected.extend_from_slice(&code.to_be_bytes());
        expected.extend_from_slice(reason.as_bytes());
        assert_eq!(received, expected);
        drop(client);
        soon(finished).await.unwrap();
    }
}

#[tokio::test]
async fn by_an_abort_that_wakes_the_reader() {
    let (mut reader, session, mut client) = bare(LIMITS).await;
    let reading = {
        let session = session.clone();
        tokio::spawn(async move { reader.batch(&session, &mut Recorder::default()).await })
    };
    tokio::task::yield_now().await;
    session.writer.abort();
    assert_eq!(soon(reading).await.unwrap(), Err(Ended::Aborted));
    assert_eq!(session.writer.text(b"x"), Err(Refused::Closed));
    let _ = soon(client.read(&mut [0; 1])).await;
}

#[tokio::test]
async fn without_a_word() {
    let (mut reader, session, client) = bare(LIMITS).await;
    drop(client);
    let (events, ended) = soon(read_to_end(&mut reader, &session)).await;
    assert_eq!((events.len(), ended), (0, Ended::Eof));
    assert_eq!(session.writer.text(b"x"), Err(Refused::Closed));
    Writer::flush(&session);
    soon(reader.finish(&session, HANG)).await;
}
