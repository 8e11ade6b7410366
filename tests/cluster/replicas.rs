//! Replicas of the real operator, and what becomes of gateways and of what is written when one of them, or the API server, is killed or
//! stopped. With the real times of a lease in `make test-faults`.

use std::time::Duration;

use bannou_crds::push::{Reason, Snapshot, ToGateway, ToOperator, Version};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

use crate::identity::{AUDIENCE, account_and_pod, token};
use crate::kit::Cluster;
use crate::kit::binary::Binary;
use crate::kit::gateway::{Gateway, ack, dial};
use crate::kit::history::History;
use crate::kit::operator::{exposure, fleet};
use crate::process::PATIENCE;

const STATUSES: &str = "bannou_operator_writes_total{what=\"status\",result=\"written\"}";

/// A fleet with one exposure, a gateway's Pod, and its token.
struct Scene<'c> {
    cluster: &'c Cluster,
    client: Client,
    game: String,
    token: String,
}

impl<'c> Scene<'c> {
    async fn new(cluster: &'c Cluster) -> Scene<'c> {
        let client = cluster.client().await;
        let game = cluster.namespace("game", &[]).await;
        cluster.apply(&account_and_pod(&game, "bannou-gateway", "gateway-0")).await.unwrap();
        cluster.apply(&(fleet(&game) + "---" + &exposure(&game, &game, "one", "/1"))).await.unwrap();
        let token = token(&client, &game, "bannou-gateway", AUDIENCE, Some("gateway-0")).await;
        Scene { cluster, client, game, token }
    }

    async fn replica(&self, pod: &str, lease: &str) -> Binary {
        let replica = Binary::start(self.cluster, &self.game, pod, &["--lease-seconds", lease]).await;
        replica.is_ready().await;
        replica
    }

    async fn edit(&self, path: &str) {
        self.cluster.apply(&exposure(&self.game, &self.game, "one", path)).await.unwrap();
    }

    /// A link to that replica, with what the gateway has.
    async fn link(&self, replica: &Binary, snapshot: Snapshot) -> Gateway {
        let path = "jsonpath={.data.ca\\.crt}";
        let trusted = self.cluster.kubectl(&["get", "cm", "-n", &self.game, "bannou-operator-ca", "-o", path]).await;
        Gateway::greet(dial(&trusted, replica.push, &self.token, "gateway-0").await.unwrap(), snapshot).await
    }

    /// One that obeys the catalog with the exposure in it.
    async fn gateway(&self, replica: &Binary) -> Gateway {
        replica.until("it is published", |m| m.of_fleet("catalog_services", &self.game) == Some(1.0)).await;
        self.until("cm/bannou-operator-ca", "create").await;
        let mut gateway = self.link(replica, Snapshot::default()).await;
        gateway.next(ack).await;
        assert_eq!(gateway.services(), ["one"]);
        gateway
    }

    async fn until(&self, object: &str, condition: &str) {
        let condition = format!("--for={condition}");
        self.cluster.kubectl(&["wait", "-n", &self.game, &condition, "--timeout=150s", object]).await;
    }

    async fn programmed(&self, reason: &str) {
        let path = "jsonpath={.status.conditions[?(@.type==\"Programmed\")].reason}";
        self.until("sexp/one", &format!("{path}={reason}")).await;
    }

    /// Everything is obeyed, and written.
    async fn settled(&self, generation: u32) {
        for object in ["sexp/one", "tier/anonymous", "fl/default"] {
            self.until(object, "condition=Programmed").await;
        }
        self.until("sexp/one", &format!("jsonpath={{.status.observedGeneration}}={generation}")).await;
        self.until("fl/default", "jsonpath={.status.gateways}=1").await;
    }

    async fn lease(&self) -> Lease {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.game);
        api.get("bannou-operator").await.unwrap()
    }
}

async fn statuses(replica: &Binary) -> usize {
    replica.metrics().await.value(STATUSES).unwrap_or_default() as usize
}

/// That nothing flapped: what was obeyed is, and nothing was judged anew that nobody edited.
fn nothing_flapped(history: &History, mark: usize, edited: i64) {
    for version in history.since(mark) {
        let programmed = (version.condition("Programmed", "status"), version.condition("Programmed", "reason"));
        let waits = version.generation == edited && programmed == ("Unknown", "Pending");
        assert!(waits || programmed == ("True", "Programmed"), "{version:#?}");
        assert_eq!(version.condition("Accepted", "status"), "True");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gateways_answer_decides_what_is_programmed() {
    let (cluster, _turn) = Cluster::alone().await;
    let scene = Scene::new(cluster).await;
    let operator = scene.replica("operator-0", "6").await;
    operator.holds().await;
    scene.programmed("NoGatewaysConnected").await;
    scene.until("fl/default", "jsonpath={.status.gateways}=0").await;

    scene.until("cm/bannou-operator-ca", "create").await;
    let mut gateway = scene.link(&operator, Snapshot::default()).await;
    let reasons = || vec![Reason { resource: Some("service one".into()), why: "no room for it".into() }];
    let (refused, _) = gateway.next(|version| ToOperator::Nack { version, reasons: reasons() }).await;
    scene.programmed("Rejected").await;
    let said = "jsonpath={.status.conditions[?(@.type==\"Programmed\")].message}";
    let said = cluster.kubectl(&["get", "sexp", "-n", &scene.game, "one", "-o", said]).await;
    assert!(said.contains("service one: no room for it"), "{said}");
    scene.until("fl/default", "jsonpath={.status.gateways}=1").await;
    let metrics = operator.metrics().await;
    assert_eq!(metrics.of_fleet("catalogs_rejected_total", &scene.game), Some(1.0));
    assert_eq!(metrics.of_fleet("gateways", &scene.game), Some(1.0));
    assert_eq!(metrics.of_fleet("gateways_acked", &scene.game), Some(0.0));

    // Another one is offered, and waits for its answer.
    scene.edit("/2").await;
    let history = History::begin(&scene.client).await;
    let offered = loop {
        match gateway.hear().await.expect("the link ended") {
            ToGateway::End { version, .. } => break version,
            ToGateway::Delta { delta } => break delta.version,
            _ => {}
        }
    };
    assert!(offered > refused);
    scene.programmed("Pending").await;
    let obeyed = || history.since(0).iter().any(|v| v.condition("Programmed", "status") == "True");
    assert!(!obeyed(), "nobody has answered yet");
    gateway.say(&ack(offered)).await;
    scene.settled(2).await;
    operator.until("it is counted", |m| m.of_fleet("gateways_acked", &scene.game) == Some(1.0)).await;
    assert!(operator.process.terminate().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_is_killed_is_followed_and_nothing_flaps() {
    Box::pin(killed("6", None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "with the real times: make test-faults"]
async fn a_holder_that_is_killed_is_followed_within_the_lease() {
    // The lease, two looks of who stands by, and what a busy machine takes.
    Box::pin(killed("15", Some(Duration::from_secs(15 + 4 + 3)))).await;
}

async fn killed(lease: &str, within: Option<Duration>) {
    let (cluster, _turn) = Cluster::alone().await;
    let scene = Scene::new(cluster).await;
    let first = scene.replica("operator-0", lease).await;
    let term = first.holds().await;
    let second = scene.replica("operator-1", lease).await;
    let mut gateway = scene.gateway(&first).await;
    scene.settled(1).await;

    // Who stands by says where the holder is.
    let mut misled = scene.link(&second, gateway.snapshot.clone()).await;
    let Some(ToGateway::Elsewhere { holder: Some(holder), address }) = misled.hear().await else { panic!("where?") };
    assert!(holder.starts_with("operator-0/"), "{holder}");
    assert_eq!(address.map(|a| a.port()), Some(first.push));
    assert_eq!(misled.hear().await, None);

    let history = History::begin(&scene.client).await;
    let before = scene.lease().await.spec.unwrap();
    first.process.signal("KILL");
    assert_eq!(gateway.hear().await, None);
    let next = second.holds().await;
    assert!(next > term);
    let after = scene.lease().await.spec.unwrap();
    if let Some(within) = within {
        // It may have renewed it once more after that was read.
        let took = after.acquire_time.unwrap().0.duration_since(before.renew_time.unwrap().0);
        assert!(took.unsigned_abs() <= within + Duration::from_secs(2), "{took:?}");
    }
    let mut gateway = scene.link(&second, gateway.snapshot.clone()).await;
    let (version, words) = gateway.next(ack).await;
    assert_eq!((version.term, words), (next, 1), "the same catalog under a new version");
    scene.edit("/2").await;
    assert!(gateway.next(ack).await.0 > version);
    scene.settled(2).await;
    nothing_flapped(&history, 0, 2);
    assert_eq!(history.statuses_since(0), statuses(&second).await, "each write changed something");
    assert!(second.process.terminate().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_was_stopped_wakes_up_and_changes_nothing() {
    Box::pin(stopped("6", Duration::ZERO)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "with the real times: make test-faults"]
async fn a_holder_that_was_stopped_for_a_minute_wakes_up_and_changes_nothing() {
    Box::pin(stopped("15", Duration::from_secs(60))).await;
}

async fn stopped(lease: &str, asleep: Duration) {
    let (cluster, _turn) = Cluster::alone().await;
    let scene = Scene::new(cluster).await;
    let first = scene.replica("operator-0", lease).await;
    let term = first.holds().await;
    let second = scene.replica("operator-1", lease).await;
    let mut faithful = scene.gateway(&first).await;
    scene.settled(1).await;
    let written = statuses(&first).await;

    let history = History::begin(&scene.client).await;
    let (fell_asleep, mark) = (Instant::now(), first.process.mark());
    first.process.signal("STOP");
    let next = second.holds().await;
    assert!(next > term);
    let mut gateway = scene.link(&second, faithful.snapshot.clone()).await;
    assert_eq!(gateway.next(ack).await.0.term, next);
    scene.edit("/2").await;
    gateway.next(ack).await;
    scene.settled(2).await;
    while fell_asleep.elapsed() < asleep {
        // Whoever answers no ping for so long is not there any more.
        sleep(Duration::from_secs(10)).await;
        gateway.is_linked_and_silent().await;
    }
    let settled = history.mark();

    // It wakes up with a link, an edit that it has not read, and a lease that is over.
    first.process.signal("CONT");
    match faithful.try_next(ack).await {
        Err(Some(ToGateway::Elsewhere { address, .. })) => assert_eq!(address.map(|a| a.port()), Some(second.push)),
        // No ping was answered for long, so the link is over for it.
        Err(None) if !asleep.is_zero() => {}
        other => panic!("{other:?}"),
    }
    first.process.line_after(mark, "somebody else holds the lease").await;
    first.until("it stands by", |m| m.value("bannou_operator_holder") == Some(0.0)).await;
    assert_eq!(statuses(&first).await, written);
    assert!(history.since(settled).is_empty(), "{:#?}", history.since(settled));
    scene.edit("/3").await;
    gateway.next(ack).await;
    scene.settled(3).await;
    nothing_flapped(&history, settled, 3);
    assert_eq!(statuses(&first).await, written);
    assert_eq!(history.statuses_since(0), statuses(&second).await, "each write changed something");

    // The one that slept is as good as any other.
    second.process.signal("KILL");
    let last = first.holds().await;
    assert!(last > next);
    let mut gateway = scene.link(&first, gateway.snapshot.clone()).await;
    assert_eq!(gateway.next(ack).await.0, Version { term: last, number: 1 });
    assert!(first.process.terminate().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_stops_or_dies_takes_nothing_from_anybody() {
    Box::pin(api_server("6", Duration::ZERO)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "with the real times: make test-faults"]
async fn an_api_server_that_stops_for_minutes_takes_nothing_from_anybody() {
    // Longer than any timeout of the operator's.
    Box::pin(api_server("15", Duration::from_secs(150))).await;
}

async fn api_server(lease: &str, asleep: Duration) {
    let cluster = Cluster::start().await;
    cluster.define().await;
    let scene = Scene::new(&cluster).await;
    let operator = scene.replica("operator-0", lease).await;
    let mut term = operator.holds().await;
    let mut gateway = scene.gateway(&operator).await;
    scene.settled(1).await;
    let history = History::begin(&scene.client).await;

    for (path, fault) in [("/2", "stops"), ("/3", "dies")] {
        let mark = operator.process.mark();
        let began = Instant::now();
        match fault {
            "stops" => cluster.signal_server("STOP"),
            _ => cluster.kill_server(),
        }
        operator.process.line_after(mark, "what was published counts on").await;
        let stale = "bannou_operator_stale{kind=\"ServiceExposure\"}";
        let metrics = operator.until("it is said to be old", |m| m.value(stale) == Some(1.0)).await;
        assert_eq!(metrics.value("bannou_operator_holder"), Some(0.0));
        assert_eq!(metrics.of_fleet("catalog_services", &scene.game), Some(1.0), "the last good one");
        assert!(metrics.0.contains("bannou_operator_api_errors_total"), "{}", metrics.0);
        assert_eq!((operator.ask("/livez").await.0, operator.ask("/readyz").await.0), (200, 200));
        gateway.is_linked_and_silent().await;
        while began.elapsed() < asleep {
            sleep(Duration::from_secs(10)).await;
            gateway.is_linked_and_silent().await;
        }

        match fault {
            "stops" => cluster.signal_server("CONT"),
            _ => cluster.start_server().await,
        }
        let next = operator.holds().await;
        assert!(next > term);
        term = next;
        let (version, words) = timeout(PATIENCE, gateway.next(ack)).await.expect("it goes on");
        assert_eq!((version.term, words), (term, 1), "the same catalog under a new version");
        scene.edit(path).await;
        gateway.next(ack).await;
        scene.settled(if path == "/2" { 2 } else { 3 }).await;
        operator.until("all is read again", |m| m.value(stale).is_none()).await;
    }
    // Its own watch ended with the API server: what it saw until then.
    nothing_flapped(&history, 0, 2);
    assert!(operator.process.terminate().success());
}
