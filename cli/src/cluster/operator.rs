//! The operator of a cluster, as its Deployment and its Lease show it.

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde::Serialize;
use serde_json::Value;

use super::{Cluster, is_missing};
use crate::trouble::Trouble;

/// What the chart calls its Lease.
const LEASE: &str = "bannou-operator";

/// An operator's Deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operator {
    pub namespace: String,
    pub name: String,
    pub replicas: i64,
    pub ready: i64,
    /// For exposures without a `fleetRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_fleet: Option<String>,
    #[serde(skip)]
    pub lease: String,
}

/// Who compiles at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// A Pod; absent when the Lease was let go of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where gateways find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How long ago it was renewed, by this machine's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_s: Option<i64>,
    /// After which others take over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_s: Option<i32>,
}

impl Holder {
    /// Whether it was renewed within its time; clocks may be apart by as much again.
    pub fn is_alive(&self) -> bool {
        match (&self.name, self.renewed_s, self.valid_s) {
            (Some(_), Some(renewed), Some(valid)) => renewed <= 2 * i64::from(valid),
            _ => false,
        }
    }
}

/// By the labels of the chart.
pub fn is_component(workload: &Value, component: &str) -> bool {
    let label = |name: &str| workload.pointer("/metadata/labels").and_then(|l| l.get(name)).and_then(Value::as_str);
    label("app.kubernetes.io/name") == Some("bannou") && label("app.kubernetes.io/component") == Some(component)
}

/// `None` for a workload that is no operator.
pub fn of_deployment(workload: &Value) -> Option<Operator> {
    if !is_component(workload, "operator") {
        return None;
    }
    let text = |pointer: &str| workload.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |pointer: &str| workload.pointer(pointer).and_then(Value::as_i64);
    let setting = |flag: &str, variable: &str| {
        let containers = workload.pointer("/spec/template/spec/containers").and_then(Value::as_array);
        containers.into_iter().flatten().find_map(|container| setting(container, flag, variable))
    };
    Some(Operator {
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        replicas: number("/spec/replicas").unwrap_or(1),
        ready: number("/status/readyReplicas").unwrap_or_default(),
        default_fleet: setting("--default-fleet", "BANNOU_DEFAULT_FLEET"),
        lease: setting("--lease", "BANNOU_LEASE").unwrap_or_else(|| LEASE.to_owned()),
    })
}

/// What a container is told by flag, or else by environment.
fn setting(container: &Value, flag: &str, variable: &str) -> Option<String> {
    let list = |name: &str| container.get(name).and_then(Value::as_array).into_iter().flatten();
    let words: Vec<&str> = list("command").chain(list("args")).filter_map(Value::as_str).collect();
    let mut by_flag = words.iter().enumerate().filter_map(|(i, word)| match word.strip_prefix(flag) {
        Some("") => words.get(i + 1).copied(),
        Some(rest) => rest.strip_prefix('='),
        None => None,
    });
    let by_environment =
        || list("env").find(|e| e["name"] == variable).and_then(|e| e.get("value")).and_then(Value::as_str);
    by_flag.next().or_else(by_environment).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// `None`: there is no such Lease.
///
/// # Errors
/// The cluster cannot be asked.
pub async fn holder(cluster: &Cluster, operator: &Operator) -> Result<Option<Holder>, Trouble> {
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), &operator.namespace);
    let what = format!("read the Lease {}/{}", operator.namespace, operator.lease);
    let lease = cluster.ask(&what, async {
        match leases.get(&operator.lease).await {
            Err(error) if is_missing(&error) => Ok(None),
            other => other.map(Some),
        }
    });
    let now = k8s_openapi::jiff::Timestamp::now();
    Ok(lease.await?.and_then(|lease| lease.spec).map(|spec| {
        // Its name, its address, and what tells its starts apart.
        let identity = spec.holder_identity.unwrap_or_default();
        let mut parts = identity.split('/').map(str::to_owned).filter(|part| !part.is_empty());
        Holder {
            name: parts.next(),
            address: parts.next(),
            renewed_s: spec.renew_time.map(|time| now.as_second() - time.0.as_second()),
            valid_s: spec.lease_duration_seconds,
        }
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_operator_was_told_is_read_from_its_deployment() {
        let labels = json!({"app.kubernetes.io/name": "bannou", "app.kubernetes.io/component": "operator"});
        let with = |container: Value| json!({"metadata": {"namespace": "sys", "name": "op", "labels": labels}, "spec": {"template": {"spec": {"containers": [container]}}}});
        for container in [
            json!({"args": ["--default-fleet", "games"]}),
            json!({"args": ["--lease=x", "--default-fleet=games"]}),
            json!({"env": [{"name": "BANNOU_DEFAULT_FLEET", "value": "games"}]}),
        ] {
            assert_eq!(of_deployment(&with(container)).unwrap().default_fleet.as_deref(), Some("games"));
        }
        let plain = of_deployment(&with(json!({"args": ["--default-fleet"]}))).unwrap();
        assert_eq!((plain.default_fleet, plain.lease.as_str(), plain.replicas, plain.ready), (None, LEASE, 1, 0));
        assert_eq!(of_deployment(&json!({"metadata": {"labels": {}}})), None);
    }

    #[test]
    fn a_holder_counts_as_long_as_it_renews() {
        let holder = |name: Option<&str>, renewed| Holder {
            name: name.map(str::to_owned),
            address: None,
            renewed_s: renewed,
            valid_s: Some(15),
        };
        assert!(holder(Some("a"), Some(20)).is_alive());
        assert!(!holder(Some("a"), Some(31)).is_alive());
        assert!(!holder(None, Some(1)).is_alive());
        assert!(!holder(Some("a"), None).is_alive());
    }
}
