//! What the operator writes: conditions, exposures from annotations, Events; and that only one replica does.

use std::collections::BTreeMap;
use std::time::Duration;

use bannou_crds::kinds::ServiceExposure;
use bannou_operator::apply;
use bannou_operator::controller::Output;
use bannou_operator::index::{Key, ObjectKind, ObjectRef};
use bannou_operator::lease::Holding;
use bannou_operator::metrics::Meters;
use bannou_operator::publish::{Gateway, Version};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

use crate::kit::Cluster;
use crate::kit::operator::{Operator, Reading, deployment, exposure, fleet};
use crate::kit::replica::Replica;
use crate::process::PATIENCE;

const EXPOSED: &str = r#"dapr.io/enabled: "true", dapr.io/app-id: account, bannou.dev/expose: "true""#;

fn names(output: &Output, fleet: &str) -> Vec<String> {
    output.services(fleet).into_iter().map(|s| s.name).collect()
}

async fn waits_for(cluster: &Cluster, namespace: &str, object: &str, condition: &str) {
    cluster.kubectl(&["wait", "-n", namespace, &format!("--for={condition}"), "--timeout=150s", object]).await;
}

/// The Events about an object, once there is one with the text.
async fn event(client: &Client, namespace: &str, name: &str, text: &str) -> Event {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let search = async {
        loop {
            let all = api.list(&ListParams::default().fields(&format!("involvedObject.name={name}"))).await.unwrap();
            if let Some(event) = all.items.into_iter().find(|e| e.message.as_deref().is_some_and(|m| m.contains(text)))
            {
                return event;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("no Event about {name} says {text:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_are_written_on_change_and_gateways_decide_programmed() {
    let (cluster, _turn) = Cluster::alone().await;
    let sys = cluster.namespace("sys", &[]).await;
    let mut replica = Replica::start(cluster, &sys, "one").await;
    let term = replica.holds().await;
    cluster.apply(&(fleet(&sys) + "---" + &exposure(&sys, &sys, "one", "/1"))).await.unwrap();
    waits_for(cluster, &sys, "sexp/one", "condition=Accepted").await;
    waits_for(cluster, &sys, "tier/anonymous", "condition=Accepted").await;
    waits_for(cluster, &sys, "fl/default", "condition=Accepted").await;
    let api: Api<ServiceExposure> = Api::namespaced(cluster.client().await, &sys);
    waits_for(
        cluster,
        &sys,
        "sexp/one",
        "jsonpath={.status.conditions[?(@.reason==\"NoGatewaysConnected\")].status}=False",
    )
    .await;

    let fleet_key = Key::new(&sys, "default");
    let version = replica.until("it is published", |o| names(o, &sys) == ["one"]).await.catalogs[&fleet_key].version;
    assert_eq!(version.term, term);
    let gateway = Gateway { name: "gateway-0".into(), acked: Some(version), ..Gateway::default() };
    replica.gateways.send_replace(BTreeMap::from([(fleet_key.clone(), vec![gateway.clone()])]));
    waits_for(cluster, &sys, "sexp/one", "condition=Programmed").await;
    waits_for(cluster, &sys, "fl/default", "condition=Programmed").await;
    let settled = api.get("one").await.unwrap();
    let status = settled.status.clone().unwrap();
    assert_eq!((status.observed_generation, status.endpoint_count), (Some(1), Some(1)));
    assert!(status.conditions.iter().all(|c| c.observed_generation == Some(1)));

    // Another object's coming and going is a new catalog, but nothing to write here.
    cluster.apply(&exposure(&sys, &sys, "two", "/2")).await.unwrap();
    waits_for(cluster, &sys, "sexp/two", "condition=Accepted").await;
    cluster.kubectl(&["delete", "sexp", "-n", &sys, "two"]).await;
    replica.until("it is gone", |o| names(o, &sys) == ["one"]).await;
    assert_eq!(api.get("one").await.unwrap().metadata.resource_version, settled.metadata.resource_version);

    // An edit is judged for its own generation, and obeyed when it is taken over.
    cluster.apply(&exposure(&sys, &sys, "one", "/other")).await.unwrap();
    waits_for(cluster, &sys, "sexp/one", "jsonpath={.status.observedGeneration}=2").await;
    waits_for(cluster, &sys, "sexp/one", "condition=Programmed=Unknown").await;
    let next = Version { term, number: u64::MAX };
    let refusal = Gateway { refused: Some((next, "no room".into())), ..gateway };
    replica.gateways.send_replace(BTreeMap::from([(fleet_key, vec![refusal])]));
    waits_for(cluster, &sys, "sexp/one", "jsonpath={.status.conditions[?(@.type==\"Programmed\")].reason}=Rejected")
        .await;
    replica.stop().await;
}

/// One write of what the output asks for.
async fn write_once(client: &Client, holding: Holding, output: Output) {
    let (sender, outputs) = tokio::sync::watch::channel(output);
    drop(sender);
    apply::run(client.clone(), holding, Meters::default(), outputs).await;
}

/// Two locks: the time that is left of the lease, and the version of what was judged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_late_writes_nothing() {
    let (cluster, _turn) = Cluster::alone().await;
    let sys = cluster.namespace("sys", &[]).await;
    let client = cluster.client().await;
    let mut reader = Operator::start(cluster, 1).await;
    cluster.apply(&(fleet(&sys) + "---" + &exposure(&sys, &sys, "one", "/1"))).await.unwrap();
    let old = reader.until("it is published", |o| names(o, &sys) == ["one"]).await;
    let object = ObjectRef { kind: ObjectKind::ServiceExposure, key: Key::new(&sys, "one") };
    let seen = old.written[&object].resource_version.clone();
    let valid = || Holding::new(1, Instant::now() + PATIENCE);
    let api: Api<ServiceExposure> = Api::namespaced(client.clone(), &sys);

    write_once(&client, Holding::new(1, Instant::now()), old.clone()).await;
    assert_eq!(api.get("one").await.unwrap().status, None, "the lease is over");

    cluster.kubectl(&["annotate", "sexp", "-n", &sys, "one", "touched=yes"]).await;
    write_once(&client, valid(), old).await;
    assert_eq!(api.get("one").await.unwrap().status, None, "it is another version than was judged");

    let new = reader.until("it is heard", |o| o.written[&object].resource_version != seen).await;
    write_once(&client, valid(), new).await;
    assert!(api.get("one").await.unwrap().status.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_registers_itself_and_mistakes_are_told() {
    let (cluster, _turn) = Cluster::alone().await;
    let sys = cluster.namespace("sys", &[]).await;
    let client = cluster.client().await;
    let mut replica = Replica::start(cluster, &sys, "one").await;
    replica.holds().await;
    // The operator's default fleet is not set in this test, so the annotated workload's exposure says that it has none.
    let line = |path: &str| format!("{EXPOSED}, bannou.dev/endpoint.call: \"POST {path} tiers=anonymous\"");
    cluster.apply(&deployment(&sys, "account", &line("/1"))).await.unwrap();
    waits_for(cluster, &sys, "sexp/account.deployment", "create").await;
    let api: Api<ServiceExposure> = Api::namespaced(client.clone(), &sys);
    let made = api.get("account.deployment").await.unwrap();
    assert_eq!(made.spec.endpoints[0].path, "/1");
    assert_eq!(made.metadata.owner_references.as_ref().unwrap()[0].name, "account");

    cluster.apply(&deployment(&sys, "account", &line("/2"))).await.unwrap();
    waits_for(cluster, &sys, "sexp/account.deployment", "jsonpath={.spec.endpoints[0].path}=/2").await;

    // A mistake: told on the workload with its words, and nothing is exposed any more.
    cluster.apply(&deployment(&sys, "account", &line("/../2"))).await.unwrap();
    waits_for(cluster, &sys, "sexp/account.deployment", "delete").await;
    let told =
        event(&client, &sys, "account", "\"POST /../2 tiers=anonymous\": path: must not hold the segment \"..\"").await;
    assert_eq!((told.type_.as_deref(), told.reason.as_deref()), (Some("Warning"), Some("InvalidAnnotation")));
    let described = cluster.kubectl(&["describe", "deployment", "-n", &sys, "account"]).await;
    assert!(described.contains("InvalidAnnotation"), "{described}");

    // Somebody's own by the name that the operator would give it is left alone.
    let foreign = exposure(&sys, &sys, "account", "/theirs").replace("name: account,", "name: account.deployment,");
    cluster.apply(&foreign).await.unwrap();
    cluster.apply(&deployment(&sys, "account", &line("/3"))).await.unwrap();
    event(&client, &sys, "account", "is not the operator's").await;
    assert_eq!(api.get("account.deployment").await.unwrap().spec.endpoints[0].path, "/theirs");
    cluster.kubectl(&["delete", "sexp", "-n", &sys, "account.deployment"]).await;
    waits_for(cluster, &sys, "sexp/account.deployment", "create").await;
    waits_for(cluster, &sys, "sexp/account.deployment", "jsonpath={.spec.endpoints[0].path}=/3").await;
    cluster.kubectl(&["delete", "deployment", "-n", &sys, "account"]).await;
    waits_for(cluster, &sys, "sexp/account.deployment", "delete").await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_holds_the_lease_killed_stopped_or_told_to_end() {
    let (cluster, _turn) = Cluster::alone().await;
    let sys = cluster.namespace("sys", &[]).await;
    let mut first = Replica::start(cluster, &sys, "first").await;
    let term = first.holds().await;
    let mut second = Replica::start(cluster, &sys, "second").await;
    second.stands_by("first").await;
    cluster.apply(&(fleet(&sys) + "---" + &exposure(&sys, &sys, "one", "/1"))).await.unwrap();
    waits_for(cluster, &sys, "sexp/one", "condition=Accepted").await;
    assert_eq!(second.output.borrow().compiled, 0, "who stands by says nothing");

    // Stopped, as by SIGSTOP, while somebody edits; the other takes over, with a higher term.
    let frozen = first.freeze().await;
    let next = second.holds().await;
    assert!(next > term);
    cluster.apply(&exposure(&sys, &sys, "one", "/other")).await.unwrap();
    waits_for(cluster, &sys, "sexp/one", "jsonpath={.status.observedGeneration}=2").await;
    let output = second.until("it is published", |o| names(o, &sys) == ["one"]).await;
    assert_eq!(output.catalogs[&Key::new(&sys, "default")].version.term, next);
    let api: Api<ServiceExposure> = Api::namespaced(cluster.client().await, &sys);
    let settled = api.get("one").await.unwrap().metadata.resource_version;
    // It wakes up with something to write on its mind, knows that it holds nothing, and writes nothing.
    let taken =
        Gateway { name: "gateway-0".into(), acked: Some(Version { term: u64::MAX, number: 1 }), ..Gateway::default() };
    first.gateways.send_replace(BTreeMap::from([(Key::new(&sys, "default"), vec![taken])]));
    drop(frozen);
    first.stands_by("second").await;
    assert_eq!(api.get("one").await.unwrap().metadata.resource_version, settled);

    // Killed: followed after its time. Told to end: followed at once, since it lets go.
    second.kill().await;
    let third = first.holds().await;
    assert!(third > next);
    let mut last = Replica::start(cluster, &sys, "last").await;
    last.stands_by("first").await;
    first.stop().await;
    assert!(last.holds().await > third);
    assert_eq!(api.get("one").await.unwrap().metadata.resource_version, settled, "nobody had anything to write");
    last.stop().await;
}
