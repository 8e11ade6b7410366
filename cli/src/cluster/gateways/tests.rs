//! A real gateway's inspect port behind a port-forward. API server and kubelet are played here: as theirs, each frame is a channel and bytes,
//! channel 0 the port's and channel 1 for what goes wrong.

use std::path::Path;
use std::sync::Arc;

use bannou_gateway::app::{self, Options};
use bannou_gateway::inspect::report::{Connections, Status};
use futures_util::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::*;
use crate::folder;

/// The inspect port of a gateway of the quickstart.
async fn gateway() -> u16 {
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
    let folder = folder::load(&quickstart).ok().unwrap();
    let mut catalog = bannou_operator::catalog::compile(&folder.world, &folder.fleet(None).unwrap()).catalog.unwrap();
    // Its key is in no file.
    catalog.fleet.issuers.clear();
    let (keep, catalogs) = tokio::sync::watch::channel(Arc::new(catalog));
    let any = ([127, 0, 0, 1], 0).into();
    let mut options = Options { client_addr: any, admin_addr: any, inspect_port: Some(0), ..Options::default() };
    options.internal.addr = any;
    let bound = app::build(options, catalogs).await.unwrap();
    let port = bound.inspect_addr().unwrap().port();
    tokio::spawn(async move {
        let _keep = keep;
        bound.run(std::future::pending()).await
    });
    port
}

/// Takes one port-forward, and leads it to a port of this machine; `None`: says that nobody listens in the Pod.
async fn forwarder(target: Option<u16>) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(forward(stream, target));
        }
    });
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
    let (namespace, pod) = ("sys".to_owned(), "gateway-0".to_owned());
    Gateway {
        name: format!("{namespace}/{pod}"),
        namespace: Some(namespace.clone()),
        ready: Some(true),
        without_sidecar: false,
        way: Way::Forward(client, namespace, pod),
    }
}

#[expect(clippy::result_large_err, reason = "as the handshake's callback is")]
async fn forward(stream: TcpStream, target: Option<u16>) {
    let check = |request: &Request, mut response: Response| {
        let asked = format!("/api/v1/namespaces/sys/pods/gateway-0/portforward?ports={}", inspect::PORT);
        assert_eq!(request.uri().to_string().replace("?&", "?"), asked);
        response.headers_mut().insert("sec-websocket-protocol", "v4.channel.k8s.io".parse().unwrap());
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, check).await.unwrap();
    let [low, high] = inspect::PORT.to_le_bytes();
    for channel in [0, 1] {
        socket.send(Message::binary(vec![channel, low, high])).await.unwrap();
    }
    let Some(target) = target else {
        let said = b"\x01connection refused inside the Pod\n".to_vec();
        socket.send(Message::binary(said)).await.unwrap();
        let _ = socket.close(None).await;
        return;
    };
    let mut port = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
    let mut buffer = vec![0; 1000];
    loop {
        tokio::select! {
            read = port.read(&mut buffer) => match read {
                Ok(0) | Err(_) => break,
                Ok(n) => socket.send(Message::binary([&[0][..], &buffer[..n]].concat())).await.unwrap(),
            },
            frame = socket.next() => match frame {
                Some(Ok(Message::Binary(bytes))) if bytes.first() == Some(&0) => port.write_all(&bytes[1..]).await.unwrap(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
}

#[tokio::test]
async fn a_gateway_answers_through_a_port_forward() {
    let gateway = forwarder(Some(gateway().await)).await;
    let status: Status = gateway.ask("/v1/status", None).await.unwrap();
    assert_eq!((status.connections, status.catalog.services), (0, 5));
    // Longer than a frame, and than the buffer here.
    let catalog: bannou_crds::Catalog = gateway.ask("/v1/catalog", None).await.unwrap();
    assert_eq!(catalog.services.len(), 5);
    let previewed: serde_json::Value =
        gateway.ask("/v1/preview", Some(serde_json::to_vec(&catalog).unwrap())).await.unwrap();
    assert_eq!(previewed["changed"], 0);
    let both = ask_each::<Connections>(&[gateway.clone(), gateway], "/v1/connections", None).await;
    assert_eq!(both.iter().map(|a| a.answer.as_ref().unwrap().total).sum::<usize>(), 0);
}

#[tokio::test]
async fn what_a_gateway_or_the_kubelet_says_is_told() {
    let there = forwarder(Some(gateway().await)).await;
    let said = there.ask::<Status>("/v1/why", None).await.unwrap_err();
    assert!(said.starts_with("it answers 400"), "{said}");
    let nobody = forwarder(None).await;
    let said = nobody.ask::<Status>("/v1/status", None).await.unwrap_err();
    assert_eq!(said, "its inspect port does not answer: connection refused inside the Pod");
}
