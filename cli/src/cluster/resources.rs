//! The resources of a cluster, as the world that `compile` reads; and what the operator wrote on them.

use std::collections::BTreeMap;

use bannou_crds::kinds::{AccessTier, Fleet, ServiceExposure};
use bannou_operator::index::{Key, ObjectKind, ObjectRef, World, decode};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::Value;

use super::operator::{self, Operator};
use super::{Cluster, is_missing};
use crate::trouble::Trouble;

/// Of one answer; there are as many answers as are needed.
const PAGE: u32 = 500;
/// Of one kind: more is no cluster that a person asks by hand.
const MOST: usize = 50_000;

pub struct Resources {
    pub world: World,
    /// `status.conditions` as they are written on each object of the project.
    pub written: BTreeMap<ObjectRef, Vec<Written>>,
    /// Of the project's own Deployments.
    pub operators: Vec<Operator>,
    /// Pod templates of the gateways' Deployments: namespace and app-id.
    pub gateway_apps: Vec<(String, String)>,
    /// `dapr.io/config` of workloads, by workload.
    pub dapr_configs: BTreeMap<ObjectRef, String>,
    /// What could not be read, and why. Without workloads and Services nothing is said about backends.
    pub unread: BTreeMap<ObjectKind, String>,
}

/// One condition as it stands there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

fn kind(kind: ObjectKind) -> ApiResource {
    match kind {
        ObjectKind::Fleet => ApiResource::erase::<Fleet>(&()),
        ObjectKind::AccessTier => ApiResource::erase::<AccessTier>(&()),
        ObjectKind::ServiceExposure => ApiResource::erase::<ServiceExposure>(&()),
        ObjectKind::Deployment => ApiResource::erase::<Deployment>(&()),
        ObjectKind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
        ObjectKind::Service => ApiResource::erase::<Service>(&()),
        ObjectKind::Namespace => ApiResource::erase::<Namespace>(&()),
    }
}

/// Reads all that the operator reads. Backends are left unknown where they may not be read.
///
/// # Errors
/// The project's kinds or the namespaces cannot be read: without them every answer would be a guess.
pub async fn read(cluster: &Cluster) -> Result<Resources, Trouble> {
    let mut resources = Resources {
        world: World::of_cluster(),
        written: BTreeMap::new(),
        operators: Vec::new(),
        gateway_apps: Vec::new(),
        dapr_configs: BTreeMap::new(),
        unread: BTreeMap::new(),
    };
    for of in ObjectKind::ALL {
        match list(cluster, of).await {
            Ok(listed) => resources.take(of, listed),
            Err(trouble) if of.is_own() || of == ObjectKind::Namespace => return Err(trouble),
            Err(trouble) => drop(resources.unread.insert(of, trouble.to_string())),
        }
    }
    if !resources.unread.is_empty() {
        resources.world.backends = None;
    }
    let named = resources.operators.iter().find_map(|o| o.default_fleet.clone());
    let mut fleets = resources.world.fleets.keys();
    let only = match (fleets.next(), fleets.next()) {
        (Some(only), None) => Some(only.namespace.clone()),
        _ => None,
    };
    resources.world.default_fleet_namespace = named.or(only);
    Ok(resources)
}

async fn list(cluster: &Cluster, of: ObjectKind) -> Result<Vec<Value>, Trouble> {
    let types = kind(of);
    let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &types);
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let mut params = ListParams::default().limit(PAGE);
        params.continue_token = next;
        let what = format!("list {} in every namespace", types.plural);
        let listed = cluster.ask(&what, async {
            match api.list(&params).await {
                Err(error) if of.is_own() && is_missing(&error) => Ok(None),
                other => other.map(Some),
            }
        });
        let Some(listed) = listed.await? else {
            return Err(Trouble::one(format!(
                "this cluster does not know {}.{}: install the definitions (charts/bannou-crds, or kubectl apply -f crds/)",
                types.plural, types.group
            )));
        };
        all.extend(listed.items.into_iter().map(|object| value(object, &types)));
        next = listed.metadata.continue_.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(all);
        }
        if all.len() >= MOST {
            return Err(Trouble::one(format!(
                "there are more than {MOST} {}: too many to ask about by hand",
                types.plural
            )));
        }
    }
}

/// Items of a list do not say what they are.
fn value(object: DynamicObject, types: &ApiResource) -> Value {
    let mut value = object.data;
    if let Some(members) = value.as_object_mut() {
        members.insert("apiVersion".to_owned(), types.api_version.clone().into());
        members.insert("kind".to_owned(), types.kind.clone().into());
        members.insert("metadata".to_owned(), serde_json::to_value(object.metadata).unwrap_or_default());
    }
    value
}

impl Resources {
    fn take(&mut self, of: ObjectKind, listed: Vec<Value>) {
        for value in listed {
            let at = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let key = Key::new(at("/metadata/namespace"), at("/metadata/name"));
            let object = ObjectRef { kind: of, key };
            if of.is_own() {
                let conditions = value.pointer("/status/conditions").cloned().unwrap_or_default();
                self.written.insert(object.clone(), serde_json::from_value(conditions).unwrap_or_default());
            }
            if matches!(of, ObjectKind::Deployment | ObjectKind::StatefulSet) {
                self.operators.extend(operator::of_deployment(&value));
                let annotation = |name: &str| {
                    value.pointer("/spec/template/metadata/annotations")?.get(name)?.as_str().map(str::to_owned)
                };
                if operator::is_component(&value, "gateway")
                    && let Some(app) = annotation("dapr.io/app-id")
                {
                    self.gateway_apps.push((object.key.namespace.clone(), app));
                }
                if let Some(config) = annotation("dapr.io/config") {
                    self.dapr_configs.insert(object.clone(), config);
                }
            }
            if let Some(read) = decode(of, value) {
                self.world.apply(read);
            }
        }
    }

    /// The fleet that is meant: `namespace/name`, the namespace's, or the only one.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn fleet(&self, asked: Option<&str>, namespace: Option<&str>) -> Result<Key, Trouble> {
        pick(&self.world, asked, namespace)
    }
}

/// As [`Resources::fleet`].
pub fn pick(world: &World, asked: Option<&str>, namespace: Option<&str>) -> Result<Key, Trouble> {
    let all: Vec<Key> = world.fleets.keys().cloned().collect();
    let listed = || all.iter().map(Key::to_string).collect::<Vec<_>>().join(", ");
    if let Some(asked) = asked {
        let found = all.iter().find(|key| key.to_string() == asked).cloned();
        return found.ok_or_else(|| match all.as_slice() {
            [] => Trouble::one(format!("there is no Fleet {asked:?}, nor any other")),
            _ => Trouble::one(format!("there is no Fleet {asked:?}; there is {}", listed())),
        });
    }
    if let Some(namespace) = namespace
        && let Some(fleet) = world.fleet_in(namespace)
    {
        return Ok(fleet);
    }
    match all.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Trouble::one("there is no Fleet: install the chart, or write one (examples/quickstart/fleet.yaml)")),
        _ => match world.default_fleet_namespace.as_deref().and_then(|namespace| world.fleet_in(namespace)) {
            Some(default) => Ok(default),
            None => Err(Trouble::one(format!("there are several Fleets; choose by --fleet one of {}", listed()))),
        },
    }
}
