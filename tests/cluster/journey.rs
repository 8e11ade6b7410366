//! From kubectl to a connected client: nobody touches the gateway.

use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::client::Client;
use crate::kit::Cluster;
use crate::kit::backend::Backend;
use crate::kit::certificates::lines;
use crate::kit::operator::{deployment, exposure, fleet};
use crate::kit::pod::{Gateway, Pod};
use crate::kit::running::Place;
use crate::pods::{a_node, a_pod_is};

/// Whose tokens a fleet accepts, by a public key in the resource itself.
pub struct Issuer {
    key: KeyPair,
    url: String,
}

impl Issuer {
    pub fn new(url: &str) -> Issuer {
        Issuer { key: KeyPair::generate().unwrap(), url: url.to_owned() }
    }

    /// As one of the Fleet's `issuers`.
    pub fn spec(&self, name: &str) -> Value {
        let der = lines(&self.key.subject_public_key_info());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}-----END PUBLIC KEY-----\n");
        json!({"name": name, "issuer": self.url, "audiences": ["game"], "algorithms": ["ES256"], "keys": {"inline": [{"pem": pem}]}})
    }

    /// For an hour, with these claims beside the usual ones.
    pub fn token(&self, subject: &str, more: &Value) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({"iss": self.url, "aud": "game", "sub": subject, "exp": now + 3600});
        claims.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let key = jsonwebtoken::EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes()).unwrap();
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }
}

/// The next message that says that this came or went.
async fn hears(client: &mut Client, name: &str, there: bool) -> Value {
    loop {
        let update = client.control("service_update").await;
        let came = update["added"].get(name).is_some();
        let went = update["removed"].as_array().unwrap().contains(&json!(name));
        if if there { came } else { went } {
            assert_eq!(client.services.contains_key(name), there);
            return update;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_with_annotations_becomes_callable_and_goes_again() {
    let (cluster, _turn) = Cluster::alone().await;
    cluster.controllers().await;
    a_node(cluster).await;
    let game = cluster.namespace("game", &[]).await;
    cluster.apply(&fleet(&game)).await.unwrap();
    let place = Place::new(&game, "operator-0");
    let _operator = place.start(cluster, &[]).await;
    let backend = Backend::start().await;
    let pod = Pod::new(cluster, &game, "gateway-0").await;
    let gateway = pod.start_with(place.port, &backend, &["account"]).await;
    gateway.ready().await;
    let mut client = gateway.client().await;
    assert!(client.services.is_empty());

    let annotations = r#"dapr.io/enabled: "true", dapr.io/app-id: account, bannou.dev/expose: "true",
        bannou.dev/endpoint.create: "POST /v1/accounts tiers=anonymous timeout=3s""#;
    cluster.apply(&deployment(&game, "account", annotations)).await.unwrap();
    let update = hears(&mut client, "account.create", true).await;
    assert_eq!(update["reason"], "catalog");
    let answer = client.call("account.create", &json!({"name": "ada"})).await;
    assert_eq!((answer.status, answer.body()), (200, br#"POST /v1/accounts {"name":"ada"}"#.to_vec()));

    // A Pod becomes ready, and is gone again: that is told to the team, and callers do not wait.
    let resolved = async |reason: &str| {
        let condition = format!("--for=jsonpath={{.status.conditions[?(@.type==\"ResolvedRefs\")].reason}}={reason}");
        let name = cluster.kubectl(&["get", "sexp", "-n", &game, "-o", "name"]).await;
        cluster.kubectl(&["wait", "-n", &game, name.trim(), &condition, "--timeout=120s"]).await;
    };
    resolved("NoReadyPods").await;
    a_pod_is(cluster, &game, "account", "True").await;
    resolved("ResolvedRefs").await;
    a_pod_is(cluster, &game, "account", "False").await;
    drop(backend);
    resolved("NoReadyPods").await;
    let answer = client.call("account.create", &json!({})).await;
    assert!([502, 503].contains(&answer.status), "{answer:?}");

    // The annotation goes, and with it what connected clients have of it.
    let removed = json!({"spec": {"template": {"metadata": {"annotations": {"bannou.dev/expose": null}}}}}).to_string();
    cluster.kubectl(&["patch", "deployment", "-n", &game, "account", "--type=merge", "-p", &removed]).await;
    let old = client.services["account.create"];
    hears(&mut client, "account.create", false).await;
    let number = client.send(old, b"{}").await;
    assert_eq!(client.answer(old, number).await.status, 403);
    assert_eq!(gateway.closes().await, 0.0);
}

/// The status of an upgrade with this `Origin`; 101 where there is one.
async fn upgrade(gateway: &Gateway, origin: &str) -> u16 {
    let mut request = gateway.url.as_str().into_client_request().unwrap();
    request.headers_mut().insert("origin", origin.parse().unwrap());
    match connect_async(request).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

async fn authenticate(client: &mut Client, token: &str, id: u64) -> bool {
    client.say(&json!({"type": "authenticate", "id": id, "token": token})).await;
    loop {
        for kind in ["ok", "error"] {
            if let Some(at) = client.said.iter().position(|said| said["type"] == kind && said["id"] == id) {
                client.said.remove(at);
                return kind == "ok";
            }
        }
        client.next().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fleet_changes_live() {
    let (cluster, _turn) = Cluster::alone().await;
    let game = cluster.namespace("game", &[]).await;
    let (main, other) = (Issuer::new("https://id.test/"), Issuer::new("https://other.test/"));
    let player = fleet(&game)
        .split("---")
        .nth(1)
        .unwrap()
        .replace("name: anonymous", "name: player")
        .replace("principal: Anonymous", "principal: Authenticated");
    let resources = [
        fleet(&game),
        player,
        exposure(&game, &game, "open", "/1"),
        exposure(&game, &game, "members", "/2").replace("[anonymous]", "[player]"),
    ];
    cluster.apply(&resources.join("---")).await.unwrap();
    let set = async |spec: Value| {
        let patch = json!({"spec": spec}).to_string();
        cluster.kubectl(&["patch", "fleet", "-n", &game, "default", "--type=merge", "-p", &patch]).await;
    };
    set(json!({"issuers": [main.spec("main")], "origins": ["https://play.test"]})).await;
    let place = Place::new(&game, "operator-0");
    let _operator = place.start(cluster, &[]).await;
    let backend = Backend::start().await;
    let pod = Pod::new(cluster, &game, "gateway-0").await;
    let gateway = pod.start_with(place.port, &backend, &["open", "members"]).await;
    gateway.ready().await;
    let in_force = async |before: f64| gateway.metric_until("config_number", |now| now > before).await;

    let mut client = gateway.client().await;
    while !client.services.contains_key("open.call") {
        client.control("service_update").await;
    }
    assert_eq!((upgrade(&gateway, "https://play.test").await, upgrade(&gateway, "https://new.test").await), (101, 403));
    assert!(authenticate(&mut client, &main.token("ada", &json!({})), 1).await);
    assert!(client.services.contains_key("members.call"));
    let mut later = gateway.client().await;
    assert!(!authenticate(&mut later, &other.token("bob", &json!({})), 1).await);

    // Another issuer and another origin: the one is believed from now on, the other let in.
    let before = gateway.metric("config_number").await;
    set(json!({"issuers": [main.spec("main"), other.spec("other")], "origins": ["https://new.test"]})).await;
    in_force(before).await;
    assert_eq!((upgrade(&gateway, "https://play.test").await, upgrade(&gateway, "https://new.test").await), (403, 101));
    assert!(authenticate(&mut later, &other.token("bob", &json!({})), 2).await);
    assert!(later.services.contains_key("members.call") && client.services.contains_key("members.call"));

    // An issuer that is none any more: what its tokens gave goes, and nobody is disconnected.
    set(json!({"issuers": [other.spec("other")]})).await;
    hears(&mut client, "members.call", false).await;
    assert!(!authenticate(&mut client, &main.token("ada", &json!({})), 3).await);
    assert!(later.services.contains_key("members.call"));

    // A name that only another namespace may claim.
    set(json!({"names": [{"pattern": "taken", "namespaces": ["elsewhere"]}]})).await;
    cluster.apply(&exposure(&game, &game, "taken", "/3")).await.unwrap();
    cluster.kubectl(&["wait", "-n", &game, "sexp/taken", "--for=condition=Accepted=False", "--timeout=120s"]).await;
    assert!(!client.services.contains_key("taken.call"));
    set(json!({"names": null})).await;
    hears(&mut client, "taken.call", true).await;
    assert_eq!(client.call("open.call", &json!(1)).await.status, 200);
    // Those alone are gone whose origin was tried.
    gateway.metric_until("connections", |connections| connections == 2.0).await;
    assert_eq!(gateway.closes().await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_rotates_the_fleet_key_and_nobody_disconnects() {
    let (cluster, _turn) = Cluster::alone().await;
    let game = cluster.namespace("game", &[]).await;
    cluster.apply(&(fleet(&game) + "---" + &exposure(&game, &game, "one", "/1"))).await.unwrap();
    let place = Place::new(&game, "operator-0");
    let _operator = place.start_with_own_ca(cluster, &["--fleet-key-rotation", "15s"]).await;
    let made = ["wait", "-n", &game, "secret/bannou-fleet-key", "--for=create", "--timeout=120s"];
    cluster.kubectl(&made).await;
    let backend = Backend::start().await;
    // Two Pods, of which the kubelet is quick with the one and slow with the other.
    let (quick, slow) = (Pod::new(cluster, &game, "gateway-0").await, Pod::new(cluster, &game, "gateway-1").await);
    let mut gateways = Vec::new();
    for pod in [&quick, &slow] {
        pod.mount_ca(cluster).await;
        let key = pod.mount_secret(cluster, "bannou-fleet-key").await.join("current.key");
        let gateway = pod
            .start(place.port, |command| {
                command.args(["--dapr-http", &backend.url(), "--override", &format!("one={}", backend.url())]);
                command.arg("--fleet-key-file").arg(key);
            })
            .await;
        gateway.ready().await;
        gateways.push(gateway);
    }
    let mut clients = Vec::new();
    for gateway in &gateways {
        let mut client = gateway.client().await;
        while !client.services.contains_key("one.call") {
            client.control("service_update").await;
        }
        clients.push(client);
    }
    let kept = clients[0].discovery["resume"]["token"].as_str().unwrap().to_owned();
    let handle = clients[0].services["one.call"];
    let session = clients[0].discovery["session_id"].clone();

    // Until the operator has rotated it.
    let mark = gateways[0].process.mark();
    let current = std::fs::read(quick.path("bannou-fleet-key").join("current.key")).unwrap();
    while std::fs::read(quick.path("bannou-fleet-key").join("current.key")).unwrap() == current {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        quick.mount_secret(cluster, "bannou-fleet-key").await;
    }
    assert_eq!(std::fs::read(quick.path("bannou-fleet-key").join("previous.key")).unwrap(), current);
    gateways[0].process.line_after(mark, "the fleet key has changed").await;
    for client in &mut clients {
        assert_eq!(client.call("one.call", &json!(1)).await.status, 200);
    }
    assert_eq!(gateways[0].closes().await + gateways[1].closes().await, 0.0);

    // A resume across: sealed by the key of before, at a gateway with that of now; under the handles of before.
    drop(clients.remove(0));
    gateways[0].metric_until("sessions_absent", |absent| absent == 1.0).await;
    let (mut back, resumed) = Client::resume(&gateways[0].url, &kept).await;
    assert_eq!((&resumed["session_id"], back.services["one.call"]), (&session, handle));
    assert_eq!(back.call("one.call", &json!(1)).await.status, 200);
    // And the other way: what the new key seals, one opens that knows it as the next. The session is not there; the token is the fleet's.
    let token = resumed["resume"]["token"].as_str().unwrap();
    let (_, fresh) = Client::resume(&gateways[1].url, token).await;
    assert_eq!(fresh["type"], "service_discovery");
    assert_eq!(gateways[1].metric("resumes_total{reason=\"session over\"}").await, 1.0);
    assert_eq!(gateways[1].metric("resumes_total{reason=\"token not of this fleet\"}").await, 0.0);
}
