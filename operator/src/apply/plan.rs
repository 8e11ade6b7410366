//! What there is to write, from what is wanted and what is there. Without I/O.

use std::collections::{BTreeMap, BTreeSet};

use bannou_crds::kinds::{ServiceExposure, ServiceExposureSpec};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::annotations::{self, Mistake};
use crate::catalog::{Condition, ObjectStatus, Status};
use crate::index::{Key, ObjectKind, ObjectRef, Workload, World};

/// The status as it is to be written; `None`: what is there says the same, whatever its order and times.
pub fn status(kind: ObjectKind, wanted: &ObjectStatus, there: &Value, now: Timestamp) -> Option<Value> {
    let before: Vec<&Value> = there["conditions"].as_array().into_iter().flatten().collect();
    let conditions: Vec<Value> = wanted.conditions.iter().map(|c| condition(c, wanted, &before, now)).collect();
    let mut status = json!({"conditions": conditions});
    if let Some(generation) = wanted.observed_generation {
        status["observedGeneration"] = generation.into();
    }
    match (kind, wanted.endpoints) {
        (ObjectKind::ServiceExposure, Some(count)) => status["endpointCount"] = count.into(),
        (ObjectKind::AccessTier, Some(count)) => status["attachedEndpoints"] = count.into(),
        _ => {}
    }
    if let Some(count) = wanted.gateways {
        status["gateways"] = count.into();
    }
    let same = status.as_object().into_iter().flatten().all(|(member, value)| match member.as_str() {
        // Other people's conditions may stand among them.
        "conditions" => conditions.iter().all(|c| before.contains(&c)),
        _ => there[member] == *value,
    });
    (!same).then_some(status)
}

/// The time is that of the last change of the status, not of its reason.
fn condition(condition: &Condition, of: &ObjectStatus, before: &[&Value], now: Timestamp) -> Value {
    let kind = json!(condition.kind);
    let status = match condition.status {
        Status::True => "True",
        Status::False => "False",
        Status::Unknown => "Unknown",
    };
    let since =
        before.iter().find(|b| b["type"] == kind && b["status"] == status).map(|b| b["lastTransitionTime"].clone());
    let mut value = json!({
        "type": kind, "status": status, "reason": condition.reason.as_str(), "message": condition.message,
        "lastTransitionTime": since.unwrap_or_else(|| format!("{now:.0}").into()),
    });
    if let Some(generation) = of.observed_generation {
        value["observedGeneration"] = generation.into();
    }
    value
}

/// What is to be done about the exposures that the operator makes from annotations.
#[derive(Clone, Debug, PartialEq)]
pub enum Owned {
    Apply(Box<ServiceExposure>),
    /// The spec of ours, by this uid, whole: applying would leave what somebody else has put into its lists.
    Replace(Key, Option<String>, Box<ServiceExposureSpec>),
    /// Ours, by this uid.
    Delete(Key, Option<String>),
}

/// A Warning for people who look at a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub workload: ObjectRef,
    pub uid: String,
    pub reason: &'static str,
    pub note: String,
}

/// An Event takes a note of 1 KiB.
const NOTE: usize = 1000;

/// Of the whole world: exposures to write or to take away, and what to warn of.
pub fn owned(world: &World) -> (Vec<Owned>, Vec<Warning>) {
    let (mut actions, mut warnings) = (Vec::new(), Vec::new());
    let Some(backends) = &world.backends else { return (actions, warnings) };
    let alive: BTreeMap<&str, &Workload> =
        backends.workloads().filter(|w| !w.deleted).map(|w| (w.uid.as_str(), w)).collect();
    let mut stale = BTreeSet::new();
    for exposure in world.exposures.values() {
        let Some((_, uid)) = annotations::maker(exposure) else { continue };
        if !alive.contains_key(uid) {
            let key = Key::of(&exposure.metadata);
            stale.insert(key.clone());
            actions.push(Owned::Delete(key, exposure.metadata.uid.clone()));
        }
    }
    for workload in alive.values() {
        let wanted = annotations::exposure(workload);
        let key = Key::new(&workload.object.key.namespace, annotations::owned_name(&workload.object));
        if stale.contains(&key) {
            continue;
        }
        let object = ObjectRef { kind: ObjectKind::ServiceExposure, key: key.clone() };
        let there = world.exposures.get(&key);
        let mine = there.filter(|e| annotations::maker(e).is_some_and(|(_, uid)| uid == workload.uid));
        let foreign = mine.is_none() && (there.is_some() || world.undecodable.contains_key(&object));
        let mut warn = |reason, note: String| {
            let note = note.chars().take(NOTE).collect();
            warnings.push(Warning { workload: workload.object.clone(), uid: workload.uid.clone(), reason, note });
        };
        let take_away = mine.map(|e| Owned::Delete(key.clone(), e.metadata.uid.clone()));
        match wanted {
            Ok(None) => actions.extend(take_away),
            Err(mistakes) => {
                actions.extend(take_away);
                let all: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
                warn("InvalidAnnotation", format!("Nothing is exposed: {}", all.join("; ")));
            }
            Ok(Some(_)) if foreign => {
                warn(
                    "NotOwned",
                    format!(
                        "ServiceExposure {key} is not the operator's, so it is left as it is and the annotations count for nothing; remove it, or the annotations"
                    ),
                );
            }
            Ok(Some(spec)) => match mine {
                Some(mine) if mine.spec == spec => {}
                // A name never changes; the next look makes the other one.
                Some(mine) if mine.spec.service_name != spec.service_name => actions.extend(take_away),
                Some(mine) => {
                    actions.push(Owned::Replace(key.clone(), mine.metadata.uid.clone(), Box::new(spec)));
                }
                None => actions.push(Owned::Apply(Box::new(annotations::owned(workload, spec)))),
            },
        }
    }
    (actions, warnings)
}

/// A merge patch of a spec that leaves nothing of the one before: members that it has none of are null.
pub fn whole(spec: &ServiceExposureSpec) -> Value {
    let mut all = json!({
        "backend": {"dapr": null, "service": null, "peer": null},
        "fleetRef": null, "defaults": null, "resilience": null, "endpoints": [], "events": [], "senders": null,
    });
    let written = serde_json::to_value(spec).unwrap_or_default();
    for (member, value) in written.as_object().into_iter().flatten() {
        match (all.get_mut(member).and_then(Value::as_object_mut), value.as_object()) {
            (Some(all), Some(value)) => all.extend(value.clone()),
            _ => all[member] = value.clone(),
        }
    }
    all
}

#[cfg(test)]
mod tests;
