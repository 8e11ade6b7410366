//! What the API server has becomes a catalog, and stays the last good one while something is wrong there.

use bannou_operator::catalog::{ConditionType, Status};
use bannou_operator::index::ObjectKind;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::kit::Cluster;
use crate::kit::operator::{Operator, Reading, deployment, exposure, fleet};

fn names(output: &bannou_operator::controller::Output, fleet: &str) -> Vec<String> {
    output.services(fleet).into_iter().map(|s| s.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_appear_change_and_go() {
    let cluster = Cluster::shared().await;
    let sys = cluster.namespace("sys", &[]).await;
    let game = cluster.namespace("game", &[]).await;
    let mut operator = Operator::start(cluster, 7).await;
    cluster.apply(&fleet(&sys)).await.unwrap();
    cluster.apply(&(exposure(&game, &sys, "one", "/1") + "---" + &exposure(&game, &sys, "two", "/2"))).await.unwrap();
    let output = operator.until("both are there", |o| names(o, &sys) == ["one", "two"]).await;
    let before = output.catalogs[&bannou_operator::index::Key::new(&sys, "default")].version;
    assert_eq!(before.term, 7);
    let accepted = output.condition(ObjectKind::ServiceExposure, &game, "one", ConditionType::Accepted).unwrap();
    assert_eq!(accepted.status, Status::True);

    cluster.apply(&exposure(&game, &sys, "one", "/other")).await.unwrap();
    let output = operator
        .until("the edit is there", |o| {
            let path = o.services(&sys).first().map(|s| s.endpoints[0].path.clone());
            path == Some(vec![bannou_crds::catalog::PathPart::Text("/other".into())])
        })
        .await;
    assert!(output.catalogs[&bannou_operator::index::Key::new(&sys, "default")].version > before);

    cluster.kubectl(&["delete", "sexp", "-n", &game, "one"]).await;
    operator.until("it is gone", |o| names(o, &sys) == ["two"]).await;
    cluster.kubectl(&["delete", "fleet", "-n", &sys, "default"]).await;
    let output = operator.until("the fleet is gone", |o| names(o, &sys).is_empty()).await;
    let told = output.condition(ObjectKind::ServiceExposure, &game, "two", ConditionType::ResolvedRefs).unwrap();
    assert_eq!(told.reason.as_str(), "FleetNotFound");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_behind_is_told_as_it_changes() {
    let cluster = Cluster::shared().await;
    let sys = cluster.namespace("sys", &[]).await;
    let mut operator = Operator::start(cluster, 1).await;
    cluster.apply(&(fleet(&sys) + "---" + &exposure(&sys, &sys, "account", "/1"))).await.unwrap();
    let reason = |o: &bannou_operator::controller::Output| {
        let told = o.condition(ObjectKind::ServiceExposure, &sys, "account", ConditionType::ResolvedRefs);
        told.map(|c| c.reason.as_str()).unwrap_or_default()
    };
    operator.until("it is missed", |o| reason(o) == "BackendNotFound").await;
    cluster.apply(&deployment(&sys, "account", "")).await.unwrap();
    operator.until("it is without Dapr", |o| reason(o) == "BackendNotDaprEnabled").await;
    let annotations = r#"dapr.io/enabled: "true", dapr.io/app-id: account"#;
    cluster.apply(&deployment(&sys, "account", annotations)).await.unwrap();
    operator.until("no Pod is ready", |o| reason(o) == "NoReadyPods").await;
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(cluster.client().await, &sys);
    let ready = json!({"status": {"replicas": 1, "readyReplicas": 1}});
    deployments.patch_status("account", &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
    operator.until("one is ready", |o| reason(o) == "ResolvedRefs").await;
    cluster.kubectl(&["delete", "deployment", "-n", &sys, "account"]).await;
    operator.until("it is missed again", |o| reason(o) == "BackendNotFound").await;
}

/// Its own control plane, since it does harm to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_good_catalog_counts_while_something_is_wrong() {
    let cluster = Cluster::start().await;
    cluster.define().await;
    let sys = cluster.namespace("sys", &[]).await;
    let mut operator = Operator::start(&cluster, 1).await;
    let all = fleet(&sys) + "---" + &exposure(&sys, &sys, "one", "/1") + "---" + &exposure(&sys, &sys, "two", "/2");
    cluster.apply(&all).await.unwrap();
    let good = operator.until("both are there", |o| names(o, &sys) == ["one", "two"]).await;

    // An object that this version cannot read, as a newer definition may let in.
    let loosen = json!([{"op": "replace", "value": {"type": "string", "maxLength": 32},
        "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/endpoints/items/properties/interaction"}]);
    cluster.kubectl(&["patch", "crd", "serviceexposures.bannou.dev", "--type=json", "-p", &loosen.to_string()]).await;
    let newer = exposure(&sys, &sys, "two", "/2").replace("{name: call,", "{name: call, interaction: Duplex,");
    // The new schema is served a moment after it was taken.
    let mut applied = cluster.apply(&newer).await;
    while applied.as_ref().is_err_and(|e| e.contains("Unsupported value")) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        applied = cluster.apply(&newer).await;
    }
    applied.unwrap();
    let output = operator.until("it is withdrawn alone", |o| names(o, &sys) == ["one"]).await;
    let told = output.condition(ObjectKind::ServiceExposure, &sys, "two", ConditionType::Accepted).unwrap();
    assert_eq!(told.reason.as_str(), "Invalid");
    assert!(told.message.contains("spec.endpoints[0].interaction: unknown variant `Duplex`"), "{}", told.message);
    cluster.apply(&exposure(&sys, &sys, "two", "/2")).await.unwrap();
    operator.until("it is back", |o| names(o, &sys) == ["one", "two"]).await;

    // The API server goes and comes back; what was edited after that is heard.
    cluster.kill_server();
    let output = operator.until("it is said to be old", |o| o.stale.len() == ObjectKind::ALL.len()).await;
    assert_eq!(output.services(&sys), good.services(&sys));
    cluster.start_server().await;
    cluster.apply(&exposure(&sys, &sys, "one", "/after")).await.unwrap();
    operator.until("the edit is heard", |o| o.stale.is_empty() && o.services(&sys) != good.services(&sys)).await;
    cluster.apply(&exposure(&sys, &sys, "one", "/1")).await.unwrap();
    let good = operator.until("as before", |o| o.services(&sys) == good.services(&sys)).await;

    // A definition goes, and all objects of it: nobody meant that.
    cluster.kubectl(&["delete", "crd", "serviceexposures.bannou.dev"]).await;
    let output = operator.until("it is said", |o| o.stale.contains_key(&ObjectKind::ServiceExposure)).await;
    assert_eq!(output.catalogs, good.catalogs);
    cluster.apply(&exposure(&sys, &sys, "one", "/1")).await.unwrap_err();
    let gone = |o: &bannou_operator::controller::Output| {
        o.stale.get(&ObjectKind::ServiceExposure).is_some_and(|why| why.contains("is gone"))
    };
    let output = operator.until("it is gone", gone).await;
    assert_eq!(output.catalogs, good.catalogs);
    cluster.define().await;
    cluster.apply(&exposure(&sys, &sys, "one", "/1")).await.unwrap();
    operator.until("what is there counts", |o| o.stale.is_empty() && names(o, &sys) == ["one"]).await;
}
