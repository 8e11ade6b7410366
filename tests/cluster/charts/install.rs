//! What a real API server, with the real controllers, makes of the charts.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::foreign::foreign_kinds;
use super::releases::{SYSTEM, cluster, install_kinds, release, remove, restricted, uninstall};
use super::rendered::{VALUES, values};
use crate::kit::Cluster;
use crate::kit::helm::chart;
use crate::process::PATIENCE;

pub async fn json(cluster: &Cluster, arguments: &[&str]) -> Value {
    let (good, text) = cluster.try_kubectl(&[arguments, &["-o", "json"]].concat(), "").await;
    assert!(good, "kubectl {arguments:?}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Pods that controllers could not make, in words.
async fn failures(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let events = json(cluster, &["get", "events", "-n", namespace]).await;
    let of = |event: &Value| format!("{}: {}", event["reason"], event["message"]);
    let all = events["items"].as_array().unwrap().iter();
    all.filter(|event| event["reason"].as_str().is_some_and(|r| r == "FailedCreate")).map(of).collect()
}

/// Every Deployment of the namespace has as many Pods as it wants: admitted, though there is no node for them.
pub async fn pods_are_made(cluster: &Cluster, namespace: &str) {
    let made = async {
        loop {
            let all = json(cluster, &["get", "deployments", "-n", namespace]).await;
            let all = all["items"].as_array().unwrap().clone();
            assert!(!all.is_empty(), "no Deployment in {namespace}");
            if all.iter().all(|d| {
                d["status"]["replicas"] == d["spec"]["replicas"]
                    && d["status"]["observedGeneration"] == d["metadata"]["generation"]
            }) {
                return;
            }
            let failures = failures(cluster, namespace).await;
            assert!(failures.is_empty(), "{namespace}: {failures:?}");
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, made).await.unwrap_or_else(|_| panic!("Pods of {namespace} are not made"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_accepted_and_pods_are_admitted_as_restricted() {
    let (cluster, _turn) = cluster().await;
    foreign_kinds(cluster).await;
    restricted(cluster, SYSTEM).await;
    install_kinds(cluster).await;
    for name in VALUES {
        let namespace = if name == "second-fleet" { "chess" } else { SYSTEM };
        if name == "second-fleet" {
            restricted(cluster, namespace).await;
        }
        let said = release(cluster, "install", "bannou", namespace, name, &[]).await;
        assert!(!said.contains("Warning:"), "{name}: {said}");
        assert!(said.contains("rollout status deployment/bannou-gateway"), "{name}: {said}");
        pods_are_made(cluster, namespace).await;
        let pod: Pod = cluster.pod_of(namespace, "gateway", 0).await;
        let spec = pod.spec.unwrap();
        let mounted = spec.containers[0]
            .volume_mounts
            .iter()
            .flatten()
            .any(|m| m.mount_path.contains("kubernetes.io/serviceaccount"));
        assert!(!mounted, "{name}: a token for the API server is in a gateway's Pod");
        if name == "everything" {
            ways_in(cluster).await;
        }
        uninstall(cluster, "bannou", namespace).await;
        if name == "second-fleet" {
            remove(cluster, namespace).await;
        }
    }
    uninstall(cluster, "bannou-crds", SYSTEM).await;
    remove(cluster, SYSTEM).await;
}

/// An Ingress and a route of the Gateway API, as the API server keeps them; and a route that its definition refuses, since it has rules.
async fn ways_in(cluster: &Cluster) {
    let ingress = json(cluster, &["get", "ingress", "-n", SYSTEM, "bannou-gateway"]).await;
    let rule = &ingress["spec"]["rules"][0];
    assert_eq!(rule["http"]["paths"][0]["backend"]["service"]["name"], "bannou-gateway", "{ingress}");
    let route = json(cluster, &["get", "httproute", "-n", SYSTEM, "bannou-gateway"]).await;
    // What a definition without a schema would not have added.
    assert_eq!(route["spec"]["parentRefs"][0]["kind"], "Gateway", "{route}");
    assert_eq!(route["spec"]["rules"][0]["backendRefs"][0]["weight"], 1, "{route}");
    let mut wrong = route.clone();
    wrong["spec"]["rules"][0]["timeouts"]["request"] = "for ever".into();
    wrong["metadata"] = serde_json::json!({"name": "wrong", "namespace": SYSTEM});
    let refused = cluster.apply(&wrong.to_string()).await.unwrap_err();
    assert!(refused.contains("spec.rules[0].timeouts.request"), "{refused}");
}

/// In a namespace that takes no other Pods, one that is not restricted is refused: else the test above would show nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_not_restricted_is_not_admitted() {
    let (cluster, _turn) = cluster().await;
    restricted(cluster, "strict").await;
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: free, namespace: strict}\nspec: {containers: [{name: a, image: none}]}\n";
    let refused = cluster.apply(pod).await.unwrap_err();
    assert!(refused.contains("violates PodSecurity"), "{refused}");
    remove(cluster, "strict").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateways_account_may_do_what_anybody_may_and_nothing_else() {
    let (cluster, _turn) = cluster().await;
    restricted(cluster, SYSTEM).await;
    install_kinds(cluster).await;
    release(cluster, "install", "bannou", SYSTEM, "defaults", &[]).await;
    let may = |account: &'static str| async move {
        let user = format!("--as=system:serviceaccount:{SYSTEM}:{account}");
        let groups = ["system:serviceaccounts", "system:serviceaccounts:bannou-system", "system:authenticated"];
        let groups = groups.map(|group| format!("--as-group={group}"));
        let mut arguments = vec!["auth", "can-i", "--list", "-n", SYSTEM, &user];
        arguments.extend(groups.iter().map(String::as_str));
        let mut lines: Vec<String> = cluster.kubectl(&arguments).await.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let [gateway, nobody, operator] = [may("bannou-gateway").await, may("nobody").await, may("bannou-operator").await];
    assert_eq!(gateway, nobody);
    assert!(operator.len() > nobody.len(), "{operator:?}");
    uninstall(cluster, "bannou", SYSTEM).await;
    uninstall(cluster, "bannou-crds", SYSTEM).await;
    remove(cluster, SYSTEM).await;
}

/// A kind as the next version of the chart has it: with a column more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_kind_reaches_the_cluster_by_an_upgrade_and_stays_when_the_chart_goes() {
    let (cluster, _turn) = cluster().await;
    restricted(cluster, SYSTEM).await;
    install_kinds(cluster).await;
    release(cluster, "install", "bannou", SYSTEM, "defaults", &[]).await;
    let columns = || async {
        let kind = json(cluster, &["get", "crd", "fleets.bannou.dev"]).await;
        let columns = kind["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap().clone();
        (
            columns.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
            kind["metadata"]["uid"].clone(),
        )
    };
    let (before, uid) = columns().await;
    let next = next_version(|kind| {
        kind.replacen(
            "  - additionalPrinterColumns:\n",
            "  - additionalPrinterColumns:\n    - jsonPath: .spec.origins\n      name: Origins\n      type: string\n",
            1,
        )
    });
    let crds = next.path().join("bannou-crds");
    cluster.helm(&["upgrade", "bannou-crds", crds.to_str().unwrap(), "--namespace", SYSTEM]).await;
    let (after, same) = columns().await;
    assert_eq!((after[0].as_str(), &after[1..], same), ("Origins", &before[..], uid.clone()));
    // The Fleet has lived through it, and the main chart is upgraded after it.
    release(cluster, "upgrade", "bannou", SYSTEM, "defaults", &["--set", "fleet.spec.origins[0]=https://a.example"])
        .await;
    assert!(cluster.kubectl(&["get", "fl", "-n", SYSTEM, "default"]).await.contains("https://a.example"));

    uninstall(cluster, "bannou", SYSTEM).await;
    let said = uninstall(cluster, "bannou-crds", SYSTEM).await;
    assert!(said.contains("kept due to the resource policy") && said.contains("fleets.bannou.dev"), "{said}");
    assert_eq!(columns().await.1, uid);
    let roles = cluster.kubectl(&["get", "clusterroles", "-o", "name"]).await;
    assert!(!roles.contains("bannou"), "{roles}");
    // What was left behind is taken over, and so is what this version says of it.
    install_kinds(cluster).await;
    assert_eq!(columns().await, (before, uid));
    uninstall(cluster, "bannou-crds", SYSTEM).await;
    remove(cluster, SYSTEM).await;
}

/// The chart that brings the kinds along, for who wants one release; and what helm says to who tries it in one step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_release_brings_the_kinds_in_two_steps() {
    let (cluster, _turn) = cluster().await;
    cluster
        .try_kubectl(
            &["delete", "crd", "fleets.bannou.dev", "accesstiers.bannou.dev", "serviceexposures.bannou.dev"],
            "",
        )
        .await;
    restricted(cluster, SYSTEM).await;
    let chart = chart("bannou");
    let one = ["install", "bannou", chart.to_str().unwrap(), "-n", SYSTEM, "--set", "crds.enabled=true"];
    let refused = cluster.try_helm(&one).await.unwrap_err();
    assert!(refused.contains("ensure CRDs are installed first"), "{refused}");
    assert!(values("defaults").is_none());
    release(cluster, "install", "bannou", SYSTEM, "defaults", &["--set", "crds.enabled=true,fleet.enabled=false"])
        .await;
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await;
    release(cluster, "upgrade", "bannou", SYSTEM, "defaults", &["--set", "crds.enabled=true"]).await;
    cluster.kubectl(&["get", "fleets,accesstiers", "-n", SYSTEM]).await;
    let said = uninstall(cluster, "bannou", SYSTEM).await;
    assert!(said.contains("fleets.bannou.dev"), "kept: {said}");
    // So that the next test installs them from the other release.
    cluster
        .kubectl(&["delete", "crd", "fleets.bannou.dev", "accesstiers.bannou.dev", "serviceexposures.bannou.dev"])
        .await;
    remove(cluster, SYSTEM).await;
}

/// Both charts as they are, but for a version more and Fleets' definition changed.
fn next_version(change: impl Fn(&str) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (from, to) = (chart("bannou-crds"), folder.path().join("bannou-crds"));
    std::fs::create_dir_all(to.join("templates")).unwrap();
    for file in ["Chart.yaml", "values.yaml", "values.schema.json"] {
        let text = std::fs::read_to_string(from.join(file)).unwrap();
        std::fs::write(to.join(file), text.replace("version: 0.2.0", "version: 0.3.0")).unwrap();
    }
    for entry in std::fs::read_dir(from.join("templates")).unwrap() {
        let path = entry.unwrap().path();
        let (name, text) = (path.file_name().unwrap(), std::fs::read_to_string(&path).unwrap());
        let changed = if name == "fleets.bannou.dev.yaml" { change(&text) } else { text.clone() };
        assert!(name != "fleets.bannou.dev.yaml" || changed != text, "nothing is changed");
        std::fs::write(to.join("templates").join(name), changed).unwrap();
    }
    folder
}
