//! What stands behind exposures: workloads with their Dapr annotations, and Services.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Key, ObjectKind, ObjectRef};

pub const DAPR_ENABLED: &str = "dapr.io/enabled";
pub const DAPR_APP_ID: &str = "dapr.io/app-id";

/// A Deployment or StatefulSet, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    pub object: ObjectRef,
    pub uid: String,
    /// Of the pod template, those of `bannou.dev/` and `dapr.io/` alone.
    pub annotations: BTreeMap<String, String>,
    /// Of the pod template.
    pub labels: BTreeMap<String, String>,
    /// Whether one Pod is ready. Not how many: a rollout is no reason to compile.
    pub ready: bool,
    /// On its way out: what was made for it goes.
    pub deleted: bool,
}

impl Workload {
    pub fn of_deployment(deployment: &Deployment) -> Workload {
        let ready = deployment.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or_default();
        Workload::of(ObjectKind::Deployment, &deployment.metadata, deployment.spec.template.metadata.as_ref(), ready)
    }

    pub fn of_stateful_set(set: &StatefulSet) -> Workload {
        let ready = set.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or_default();
        Workload::of(ObjectKind::StatefulSet, &set.metadata, set.spec.template.metadata.as_ref(), ready)
    }

    fn of(kind: ObjectKind, metadata: &ObjectMeta, template: Option<&ObjectMeta>, ready: i32) -> Workload {
        let ours = |(key, _): &(&String, &String)| key.starts_with("bannou.dev/") || key.starts_with("dapr.io/");
        let annotations = template.and_then(|t| t.annotations.as_ref()).into_iter().flatten();
        Workload {
            object: ObjectRef { kind, key: Key::of(metadata) },
            uid: metadata.uid.clone().unwrap_or_default(),
            annotations: annotations.filter(ours).map(|(k, v)| (k.clone(), v.clone())).collect(),
            labels: template.and_then(|t| t.labels.clone()).unwrap_or_default(),
            ready: ready > 0,
            deleted: metadata.deletion_timestamp.is_some(),
        }
    }

    pub fn dapr_enabled(&self) -> bool {
        self.annotations.get(DAPR_ENABLED).is_some_and(|v| v == "true")
    }

    pub fn app_id(&self) -> Option<&str> {
        self.annotations.get(DAPR_APP_ID).map(String::as_str).filter(|id| !id.is_empty())
    }
}

/// A Service, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub key: Key,
    pub ports: BTreeSet<u16>,
    /// Empty: somebody else says where it leads.
    pub selector: BTreeMap<String, String>,
}

impl Service {
    pub fn of(service: &core::Service) -> Service {
        let spec = service.spec.as_ref();
        let ports = spec.and_then(|s| s.ports.as_ref()).into_iter().flatten();
        Service {
            key: Key::of(&service.metadata),
            ports: ports.filter_map(|p| u16::try_from(p.port).ok()).collect(),
            selector: spec.and_then(|s| s.selector.clone()).unwrap_or_default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    Ready,
    NoReadyPods,
    /// There is a workload of that name, but without Dapr's annotations.
    NotDaprEnabled,
    Missing,
}

/// Workloads and Services of the cluster, and what is asked about them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backends {
    workloads: BTreeMap<ObjectRef, Workload>,
    services: BTreeMap<Key, Service>,
    /// Workloads by namespace and each name that they could be meant by: their app-id and their own.
    named: BTreeMap<(String, String), BTreeSet<ObjectRef>>,
}

impl Backends {
    /// Says whether anything changed.
    pub fn apply_workload(&mut self, workload: Workload) -> bool {
        if self.workloads.get(&workload.object) == Some(&workload) {
            return false;
        }
        self.delete(&workload.object.clone());
        for name in names(&workload) {
            self.named.entry(name).or_default().insert(workload.object.clone());
        }
        self.workloads.insert(workload.object.clone(), workload);
        true
    }

    pub fn apply_service(&mut self, service: Service) -> bool {
        if self.services.get(&service.key) == Some(&service) {
            return false;
        }
        self.services.insert(service.key.clone(), service);
        true
    }

    /// Says whether it was there.
    pub fn delete(&mut self, object: &ObjectRef) -> bool {
        if object.kind == ObjectKind::Service {
            return self.services.remove(&object.key).is_some();
        }
        let Some(workload) = self.workloads.remove(object) else { return false };
        for name in names(&workload) {
            if let Some(all) = self.named.get_mut(&name) {
                all.remove(object);
                if all.is_empty() {
                    self.named.remove(&name);
                }
            }
        }
        true
    }

    pub(super) fn all(&self, kind: ObjectKind) -> impl Iterator<Item = ObjectRef> {
        let services = self.services.keys().map(|key| ObjectRef { kind: ObjectKind::Service, key: key.clone() });
        services.chain(self.workloads.keys().cloned()).filter(move |object| object.kind == kind)
    }

    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.workloads.values()
    }

    pub fn workload(&self, object: &ObjectRef) -> Option<&Workload> {
        self.workloads.get(object)
    }

    /// A Dapr app: the workloads that say they are it.
    pub fn dapr(&self, namespace: &str, app_id: &str) -> BackendState {
        let name = (namespace.to_owned(), app_id.to_owned());
        let candidates: Vec<&Workload> =
            self.named.get(&name).into_iter().flatten().filter_map(|object| self.workloads.get(object)).collect();
        let apps = || candidates.iter().filter(|w| w.dapr_enabled() && w.app_id() == Some(app_id));
        if apps().any(|w| w.ready) {
            BackendState::Ready
        } else if apps().next().is_some() {
            BackendState::NoReadyPods
        } else if candidates.iter().any(|w| !w.dapr_enabled() || w.app_id().is_none()) {
            BackendState::NotDaprEnabled
        } else {
            BackendState::Missing
        }
    }

    /// A Service with that port. Whether its Pods are ready is known where a workload makes them.
    pub fn service(&self, key: &Key, port: u16) -> BackendState {
        let Some(service) = self.services.get(key).filter(|s| s.ports.contains(&port)) else {
            return BackendState::Missing;
        };
        if service.selector.is_empty() {
            return BackendState::Ready;
        }
        let mut behind = self
            .workloads
            .values()
            .filter(|w| w.object.key.namespace == key.namespace)
            .filter(|w| service.selector.iter().all(|(k, v)| w.labels.get(k) == Some(v)))
            .peekable();
        if behind.peek().is_some() && !behind.any(|w| w.ready) {
            BackendState::NoReadyPods
        } else {
            BackendState::Ready
        }
    }
}

fn names(workload: &Workload) -> BTreeSet<(String, String)> {
    let key = &workload.object.key;
    let all = workload.app_id().into_iter().chain([key.name.as_str()]);
    all.map(|name| (key.namespace.clone(), name.to_owned())).collect()
}
