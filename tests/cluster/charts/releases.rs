//! The cluster that the charts are installed into, and releases of them.

use std::sync::OnceLock;

use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::rendered::values;
use crate::kit::Cluster;
use crate::kit::helm::chart;

/// Where the operator is. What belongs to a whole cluster has this namespace in its name's stead, so tests take turns.
pub const SYSTEM: &str = super::rendered::NAMESPACE;

/// One for these tests, with controllers and an audit log. Namespaces are made anew by each test.
pub async fn cluster() -> (&'static Cluster, MutexGuard<'static, ()>) {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    static TURN: OnceLock<Mutex<()>> = OnceLock::new();
    let turn = TURN.get_or_init(Mutex::default).lock().await;
    let cluster = CLUSTER
        .get_or_init(|| async {
            let cluster = Cluster::audited().await;
            cluster.controllers().await;
            cluster
        })
        .await;
    (cluster, turn)
}

/// One that takes no Pod but restricted ones.
pub async fn restricted(cluster: &Cluster, name: &str) {
    let labels = "{pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/enforce-version: latest}";
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n");
    cluster.apply(&namespace).await.unwrap();
}

/// And waits until it is gone.
pub async fn remove(cluster: &Cluster, namespace: &str) {
    cluster.kubectl(&["delete", "namespace", namespace, "--timeout=120s"]).await;
}

/// The kinds, as the first of the two commands installs them.
pub async fn install_kinds(cluster: &Cluster) {
    let crds = chart("bannou-crds");
    cluster.helm(&["install", "bannou-crds", crds.to_str().unwrap(), "--namespace", SYSTEM]).await;
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await;
}

/// `how`: install or upgrade. `of`: a file of values, by its name.
pub async fn release(cluster: &Cluster, how: &str, name: &str, namespace: &str, of: &str, more: &[&str]) -> String {
    let (chart, values) = (chart("bannou"), values(of));
    let mut arguments = vec![how, name, chart.to_str().unwrap(), "--namespace", namespace];
    if let Some(values) = &values {
        arguments.extend(["--values", values.to_str().unwrap()]);
    }
    arguments.extend(more);
    cluster.helm(&arguments).await
}

pub async fn uninstall(cluster: &Cluster, name: &str, namespace: &str) -> String {
    cluster.helm(&["uninstall", name, "--namespace", namespace]).await
}
