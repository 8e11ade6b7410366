//! A POST arrives once, also when connections break under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bannou_crds::catalog::{Endpoint, Payload};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::world::{WAYS, post, reason, world};
use crate::support::catalog::{catalog, dapr, direct, endpoint};
use crate::support::daprd::{Mesh, Service};
use crate::support::gateway::Gateway;
use crate::support::process::free_port;

#[tokio::test]
async fn a_broken_connection_is_not_tried_again() {
    let world = world().await;
    let gateway = world.gateway(&[post("count"), endpoint("delete", "DELETE /count")]).await;
    let mut client = gateway.client().await;
    for way in WAYS {
        let key = format!("once-{way}");
        let answer = client.call(&format!("{way}.count"), &json!({"key": key, "then": "drop"})).await;
        // The SDK's server begins its answer before it breaks, and daprd passes a part on as if it were the whole.
        let wanted = if way == "sdk" { 200 } else { 502 };
        assert_eq!(answer.status, wanted, "{way}: {:?}", String::from_utf8_lossy(&answer.body()));
        let counted = world.service(way).ask(&format!("/count?key={key}")).await;
        assert_eq!(counted["count"], 1, "{way}");
        // An error of the service's own is none of a connection: the sidecar must not repeat it either.
        let key = format!("failed-{way}");
        let answer = client.call(&format!("{way}.count"), &json!({"key": key, "then": 503})).await;
        assert_eq!(answer.status, 503, "{way}");
        assert_eq!(world.service(way).ask(&format!("/count?key={key}")).await["count"], 1, "{way}");
    }
}

/// daprd repeats a request when the connection between two sidecars breaks, unless it cannot: see `forward::dapr`.
#[tokio::test]
async fn a_sidecar_that_goes_under_a_request_does_not_make_it_arrive_again() {
    let mesh = Mesh::new();
    let service = Service::plain(&[]).await;
    let ports = [free_port(), free_port(), free_port()];
    let (behind, sidecar) =
        tokio::join!(mesh.sidecar_at("app", Some(service.port), ports, &[]), mesh.sidecar("gateway", None, &[]));
    sidecar.finds("app").await;
    // One with a body and one whose body is empty: daprd could repeat either, if it knew the length.
    let query = Endpoint { name: "query".into(), payload: Payload::Query, ..post("slow") };
    let gateway =
        Gateway::with_sidecar(&catalog(vec![dapr("app", "app", vec![post("slow"), query])]), sidecar.http).await;
    let mut client = gateway.client().await;
    let mut open = Vec::new();
    for (name, payload) in [("app.slow", &br#"{"ms": 60000}"#[..]), ("app.query", b"ms=60000")] {
        let handle = client.services[name];
        open.push((handle, client.send(handle, payload).await));
    }
    service.until("/seen", |seen| seen["started"] == 2).await;
    behind.process.kill();
    let again = mesh.sidecar_at("app", Some(service.port), ports, &[]).await;
    for (handle, number) in open {
        let answer = client.answer(handle, number).await;
        assert_eq!((answer.status, reason(&answer.json())), (502, "sidecar_refused"));
    }
    sidecar.finds("app").await;
    // Whatever a sidecar still had to send would have been sent before this.
    assert_eq!(client.call("app.slow", &json!({"ms": 1})).await.status, 200);
    assert_eq!(service.ask("/seen").await["started"], 3, "the broken ones once each, and the last one");
    drop(again);
}

/// A backend that reads requests and does with each connection what `then` says.
struct Hostile {
    port: u16,
    requests: Arc<AtomicUsize>,
}

impl Hostile {
    async fn start<F>(then: impl Fn(TcpStream, usize) -> F + Send + 'static) -> Hostile
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let counter = counter.clone();
                let next = then(counted(stream, counter), connection);
                connection += 1;
                tokio::spawn(next);
            }
        });
        Hostile { port, requests }
    }

    async fn gateway(&self, endpoint: Endpoint) -> Gateway {
        Gateway::with_overrides(&catalog(vec![direct("hostile", vec![endpoint])]), &[("hostile", self.port)]).await
    }

    fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// The stream through a task that counts the heads of requests in it.
fn counted(mut outside: TcpStream, requests: Arc<AtomicUsize>) -> TcpStream {
    // A pair of sockets: what tests read is what was counted.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let inside = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    for socket in [&inside, &other] {
        socket.set_nonblocking(true).unwrap();
    }
    let (inside, mut other) = (TcpStream::from_std(inside).unwrap(), TcpStream::from_std(other).unwrap());
    tokio::spawn(async move {
        let (mut from, mut to) = outside.split();
        let (mut back, mut forth) = other.split();
        let up = async {
            let mut buffer = vec![0; 65_536];
            while let Ok(n @ 1..) = from.read(&mut buffer).await {
                let heads = buffer[..n].windows(5).filter(|w| w == b"POST ").count();
                requests.fetch_add(heads, Ordering::SeqCst);
                if forth.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = up => {}
            _ = tokio::io::copy(&mut back, &mut to) => {}
        }
    });
    inside
}

async fn read_request(stream: &mut TcpStream) -> bool {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !text.ends_with(b"{}") {
        match stream.read(&mut buffer).await {
            Ok(n @ 1..) => text.extend_from_slice(&buffer[..n]),
            _ => return false,
        }
    }
    true
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_kept_connection_that_breaks_under_a_request_does_not_repeat_it() {
    // The first request of a connection is answered, so that it is kept; the second is read and the connection broken.
    let hostile = Hostile::start(|mut stream, _| async move {
        if read_request(&mut stream).await {
            stream.write_all(OK).await.unwrap();
        }
        read_request(&mut stream).await;
    })
    .await;
    let gateway = hostile.gateway(post("x")).await;
    let mut client = gateway.client().await;
    for round in 1..=10 {
        assert_eq!(client.call_bytes("hostile.x", b"{}").await.status, 200);
        let answer = client.call_bytes("hostile.x", b"{}").await;
        assert_eq!((answer.status, reason(&answer.json())), (502, "broken_answer"));
        assert_eq!(hostile.count(), 2 * round, "each request arrived once");
    }
}

#[tokio::test]
async fn only_what_is_declared_idempotent_is_repeated_and_once() {
    let hostile = Hostile::start(|mut stream, connection| async move {
        if read_request(&mut stream).await && connection == 1 {
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let gateway = hostile.gateway(Endpoint { idempotent: true, ..post("x") }).await;
    let mut client = gateway.client().await;
    assert_eq!(client.call_bytes("hostile.x", b"{}").await.status, 200, "the second try");
    assert_eq!(hostile.count(), 2);

    let broken = Hostile::start(|mut stream, _| async move {
        read_request(&mut stream).await;
    })
    .await;
    let gateway = broken.gateway(Endpoint { idempotent: true, ..post("x") }).await;
    assert_eq!(gateway.client().await.call_bytes("hostile.x", b"{}").await.status, 502);
    assert_eq!(broken.count(), 2, "tried twice, not for ever");
}

#[tokio::test]
async fn what_is_no_http_answer_is_a_502() {
    for garbage in [
        &b"\x00\x01\x02\x03 this is not HTTP\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 777 What\r\ncontent-length: 0\r\n\r\n",
        b"",
    ] {
        let hostile = Hostile::start(move |mut stream, _| async move {
            if read_request(&mut stream).await {
                let _ = stream.write_all(garbage).await;
            }
        })
        .await;
        let gateway = hostile.gateway(post("x")).await;
        let answer = gateway.client().await.call_bytes("hostile.x", b"{}").await;
        let said = String::from_utf8_lossy(garbage);
        assert_eq!((answer.status, reason(&answer.json())), (502, "broken_answer"), "{said}");
        assert_eq!(hostile.count(), 1, "{said}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut() {
    let hostile = Hostile::start(|mut stream, _| async move {
        if read_request(&mut stream).await {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while stream.write_all(b"x-more: and more and more and more and more\r\n").await.is_ok() {}
        }
    })
    .await;
    let gateway = hostile.gateway(post("x")).await;
    let answer = gateway.client().await.call_bytes("hostile.x", b"{}").await;
    assert_eq!(answer.status, 502);
}
