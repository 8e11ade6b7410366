//! What is missing or wrong in a cluster, and what to do. Pure: whoever asks has read the facts.

use std::collections::{BTreeMap, BTreeSet};

use bannou_crds::catalog::{Backend, Service};
use bannou_operator::annotations;
use bannou_operator::catalog::{Compiled, compile, unattached};
use bannou_operator::index::{Key, ObjectKind, ObjectRef};
use serde::Serialize;
use serde_json::Value;

use super::operator::{Holder, Operator};
use super::resources::{Resources, Written};
use crate::explain::access::{self, Caller, Verdict};
use crate::explain::service::{conditions, sample_path};
use crate::trouble::Trouble;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// Something will not work as somebody wants it.
    Warning,
    /// Clients are not served, or will not be.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub level: Level,
    /// Such as `definitions`, `operator`, `gateways`; of the way from outside `outside`.
    pub area: &'static str,
    pub what: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    pub fn ok(area: &'static str, what: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, area, what: what.into(), fix: None }
    }

    pub fn warning(area: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, area, what: what.into(), fix: Some(fix.into()) }
    }

    pub fn error(area: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { level: Level::Error, area, what: what.into(), fix: Some(fix.into()) }
    }
}

const CHART: &str = "install it: helm install bannou charts/bannou";

/// A definition that this command knows, and the one in the cluster.
pub struct Definition {
    pub name: String,
    pub ours: Value,
    /// `None`: it is not there.
    pub theirs: Option<Value>,
}

/// Whether the kinds are there, served, and of this version.
pub fn definitions(all: &[Definition]) -> Vec<Finding> {
    let each = |definition: &Definition| {
        let Definition { name, ours, theirs } = definition;
        let Some(theirs) = theirs else {
            return Finding::error(
                "definitions",
                format!("{name} is not there"),
                "install them: helm install bannou-crds charts/bannou-crds",
            );
        };
        let conditions = theirs.pointer("/status/conditions").and_then(Value::as_array);
        let established = conditions.into_iter().flatten().any(|c| c["type"] == "Established" && c["status"] == "True");
        if !established {
            let fix = format!("see why: kubectl describe crd {name}");
            return Finding::error("definitions", format!("{name} is there and not served"), fix);
        }
        match missing(&ours["spec"]["versions"], &theirs["spec"]["versions"], "spec.versions") {
            None => Finding::ok("definitions", format!("{name} is there, as this version knows it")),
            Some(at) => Finding::warning(
                "definitions",
                format!("{name} is of another version: it differs at {at}"),
                "upgrade the definitions, or use the command of the cluster's version: helm upgrade bannou-crds charts/bannou-crds",
            ),
        }
    };
    all.iter().map(each).collect()
}

/// The first place where something of ours is not among theirs: an API server adds to what it is given.
fn missing(ours: &Value, theirs: &Value, at: &str) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => ours.iter().find_map(|(name, value)| {
            missing(value, theirs.get(name).unwrap_or(&Value::Null), &format!("{at}.{name}"))
        }),
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            let each = ours.iter().zip(theirs).enumerate();
            each.into_iter().find_map(|(i, (ours, theirs))| missing(ours, theirs, &format!("{at}[{i}]")))
        }
        // An API server knows 1 from 1.0 no more than JSON does.
        (Value::Number(ours), Value::Number(theirs)) if ours.as_f64() == theirs.as_f64() => None,
        // Of a description people read the other one as well.
        _ if ours == theirs || at.ends_with(".description") => None,
        _ => Some(at.to_owned()),
    }
}

/// Who may not read the Lease or the definitions is told the rest.
pub fn unread(area: &'static str, why: &Trouble) -> Finding {
    Finding::warning(area, why.to_string(), "have the right to read it given to you; nothing is said about it here")
}

/// Deployments of operators, each with who holds its Lease.
pub fn operators(all: &[(Operator, Option<Holder>)]) -> Vec<Finding> {
    if all.is_empty() {
        let what = "no Deployment has the labels app.kubernetes.io/name=bannou and component=operator";
        return vec![Finding::error("operator", what, CHART)];
    }
    let each = |(operator, holder): &(Operator, Option<Holder>)| {
        let name = format!("{}/{}", operator.namespace, operator.name);
        let logs = format!("see why: kubectl -n {} logs deploy/{}", operator.namespace, operator.name);
        let mut found = Vec::new();
        found.push(match (operator.ready, operator.replicas) {
            (_, 0) => Finding::error(
                "operator",
                format!("{name} is scaled to zero: nothing is compiled"),
                format!("kubectl -n {} scale deploy/{} --replicas=2", operator.namespace, operator.name),
            ),
            (0, all) => Finding::error("operator", format!("none of {all} replicas of {name} is ready"), logs.clone()),
            (ready, all) if ready < all => {
                Finding::warning("operator", format!("{ready} of {all} replicas of {name} are ready"), logs.clone())
            }
            (ready, _) => Finding::ok("operator", format!("{name}: {ready} ready")),
        });
        found.push(match holder {
            Some(holder) if holder.is_alive() => Finding::ok(
                "operator",
                format!(
                    "{} holds the Lease {}/{}",
                    holder.name.as_deref().unwrap_or_default(),
                    operator.namespace,
                    operator.lease
                ),
            ),
            Some(Holder { name: Some(name), renewed_s: Some(renewed), .. }) => Finding::error(
                "operator",
                format!("{name} holds the Lease and has not renewed it for {renewed} s: nobody compiles"),
                logs,
            ),
            _ => Finding::error(
                "operator",
                format!("nobody holds the Lease {}/{}: nothing is compiled", operator.namespace, operator.lease),
                logs,
            ),
        });
        found
    };
    all.iter().flat_map(each).collect()
}

/// A gateway as it was found.
pub struct GatewayFact {
    /// `namespace/pod`.
    pub name: String,
    pub namespace: String,
    pub ready: bool,
    /// It asks for Dapr's sidecar and has none.
    pub without_sidecar: bool,
    /// Its catalog's hash; or why it did not answer.
    pub hash: Result<String, String>,
}

/// `hashes`: of what each fleet's gateways should obey, by namespace.
pub fn gateways(all: &[GatewayFact], fleets: &[(Key, Option<String>)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (fleet, hash) in fleets {
        let mine: Vec<&GatewayFact> = all.iter().filter(|g| g.namespace == fleet.namespace).collect();
        if mine.is_empty() {
            let what = format!("the Fleet {fleet} has no gateway: no Pod there has the labels of one");
            let fix = format!(
                "kubectl -n {} scale deploy/bannou-gateway --replicas=2; or, if that is not there, {CHART}",
                fleet.namespace
            );
            found.push(Finding::error("gateways", what, fix));
        }
        for gateway in mine {
            let name = &gateway.name;
            let pod = name.split_once('/').map_or("", |(_, pod)| pod);
            if gateway.without_sidecar {
                let fix = format!(
                    "once Dapr's injector is back (kubectl get pods -A -l app=dapr-sidecar-injector): kubectl -n {} delete pod {pod}",
                    fleet.namespace
                );
                found.push(Finding::error(
                    "gateways",
                    format!("{name} was made without Dapr's sidecar, and is never ready"),
                    fix,
                ));
                continue;
            }
            if !gateway.ready {
                let fix = format!("see why: kubectl -n {} describe pod {pod}, and its log", fleet.namespace);
                found.push(Finding::error("gateways", format!("{name} is not ready"), fix));
                continue;
            }
            found.push(match (&gateway.hash, hash) {
                (Err(why), _) => Finding::warning(
                    "gateways",
                    format!("{name} cannot be asked: {why}"),
                    "its flag --inspect-port is 9082 where `bannou` asks it",
                ),
                (Ok(theirs), Some(ours)) if theirs != ours => Finding::warning(
                    "gateways",
                    format!("{name} obeys another catalog than its resources say"),
                    "wait a moment and ask again; where it stays so, see what it refuses: bannou status",
                ),
                (Ok(_), Some(_)) => Finding::ok("gateways", format!("{name} obeys what the resources say")),
                (Ok(_), None) => Finding::ok("gateways", format!("{name} is ready, and keeps its last good catalog")),
            });
        }
    }
    found
}

/// What compile says of every object, and what the operator wrote of gateways.
pub fn objects(resources: &Resources) -> Vec<Finding> {
    let world = &resources.world;
    let mut found = Vec::new();
    if world.fleets.is_empty() {
        found.push(Finding::error(
            "objects",
            "there is no Fleet",
            "the chart brings one; or write it: examples/quickstart/fleet.yaml",
        ));
    }
    for fleet in world.all_fleets() {
        let compiled = compile(world, &fleet);
        found.extend(
            compiled.conditions.keys().flat_map(|object| object_findings(&compiled, &resources.written, object)),
        );
        if world.tiers.keys().all(|key| key.namespace != fleet.namespace) {
            let fix = "write one, or nobody may call anything: examples/quickstart/tiers.yaml";
            found.push(Finding::warning("objects", format!("the Fleet {fleet} has no AccessTier"), fix));
        }
    }
    // Of a mistake in annotations nothing is made, so no object can tell of it.
    for workload in world.backends.iter().flat_map(|all| all.workloads()).filter(|workload| !workload.deleted) {
        for mistake in annotations::exposure(workload).err().into_iter().flatten() {
            let fix = format!(
                "correct the annotation on its pod template; until then nothing of {} is exposed",
                workload.object
            );
            found.push(Finding::error("objects", format!("{}: {mistake}", workload.object), fix));
        }
    }
    let lost = Compiled { catalog: None, conditions: unattached(world), owners: BTreeMap::new() };
    found.extend(lost.conditions.keys().flat_map(|object| object_findings(&lost, &resources.written, object)));
    if found.is_empty() {
        let all = world.fleets.len() + world.tiers.len() + world.exposures.len();
        found.push(Finding::ok("objects", format!("all {all} objects are accepted, and what they point at is there")));
    }
    found
}

fn object_findings(
    compiled: &Compiled,
    written: &BTreeMap<ObjectRef, Vec<Written>>,
    object: &ObjectRef,
) -> Vec<Finding> {
    let all = conditions(compiled, written, object);
    let pending = |c: &&Written| c.kind == "Programmed" && c.reason == "Pending";
    let wrong = all.iter().filter(|c| c.status == "False" && !pending(c));
    let mut found: Vec<Finding> = wrong
        .map(|c| {
            let level =
                if c.kind == "Accepted" && object.kind == ObjectKind::Fleet { Level::Error } else { Level::Warning };
            // The messages say what to do.
            Finding { level, area: "objects", what: format!("{object}: {}: {}", c.reason, c.message), fix: None }
        })
        .collect();
    if written.get(object).is_some_and(Vec::is_empty) {
        let what = format!("{object} has no conditions: no operator has judged it");
        found.push(Finding::warning("objects", what, "is the operator running, and of this cluster?"));
    }
    found
}

/// Why Pods were not made, as an Event says it.
pub struct NotMade {
    pub namespace: String,
    /// Such as `ReplicaSet account-5d9c`.
    pub object: String,
    pub message: String,
}

/// Pod security that lets no Pod in, in the namespaces of fleets, operators and exposures.
pub fn pod_security(resources: &Resources, events: &[NotMade]) -> Vec<Finding> {
    let world = &resources.world;
    let mut ours: BTreeSet<&str> =
        world.fleets.keys().chain(world.exposures.keys()).map(|key| key.namespace.as_str()).collect();
    ours.extend(resources.operators.iter().map(|operator| operator.namespace.as_str()));
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for NotMade { namespace, object, message } in events {
        let refused = message.contains("violates PodSecurity") && ours.contains(namespace.as_str());
        if !refused || !told.insert((namespace, object)) {
            continue;
        }
        let fix = if message.contains("daprd") {
            "have Dapr's sidecars drop their capabilities: install Dapr with dapr_sidecar_injector.sidecarDropALLCapabilities=true"
        } else {
            "give its containers the security context that the message asks for, or the namespace another pod-security label"
        };
        found.push(Finding::error("pods", format!("{object} of {namespace} makes no Pods: {message}"), fix));
    }
    found
}

/// Dapr Configurations by namespace and name: their `spec`.
pub type Configurations = BTreeMap<Key, Value>;

/// Access policies that would stop the gateway's own app-id.
pub fn policies(resources: &Resources, configurations: &Configurations) -> Vec<Finding> {
    let world = &resources.world;
    let mut found = Vec::new();
    for fleet in world.fleets.keys() {
        let Some(catalog) = compile(world, fleet).catalog else { continue };
        let through_dapr = |s: &&Service| matches!(s.backend, Backend::Dapr { .. });
        if !catalog.services.iter().any(|s| through_dapr(&s)) {
            continue;
        }
        let Some((_, app_id)) = resources.gateway_apps.iter().find(|(namespace, _)| *namespace == fleet.namespace)
        else {
            let what = format!(
                "the gateway's Deployment of the Fleet {fleet} has no dapr.io/app-id, and some services are Dapr apps"
            );
            found.push(Finding::error(
                "dapr",
                what,
                "annotate its Pod template with dapr.io/enabled and dapr.io/app-id, as the chart does",
            ));
            continue;
        };
        let caller = Caller {
            app_id: app_id.clone(),
            namespace: fleet.namespace.clone(),
            trust_domain: domain(resources, configurations, fleet),
        };
        let before = found.len();
        found.extend(
            catalog.services.iter().filter(through_dapr).flat_map(|s| stopped(resources, configurations, s, &caller)),
        );
        if found.len() == before {
            found.push(Finding::ok("dapr", format!("no access policy stops the app {app_id} of {}", fleet.namespace)));
        }
    }
    found
}

/// The gateway's own, by the Configuration that its sidecar has.
fn domain(resources: &Resources, configurations: &Configurations, fleet: &Key) -> String {
    let mine = resources
        .dapr_configs
        .iter()
        .find(|(object, _)| object.key.namespace == fleet.namespace && object.key.name.contains("gateway"));
    let spec = mine.and_then(|(object, name)| configurations.get(&Key::new(&object.key.namespace, name)));
    access::trust_domain(spec.unwrap_or(&Value::Null))
}

fn stopped(resources: &Resources, configurations: &Configurations, service: &Service, caller: &Caller) -> Vec<Finding> {
    let Backend::Dapr { app_id } = &service.backend else { return Vec::new() };
    let workloads = resources.world.backends.iter().flat_map(|b| b.workloads());
    let mut behind = workloads.filter(|w| w.object.key.namespace == service.namespace && w.app_id() == Some(app_id));
    let Some((workload, config)) = behind.find_map(|w| Some((w, resources.dapr_configs.get(&w.object)?))) else {
        return Vec::new();
    };
    let key = Key::new(&service.namespace, config);
    let Some(spec) = configurations.get(&key) else {
        let what =
            format!("{} names the Dapr Configuration {config:?}, which is not in its namespace", workload.object);
        return vec![Finding::warning(
            "dapr",
            what,
            "create it, or correct dapr.io/config: its sidecar does not start",
        )];
    };
    let example = format!(
        "{{appId: {}, trustDomain: {:?}, namespace: {}, defaultAction: allow}}",
        caller.app_id, caller.trust_domain, caller.namespace
    );
    let mut found = Vec::new();
    for endpoint in &service.endpoints {
        match access::verdict(spec, caller, &endpoint.method, &sample_path(&endpoint.path)) {
            Verdict::Allowed => {}
            Verdict::Denied(why) => {
                let what = format!(
                    "{}.{}: the Dapr Configuration {key} keeps the gateway out of the app {app_id}: {why}",
                    service.name, endpoint.name
                );
                found.push(Finding::error("dapr", what, format!("add to its spec.accessControl.policies: {example}")));
            }
            Verdict::Invalid(why) => {
                let what = format!("the Dapr Configuration {key} of the app {app_id} cannot be used: {why}");
                found.push(Finding::error("dapr", what, "each policy needs appId, trustDomain and namespace"));
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
