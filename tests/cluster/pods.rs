//! With the real controllers: a Deployment makes Pods, and their readiness reaches the conditions.

use bannou_operator::catalog::ConditionType;
use bannou_operator::index::ObjectKind;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::kit::Cluster;
use crate::kit::operator::{Operator, Reading, deployment, exposure, fleet};

/// A node that Pods are bound to. There is no kubelet: tests say of it, and of Pods, what one would.
pub async fn a_node(cluster: &Cluster) {
    cluster.apply("apiVersion: v1\nkind: Node\nmetadata: {name: tests}\n").await.unwrap();
    let node = json!({"status": {
        "capacity": {"cpu": "8", "memory": "8Gi", "pods": "110"}, "allocatable": {"cpu": "8", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Tested", "lastHeartbeatTime": "2026-11-25T10:00:00Z",
                        "lastTransitionTime": "2026-11-25T10:00:00Z", "message": ""}],
    }});
    let nodes: Api<Node> = Api::all(cluster.client().await);
    nodes.patch_status("tests", &PatchParams::default(), &Patch::Merge(node)).await.unwrap();
}

/// Says of the Pod of a Deployment, once it is there and bound, whether it is ready.
pub async fn a_pod_is(cluster: &Cluster, namespace: &str, app: &str, ready: &str) {
    let label = format!("app={app}");
    let selected = ["-n", namespace, "-l", &label];
    for what in ["create", "condition=PodScheduled"] {
        let what = format!("--for={what}");
        cluster.kubectl(&[&["wait", "pod", &what, "--timeout=120s"], &selected[..]].concat()).await;
    }
    let pods: Api<Pod> = Api::namespaced(cluster.client().await, namespace);
    let pod = pods.list(&ListParams::default().labels(&label)).await.unwrap().items.remove(0);
    assert_eq!(pod.spec.and_then(|s| s.node_name).as_deref(), Some("tests"));
    let status = Patch::Strategic(json!({"status": {"phase": "Running", "conditions": [
        {"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-25T10:00:00Z"}]}}));
    pods.patch_status(&pod.metadata.name.unwrap(), &PatchParams::default(), &status).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_come_become_ready_and_go() {
    let (cluster, _turn) = Cluster::alone().await;
    cluster.controllers().await;
    let sys = cluster.namespace("sys", &[]).await;
    let mut operator = Operator::start(cluster, 1).await;
    let reason = |o: &bannou_operator::controller::Output| {
        let told = o.condition(ObjectKind::ServiceExposure, &sys, "account", ConditionType::ResolvedRefs);
        told.map(|c| c.reason.as_str()).unwrap_or_default()
    };
    a_node(cluster).await;

    let annotations = r#"dapr.io/enabled: "true", dapr.io/app-id: account"#;
    let all = fleet(&sys)
        + "---"
        + &exposure(&sys, &sys, "account", "/1")
        + "---"
        + &deployment(&sys, "account", annotations);
    cluster.apply(&all).await.unwrap();
    operator.until("no Pod is ready", |o| reason(o) == "NoReadyPods").await;
    a_pod_is(cluster, &sys, "account", "True").await;
    operator.until("one is ready", |o| reason(o) == "ResolvedRefs").await;
    a_pod_is(cluster, &sys, "account", "False").await;
    operator.until("none is ready", |o| reason(o) == "NoReadyPods").await;
    cluster.kubectl(&["delete", "deployment", "-n", &sys, "account"]).await;
    operator.until("it is gone", |o| reason(o) == "BackendNotFound").await;
}
