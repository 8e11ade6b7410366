//! The push over real TLS, with tokens that the real API server knows: what a gateway is sent, and what its answers do.

use std::sync::Arc;

use bannou_crds::push::{Reason, Snapshot, ToGateway, ToOperator, Version};
use bannou_operator::index::Key;
use bannou_operator::lease::{Holding, Role, identity};
use bannou_operator::metrics::Meters;
use bannou_operator::push::identity::Expected;
use bannou_operator::push::{Push, Registry, serve};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::identity::{AUDIENCE, account_and_pod, token};
use crate::kit::Cluster;
use crate::kit::gateway::{Gateway, ack, authority, dial};
use crate::kit::operator::{Operator, exposure, fleet};
use crate::process::PATIENCE;

struct Served {
    port: u16,
    operator: Operator,
    role: watch::Sender<Role>,
    gateways: watch::Receiver<bannou_operator::controller::Gateways>,
    _tasks: JoinSet<()>,
}

async fn served(cluster: &Cluster) -> Served {
    let operator = Operator::start(cluster, 3).await;
    let pair = cluster.server_certificate("operator");
    let certificates = vec![CertificateDer::from_pem_file(&pair.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (role, roles) = watch::channel(Role::Holder(Holding::new(3, Instant::now() + PATIENCE)));
    let push = Push {
        client: cluster.client().await,
        expected: Expected { audience: AUDIENCE.into(), service_account: "bannou-gateway".into() },
        output: operator.output.clone(),
        role: roles,
        registry: Registry::new(operator.gateways.clone()),
        meters: Meters::default(),
    };
    let gateways = operator.gateways.subscribe();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, Arc::new(tls), push));
    Served { port, operator, role, gateways, _tasks: tasks }
}

async fn connect(cluster: &Cluster, port: u16, token: &str, snapshot: Snapshot) -> Gateway {
    Gateway::greet(dial(&authority(cluster), port, token, "gateway-0").await.unwrap(), snapshot).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_sent_its_fleet_and_what_changes() {
    let cluster = Cluster::shared().await;
    let client = cluster.client().await;
    let game = cluster.namespace("game", &[]).await;
    let other = cluster.namespace("other", &[]).await;
    for namespace in [&game, &other] {
        cluster.apply(&account_and_pod(namespace, "bannou-gateway", "gateway-0")).await.unwrap();
    }
    let mut served = served(cluster).await;
    let key = Key::new(&game, "default");
    cluster.apply(&(fleet(&game) + "---" + &exposure(&game, &game, "one", "/1"))).await.unwrap();
    served
        .operator
        .until("it is published", |o| o.catalogs.get(&key).is_some_and(|p| p.catalog.services.len() == 1))
        .await;
    let good = token(&client, &game, "bannou-gateway", AUDIENCE, Some("gateway-0")).await;

    // A snapshot, acknowledged, then the difference of an edit.
    let mut gateway = connect(cluster, served.port, &good, Snapshot::default()).await;
    let (first, _) = gateway.next(ack).await;
    assert_eq!((first.term, gateway.services()), (3, vec!["one"]));
    let acked = |version: Version| {
        let key = key.clone();
        move |all: &bannou_operator::controller::Gateways| {
            all.get(&key).is_some_and(|here| here.iter().any(|g| g.acked >= Some(version)))
        }
    };
    timeout(PATIENCE, served.gateways.wait_for(acked(first))).await.expect("its word is known").unwrap();
    cluster.apply(&exposure(&game, &game, "two", "/2")).await.unwrap();
    let (second, words) = gateway.next(ack).await;
    assert!(second > first);
    assert_eq!((words, gateway.services()), (1, vec!["one", "two"]), "one word: the difference");

    // Refused: what it has counts on, and the next difference is one to that.
    cluster.apply(&exposure(&game, &game, "three", "/3")).await.unwrap();
    let reasons = || vec![Reason { resource: Some("service three".into()), why: "no room".into() }];
    let (third, _) = gateway.next(|version| ToOperator::Nack { version, reasons: reasons() }).await;
    let refused = |all: &bannou_operator::controller::Gateways| {
        all.get(&key)
            .is_some_and(|here| here.iter().any(|g| g.refused == Some((third, "service three: no room".into()))))
    };
    timeout(PATIENCE, served.gateways.wait_for(refused)).await.expect("its word is known").unwrap();
    cluster.kubectl(&["delete", "sexp", "-n", &game, "three", "one"]).await;
    while gateway.services() != ["two"] {
        gateway.next(ack).await;
    }

    // Back after a break with what it has: nothing is sent twice. In a new holder's term, only the version is.
    let kept = gateway.snapshot.clone();
    drop(gateway);
    let gone = |all: &bannou_operator::controller::Gateways| !all.contains_key(&key);
    timeout(PATIENCE, served.gateways.wait_for(gone)).await.expect("it is missed").unwrap();
    let gateway = connect(cluster, served.port, &good, kept.clone()).await;
    timeout(PATIENCE, served.gateways.wait_for(acked(kept.version().unwrap()))).await.expect("it is known").unwrap();
    drop(gateway);
    timeout(PATIENCE, served.gateways.wait_for(gone)).await.expect("it is missed").unwrap();
    let older = Snapshot::of(Version { term: 2, number: 9 }, kept.catalog().unwrap().clone());
    let mut gateway = connect(cluster, served.port, &good, older).await;
    let (version, words) = gateway.next(ack).await;
    assert_eq!((version, words, gateway.services()), (kept.version().unwrap(), 1, vec!["two"]));

    // One that has more than this operator ever published is not asked to go back: the term rises above it, for all.
    let ahead = Snapshot::of(Version { term: 9, number: 4 }, kept.catalog().unwrap().clone());
    let mut second_gateway = connect(cluster, served.port, &good, ahead).await;
    assert_eq!(second_gateway.next(ack).await.0, Version { term: 10, number: 1 });
    assert_eq!(gateway.next(ack).await.0, Version { term: 10, number: 1 });
    drop(second_gateway);

    // A gateway of another fleet is sent nothing of this one.
    let theirs = token(&client, &other, "bannou-gateway", AUDIENCE, Some("gateway-0")).await;
    let mut foreign = connect(cluster, served.port, &theirs, Snapshot::default()).await;
    cluster.apply(&(fleet(&other) + "---" + &exposure(&other, &other, "theirs", "/1"))).await.unwrap();
    while foreign.snapshot.catalog().is_none_or(|catalog| catalog.services.is_empty()) {
        foreign.next(ack).await;
    }
    assert_eq!(foreign.services(), ["theirs"]);

    // The lease goes: both are told where, and the links end.
    let holder = identity("operator-1", "10.1.2.3:9443".parse().ok());
    let elsewhere = ToGateway::Elsewhere { holder: Some(holder.clone()), address: "10.1.2.3:9443".parse().ok() };
    served.role.send_replace(Role::Standby(Some(holder)));
    for gateway in [&mut gateway, &mut foreign] {
        assert_eq!(gateway.hear().await, Some(elsewhere.clone()));
        assert_eq!(gateway.hear().await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_gateway_is_sent_nothing() {
    let cluster = Cluster::shared().await;
    let client = cluster.client().await;
    let game = cluster.namespace("game", &[]).await;
    cluster.apply(&account_and_pod(&game, "bannou-gateway", "gateway-0")).await.unwrap();
    cluster.apply(&account_and_pod(&game, "app", "app-0")).await.unwrap();
    let served = served(cluster).await;
    let good = token(&client, &game, "bannou-gateway", AUDIENCE, Some("gateway-0")).await;
    let account = token(&client, &game, "app", AUDIENCE, Some("app-0")).await;
    let audience = token(&client, &game, "bannou-gateway", "another", Some("gateway-0")).await;
    for (token, pod) in
        [("", "gateway-0"), ("x", "gateway-0"), (&account, "app-0"), (&audience, "gateway-0"), (&good, "gateway-1")]
    {
        match dial(&authority(cluster), served.port, token, pod).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 401),
            other => panic!("{pod} {other:?}"),
        }
    }
    // What is not understood ends the link, and the next one is served.
    let mut socket = dial(&authority(cluster), served.port, &good, "gateway-0").await.unwrap();
    socket.send(Message::Text("{\"type\":\"ack\"}".into())).await.unwrap();
    while let Some(Ok(_)) = timeout(PATIENCE, socket.next()).await.expect("it ends") {}
    dial(&authority(cluster), served.port, &good, "gateway-0").await.unwrap();
}
