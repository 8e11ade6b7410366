//! The real operator and real gateways, as the chart's Pods say, with the tokens of the chart's ServiceAccounts: nothing is missing, nothing
//! is granted for nothing, and nothing is left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use tokio::time::{sleep, timeout};

use super::releases::{SYSTEM, cluster, install_kinds, release, remove, restricted, uninstall};
use super::rights::{everywhere, unused, within};
use crate::kit::Cluster;
use crate::kit::audit::Asked;
use crate::kit::kubelet::Container;
use crate::kit::operator::deployment;
use crate::process::{PATIENCE, free_port};

const EXPOSED: &str = r#"dapr.io/enabled: "true", dapr.io/app-id: account, bannou.dev/expose: "true", bannou.dev/endpoint.create: "POST /v1/accounts tiers=anonymous""#;
const MISTAKEN: &str = r#"dapr.io/enabled: "true", dapr.io/app-id: account, bannou.dev/expose: "true", bannou.dev/endpoint.create: "POST /../accounts tiers=anonymous""#;

async fn waits_for(cluster: &Cluster, namespace: &str, object: &str, what: &str) {
    cluster.kubectl(&["wait", "-n", namespace, &format!("--for={what}"), "--timeout=140s", object]).await;
}

fn loopback() -> String {
    "127.0.0.1".to_owned()
}

/// By a name that its certificate has, on loopback.
async fn operator(cluster: &Cluster, push: u16) -> Container {
    let pod = cluster.pod_of(SYSTEM, "operator", 0).await;
    let instead = [
        ("--push-bind", loopback()),
        ("--push-port", push.to_string()),
        ("--admin-bind", loopback()),
        ("--admin-port", free_port().to_string()),
        ("--service", "localhost".to_owned()),
    ];
    cluster.run(&pod, &instead).await
}

/// Starts once the operator has made what its Pod mounts.
async fn gateway(cluster: &Cluster, namespace: &str, push: u16) -> Container {
    let pod = cluster.pod_of(namespace, "gateway", 0).await;
    let any = || "0".to_owned();
    let instead = [
        ("--operator", format!("wss://localhost:{push}")),
        ("--bind", loopback()),
        ("--port", any()),
        ("--admin-bind", loopback()),
        ("--admin-port", any()),
        ("--internal-port", any()),
        ("--inspect-port", any()),
    ];
    cluster.run(&pod, &instead).await
}

/// Until an Event about the workload was told so often.
async fn told(cluster: &Cluster, namespace: &str, workload: &str, times: i32) {
    let api: Api<Event> = Api::namespaced(cluster.client().await, namespace);
    let about = ListParams::default().fields(&format!("involvedObject.name={workload},reason=InvalidAnnotation"));
    let search = async {
        loop {
            let all = api.list(&about).await.unwrap().items;
            let count = |event: &Event| event.series.as_ref().and_then(|series| series.count).unwrap_or(1);
            if all.iter().map(count).sum::<i32>() >= times {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("{workload} is not told {times} times"));
}

/// Rotations come with their time, the rest at once.
async fn all_is_used(cluster: &Cluster, rights: &BTreeSet<Asked>) {
    assert!(rights.len() > 3, "{rights:?}");
    let audit = || cluster.audit(SYSTEM, "bannou-operator");
    let used = async {
        while !unused(rights, &audit()).is_empty() {
            sleep(Duration::from_millis(500)).await;
        }
    };
    if timeout(PATIENCE, used).await.is_err() {
        panic!("granted and never used: {:#?}", unused(rights, &audit()));
    }
}

/// Everything of a namespace but what Kubernetes itself puts into each.
async fn contents(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let kinds = cluster.kubectl(&["api-resources", "--namespaced", "--verbs=list", "-o", "name"]).await;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let all = cluster.kubectl(&["get", &kinds.join(","), "-n", namespace, "-o", "name", "--ignore-not-found"]).await;
    let everywhere = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
    // kubectl warns of old kinds among the lines.
    let is_object = |line: &&str| !line.starts_with("Warning:") && !everywhere.contains(line);
    all.lines().filter(is_object).map(str::to_owned).collect()
}

async fn becomes_empty(cluster: &Cluster, namespace: &str) {
    let mut last = Vec::new();
    let empty = async {
        loop {
            last = contents(cluster, namespace).await;
            if last.is_empty() {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    if timeout(PATIENCE, empty).await.is_err() {
        panic!("left behind in {namespace}: {last:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_has_the_rights_it_needs_and_no_other_and_leaves_nothing_behind() {
    let (cluster, _turn) = cluster().await;
    for namespace in [SYSTEM, "chess"] {
        restricted(cluster, namespace).await;
    }
    install_kinds(cluster).await;
    // Keys and authority change within the test.
    let often = ["--set", "operator.fleetKeyRotation=5s,operator.caRotation=8s"];
    release(cluster, "install", "bannou", SYSTEM, "defaults", &often).await;
    let push = free_port();
    let operator = operator(cluster, push).await;
    operator.process.line("holds the lease").await;
    let gateway_of_default = gateway(cluster, SYSTEM, push).await;
    waits_for(cluster, SYSTEM, "fl/default", "condition=Programmed").await;

    // A fleet of another namespace: its Role lets the operator make its keys there.
    release(cluster, "install", "chess", "chess", "second-fleet", &[]).await;
    let gateway_of_chess = gateway(cluster, "chess", push).await;
    waits_for(cluster, "chess", "fl/chess", "condition=Programmed").await;

    // An annotation alone, on a fresh install.
    let accounts = cluster.namespace("accounts", &[]).await;
    cluster.apply(&deployment(&accounts, "account", EXPOSED)).await.unwrap();
    waits_for(cluster, &accounts, "sexp/account.deployment", "create").await;
    waits_for(cluster, &accounts, "sexp/account.deployment", "condition=Programmed").await;
    for times in [1, 2] {
        cluster.apply(&deployment(&accounts, "account", MISTAKEN)).await.unwrap();
        waits_for(cluster, &accounts, "sexp/account.deployment", "delete").await;
        told(cluster, &accounts, "account", times).await;
        cluster.apply(&deployment(&accounts, "account", EXPOSED)).await.unwrap();
        waits_for(cluster, &accounts, "sexp/account.deployment", "create").await;
    }
    all_is_used(cluster, &within(cluster, "chess").await).await;
    // Objects that go make the operator ask whether their definition went with them.
    cluster.kubectl(&["delete", "tier", "-n", "chess", "player"]).await;
    cluster.kubectl(&["delete", "fl", "-n", "chess", "chess"]).await;

    all_is_used(cluster, &within(cluster, SYSTEM).await).await;
    all_is_used(cluster, &everywhere(cluster).await).await;
    let audit = cluster.audit(SYSTEM, "bannou-operator");
    assert!(audit.forbidden.is_empty(), "refused: {:#?}\n{}", audit.forbidden, operator.process.output());
    for namespace in [SYSTEM, "chess"] {
        let gateways = cluster.audit(namespace, "bannou-gateway");
        assert!(gateways.allowed.is_empty() && gateways.forbidden.is_empty(), "{gateways:?}");
    }

    // While the operator runs, as it does until its Pod has ended.
    uninstall(cluster, "chess", "chess").await;
    uninstall(cluster, "bannou", SYSTEM).await;
    drop([gateway_of_chess, gateway_of_default]);
    assert!(operator.process.terminate().success());
    // The kinds are another release, with its own Secret.
    uninstall(cluster, "bannou-crds", SYSTEM).await;
    for namespace in [SYSTEM, "chess"] {
        becomes_empty(cluster, namespace).await;
    }
    let roles = cluster.kubectl(&["get", "clusterroles,clusterrolebindings", "-o", "name"]).await;
    assert!(!roles.contains("bannou"), "{roles}");
    cluster
        .kubectl(&["get", "crd", "fleets.bannou.dev", "accesstiers.bannou.dev", "serviceexposures.bannou.dev"])
        .await;
    // What a workload asked for stays with it.
    assert!(contents(cluster, &accounts).await.iter().any(|name| name.contains("account.deployment")));
    for namespace in [SYSTEM, "chess", &accounts] {
        remove(cluster, namespace).await;
    }
}
