//! What the operator makes at run time: its CA, bundles for gateways, and fleets' keys, by the real binary.

use std::collections::BTreeMap;

use bannou_crds::push::Snapshot;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::identity::{AUDIENCE, account_and_pod, token};
use crate::kit::Cluster;
use crate::kit::binary::Binary;
use crate::kit::gateway::{Gateway, ack, dial};
use crate::kit::operator::{deployment, exposure, fleet};
use crate::process::PATIENCE;

const FLEET_KEY: &str = "bannou-fleet-key";
const CA: &str = "bannou-operator-ca";

type Data = BTreeMap<String, Vec<u8>>;

/// The contents of a Secret, once they satisfy `is_it`.
async fn secret(client: &Client, namespace: &str, name: &str, is_it: impl Fn(&Data) -> bool) -> (Data, ObjectMeta) {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let search = async {
        loop {
            if let Some(secret) = api.get_opt(name).await.unwrap() {
                let data: Data = secret.data.unwrap_or_default().into_iter().map(|(name, key)| (name, key.0)).collect();
                if is_it(&data) {
                    return (data, secret.metadata);
                }
            }
            sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("the Secret {namespace}/{name} is never as it should be"))
}

async fn bundle(client: &Client, namespace: &str) -> String {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let search = async {
        loop {
            if let Some(map) = api.get_opt(CA).await.unwrap() {
                return map.data.unwrap()["ca.crt"].clone();
            }
            sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, search).await.expect("there is a bundle")
}

fn owners(metadata: &ObjectMeta) -> Vec<(&str, &str)> {
    metadata.owner_references.iter().flatten().map(|o| (o.kind.as_str(), o.name.as_str())).collect()
}

/// Reaches the operator's namespace and another fleet's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_and_rotate_while_links_stay() {
    let (cluster, _turn) = Cluster::alone().await;
    let client = cluster.client().await;
    let sys = cluster.namespace("sys", &[]).await;
    let game = cluster.namespace("game", &[]).await;
    cluster.apply(&deployment(&sys, "the-operator", "")).await.unwrap();
    cluster.apply(&account_and_pod(&game, "bannou-gateway", "gateway-0")).await.unwrap();
    let rotation = ["--deployment", "the-operator", "--fleet-key-rotation", "5s", "--ca-rotation", "8s"];
    let operator = Binary::start(cluster, &sys, "operator-0", &rotation).await;
    operator.holds().await;
    operator.is_ready().await;
    cluster.apply(&(fleet(&sys) + "---" + &fleet(&game) + "---" + &exposure(&game, &game, "one", "/1"))).await.unwrap();

    // Each key is next, then current, then previous.
    let whole = |data: &Data| data.len() == 3 && data.values().all(|key| key.len() == 64);
    let (first, metadata) = secret(&client, &game, FLEET_KEY, whole).await;
    assert_eq!(owners(&metadata), [("Fleet", "default")]);
    let (_, beside) = secret(&client, &sys, FLEET_KEY, whole).await;
    assert_eq!(owners(&beside), [("Deployment", "the-operator")]);
    let (_, ca) = secret(&client, &sys, CA, |data| data.len() == 4).await;
    assert_eq!(owners(&ca), [("Deployment", "the-operator")]);
    let lease: Api<k8s_openapi::api::coordination::v1::Lease> = Api::namespaced(client.clone(), &sys);
    assert_eq!(owners(&lease.get("bannou-operator").await.unwrap().metadata), [("Deployment", "the-operator")]);

    // A gateway with the bundle of now; its link outlives rotations of both, and whoever dials with a bundle that is a period old is let in.
    let trusted = bundle(&client, &game).await;
    assert_eq!(trusted.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(!trusted.contains("PRIVATE"));
    let good = token(&client, &game, "bannou-gateway", AUDIENCE, Some("gateway-0")).await;
    let mut gateway =
        Gateway::greet(dial(&trusted, operator.push, &good, "gateway-0").await.unwrap(), Snapshot::default()).await;
    while gateway.snapshot.catalog().is_none_or(|catalog| catalog.services.is_empty()) {
        gateway.next(ack).await;
    }
    let mut before = first;
    for _ in 0..2 {
        let (after, _) = secret(&client, &game, FLEET_KEY, |data| data["current.key"] != before["current.key"]).await;
        assert_eq!((&after["previous.key"], &after["current.key"]), (&before["current.key"], &before["next.key"]));
        assert!(before.values().all(|key| *key != after["next.key"]));
        before = after;
    }
    let mut trusted = trusted;
    for path in ["/2", "/3"] {
        // The ConfigMap follows the Secret once every replica has seen that.
        let newer = async {
            loop {
                let now = bundle(&client, &game).await;
                if now != trusted {
                    return now;
                }
                sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let newer = timeout(PATIENCE, newer).await.expect("the CA rotates");
        for bundle in [&trusted, &newer] {
            dial(bundle, operator.push, &good, "gateway-0").await.unwrap();
        }
        trusted = newer;
        cluster.apply(&exposure(&game, &game, "one", path)).await.unwrap();
        gateway.next(ack).await;
    }

    // Somebody broke one: what gateways know already counts, and the rest is made anew. Somebody deleted one: it is back.
    let api: Api<Secret> = Api::namespaced(client.clone(), &game);
    let cut = json!({"data": {"current.key": "YWJj"}});
    api.patch(FLEET_KEY, &PatchParams::default(), &Patch::Merge(cut)).await.unwrap();
    secret(&client, &game, FLEET_KEY, whole).await;
    cluster.kubectl(&["delete", "secret", "-n", &game, FLEET_KEY]).await;
    secret(&client, &game, FLEET_KEY, whole).await;
    let log = operator.process.output();
    assert!(!log.contains("PRIVATE") && !log.contains(&good));
    assert!(operator.process.terminate().success());
    assert_eq!(lease.get("bannou-operator").await.unwrap().spec.unwrap().holder_identity, None, "it was let go of");
}

/// What the chart gives the operator, but for the rights in the namespace of one fleet.
fn rights(user: &str, sys: &str, namespaces: &[&str]) -> String {
    let mut text = format!(
        r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {user}}}
rules:
- {{apiGroups: [bannou.dev], resources: [fleets, accesstiers, serviceexposures], verbs: [list, watch]}}
- {{apiGroups: [bannou.dev], resources: [fleets/status, accesstiers/status, serviceexposures/status], verbs: [patch]}}
- {{apiGroups: [bannou.dev], resources: [serviceexposures], verbs: [create, patch, delete]}}
- {{apiGroups: [apps], resources: [deployments, statefulsets], verbs: [list, watch]}}
- {{apiGroups: [""], resources: [services, namespaces], verbs: [list, watch]}}
- {{apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get]}}
- {{apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch]}}
- {{apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {user}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {user}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {user}-lease, namespace: {sys}}}
rules:
- {{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, get, update]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {user}-lease, namespace: {sys}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {user}-lease}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}]
"#
    );
    for namespace in namespaces {
        text += &format!(
            r#"---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {user}, namespace: {namespace}}}
rules:
- {{apiGroups: [""], resources: [secrets, configmaps], verbs: [create]}}
- {{apiGroups: [""], resources: [secrets, configmaps], resourceNames: [{FLEET_KEY}, {CA}], verbs: [get, update]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {user}, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {user}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}]
"#
        );
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_secrets_and_missing_rights_are_told_and_stop_nothing_else() {
    let (cluster, _turn) = Cluster::alone().await;
    let client = cluster.client().await;
    let sys = cluster.namespace("sys", &[]).await;
    let open = cluster.namespace("open", &[]).await;
    let closed = cluster.namespace("closed", &[]).await;
    let user = format!("{sys}-operator");
    cluster.apply(&rights(&user, &sys, &[&sys, &open])).await.unwrap();
    for namespace in [&sys, &open, &closed] {
        cluster.apply(&fleet(namespace)).await.unwrap();
    }
    let theirs = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {FLEET_KEY}, namespace: {open}}}\nstringData: {{mine: mine}}\n"
    );
    cluster.apply(&theirs).await.unwrap();
    let kubeconfig = cluster.kubeconfig(&user, &user, None);
    let operator = Binary::start_as(&kubeconfig, &sys, "operator-0", &["--fleet-key-rotation", "4s"]).await;
    operator.holds().await;
    operator.is_ready().await;

    let condition = |namespace: &str, reason: &str| {
        let (namespace, reason) = (namespace.to_owned(), reason.to_owned());
        let path = "jsonpath={.status.conditions[?(@.type==\"ResolvedRefs\")].reason}";
        async move {
            let until = format!("--for={path}={reason}");
            cluster.kubectl(&["wait", "-n", &namespace, &until, "--timeout=150s", "fl/default"]).await;
        }
    };
    condition(&sys, "ResolvedRefs").await;
    condition(&open, "KeysNotOwned").await;
    condition(&closed, "KeysForbidden").await;
    let message = "jsonpath={.status.conditions[?(@.type==\"ResolvedRefs\")].message}";
    let said = cluster.kubectl(&["get", "fl", "-n", &closed, "default", "-o", message]).await;
    assert!(said.contains("Install the chart in this namespace"), "{said}");
    let metrics = operator
        .until("each is counted", |m| {
            [&open, &closed].into_iter().all(|f| m.of_fleet("fleet_without_keys", f) == Some(1.0))
        })
        .await;
    assert_eq!(metrics.of_fleet("fleet_without_keys", &sys), None);
    assert!(metrics.value("bannou_operator_api_errors_total{status=\"403\"}").unwrap() >= 1.0);
    // Their catalogs are published as any other, and what is foreign stays foreign.
    assert!([&sys, &open, &closed].into_iter().all(|f| metrics.of_fleet("catalog_number", f) == Some(1.0)));
    let (data, metadata) = secret(&client, &open, FLEET_KEY, |_| true).await;
    assert_eq!((data.keys().map(String::as_str).collect::<Vec<_>>(), metadata.labels), (vec!["mine"], None));

    // Put right, it is well by itself.
    cluster.kubectl(&["delete", "secret", "-n", &open, FLEET_KEY]).await;
    condition(&open, "ResolvedRefs").await;
    cluster.apply(&rights(&user, &sys, &[&closed])).await.unwrap();
    condition(&closed, "ResolvedRefs").await;
    operator
        .until("none lacks anything", |m| {
            [&open, &closed].into_iter().all(|f| m.of_fleet("fleet_without_keys", f).is_none())
        })
        .await;
    assert!(operator.process.terminate().success());
}

/// Not to be confused with the file's own look: here a process serves it, and a link stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_given_certificate_is_exchanged_while_links_stay() {
    let (cluster, _turn) = Cluster::alone().await;
    let client = cluster.client().await;
    let game = cluster.namespace("game", &[]).await;
    cluster.apply(&account_and_pod(&game, "bannou-gateway", "gateway-0")).await.unwrap();
    cluster.apply(&(fleet(&game) + "---" + &exposure(&game, &game, "one", "/1"))).await.unwrap();
    let pair = cluster.server_certificate("given");
    let [file, key] = [&pair.certificate, &pair.key].map(|path| path.to_str().unwrap());
    let operator = Binary::start(cluster, &game, "operator-0", &["--tls-cert", file, "--tls-key", key]).await;
    operator.holds().await;
    let good = token(&client, &game, "bannou-gateway", AUDIENCE, Some("gateway-0")).await;
    let trusted = crate::kit::gateway::authority(cluster);
    let socket = dial(&trusted, operator.push, &good, "gateway-0").await.unwrap();
    let mut gateway = Gateway::greet(socket, Snapshot::default()).await;
    while gateway.snapshot.catalog().is_none_or(|catalog| catalog.services.is_empty()) {
        gateway.next(ack).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let other = crate::kit::certificates::Authority::new(folder.path()).server("given", &[]);
    std::fs::copy(&other.key, &pair.key).unwrap();
    std::fs::copy(&other.certificate, &pair.certificate).unwrap();
    operator.process.line("a new certificate is served").await;
    dial(&trusted, operator.push, &good, "gateway-0").await.unwrap_err();
    let other = std::fs::read_to_string(folder.path().join("ca.crt")).unwrap();
    dial(&other, operator.push, &good, "gateway-0").await.unwrap();
    cluster.apply(&exposure(&game, &game, "one", "/2")).await.unwrap();
    gateway.next(ack).await;
    // With a certificate that is given there is no CA to trust.
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &game);
    secret(&client, &game, FLEET_KEY, |_| true).await;
    assert!(maps.get_opt(CA).await.unwrap().is_none());
    assert!(operator.process.terminate().success());
}
