//! Everything about one service in one view: who asks for its name, what stands behind it, who may call it, what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use bannou_crds::catalog::{Catalog, PathPart, Service};
use bannou_crds::kinds::{ServiceExposure, Source};
use bannou_operator::annotations;
use bannou_operator::catalog::{Compiled, Condition, ConditionType, Status, compile};
use bannou_operator::index::{BackendState, Key, ObjectKind, ObjectRef, World};
use serde::Serialize;

use crate::cluster::resources::Written;
use crate::folder::did_you_mean;
use crate::table::{pairs, table};
use crate::trouble::Trouble;

/// What `explain -o json` prints. The names and meanings of its members are API.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    pub service: String,
    pub fleet: String,
    /// The one that has the name first.
    pub exposures: Vec<ExposureView>,
    pub backend: Option<BackendView>,
    /// Endpoints and events, as the exposure that has the name asks for them.
    pub members: Vec<MemberView>,
    /// What a person has to look at, a sentence each.
    pub attention: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExposureView {
    pub namespace: String,
    pub name: String,
    pub source: Source,
    /// Whether the name is its own.
    pub owns: bool,
    pub conditions: Vec<Written>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendView {
    /// `Dapr app account.accounts`, or `Service account.accounts:80`.
    pub what: String,
    /// `Ready`, `NoReadyPods`, `NotDaprEnabled`, `Missing`; absent where workloads are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    pub workloads: Vec<WorkloadView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadView {
    pub kind: ObjectKind,
    pub namespace: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    pub dapr_enabled: bool,
    pub ready: bool,
    /// Whether it asks by annotations to be exposed.
    pub annotated: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    pub name: String,
    /// `POST /v1/accounts`, or `event`.
    pub what: String,
    pub asks_for: Vec<String>,
    /// Of these, the tiers that consent; nobody else sees it.
    pub exposed_to: Vec<String>,
}

/// `written`: what the operator wrote on the objects; empty for a folder.
///
/// # Errors
/// Nothing has that name, or wants it.
pub fn service(
    world: &World,
    written: &BTreeMap<ObjectRef, Vec<Written>>,
    fleet: &Key,
    name: &str,
) -> Result<ServiceView, Trouble> {
    let compiled = compile(world, fleet);
    let exposures = exposures(world, written, fleet, &compiled, name);
    let workloads = workloads(world, fleet, &exposures, name);
    if exposures.is_empty() && workloads.is_empty() {
        return Err(unknown(world, fleet, name));
    }
    let owner = exposures.iter().find(|e| e.owns).or(exposures.first());
    let spec = owner.and_then(|e| world.exposures.get(&Key::new(&e.namespace, &e.name)));
    let served = compiled.catalog.as_ref().and_then(|c: &Catalog| c.services.iter().find(|s| s.name == name));
    let mut view = ServiceView {
        service: name.to_owned(),
        fleet: fleet.to_string(),
        backend: backend(world, spec, &workloads, served.is_some()),
        members: spec.map(|spec| members(spec, served.filter(|_| owner.is_some_and(|o| o.owns)))).unwrap_or_default(),
        attention: Vec::new(),
        exposures,
    };
    view.attention = attention(&view, world, compiled.catalog.is_none());
    Ok(view)
}

fn exposures(
    world: &World,
    written: &BTreeMap<ObjectRef, Vec<Written>>,
    fleet: &Key,
    compiled: &Compiled,
    name: &str,
) -> Vec<ExposureView> {
    let owner = compiled.owners.get(name);
    let wants = |e: &&ServiceExposure| {
        e.spec.service_name == name && world.fleet_namespace(e) == Some(fleet.namespace.as_str())
    };
    let mut views: Vec<ExposureView> = world
        .exposures
        .values()
        .filter(wants)
        .map(|exposure| {
            let key = Key::of(&exposure.metadata);
            let object = ObjectRef { kind: ObjectKind::ServiceExposure, key: key.clone() };
            ExposureView {
                source: exposure.source(),
                owns: owner == Some(&key),
                conditions: conditions(compiled, written, &object),
                namespace: key.namespace,
                name: key.name,
            }
        })
        .collect();
    views.sort_by_key(|e| (!e.owns, e.namespace.clone(), e.name.clone()));
    views
}

/// What compile says; of the gateways' word, what is written there.
pub fn conditions(
    compiled: &Compiled,
    written: &BTreeMap<ObjectRef, Vec<Written>>,
    object: &ObjectRef,
) -> Vec<Written> {
    let there = written.get(object).map(Vec::as_slice).unwrap_or_default();
    let status = compiled.conditions.get(object);
    // Where no operator writes, no gateway has a word.
    let judged =
        |c: &&Condition| !(there.is_empty() && c.kind == ConditionType::Programmed && c.status == Status::Unknown);
    let each = status.iter().flat_map(|s| &s.conditions).filter(judged).map(|c| {
        let kind = format!("{:?}", c.kind);
        match there.iter().find(|w| w.kind == kind) {
            Some(said) if c.kind == ConditionType::Programmed && c.status == Status::Unknown => said.clone(),
            _ => Written {
                kind,
                status: format!("{:?}", c.status),
                reason: c.reason.to_string(),
                message: c.message.clone(),
                observed_generation: status.and_then(|s| s.observed_generation),
            },
        }
    });
    each.collect()
}

/// Those behind the exposures, and those that ask by annotation for the name.
fn workloads(world: &World, fleet: &Key, exposures: &[ExposureView], name: &str) -> Vec<WorkloadView> {
    let meant: Vec<(&str, &str)> = exposures
        .iter()
        .filter_map(|e| {
            let spec = &world.exposures.get(&Key::new(&e.namespace, &e.name))?.spec;
            Some((e.namespace.as_str(), spec.backend.dapr.as_ref()?.app_id.as_str()))
        })
        .collect();
    let of_default = world.default_fleet_namespace.as_deref() == Some(fleet.namespace.as_str());
    let all = world.backends.iter().flat_map(|b| b.workloads());
    let behind = all.filter(|w| {
        let key = &w.object.key;
        let app = w.app_id().unwrap_or(&key.name);
        let asks = w.annotations.get(annotations::EXPOSE).is_some_and(|v| v != "false")
            && w.annotations.get(annotations::SERVICE_NAME).map_or(app, String::as_str) == name;
        meant.contains(&(key.namespace.as_str(), app)) || (asks && of_default)
    });
    behind
        .map(|w| WorkloadView {
            kind: w.object.kind,
            namespace: w.object.key.namespace.clone(),
            name: w.object.key.name.clone(),
            app_id: w.app_id().map(str::to_owned),
            dapr_enabled: w.dapr_enabled(),
            ready: w.ready,
            annotated: w.annotations.contains_key(annotations::EXPOSE),
        })
        .collect()
}

fn backend(
    world: &World,
    exposure: Option<&ServiceExposure>,
    workloads: &[WorkloadView],
    served: bool,
) -> Option<BackendView> {
    let Some(exposure) = exposure else {
        return (!workloads.is_empty()).then(|| BackendView {
            what: "none yet: no exposure has this name".to_owned(),
            state: None,
            workloads: workloads.to_vec(),
        });
    };
    let namespace = exposure.metadata.namespace.clone().unwrap_or_default();
    let backends = world.backends.as_ref();
    let word = |state: BackendState| format!("{state:?}");
    let (what, state) = match (&exposure.spec.backend.dapr, &exposure.spec.backend.service) {
        (Some(dapr), _) => {
            (format!("Dapr app {}.{namespace}", dapr.app_id), backends.map(|b| word(b.dapr(&namespace, &dapr.app_id))))
        }
        (None, Some(service)) => {
            let state = backends.map(|b| word(b.service(&Key::new(&namespace, &service.name), service.port)));
            (format!("Service {}.{namespace}:{}", service.name, service.port), state)
        }
        (None, None) if served => ("a connected client".to_owned(), None),
        (None, None) => ("none".to_owned(), None),
    };
    Some(BackendView { what, state, workloads: workloads.to_vec() })
}

fn members(exposure: &ServiceExposure, served: Option<&Service>) -> Vec<MemberView> {
    let endpoints = exposure.spec.endpoints.iter().map(|e| {
        let there = served.and_then(|s| s.endpoints.iter().find(|x| x.name == e.name));
        let method = there.map_or_else(
            || e.http_method.map_or("POST".to_owned(), |m| format!("{m:?}").to_uppercase()),
            |t| t.method.clone(),
        );
        MemberView {
            name: e.name.clone(),
            what: format!("{method} {}", e.path),
            asks_for: e.tiers.clone(),
            exposed_to: there.map(|x| x.tiers.clone()).unwrap_or_default(),
        }
    });
    let events = exposure.spec.events.iter().map(|e| MemberView {
        name: e.name.clone(),
        what: "event".to_owned(),
        asks_for: e.tiers.clone(),
        exposed_to: served
            .and_then(|s| s.events.iter().find(|x| x.name == e.name))
            .map(|x| x.tiers.clone())
            .unwrap_or_default(),
    });
    endpoints.chain(events).collect()
}

fn attention(view: &ServiceView, world: &World, no_catalog: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if no_catalog {
        lines.push(format!("the Fleet {} is not accepted: gateways keep their last good catalog", view.fleet));
    }
    for exposure in &view.exposures {
        let object = format!("ServiceExposure {}/{}", exposure.namespace, exposure.name);
        let wrong = exposure.conditions.iter().filter(|c| c.status == "False");
        // What follows from another condition is not said twice.
        let wrong: Vec<&Written> = wrong.filter(|c| c.kind != "Programmed" || c.reason != "Pending").collect();
        lines.extend(wrong.iter().map(|c| format!("{object}: {}: {}", c.reason, c.message)));
    }
    for workload in view.backend.iter().flat_map(|b| &b.workloads).filter(|w| w.annotated) {
        let object = ObjectRef { kind: workload.kind, key: Key::new(&workload.namespace, &workload.name) };
        let known = world.backends.as_ref().and_then(|b| b.workload(&object));
        if let Some(Err(mistakes)) = known.map(annotations::exposure) {
            lines.extend(mistakes.iter().map(|m| format!("{object}: {m}")));
        }
    }
    lines
}

fn unknown(world: &World, fleet: &Key, name: &str) -> Trouble {
    let names: BTreeSet<&str> = world
        .exposures
        .values()
        .filter(|e| world.fleet_namespace(e) == Some(fleet.namespace.as_str()))
        .map(|e| e.spec.service_name.as_str())
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    let near = did_you_mean(name, &names);
    let hint = match (near.is_empty(), names.is_empty()) {
        (false, _) => near,
        (true, true) => "; the fleet has no exposures yet".to_owned(),
        (true, false) => format!("; there is {}", names.join(", ")),
    };
    Trouble::one(format!(
        "no ServiceExposure of the fleet {fleet} has the service name {name:?}, and no workload asks for it{hint}"
    ))
}

/// As `x` stands for what only a request knows.
pub fn sample_path(path: &[PathPart]) -> String {
    path.iter()
        .map(|part| match part {
            PathPart::Text(text) => text.as_str(),
            PathPart::Subject | PathPart::Session | PathPart::Claim(_) => "x",
        })
        .collect()
}

/// As a person reads it.
pub fn print(view: &ServiceView) -> String {
    let mut rows: Vec<(&str, String)> = vec![("service", view.service.clone()), ("fleet", view.fleet.clone())];
    for (i, exposure) in view.exposures.iter().enumerate() {
        let how = match (exposure.source, exposure.owns) {
            (Source::Resource, true) => "",
            (Source::Annotation, true) => ", by annotation",
            (Source::Resource, false) => ", without the name",
            (Source::Annotation, false) => ", by annotation, without the name",
        };
        let states: Vec<String> = exposure
            .conditions
            .iter()
            .map(
                |c| if c.status == "True" { c.kind.clone() } else { format!("{}={} ({})", c.kind, c.status, c.reason) },
            )
            .collect();
        let label = if i == 0 { "exposure" } else { "" };
        rows.push((
            label,
            format!("ServiceExposure {}/{}{how}: {}", exposure.namespace, exposure.name, states.join(", ")),
        ));
    }
    if let Some(backend) = &view.backend {
        let state = backend.state.as_ref().map(|s| format!(": {s}")).unwrap_or_default();
        rows.push(("backend", format!("{}{state}", backend.what)));
        for (i, workload) in backend.workloads.iter().enumerate() {
            let app = workload.app_id.as_deref().unwrap_or("none");
            let dapr = if workload.dapr_enabled { "Dapr enabled" } else { "Dapr not enabled" };
            let ready = if workload.ready { "ready" } else { "no Pod ready" };
            let label = if i == 0 { "workload" } else { "" };
            let what =
                format!("{} {}/{}: app-id {app}, {dapr}, {ready}", workload.kind, workload.namespace, workload.name);
            rows.push((label, what));
        }
    }
    let mut text = pairs(&rows);
    if !view.members.is_empty() {
        let rows: Vec<[String; 4]> = view
            .members
            .iter()
            .map(|m| {
                let list = |tiers: &[String]| if tiers.is_empty() { "nobody".to_owned() } else { tiers.join(", ") };
                [m.name.clone(), m.what.clone(), list(&m.asks_for), list(&m.exposed_to)]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(["NAME", "WHAT", "ASKS FOR", "EXPOSED TO"], &rows));
    }
    if !view.attention.is_empty() {
        text.push('\n');
        for line in &view.attention {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}
