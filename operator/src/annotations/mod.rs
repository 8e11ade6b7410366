//! From the annotations on a workload's pod template to the exposure that they ask for, and back. Pure.
//!
//! A mistake withdraws the whole exposure, since half of one is something that nobody wrote.

mod line;

use std::collections::BTreeMap;
use std::fmt;

use bannou_crds::kinds::{Backend, DaprBackend, Endpoint, SOURCE_LABEL, ServiceExposure, ServiceExposureSpec, Source};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::catalog;
use crate::index::{DAPR_APP_ID, DAPR_ENABLED, Key, ObjectKind, ObjectRef, Workload, World};

pub const EXPOSE: &str = "bannou.dev/expose";
pub const SERVICE_NAME: &str = "bannou.dev/service-name";
/// The endpoint's name follows: "bannou.dev/endpoint.create".
pub const ENDPOINT: &str = "bannou.dev/endpoint.";
/// All endpoints as JSON, in the shape of the resource's `spec.endpoints`.
pub const ENDPOINTS: &str = "bannou.dev/endpoints";

/// Longer values are cut when they are quoted: an Event has room for 1 KiB.
const QUOTED: usize = 160;

/// What is wrong with one annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub annotation: String,
    /// As it is written; absent where the annotation is missing.
    pub value: Option<String>,
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(value) = &self.value else {
            return write!(f, "{}: {}", self.annotation, self.message);
        };
        let cut: String = value.chars().take(QUOTED).collect();
        let more = if cut.len() < value.len() { "…" } else { "" };
        write!(f, "{}: {:?}: {}", self.annotation, cut + more, self.message)
    }
}

/// The exposure that a workload's annotations ask for: none without `bannou.dev/expose: "true"`.
///
/// # Errors
/// Every mistake, in the order of the annotations' names.
pub fn exposure(workload: &Workload) -> Result<Option<ServiceExposureSpec>, Vec<Mistake>> {
    let all = &workload.annotations;
    match all.get(EXPOSE).map(String::as_str) {
        None | Some("false") => return Ok(None),
        Some("true") => {}
        Some(_) => return Err(vec![mistake(all, EXPOSE, "write \"true\" or \"false\"")]),
    }
    let mut mistakes = Vec::new();
    if !workload.dapr_enabled() {
        mistakes.push(mistake(all, DAPR_ENABLED, "must be \"true\": the service is called through its sidecar"));
    }
    let app_id = workload.app_id().unwrap_or_default();
    if app_id.is_empty() {
        mistakes.push(mistake(all, DAPR_APP_ID, "must be there: it is how the service is called"));
    }
    let known = |key: &str| matches!(key, EXPOSE | SERVICE_NAME | ENDPOINTS) || key.starts_with(ENDPOINT);
    for key in all.keys().filter(|key| key.starts_with("bannou.dev/") && !known(key)) {
        let what = format!("is not known; there are {EXPOSE}, {SERVICE_NAME}, {ENDPOINT}NAME and {ENDPOINTS}");
        mistakes.push(mistake(all, key, &what));
    }
    let endpoints = endpoints(all, &mut mistakes);
    let spec = ServiceExposureSpec {
        service_name: all.get(SERVICE_NAME).map_or(app_id, String::as_str).to_owned(),
        backend: Backend { dapr: Some(DaprBackend { app_id: app_id.to_owned() }), ..Backend::default() },
        fleet_ref: None,
        defaults: None,
        resilience: None,
        endpoints: endpoints.iter().map(|(_, endpoint)| endpoint.clone()).collect(),
        events: Vec::new(),
        senders: None,
    };
    // The rest is judged as it is for a written exposure, and told of the annotation that says it.
    if mistakes.is_empty() {
        mistakes.extend(catalog::mistakes(&spec).iter().map(|message| attribute(all, &endpoints, message)));
    }
    if mistakes.is_empty() { Ok(Some(spec)) } else { Err(mistakes) }
}

/// Each with the annotation that it comes from.
fn endpoints(all: &BTreeMap<String, String>, mistakes: &mut Vec<Mistake>) -> Vec<(String, Endpoint)> {
    let lines: Vec<(&String, &str)> = all.keys().filter_map(|key| Some((key, key.strip_prefix(ENDPOINT)?))).collect();
    let Some(json) = all.get(ENDPOINTS) else {
        if lines.is_empty() {
            mistakes.push(mistake(
                all,
                EXPOSE,
                &format!("there is no endpoint to expose; add {ENDPOINT}NAME or {ENDPOINTS}"),
            ));
        }
        let read = |(key, name): (&String, &str)| match line::parse(name, &all[key]) {
            Ok(endpoint) => Some((key.clone(), endpoint)),
            Err(message) => {
                mistakes.push(mistake(all, key, &message));
                None
            }
        };
        return lines.into_iter().filter_map(read).collect();
    };
    if let Some((key, _)) = lines.first() {
        mistakes.push(mistake(all, key, &format!("cannot stand beside {ENDPOINTS}; write all of them in one way")));
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    let read: Result<Vec<StrictEndpoint>, _> = serde_path_to_error::deserialize(&mut reader);
    match read {
        Ok(read) => read.into_iter().map(|e| (ENDPOINTS.to_owned(), e.0)).collect(),
        Err(error) => {
            mistakes.push(mistake(all, ENDPOINTS, &format!("at {}: {}", error.path(), error.inner())));
            Vec::new()
        }
    }
}

/// Refuses members that an endpoint does not have: the API server does that for a written one.
struct StrictEndpoint(Endpoint);

impl<'de> serde::Deserialize<'de> for StrictEndpoint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<StrictEndpoint, D::Error> {
        let mut unknown = None;
        let endpoint = serde_json::Value::deserialize(deserializer)?;
        let read: Endpoint = serde_path_to_error::deserialize(&endpoint).map_err(serde::de::Error::custom)?;
        let known = serde_json::to_value(&read).map_err(serde::de::Error::custom)?;
        for (member, value) in endpoint.as_object().into_iter().flatten() {
            // What is left out on writing is a default, which is known.
            let is_default = value.is_null() || *value == serde_json::json!(false) || *value == serde_json::json!([]);
            if known.get(member).is_none() && !is_default {
                unknown = Some(member.clone());
            }
        }
        match unknown {
            Some(member) => Err(serde::de::Error::custom(format!("an endpoint has no {member:?}"))),
            None => Ok(StrictEndpoint(read)),
        }
    }
}

fn mistake(all: &BTreeMap<String, String>, key: &str, message: &str) -> Mistake {
    Mistake { annotation: key.to_owned(), value: all.get(key).cloned(), message: message.to_owned() }
}

/// A message about a field of the exposure ("spec.endpoints[0].path: must …") as one about the annotation behind it.
fn attribute(all: &BTreeMap<String, String>, endpoints: &[(String, Endpoint)], message: &str) -> Mistake {
    let message = message.trim_end_matches('.');
    let (field, says) = message.split_once(": ").unwrap_or(("", message));
    if let Some((index, member)) = field.strip_prefix("spec.endpoints[").and_then(|rest| rest.split_once(']'))
        && let Some((key, endpoint)) = index.parse::<usize>().ok().and_then(|i| endpoints.get(i))
    {
        let member = member.trim_start_matches('.');
        let says = match key == ENDPOINTS {
            true => format!("{} of the endpoint {:?}: {says}", member, endpoint.name),
            false => format!("{member}: {says}"),
        };
        return mistake(all, key, &says);
    }
    match field {
        "spec.serviceName" if all.contains_key(SERVICE_NAME) => mistake(all, SERVICE_NAME, says),
        "spec.serviceName" => mistake(all, DAPR_APP_ID, &format!("as the service's name, {says}; add {SERVICE_NAME}")),
        "spec.backend.dapr.appId" => mistake(all, DAPR_APP_ID, says),
        _ => mistake(all, EXPOSE, message),
    }
}

/// How the operator calls what it makes for a workload: a written exposure may have the workload's own name.
pub fn owned_name(workload: &ObjectRef) -> String {
    format!("{}.{}", workload.key.name, workload.kind.as_str().to_lowercase())
}

/// The exposure that the operator makes for a workload, which goes with it.
pub fn owned(workload: &Workload, spec: ServiceExposureSpec) -> ServiceExposure {
    let owner = OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: workload.object.kind.as_str().to_owned(),
        name: workload.object.key.name.clone(),
        uid: workload.uid.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let mut exposure = ServiceExposure::new(&owned_name(&workload.object), spec);
    exposure.metadata = ObjectMeta {
        namespace: Some(workload.object.key.namespace.clone()),
        labels: Some(BTreeMap::from([(SOURCE_LABEL.to_owned(), "Annotation".to_owned())])),
        owner_references: Some(vec![owner]),
        ..exposure.metadata
    };
    exposure
}

/// The workload that the operator made it for, with its uid. By owner and name too: a label is quickly written.
pub fn maker(exposure: &ServiceExposure) -> Option<(ObjectRef, &str)> {
    if exposure.source() != Source::Annotation {
        return None;
    }
    let owner = exposure.metadata.owner_references.iter().flatten().find(|o| o.controller == Some(true))?;
    let kind = [ObjectKind::Deployment, ObjectKind::StatefulSet].into_iter().find(|k| k.as_str() == owner.kind)?;
    let namespace = exposure.metadata.namespace.clone().unwrap_or_default();
    let workload = ObjectRef { kind, key: Key::new(namespace, &owner.name) };
    let ours = exposure.metadata.name.as_deref() == Some(owned_name(&workload).as_str());
    (owner.api_version == "apps/v1" && ours).then_some((workload, &owner.uid))
}

/// By whom an exposure was written. `None`: it says that it was made from annotations, and no workload asks for it by any; then no
/// tier admits it.
pub fn source(world: &World, exposure: &ServiceExposure) -> Option<Source> {
    // A folder has no workloads: all in it is one person's.
    let (Source::Annotation, Some(backends)) = (exposure.source(), &world.backends) else {
        return Some(exposure.source());
    };
    let (workload, uid) = maker(exposure)?;
    let workload = backends.workload(&workload).filter(|w| w.uid == uid && !w.deleted)?;
    workload.annotations.contains_key(EXPOSE).then_some(Source::Annotation)
}

/// The exposure that a person would write for it: `bannou adopt` prints it. It replaces the operator's as soon as it is there.
pub fn adopted(workload: &Workload, spec: ServiceExposureSpec) -> ServiceExposure {
    let mut exposure = ServiceExposure::new(&workload.object.key.name, spec);
    exposure.metadata.namespace = Some(workload.object.key.namespace.clone());
    exposure
}
