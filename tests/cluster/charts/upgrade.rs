//! From the charts that were released before to those of today, and back. Whoever releases a version packs its charts into `previous/`
//! (`helm package charts/bannou charts/bannou-crds -d tests/cluster/charts/previous`) and takes the ones before out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::foreign::foreign_kinds;
use super::install::{json, pods_are_made};
use super::releases::{SYSTEM, cluster, remove, restricted, uninstall};
use super::rendered::values;
use crate::kit::Cluster;
use crate::kit::helm::chart;
use crate::process::{PATIENCE, repository};

/// The one that is kept, of a chart.
fn previous(name: &str) -> PathBuf {
    let folder = repository().join("tests/cluster/charts/previous");
    let named = |path: &PathBuf| {
        let file = path.file_name().unwrap().to_str().unwrap();
        // bannou-0.1.0.tgz, and not bannou-crds-0.1.0.tgz.
        file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')).is_some_and(|v| v.starts_with(char::is_numeric))
    };
    let all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(named).collect();
    assert_eq!(all.len(), 1, "one of {name}: {all:?}");
    let text = std::fs::read_to_string(chart(name).join("Chart.yaml")).unwrap();
    let version = text.lines().find_map(|line| line.strip_prefix("version: ")).unwrap();
    assert!(
        !all[0].ends_with(format!("{name}-{version}.tgz")),
        "{version} is released: the next one has another number"
    );
    all[0].clone()
}

/// What people and gateways have of it: made once, and the same after it. By kind and name, the object's uid.
async fn lasting(cluster: &Cluster) -> BTreeMap<String, Value> {
    let kinds = "deployments,services,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,fleets,accesstiers,serviceexposures";
    let objects = json(cluster, &["get", kinds, "-n", SYSTEM]).await;
    let definitions =
        json(cluster, &["get", "crd", "fleets.bannou.dev", "accesstiers.bannou.dev", "serviceexposures.bannou.dev"])
            .await;
    let all = [&objects["items"], &definitions["items"]].into_iter().flat_map(|items| items.as_array().unwrap());
    all.map(|o| (format!("{} {}", o["kind"], o["metadata"]["name"]), o["metadata"]["uid"].clone())).collect()
}

/// Of every Deployment there is a Pod as it is wanted now: without a node none becomes ready, so the others stay beside it.
async fn pods_follow(cluster: &Cluster) {
    let follow = async {
        loop {
            let all = json(cluster, &["get", "deployments", "-n", SYSTEM]).await;
            if all["items"].as_array().unwrap().iter().all(|d| {
                d["status"]["updatedReplicas"].as_u64().unwrap_or(0) > 0
                    && d["status"]["observedGeneration"] == d["metadata"]["generation"]
            }) {
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, follow).await.expect("Pods do not follow their Deployments");
}

/// As a person writes them, of the earlier version.
fn resources() -> String {
    let tier = "{name: guild, namespace: bannou-system}\nspec: {includes: [player], admission: {principal: Authenticated, claims: [{path: [guild], operator: In, values: [red]}]}, allowedExposures: {namespaces: {from: Same}}}";
    let exposure = "{name: own, namespace: bannou-system}\nspec: {serviceName: own, backend: {dapr: {appId: own}}, endpoints: [{name: call, path: /call, tiers: [guild]}]}";
    let api = "apiVersion: bannou.dev/v1alpha1";
    format!("{api}\nkind: AccessTier\nmetadata: {tier}\n---\n{api}\nkind: ServiceExposure\nmetadata: {exposure}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_previous_charts_are_upgraded_and_rolled_back_with_all_that_is_there() {
    let (cluster, _turn) = cluster().await;
    foreign_kinds(cluster).await;
    for name in ["defaults", "production"] {
        restricted(cluster, SYSTEM).await;
        let helm = async |how: &[&str], release: &str, chart: PathBuf, with_values: bool| {
            let mut arguments = [how, &[release, chart.to_str().unwrap(), "-n", SYSTEM]].concat();
            let values = values(name).filter(|_| with_values);
            if let Some(values) = &values {
                arguments.extend(["--values", values.to_str().unwrap()]);
            }
            cluster.helm(&arguments).await
        };
        helm(&["install"], "bannou-crds", previous("bannou-crds"), false).await;
        cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await;
        helm(&["install"], "bannou", previous("bannou"), true).await;
        cluster.apply(&resources()).await.unwrap();
        pods_are_made(cluster, SYSTEM).await;
        let before = lasting(cluster).await;
        assert!(before.len() > 15 && before.contains_key("\"ServiceExposure\" \"own\""), "{before:#?}");
        let there = async |what: &str| {
            pods_follow(cluster).await;
            let now = lasting(cluster).await;
            for (object, uid) in &before {
                assert_eq!(now.get(object), Some(uid), "{name}, {what}: {object} is gone or another");
            }
            // What was written then is what it was.
            let resources = cluster.apply(&resources()).await.unwrap();
            assert_eq!(resources.matches("unchanged").count(), 2, "{name}, {what}: {resources}");
        };

        helm(&["upgrade"], "bannou-crds", chart("bannou-crds"), false).await;
        helm(&["upgrade"], "bannou", chart("bannou"), true).await;
        there("upgraded").await;
        cluster.helm(&["rollback", "bannou", "1", "-n", SYSTEM]).await;
        there("rolled back").await;
        // As helm does it for who has no file of values any more: settings that are new have no value at all then.
        helm(&["upgrade", "--reuse-values"], "bannou", chart("bannou"), false).await;
        there("upgraded with the values that it had").await;

        uninstall(cluster, "bannou", SYSTEM).await;
        uninstall(cluster, "bannou-crds", SYSTEM).await;
        remove(cluster, SYSTEM).await;
    }
}
