//! Real gateways that follow a real operator: who is served, and what becomes of them when it goes.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;

use crate::client::Client;
use crate::identity::{AUDIENCE, account_and_pod, token};
use crate::kit::Cluster;
use crate::kit::backend::Backend;
use crate::kit::operator::{exposure, fleet};
use crate::kit::pod::{Gateway, Pod};
use crate::kit::running::Place;

/// Waits until an edit has reached a client.
async fn sees(client: &mut Client, name: &str) {
    while !client.services.contains_key(name) {
        client.control("service_update").await;
    }
}

async fn calls(client: &mut Client, name: &str, says: &str) {
    let answer = client.call(name, &json!("hello")).await;
    assert_eq!((answer.status, String::from_utf8(answer.body()).unwrap().as_str()), (200, says));
}

/// The catalog in force is the one that the next start begins with.
async fn is_saved(gateway: &Gateway) {
    for part in ["term", "number"] {
        let in_force = gateway.metric(&format!("config_{part}")).await;
        gateway.metric_until(&format!("config_saved_{part}"), |saved| saved == in_force).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_serves_its_own_fleet_and_who_is_no_gateway_gets_nothing() {
    let (cluster, _turn) = Cluster::alone().await;
    let client = cluster.client().await;
    let (game, other, none) = (
        cluster.namespace("game", &[]).await,
        cluster.namespace("other", &[]).await,
        cluster.namespace("none", &[]).await,
    );
    cluster.apply(&account_and_pod(&game, "app", "app-0")).await.unwrap();
    for (namespace, service) in [(&game, "ours"), (&other, "theirs")] {
        let resources = fleet(namespace) + "---" + &exposure(namespace, namespace, service, "/1");
        cluster.apply(&resources).await.unwrap();
    }
    let place = Place::new(&game, "operator-0");
    let operator = place.start(cluster, &[]).await;
    let backend = Backend::start().await;

    let pod = Pod::new(cluster, &game, "gateway-0").await;
    let gateway = pod.start_with(place.port, &backend, &["ours"]).await;
    gateway.ready().await;
    let mut connected = gateway.client().await;
    sees(&mut connected, "ours.call").await;
    assert_eq!(connected.names(), ["ours.call"]);
    calls(&mut connected, "ours.call", "POST /1 \"hello\"").await;
    gateway.metric_until("operator_linked", |linked| linked == 1.0).await;

    // A gateway of another namespace is one of that fleet, and where there is none it waits.
    let there = Pod::new(cluster, &other, "gateway-0").await;
    let theirs = there.start_with(place.port, &backend, &["theirs"]).await;
    theirs.ready().await;
    let mut foreign = theirs.client().await;
    sees(&mut foreign, "theirs.call").await;
    assert_eq!(foreign.names(), ["theirs.call"]);
    let nowhere = Pod::new(cluster, &none, "gateway-0").await;
    let waiting = nowhere.start_with(place.port, &backend, &[]).await;
    waiting.metric_until("operator_linked", |linked| linked == 1.0).await;

    let good = std::fs::read_to_string(pod.path("token")).unwrap();
    let account = token(&client, &game, "app", AUDIENCE, Some("app-0")).await;
    let audience = token(&client, &game, "bannou-gateway", "another", Some("gateway-0")).await;
    let unbound = token(&client, &game, "bannou-gateway", AUDIENCE, None).await;
    let forged = good[..good.len() - 8].to_owned() + "AAAAAAAA";
    for (name, wrong) in [
        ("gateway-0", &account),
        ("gateway-0", &audience),
        ("gateway-0", &unbound),
        ("gateway-0", &forged),
        ("gateway-1", &good),
    ] {
        let pod = Pod::new(cluster, &game, name).await.with_token(wrong);
        let gateway = pod.start_with(place.port, &backend, &[]).await;
        gateway.metric_until("operator_dials_total{outcome=\"refused\"}", |refused| refused >= 1.0).await;
        let line = gateway.process.line("no link to the operator").await;
        assert!(line.contains("401"), "{line}");
        refuses_clients(&gateway).await;
        assert!(!gateway.process.output().contains(wrong.as_str()), "the token is in no log");
    }
    refuses_clients(&waiting).await;
    assert!(!operator.process.output().contains(good.as_str()), "nor in the operator's");

    // A token file is read again at each dial, and so is the CA.
    let late = Pod::new(cluster, &game, "gateway-2").await;
    let (token, ca) = (std::fs::read(late.path("token")).unwrap(), std::fs::read(late.path("ca.crt")).unwrap());
    std::fs::remove_file(late.path("ca.crt")).unwrap();
    let late = late.with_token("");
    let gateway = late.start_with(place.port, &backend, &["ours"]).await;
    gateway.metric_until("operator_dials_total{outcome=\"ca\"}", |dials| dials >= 1.0).await;
    std::fs::write(late.path("ca.crt"), ca).unwrap();
    gateway.metric_until("operator_dials_total{outcome=\"token\"}", |dials| dials >= 1.0).await;
    std::fs::write(late.path("token"), token).unwrap();
    gateway.ready().await;
    assert!(gateway.client().await.services.contains_key("ours.call"));
}

/// Nothing is known there: it says so, and admits nobody.
async fn refuses_clients(gateway: &Gateway) {
    let (status, body) = gateway.admin("/readyz").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("awaiting the operator's first catalog"), "{body}");
    assert_eq!(gateway.admin("/livez").await.0, 200);
    match connect_async(&gateway.url).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_operator_is_away_clients_work_and_a_restart_begins_with_what_was_saved() {
    let (cluster, _turn) = Cluster::alone().await;
    let game = cluster.namespace("game", &[]).await;
    cluster.apply(&(fleet(&game) + "---" + &exposure(&game, &game, "one", "/1"))).await.unwrap();
    let place = Place::new(&game, "operator-0");
    let operator = place.start(cluster, &[]).await;
    let backend = Backend::start().await;
    let pod = Pod::new(cluster, &game, "gateway-0").await;
    let gateway = pod.start_with(place.port, &backend, &["one", "two"]).await;
    gateway.ready().await;
    let mut client = gateway.client().await;
    sees(&mut client, "one.call").await;
    is_saved(&gateway).await;

    // For the whole time of a client's work.
    operator.process.kill();
    gateway.metric_until("operator_linked", |linked| linked == 0.0).await;
    calls(&mut client, "one.call", "POST /1 \"hello\"").await;
    let mut newcomer = gateway.client().await;
    calls(&mut newcomer, "one.call", "POST /1 \"hello\"").await;
    gateway.metric_until("operator_dials_total{outcome=\"unreachable\"}", |dials| dials >= 2.0).await;
    calls(&mut client, "one.call", "POST /1 \"hello\"").await;
    assert_eq!((gateway.admin("/readyz").await.0, gateway.closes().await), (200, 0.0));

    // The container dies and is started again; the Pod's folder is still there.
    let before = gateway.metric("config_number").await;
    gateway.process.kill();
    let gateway = pod.start_with(place.port, &backend, &["one", "two"]).await;
    // There is no operator to wait for; what is its own (the bus, the directory) takes it a moment.
    gateway.ready().await;
    assert_eq!((gateway.metric("config_number").await, gateway.metric("config_saved_number").await), (before, before));
    let mut client = gateway.client().await;
    calls(&mut client, "one.call", "POST /1 \"hello\"").await;
    // Another Pod has nothing saved, and needs the operator.
    let fresh = Pod::new(cluster, &game, "gateway-1").await;
    let waiting = fresh.start_with(place.port, &backend, &["one", "two"]).await;
    refuses_clients(&waiting).await;

    // What was edited meanwhile comes when the operator does.
    cluster.apply(&exposure(&game, &game, "two", "/2")).await.unwrap();
    let operator = place.start(cluster, &[]).await;
    sees(&mut client, "two.call").await;
    calls(&mut client, "two.call", "POST /2 \"hello\"").await;
    waiting.ready().await;
    assert_eq!(gateway.closes().await, 0.0);
    cluster.kubectl(&["wait", "-n", &game, "sexp/two", "--for=condition=Programmed", "--timeout=120s"]).await;
    drop(operator);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_says_where_the_operator_is_and_takes_over_when_it_dies() {
    let (cluster, _turn) = Cluster::alone().await;
    let game = cluster.namespace("game", &[]).await;
    cluster.apply(&(fleet(&game) + "---" + &exposure(&game, &game, "one", "/1"))).await.unwrap();
    let (first, second) = (Place::new(&game, "operator-0"), Place::new(&game, "operator-1"));
    let holder = first.start(cluster, &[]).await;
    holder.holds().await;
    let _standby = second.start(cluster, &[]).await;
    let backend = Backend::start().await;
    let pod = Pod::new(cluster, &game, "gateway-0").await;
    // It dials the one that stands by, as the Service may lead it there.
    let gateway = pod.start_with(second.port, &backend, &["one", "two"]).await;
    gateway.ready().await;
    let line = gateway.process.line(&format!("at 127.0.0.1:{}", first.port)).await;
    assert!(line.contains("linked to the operator"), "{line}");
    let mut client = gateway.client().await;
    sees(&mut client, "one.call").await;
    let term = gateway.metric("config_term").await;

    holder.process.kill();
    cluster.apply(&exposure(&game, &game, "two", "/2")).await.unwrap();
    sees(&mut client, "two.call").await;
    assert!(gateway.metric_until("config_term", |now| now > term).await > term);
    calls(&mut client, "one.call", "POST /1 \"hello\"").await;
    assert_eq!(gateway.closes().await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_word_for_too_long_only_anonymous_tiers_count_until_word_comes() {
    let (cluster, _turn) = Cluster::alone().await;
    let game = cluster.namespace("game", &[]).await;
    let issuer = super::journey::Issuer::new("https://id.test/");
    let member = format!(
        r#"
apiVersion: bannou.dev/v1alpha1
kind: AccessTier
metadata: {{name: player, namespace: {game}}}
spec:
  includes: [anonymous]
  admission: {{principal: Authenticated}}
  allowedExposures: {{namespaces: {{from: All}}, sources: [Resource, Annotation]}}
"#
    );
    let spec = json!({"issuers": [issuer.spec("main")], "maxConfigAge": "1m"});
    let resources = [
        fleet(&game),
        member,
        exposure(&game, &game, "one", "/1"),
        exposure(&game, &game, "two", "/2").replace("[anonymous]", "[player]"),
    ];
    cluster.apply(&resources.join("---")).await.unwrap();
    let patch = json!({"spec": spec}).to_string();
    cluster.kubectl(&["patch", "fleet", "-n", &game, "default", "--type=merge", "-p", &patch]).await;
    let place = Place::new(&game, "operator-0");
    let operator = place.start(cluster, &[]).await;
    let backend = Backend::start().await;
    let pod = Pod::new(cluster, &game, "gateway-0").await;
    let gateway = pod.start_with(place.port, &backend, &["one", "two"]).await;
    gateway.ready().await;
    let mut player = gateway.client_with(&issuer.token("ada", &json!({}))).await;
    sees(&mut player, "two.call").await;
    calls(&mut player, "two.call", "POST /2 \"hello\"").await;

    // A link that says nothing new is word enough.
    gateway.metric_until("config_age_seconds", |age| age > 4.0).await;
    assert!(gateway.metric("operator_silent_seconds").await < 3.0);
    is_saved(&gateway).await;
    operator.process.kill();
    gateway.process.kill();
    // The saved catalog says when the operator was heard last: the minute is over soon, and not yet.
    let heard = SystemTime::now() - Duration::from_secs(45);
    let file = std::fs::OpenOptions::new().write(true).open(pod.path("state/catalog.json")).unwrap();
    file.set_modified(heard).unwrap();
    let gateway = pod.start_with(place.port, &backend, &["one", "two"]).await;
    let mut anonymous = gateway.client().await;
    let mut player = gateway.client_with(&issuer.token("ada", &json!({}))).await;
    assert_eq!(player.names(), ["one.call", "two.call"]);
    while player.services.contains_key("two.call") {
        let update: Value = player.control("service_update").await;
        assert_eq!(update["removed"], json!(["two.call"]));
    }
    for client in [&mut anonymous, &mut player] {
        calls(client, "one.call", "POST /1 \"hello\"").await;
    }
    assert_eq!((gateway.admin("/readyz").await.0, gateway.closes().await), (200, 0.0));
    // Nor does a start make it younger.
    gateway.process.kill();
    let gateway = pod.start_with(place.port, &backend, &["one", "two"]).await;
    let mut player = gateway.client_with(&issuer.token("ada", &json!({}))).await;
    assert_eq!(player.names(), ["one.call"]);

    let _operator = place.start(cluster, &[]).await;
    sees(&mut player, "two.call").await;
    calls(&mut player, "two.call", "POST /2 \"hello\"").await;
}
