//! The only writer to the API server: statuses, exposures made from annotations, and Events. Writes what differs and nothing else, and
//! only while the lease is held.

mod outcome;
pub mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bannou_crds::kinds::ServiceExposure;
use futures_util::StreamExt;
use futures_util::stream;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use self::outcome::write;
use self::plan::{Owned, Warning, owned, status, whole};
use crate::catalog::ObjectStatus;
use crate::controller::Output;
use crate::index::ObjectRef;
use crate::lease::Holding;
use crate::metrics::Meters;
use crate::watch::{Written, resource};

/// In `managedFields`, and in Events.
pub const MANAGER: &str = "bannou-operator";

/// Writes at one time.
const AT_ONCE: usize = 8;

/// A write that failed is tried again after so long, unless something is heard before.
const AGAIN: Duration = Duration::from_secs(5);

/// Writes what each output asks for, until there are no more or the lease is lost.
pub async fn run(client: Client, holding: Holding, meters: Meters, mut outputs: watch::Receiver<Output>) {
    let reporter = Reporter { controller: MANAGER.to_owned(), instance: None };
    let mut writer = Writer {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        holding,
        meters,
        written: BTreeMap::new(),
        told: BTreeMap::new(),
    };
    loop {
        let output = outputs.borrow_and_update().clone();
        let failed = if output.compiled > 0 { writer.write(&output).await } else { 0 };
        if !writer.holding.is_valid() {
            return;
        }
        let again = if failed > 0 { Instant::now() + AGAIN } else { Instant::now() + Duration::from_secs(3600) };
        if matches!(timeout_at(again, outputs.changed()).await, Ok(Err(_))) {
            return;
        }
    }
}

struct Writer {
    client: Client,
    recorder: Recorder,
    holding: Holding,
    meters: Meters,
    /// What this writer wrote and has not heard back yet, with what was there before: else it would be written twice.
    written: BTreeMap<ObjectRef, (Written, ObjectStatus)>,
    /// Warnings by workload, so that each is told once.
    told: BTreeMap<ObjectRef, Warning>,
}

impl Writer {
    /// Says how many writes failed.
    async fn write(&mut self, output: &Output) -> usize {
        let (actions, warnings) = owned(&output.world);
        let mut failed = 0;
        for action in actions {
            failed += usize::from(!self.own(action).await);
        }
        self.warn(warnings).await;
        failed + self.statuses(output).await
    }

    async fn statuses(&mut self, output: &Output) -> usize {
        let now = Timestamp::now();
        let mut writes = Vec::new();
        for (object, wanted) in output.conditions.iter() {
            // Not heard of yet, or gone.
            let Some(there) = output.written.get(object) else { continue };
            if self.written.get(object).is_some_and(|(before, written)| before == there && written == wanted) {
                continue;
            }
            match status(object.kind, wanted, &there.status, now) {
                Some(status) => writes.push((object.clone(), there.clone(), wanted.clone(), status)),
                None => drop(self.written.remove(object)),
            }
        }
        let (client, holding, meters) = (&self.client, &self.holding, &self.meters);
        let results: Vec<_> = stream::iter(writes)
            .map(|(object, there, wanted, status)| async move {
                let good = holding.is_valid() && write_status(client, meters, &object, &there, status).await;
                (object, there, wanted, good)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut failed = 0;
        for (object, there, wanted, good) in results {
            if good {
                self.written.insert(object, (there, wanted));
            } else {
                failed += 1;
            }
        }
        self.written.retain(|object, _| output.written.contains_key(object));
        failed
    }

    async fn own(&self, action: Owned) -> bool {
        if !self.holding.is_valid() {
            return false;
        }
        match action {
            Owned::Apply(exposure) => {
                let (namespace, name) = (exposure.metadata.namespace.as_deref(), exposure.metadata.name.as_deref());
                let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
                let api: Api<ServiceExposure> = Api::namespaced(self.client.clone(), namespace);
                let (how, patch) = (PatchParams::apply(MANAGER).force(), Patch::Apply(&exposure));
                let what = format!("ServiceExposure {namespace}/{name}");
                write(&self.meters, "exposure", what, api.patch(name, &how, &patch)).await
            }
            Owned::Replace(key, uid, spec) => {
                let api: Api<ServiceExposure> = Api::namespaced(self.client.clone(), &key.namespace);
                // With the uid: not another one of that name, made since it was seen.
                let patch = json!({"metadata": {"uid": uid}, "spec": whole(&spec)});
                let how = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
                let (name, patch) = (key.name.clone(), Patch::Merge(&patch));
                let writing = api.patch(&name, &how, &patch);
                write(&self.meters, "exposure", format!("ServiceExposure {key}"), writing).await
            }
            Owned::Delete(key, uid) => {
                let api: Api<ServiceExposure> = Api::namespaced(self.client.clone(), &key.namespace);
                let how = DeleteParams {
                    preconditions: Some(Preconditions { uid, resource_version: None }),
                    ..DeleteParams::default()
                };
                write(&self.meters, "exposure", format!("ServiceExposure {key}"), api.delete(&key.name, &how)).await
            }
        }
    }

    async fn warn(&mut self, warnings: Vec<Warning>) {
        let now: BTreeSet<ObjectRef> = warnings.iter().map(|w| w.workload.clone()).collect();
        self.told.retain(|workload, _| now.contains(workload));
        for warning in warnings {
            if self.told.get(&warning.workload) == Some(&warning) || !self.holding.is_valid() {
                continue;
            }
            let types = resource(warning.workload.kind);
            let about = ObjectReference {
                api_version: Some(types.api_version),
                kind: Some(types.kind),
                namespace: Some(warning.workload.key.namespace.clone()),
                name: Some(warning.workload.key.name.clone()),
                uid: Some(warning.uid.clone()),
                ..ObjectReference::default()
            };
            let event = Event {
                type_: EventType::Warning,
                reason: warning.reason.to_owned(),
                note: Some(warning.note.clone()),
                action: "Expose".to_owned(),
                secondary: None,
            };
            let what = format!("Event about {}", warning.workload);
            if write(&self.meters, "event", what, self.recorder.publish(&event, &about)).await {
                self.told.insert(warning.workload.clone(), warning);
            }
        }
    }
}

async fn write_status(client: &Client, meters: &Meters, object: &ObjectRef, there: &Written, status: Value) -> bool {
    let types = resource(object.kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &object.key.namespace, &types);
    let patch = json!({
        "apiVersion": types.api_version, "kind": types.kind,
        "status": status,
        // Who was stopped and wakes up does not write over what another wrote meanwhile.
        "metadata": {"name": object.key.name, "namespace": object.key.namespace, "resourceVersion": there.resource_version},
    });
    let (how, patch) = (PatchParams::apply(MANAGER).force(), Patch::Apply(&patch));
    write(meters, "status", object, api.patch_status(&object.key.name, &how, &patch)).await
}
