//! What the resources say, read from the API server's JSON by code that shares nothing with the operator's.

use std::collections::{BTreeMap, BTreeSet};

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::{Value, json};

use crate::kit::Cluster;

/// Kinds of clients: without a token, and by what their tokens say.
pub const KINDS: [&str; 5] = ["anonymous", "player", "vip", "gold", "staff"];

/// Issuer and claims of a kind's tokens.
pub fn claims(kind: &str) -> Option<(&'static str, Value)> {
    match kind {
        "player" => Some(("main", json!({}))),
        "vip" => Some(("main", json!({"roles": ["vip"]}))),
        "gold" => Some(("main", json!({"roles": ["gold", "other"]}))),
        "staff" => Some(("staff", json!({}))),
        _ => None,
    }
}

/// Specs by name.
#[derive(Clone, Default)]
pub struct Reading {
    pub tiers: BTreeMap<String, Value>,
    pub exposures: BTreeMap<String, Value>,
}

impl Reading {
    pub async fn of_cluster(cluster: &Cluster, namespace: &str) -> Reading {
        let client = cluster.client().await;
        let list = async |kind: &str| -> BTreeMap<String, Value> {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("bannou.dev", "v1alpha1", kind));
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
            let all = api.list(&ListParams::default()).await.unwrap();
            all.into_iter().map(|o| (o.metadata.name.unwrap(), o.data["spec"].clone())).collect()
        };
        Reading { tiers: list("AccessTier").await, exposures: list("ServiceExposure").await }
    }

    /// The names that a client of this kind may call.
    pub fn set(&self, kind: &str) -> BTreeSet<String> {
        let held = self.held(kind);
        let mut names = BTreeSet::new();
        for spec in self.exposures.values() {
            for endpoint in spec["endpoints"].as_array().unwrap() {
                if strings(&endpoint["tiers"]).iter().any(|tier| held.contains(*tier)) {
                    let (service, name) = (spec["serviceName"].as_str().unwrap(), endpoint["name"].as_str().unwrap());
                    names.insert(format!("{service}.{name}"));
                }
            }
        }
        names
    }

    /// Tiers that admit it, and all that these include.
    fn held(&self, kind: &str) -> BTreeSet<&str> {
        let mut held = BTreeSet::new();
        let mut wanted: Vec<&str> =
            self.tiers.iter().filter(|(_, spec)| admits(spec, kind)).map(|(name, _)| name.as_str()).collect();
        while let Some(tier) = wanted.pop() {
            if held.insert(tier) {
                wanted.extend(self.tiers.get(tier).map(|spec| strings(&spec["includes"])).unwrap_or_default());
            }
        }
        held
    }
}

fn admits(spec: &Value, kind: &str) -> bool {
    let admission = &spec["admission"];
    let Some((issuer, claims)) = claims(kind) else { return admission["principal"] == "Anonymous" };
    let issuers = strings(&admission["issuers"]);
    let rules = admission["claims"].as_array().cloned().unwrap_or_default();
    let has = |rule: &Value| {
        // The tests' rules are all `In` over a list at the root.
        let of_token = strings(&claims[rule["path"][0].as_str().unwrap()]);
        strings(&rule["values"]).iter().any(|value| of_token.contains(value))
    };
    admission["principal"] == "Anonymous"
        || admission["principal"] == "Authenticated"
            && (issuers.is_empty() || issuers.contains(&issuer))
            && rules.iter().all(has)
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
