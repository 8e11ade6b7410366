//! May a client with these claims use this name?

use std::sync::Arc;
use std::time::SystemTime;

use bannou_crds::kinds::{ServiceExposure, Source};
use bannou_gateway::app;
use bannou_gateway::auth::{AuthError, Principal, Times};
use bannou_gateway::forward::{self, Forwarder};
use bannou_gateway::inspect::standing::{self, NameKind, TierStanding, Values};
use bannou_gateway::snapshot::Snapshot;
use bannou_gateway::tiers::TierSet;
use bannou_operator::catalog::{Compiled, ConditionType, ObjectStatus, Status, compile};
use bannou_operator::index::{Key, ObjectKind, ObjectRef, World};
use serde::Serialize;

use super::{consent, fixes};
use crate::folder::did_you_mean;
use crate::trouble::Trouble;

pub struct Question<'a> {
    pub world: &'a World,
    pub fleet: &'a Key,
    /// `<service>.<endpoint or event>`.
    pub name: &'a str,
    /// A token's claims, as JSON. `None`: without a token.
    pub claims: Option<&'a [u8]>,
    pub now: SystemTime,
    pub times: Times,
}

/// What `can-i -o json` prints. The names and meanings of its members are API.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    pub name: String,
    pub allowed: bool,
    /// `namespace/name` of the Fleet.
    pub fleet: String,
    pub client: Client,
    /// What the name is; absent where the catalog does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<NameKind>,
    /// Tiers whose holders may use it.
    pub exposed_to: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// The tiers that are held, and those that matter for this name; in order of name.
    pub tiers: Vec<TierStanding>,
    /// Why not, a sentence each; empty where it is allowed.
    pub reasons: Vec<String>,
    /// What would change that, a sentence each; any one of them is enough.
    pub fixes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// By its name in the Fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why the token would be refused, and the connection with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// A word, as the gateway's metrics and logs have it.
    pub reason: &'static str,
    pub detail: String,
}

/// Who says that there is such a name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    pub namespace: String,
    pub name: String,
    pub source: Source,
    /// The tiers that it asks for.
    pub asks_for: Vec<String>,
    /// Of each tier that consented: what it consents to.
    pub consent: Vec<Consent>,
    /// What the operator has against it.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    pub tier: String,
    pub to: String,
}

/// # Errors
/// The fleet has no catalog, or nothing by that name was ever written.
pub fn can_i(question: &Question<'_>) -> Result<Decision, Trouble> {
    let Question { world, fleet, name, claims, now, times } = *question;
    let Some((service, member)) = name.split_once('.').filter(|(s, m)| !s.is_empty() && !m.is_empty()) else {
        return Err(Trouble::one(format!("{name:?} is not SERVICE.ENDPOINT, such as account.create")));
    };
    let compiled = compile(world, fleet);
    let snapshot = snapshot(&compiled, fleet)?;
    let principal = claims.map(|claims| snapshot.verifier.claimed(claims, now, times)).transpose();
    let held = match &principal {
        Ok(principal) => snapshot.admitted(principal.as_ref()),
        // Whoever shows a bad token does not get in at all.
        Err(_) => TierSet::default(),
    };
    let client = client(&principal);
    let (principal, refused) = match principal {
        Ok(principal) => (principal, None),
        Err(error) => (None, Some(error)),
    };
    let standing = standing::name(&snapshot, held, name);
    let exposure = exposure(question, &compiled, service, member);
    if standing.is_none() && exposure.is_none() {
        return Err(unknown(&snapshot, name));
    }
    let exposed_to = standing.as_ref().map(|s| s.tiers.clone()).unwrap_or_default();
    let asks_for = exposure.as_ref().map(|e| e.asks_for.as_slice()).unwrap_or_default();
    let tiers = standing::tiers(&snapshot, principal.as_ref(), &held, Values::Shown);
    let matters = |t: &TierStanding| t.held || exposed_to.contains(&t.name) || asks_for.contains(&t.name);
    let mut decision = Decision {
        name: name.to_owned(),
        allowed: refused.is_none() && standing.as_ref().is_some_and(|s| s.allowed),
        fleet: fleet.to_string(),
        is: standing.map(|s| s.is),
        client,
        tiers: tiers.iter().filter(|t| matters(t)).cloned().collect(),
        exposed_to,
        exposure,
        reasons: Vec::new(),
        fixes: Vec::new(),
    };
    if !decision.allowed {
        (decision.reasons, decision.fixes) = fixes::of(&decision, &tiers, &snapshot.catalog.fleet, refused.as_ref());
    }
    Ok(decision)
}

fn snapshot(compiled: &Compiled, fleet: &Key) -> Result<Arc<Snapshot>, Trouble> {
    let Some(catalog) = &compiled.catalog else {
        let mut lines = crate::commands::report::advice(&compiled.conditions);
        lines.push(format!(
            "the Fleet {fleet} is not accepted, so there is no catalog to ask; gateways keep their last good one"
        ));
        return Err(Trouble(lines));
    };
    let forwarder = Forwarder::new(forward::Config::default()).map_err(|e| Trouble::one(e.to_string()))?;
    app::offline(Arc::new(catalog.clone()), &forwarder)
        .map_err(|error| Trouble::one(format!("a gateway would refuse this catalog: {error}")))
}

fn client(principal: &Result<Option<Principal>, AuthError>) -> Client {
    let known = principal.as_ref().ok().and_then(Option::as_ref);
    Client {
        issuer: known.map(|p| p.issuer_name.to_string()),
        subject: known.map(|p| p.subject.to_string()),
        refused: principal.as_ref().err().map(|e| Refusal { reason: e.reason(), detail: e.detail() }),
    }
}

/// The exposure that has the name, or wants to: of several, the one that the catalog follows.
fn exposure(question: &Question<'_>, compiled: &Compiled, service: &str, member: &str) -> Option<Exposure> {
    let Question { world, fleet, .. } = question;
    let asks = |e: &ServiceExposure| {
        let endpoint = e.spec.endpoints.iter().find(|x| x.name == member).map(|x| x.tiers.clone());
        endpoint.or_else(|| e.spec.events.iter().find(|x| x.name == member).map(|x| x.tiers.clone()))
    };
    let of_fleet = |e: &&ServiceExposure| {
        e.spec.service_name == service && world.fleet_namespace(e) == Some(fleet.namespace.as_str())
    };
    let owner = compiled.owners.get(service).and_then(|key| world.exposures.get(key));
    let candidates = owner.into_iter().chain(world.exposures.values().filter(of_fleet));
    let (exposure, asks_for) = candidates.filter_map(|e| Some((e, asks(e)?))).next()?;
    let key = Key::of(&exposure.metadata);
    let object = ObjectRef { kind: ObjectKind::ServiceExposure, key: key.clone() };
    let consent = |tier: &String| {
        let consented = compiled.catalog.as_ref().is_some_and(|c| {
            let service = c.services.iter().find(|s| s.name == service && s.namespace == key.namespace);
            service.is_some_and(|s| {
                let endpoints = s.endpoints.iter().map(|e| (&e.name, &e.tiers));
                let mut all = endpoints.chain(s.events.iter().map(|e| (&e.name, &e.tiers)));
                all.any(|(name, tiers)| name == member && tiers.contains(tier))
            })
        });
        let spec = &world.tiers.get(&Key::new(&fleet.namespace, tier))?.spec;
        consented.then(|| Consent {
            tier: tier.clone(),
            to: consent::sentence(spec.allowed_exposures.as_ref(), &fleet.namespace),
        })
    };
    Some(Exposure {
        consent: asks_for.iter().filter_map(consent).collect(),
        source: exposure.source(),
        problems: compiled.conditions.get(&object).map(problems).unwrap_or_default(),
        namespace: key.namespace,
        name: key.name,
        asks_for,
    })
}

/// What is False, but for what only follows from it.
fn problems(status: &ObjectStatus) -> Vec<String> {
    let wrong = status.conditions.iter().filter(|c| c.status == Status::False);
    let told = wrong.filter(|c| c.kind != ConditionType::Programmed);
    told.map(|c| format!("{}: {}", c.reason, c.message)).collect()
}

fn unknown(snapshot: &Snapshot, name: &str) -> Trouble {
    let names: Vec<&str> = snapshot.entries.iter().map(|e| &*e.name).collect();
    let service = name.split('.').next().unwrap_or_default();
    let of_service: Vec<&str> =
        names.iter().copied().filter(|n| n.split('.').next() == Some(service)).take(20).collect();
    let near = did_you_mean(name, &names);
    let hint = match (near.is_empty(), of_service.is_empty()) {
        (false, _) => near,
        (true, false) => format!("; {service} has {}", of_service.join(", ")),
        (true, true) => {
            let services: Vec<&str> = snapshot.catalog.services.iter().map(|s| s.name.as_str()).collect();
            let near = did_you_mean(service, &services);
            if near.is_empty() { format!("; there are the services {}", services.join(", ")) } else { near }
        }
    };
    Trouble::one(format!("no ServiceExposure of this fleet has {name:?}{hint}"))
}
