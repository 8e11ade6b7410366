//! The world as the operator knows it. Never sees a client: whoever reads the API server, or a folder, tells it.

mod decode;
mod undecodable;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bannou_crds::kinds::{AccessTier, Fleet, ServiceExposure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

pub use self::decode::decode;
pub use self::undecodable::Undecodable;
pub use self::workload::{BackendState, Backends, DAPR_APP_ID, DAPR_ENABLED, Service, Workload};

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

/// The kinds that the operator reads, its own first, in the order in which people read a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    Fleet,
    AccessTier,
    ServiceExposure,
    Deployment,
    StatefulSet,
    Service,
    Namespace,
}

impl ObjectKind {
    pub const ALL: [ObjectKind; 7] = [
        ObjectKind::Fleet,
        ObjectKind::AccessTier,
        ObjectKind::ServiceExposure,
        ObjectKind::Deployment,
        ObjectKind::StatefulSet,
        ObjectKind::Service,
        ObjectKind::Namespace,
    ];

    /// Those that the project defines itself.
    pub fn is_own(self) -> bool {
        matches!(self, ObjectKind::Fleet | ObjectKind::AccessTier | ObjectKind::ServiceExposure)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            ObjectKind::Fleet => "Fleet",
            ObjectKind::AccessTier => "AccessTier",
            ObjectKind::ServiceExposure => "ServiceExposure",
            ObjectKind::Deployment => "Deployment",
            ObjectKind::StatefulSet => "StatefulSet",
            ObjectKind::Service => "Service",
            ObjectKind::Namespace => "Namespace",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
    /// One of these three that cannot be read.
    Undecodable(Box<Undecodable>),
    Namespace {
        name: String,
        labels: BTreeMap<String, String>,
    },
    Workload(Workload),
    Service(Service),
}

impl Object {
    /// A Namespace has its name alone.
    pub fn reference(&self) -> ObjectRef {
        let of = |kind, metadata| ObjectRef { kind, key: Key::of(metadata) };
        match self {
            Object::Fleet(fleet) => of(ObjectKind::Fleet, &fleet.metadata),
            Object::AccessTier(tier) => of(ObjectKind::AccessTier, &tier.metadata),
            Object::ServiceExposure(exposure) => of(ObjectKind::ServiceExposure, &exposure.metadata),
            Object::Undecodable(object) => object.object.clone(),
            Object::Namespace { name, .. } => ObjectRef { kind: ObjectKind::Namespace, key: Key::new("", name) },
            Object::Workload(workload) => workload.object.clone(),
            Object::Service(service) => ObjectRef { kind: ObjectKind::Service, key: service.key.clone() },
        }
    }
}

/// What an exposure's own status says of the name that it asks for, when the operator sees it for the first time. It is how a
/// new holder knows who had which name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// It had the name, as it stands there today.
    Held,
    /// It had the name; it was edited since.
    HeldBefore,
    Never,
}

/// All that `catalog::compile` reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    pub fleets: BTreeMap<Key, Fleet>,
    pub tiers: BTreeMap<Key, AccessTier>,
    pub exposures: BTreeMap<Key, ServiceExposure>,
    pub undecodable: BTreeMap<ObjectRef, Undecodable>,
    /// Labels by namespace.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// `None`: not known (a folder has no workloads), so nothing is said about backends.
    pub backends: Option<Backends>,
    /// For exposures without a `fleetRef`.
    pub default_fleet_namespace: Option<String>,
    claims: BTreeMap<Key, Claim>,
    /// Who had each name (the fleet's namespace, the service's name) when it was compiled last.
    owners: BTreeMap<(String, String), Key>,
}

impl World {
    /// One whose workloads are known, even where there are none.
    pub fn of_cluster() -> World {
        World { backends: Some(Backends::default()), ..World::default() }
    }

    /// Takes an object in, or a new version of it. Says whether anything changed that `compile` reads: a status never does.
    pub fn apply(&mut self, object: Object) -> bool {
        match object {
            Object::Fleet(mut fleet) => {
                fleet.status = None;
                fleet.metadata = relevant(fleet.metadata);
                let key = Key::of(&fleet.metadata);
                self.readable(ObjectKind::Fleet, &key) | replace(&mut self.fleets, key, fleet)
            }
            Object::AccessTier(mut tier) => {
                tier.status = None;
                tier.metadata = relevant(tier.metadata);
                let key = Key::of(&tier.metadata);
                self.readable(ObjectKind::AccessTier, &key) | replace(&mut self.tiers, key, tier)
            }
            Object::ServiceExposure(mut exposure) => {
                let claim = claim(&exposure);
                exposure.status = None;
                exposure.metadata = relevant(exposure.metadata);
                let key = Key::of(&exposure.metadata);
                self.see(&key, exposure.metadata.uid.as_deref(), claim);
                self.readable(ObjectKind::ServiceExposure, &key) | replace(&mut self.exposures, key, *exposure)
            }
            Object::Undecodable(mut object) => {
                object.metadata = relevant(object.metadata);
                let key = object.object.key.clone();
                if object.object.kind == ObjectKind::ServiceExposure {
                    self.see(&key, object.metadata.uid.as_deref(), Claim::Never);
                    object.remember(self.exposures.get(&key), self.undecodable.get(&object.object));
                }
                let had = match object.object.kind {
                    ObjectKind::Fleet => self.fleets.remove(&key).is_some(),
                    ObjectKind::AccessTier => self.tiers.remove(&key).is_some(),
                    _ => self.exposures.remove(&key).is_some(),
                };
                had | replace(&mut self.undecodable, object.object.clone(), *object)
            }
            Object::Namespace { name, labels } => replace(&mut self.namespaces, name, labels),
            Object::Workload(workload) => self.backends.get_or_insert_default().apply_workload(workload),
            Object::Service(service) => self.backends.get_or_insert_default().apply_service(service),
        }
    }

    /// Takes an object out. Says whether it was there.
    pub fn delete(&mut self, object: &ObjectRef) -> bool {
        let key = &object.key;
        let unread = self.undecodable.remove(object).is_some();
        unread
            | match object.kind {
                ObjectKind::Fleet => self.fleets.remove(key).is_some(),
                ObjectKind::AccessTier => self.tiers.remove(key).is_some(),
                ObjectKind::ServiceExposure => {
                    self.forget(key);
                    self.exposures.remove(key).is_some()
                }
                ObjectKind::Namespace => self.namespaces.remove(&key.name).is_some(),
                ObjectKind::Deployment | ObjectKind::StatefulSet | ObjectKind::Service => {
                    self.backends.as_mut().is_some_and(|b| b.delete(object))
                }
            }
    }

    /// Takes a whole list of a kind in: what is not in it is gone. Says whether anything changed.
    pub fn reset(&mut self, kind: ObjectKind, objects: Vec<Object>) -> bool {
        let there: BTreeSet<ObjectRef> = objects.iter().map(Object::reference).collect();
        let gone: Vec<ObjectRef> = self.all(kind).filter(|object| !there.contains(object)).collect();
        let deleted = gone.iter().fold(false, |changed, object| self.delete(object) | changed);
        objects.into_iter().fold(deleted, |changed, object| self.apply(object) | changed)
    }

    /// Every object of a kind.
    pub fn all(&self, kind: ObjectKind) -> Box<dyn Iterator<Item = ObjectRef> + '_> {
        let of = move |key: &Key| ObjectRef { kind, key: key.clone() };
        let unread = self.undecodable.keys().filter(move |o| o.kind == kind).cloned();
        match kind {
            ObjectKind::Fleet => Box::new(unread.chain(self.fleets.keys().map(of))),
            ObjectKind::AccessTier => Box::new(unread.chain(self.tiers.keys().map(of))),
            ObjectKind::ServiceExposure => Box::new(unread.chain(self.exposures.keys().map(of))),
            ObjectKind::Namespace => Box::new(self.namespaces.keys().map(move |name| of(&Key::new("", name)))),
            _ => Box::new(self.backends.iter().flat_map(move |b| b.all(kind))),
        }
    }

    /// Notes who has which name of a fleet by now, so that nobody older who comes later takes it from them: a name stays with
    /// its owner until that goes.
    ///
    /// See [`World::is_settled`] first where the world is shared: a shared one is copied to be changed.
    pub fn settle(&mut self, fleet_namespace: &str, owners: &BTreeMap<String, Key>) {
        self.owners.retain(|(namespace, _), _| namespace != fleet_namespace);
        for (name, key) in owners {
            self.owners.insert((fleet_namespace.to_owned(), name.clone()), key.clone());
        }
    }

    /// Whether that is noted already.
    pub fn is_settled(&self, fleet_namespace: &str, owners: &BTreeMap<String, Key>) -> bool {
        let first = (fleet_namespace.to_owned(), String::new());
        let noted = self.owners.range(first..).take_while(|((namespace, _), _)| namespace == fleet_namespace);
        noted.map(|((_, name), key)| (name, key)).eq(owners.iter())
    }

    /// Sorts those who ask for one name of a fleet, the one that shall have it first.
    pub(crate) fn precedence(&self, fleet_namespace: &str, name: &str, metadata: &ObjectMeta) -> impl Ord + use<> {
        let key = Key::of(metadata);
        let owner = self.owners.get(&(fleet_namespace.to_owned(), name.to_owned()));
        let claim = self.claims.get(&key).copied().unwrap_or(Claim::Never);
        (owner != Some(&key), claim, age(metadata))
    }

    /// The first sight of an exposure, or of another one by the same name.
    fn see(&mut self, key: &Key, uid: Option<&str>, claim: Claim) {
        let object = ObjectRef { kind: ObjectKind::ServiceExposure, key: key.clone() };
        let known = self.exposures.get(key).map(|e| e.metadata.uid.as_deref());
        let known = known.or_else(|| self.undecodable.get(&object).map(|u| u.metadata.uid.as_deref()));
        match known {
            Some(before) if before == uid => {}
            Some(_) => {
                self.forget(key);
                self.claims.insert(key.clone(), claim);
            }
            None => {
                self.claims.insert(key.clone(), claim);
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        self.claims.remove(key);
        self.owners.retain(|_, owner| owner != key);
    }

    /// It can be read (again). Says whether it could not before.
    fn readable(&mut self, kind: ObjectKind, key: &Key) -> bool {
        self.undecodable.remove(&ObjectRef { kind, key: key.clone() }).is_some()
    }

    /// The namespace of the fleet that an exposure asks for.
    pub fn fleet_namespace<'a>(&'a self, exposure: &'a ServiceExposure) -> Option<&'a str> {
        match &exposure.spec.fleet_ref {
            Some(fleet) => Some(&fleet.namespace),
            None => self.default_fleet_namespace.as_deref(),
        }
    }

    /// The same for an exposure that cannot be read; `None` also where it cannot be told.
    pub fn fleet_of_unreadable<'a>(&'a self, exposure: &'a Undecodable) -> Option<&'a str> {
        exposure.fleet_namespace.as_deref().or(self.default_fleet_namespace.as_deref())
    }

    /// The fleet of a namespace: of several, the oldest, also one that cannot be read.
    pub fn fleet_in(&self, namespace: &str) -> Option<Key> {
        let unread = self.undecodable.values().filter(|u| u.object.kind == ObjectKind::Fleet).map(|u| &u.metadata);
        self.fleets
            .values()
            .map(|f| &f.metadata)
            .chain(unread)
            .filter(|m| m.namespace.as_deref() == Some(namespace))
            .min_by_key(|m| age(m))
            .map(Key::of)
    }

    /// Every fleet, also those that cannot be read.
    pub fn all_fleets(&self) -> BTreeSet<Key> {
        let unread = self.undecodable.keys().filter(|o| o.kind == ObjectKind::Fleet).map(|o| o.key.clone());
        self.fleets.keys().cloned().chain(unread).collect()
    }
}

/// What an exposure's status says about its name.
fn claim(exposure: &ServiceExposure) -> Claim {
    let Some(status) = &exposure.status else { return Claim::Never };
    let reason = |kind: &str| status.conditions.iter().find(|c| c.type_ == kind).map(|c| c.reason.as_str());
    let held = reason("Accepted").is_some_and(|r| !matches!(r, "NameConflict" | "NameNotAllowed"))
        && reason("ResolvedRefs") != Some("FleetNotFound");
    match held {
        false => Claim::Never,
        true if status.observed_generation == exposure.metadata.generation => Claim::Held,
        true => Claim::HeldBefore,
    }
}

/// Without what changes with every write, also with our own.
fn relevant(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        generation: metadata.generation,
        creation_timestamp: metadata.creation_timestamp,
        labels: metadata.labels,
        owner_references: metadata.owner_references,
        ..ObjectMeta::default()
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
