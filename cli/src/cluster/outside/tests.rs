//! Against small servers that do what a proxy in the way does.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::findings::Level;
use super::*;

/// Reads a request, answers with this, and keeps the connection.
async fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => seen.push(byte),
                    Err(_) => break,
                }
            }
            let _ = stream.write_all(answer.as_bytes()).await;
            kept.push(stream);
        }
    });
    format!("ws://{address}/connect")
}

async fn last(url: &str, origin: Option<&str>) -> Finding {
    let asked =
        Asked { url: url.to_owned(), origin: origin.map(str::to_owned), idle: Duration::ZERO, ca: None, via: None };
    look(&asked).await.unwrap().pop().unwrap()
}

#[tokio::test]
async fn what_stands_in_the_way_is_named_with_what_to_do() {
    for (answer, origin, what, fix) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", None, "refused with 404", "--connect-path"),
        ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", None, "refused with 502", "bannou status"),
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 21\r\n\r\n{\"detail\":\"not here\"}",
            Some("https://play.example"),
            "refused with 403: not here",
            "add https://play.example to the Fleet's spec.origins",
        ),
        ("HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n", None, "refused with 426", "HTTP/1.1"),
        ("SSH-2.0-OpenSSH\r\n\r\n", None, "does not upgrade", "HTTP/1.1"),
    ] {
        let finding = last(&server(answer).await, origin).await;
        assert_eq!(finding.level, Level::Error, "{finding:?}");
        assert!(finding.what.contains(what) && finding.fix.as_deref().unwrap().contains(fix), "{finding:?}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let finding = last(&format!("ws://{gone}/connect"), None).await;
    assert!(finding.what.contains("cannot be reached"), "{finding:?}");
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/connect", plain.local_addr().unwrap());
    let (finding, _) = tokio::join!(last(&url, None), async {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    });
    assert!(finding.what.contains("TLS fails"), "{finding:?}");
}

#[tokio::test]
async fn what_is_no_url_of_a_websocket_is_said() {
    for url in ["https://play.example", "play.example", "wss://", "::"] {
        let asked = Asked { url: url.to_owned(), origin: None, idle: Duration::ZERO, ca: None, via: None };
        assert!(look(&asked).await.unwrap_err().to_string().contains("wss://HOST/PATH"), "{url}");
    }
    let asked =
        Asked { url: "wss://x".into(), origin: None, idle: Duration::ZERO, ca: Some(b"nothing".to_vec()), via: None };
    assert!(look(&asked).await.unwrap_err().to_string().contains("no certificate"));
}
