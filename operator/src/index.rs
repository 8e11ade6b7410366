//! The world as the operator knows it. Never sees a client: whoever reads the API server, or a folder, tells it.

use std::collections::BTreeMap;
use std::fmt;

use bannou_crds::kinds::{AccessTier, Fleet, ServiceExposure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Key {
        Key { namespace: namespace.into(), name: name.into() }
    }

    pub fn of(metadata: &ObjectMeta) -> Key {
        Key::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One of the project's kinds, in the order in which people read a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    Fleet,
    AccessTier,
    ServiceExposure,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ObjectKind::Fleet => "Fleet",
            ObjectKind::AccessTier => "AccessTier",
            ObjectKind::ServiceExposure => "ServiceExposure",
        })
    }
}

/// Which object a word is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    pub kind: ObjectKind,
    #[serde(flatten)]
    pub key: Key,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// An object as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Fleet(Fleet),
    AccessTier(AccessTier),
    ServiceExposure(Box<ServiceExposure>),
    Namespace { name: String, labels: BTreeMap<String, String> },
}

/// What stands behind an exposure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackendKey {
    Dapr { namespace: String, app_id: String },
    Service { namespace: String, name: String, port: u16 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    Ready,
    NoReadyPods,
    /// There is a workload of that name, but without Dapr's annotations.
    NotDaprEnabled,
}

/// All that `catalog::compile` reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    pub fleets: BTreeMap<Key, Fleet>,
    pub tiers: BTreeMap<Key, AccessTier>,
    pub exposures: BTreeMap<Key, ServiceExposure>,
    /// Labels by namespace.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// `None`: not known (a folder has no workloads), so nothing is said about backends.
    pub backends: Option<BTreeMap<BackendKey, BackendState>>,
    /// For exposures without a `fleetRef`.
    pub default_fleet_namespace: Option<String>,
}

impl World {
    /// Takes an object in, or a new version of it. Says whether anything changed that `compile` reads: a status never does.
    pub fn apply(&mut self, object: Object) -> bool {
        match object {
            Object::Fleet(mut fleet) => {
                fleet.status = None;
                replace(&mut self.fleets, Key::of(&fleet.metadata), fleet)
            }
            Object::AccessTier(mut tier) => {
                tier.status = None;
                replace(&mut self.tiers, Key::of(&tier.metadata), tier)
            }
            Object::ServiceExposure(mut exposure) => {
                exposure.status = None;
                replace(&mut self.exposures, Key::of(&exposure.metadata), *exposure)
            }
            Object::Namespace { name, labels } => replace(&mut self.namespaces, name, labels),
        }
    }

    /// Takes an object out. Says whether it was there.
    pub fn delete(&mut self, object: &ObjectRef) -> bool {
        match object.kind {
            ObjectKind::Fleet => self.fleets.remove(&object.key).is_some(),
            ObjectKind::AccessTier => self.tiers.remove(&object.key).is_some(),
            ObjectKind::ServiceExposure => self.exposures.remove(&object.key).is_some(),
        }
    }

    /// The namespace of the fleet that an exposure asks for.
    pub fn fleet_namespace<'a>(&'a self, exposure: &'a ServiceExposure) -> Option<&'a str> {
        match &exposure.spec.fleet_ref {
            Some(fleet) => Some(&fleet.namespace),
            None => self.default_fleet_namespace.as_deref(),
        }
    }

    /// The fleet of a namespace: of several, the oldest.
    pub fn fleet_in(&self, namespace: &str) -> Option<&Fleet> {
        self.fleets
            .values()
            .filter(|f| f.metadata.namespace.as_deref() == Some(namespace))
            .min_by_key(|f| age(&f.metadata))
    }
}

/// Sorts the oldest first. What has no timestamp (a file) counts as new; the rest is decided by namespace and name.
pub fn age(metadata: &ObjectMeta) -> impl Ord + use<> {
    let created = metadata.creation_timestamp.as_ref().map(|t| t.0);
    (created.is_none(), created, Key::of(metadata))
}

fn replace<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: V) -> bool {
    if map.get(&key) == Some(&value) {
        return false;
    }
    map.insert(key, value);
    true
}
