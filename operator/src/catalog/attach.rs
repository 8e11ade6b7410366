//! The exposure asks, the tier admits: which of its endpoints and events an exposure gets, and under which tiers.

use std::collections::{BTreeMap, BTreeSet};

use bannou_crds::catalog::{Effect, Endpoint, Event, Service};
use bannou_crds::kinds::Source;
use bannou_crds::{Kind, Target};

use super::check::listed;
use super::exposure::ExposurePlan;
use super::status::{Findings, Reason};
use super::tier::TierPlan;

/// Who asks.
pub(super) struct Applicant<'a> {
    pub service: &'a str,
    pub namespace: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    /// `None`: nobody whose word counts.
    pub source: Option<Source>,
}

/// Who admits.
pub(super) struct Gate<'a> {
    /// The fleet's namespace.
    pub namespace: &'a str,
    pub tiers: &'a BTreeMap<String, TierPlan>,
    /// Tiers that are there, but not accepted.
    pub broken: &'a BTreeSet<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Namespace,
    Source,
    Effect(Effect),
    Missing,
    Broken,
}

/// What is refused, by tier and reason: the endpoints and events concerned.
type Refusals<'a> = BTreeMap<(&'a str, Refusal), Vec<&'a str>>;

impl Gate<'_> {
    fn refuses(&self, tier: &str, who: &Applicant, effects: &BTreeSet<Effect>) -> Option<Refusal> {
        let Some(plan) = self.tiers.get(tier) else {
            return Some(if self.broken.contains(tier) { Refusal::Broken } else { Refusal::Missing });
        };
        if !plan.allowed.admits_namespace(self.namespace, who.namespace, who.labels) {
            return Some(Refusal::Namespace);
        }
        if !who.source.is_some_and(|source| plan.allowed.admits_source(source)) {
            return Some(Refusal::Source);
        }
        effects.iter().find(|e| !plan.allowed.admits_effect(**e)).map(|e| Refusal::Effect(*e))
    }

    /// The tiers that let it in; the others are put among the refusals.
    fn admitted<'p>(
        &self,
        who: &Applicant,
        name: &'p str,
        asked: &'p BTreeSet<String>,
        effects: &BTreeSet<Effect>,
        refusals: &mut Refusals<'p>,
    ) -> Vec<String> {
        let mut admitted = Vec::new();
        for tier in asked {
            match self.refuses(tier, who, effects) {
                None => admitted.push(tier.clone()),
                Some(refusal) => refusals.entry((tier, refusal)).or_default().push(name),
            }
        }
        admitted
    }
}

/// The service as gateways see it, maybe without any endpoint or event.
pub(super) fn attach(
    plan: &ExposurePlan,
    who: &Applicant,
    gate: &Gate,
    hash: &dyn Fn(Kind, &[u8]) -> Target,
    findings: &mut Findings,
) -> Service {
    let mut refusals = Refusals::new();
    let nothing = BTreeSet::new();
    let mut endpoints = Vec::new();
    for e in &plan.endpoints {
        let tiers = gate.admitted(who, &e.name, &e.tiers, &e.effects, &mut refusals);
        if tiers.is_empty() {
            continue;
        }
        endpoints.push(Endpoint {
            name: e.name.clone(),
            target: hash(Kind::Endpoint, format!("{}.{}", who.service, e.name).as_bytes()),
            path: e.path.clone(),
            method: e.method.to_owned(),
            payload: e.payload,
            tiers,
            timeout_ms: e.timeout_ms,
            max_request_bytes: e.max_request_bytes,
            max_response_bytes: e.max_response_bytes,
            interaction: e.interaction,
            idempotent: e.idempotent,
            effects: e.effects.iter().copied().collect(),
            forward_authorization: e.forward_authorization,
            rate_limit: e.rate_limit,
            content_type: e.content_type.clone(),
            schema: e.schema.clone(),
            deprecated: e.deprecated.clone(),
        });
    }
    let mut events = Vec::new();
    for e in &plan.events {
        let tiers = gate.admitted(who, &e.name, &e.tiers, &nothing, &mut refusals);
        if tiers.is_empty() {
            continue;
        }
        events.push(Event {
            name: e.name.clone(),
            target: hash(Kind::Event, format!("{}.{}", who.service, e.name).as_bytes()),
            tiers,
            interaction: e.interaction,
            timeout_ms: e.timeout_ms,
            on_overflow: e.on_overflow,
            schema: e.schema.clone(),
        });
    }
    tell(&refusals, who, gate, findings);
    Service {
        name: who.service.to_owned(),
        namespace: who.namespace.to_owned(),
        backend: plan.backend.clone(),
        max_in_flight: plan.max_in_flight,
        breaker: plan.breaker,
        endpoints,
        events,
        senders: plan.senders.clone(),
    }
}

/// Refusals of a whole exposure before those of an effect, whatever the order of the tiers' names.
fn tell(refusals: &Refusals, who: &Applicant, gate: &Gate, findings: &mut Findings) {
    let mut ordered: Vec<_> = refusals.iter().collect();
    ordered.sort_by_key(|((tier, refusal), _)| (*refusal, *tier));
    for ((tier, refusal), names) in ordered {
        let concerned = listed(names.iter().copied());
        let owner = format!("AccessTier {}/{tier}", gate.namespace);
        match refusal {
            Refusal::Namespace => findings.object(
                Reason::NotAllowedByTier,
                format!(
                    "{concerned}: the {owner} does not admit exposures of the namespace {:?}; take the tier out, or have \
                     its owner admit the namespace in `allowedExposures.namespaces`.",
                    who.namespace
                ),
            ),
            Refusal::Source => findings.object(
                Reason::NotAllowedByTier,
                format!(
                    "{concerned}: the {owner} does not admit exposures from {}; take the tier out, or have its owner add it \
                     to `allowedExposures.sources`.",
                    match who.source {
                        Some(Source::Resource) => "a written resource (Resource)",
                        Some(Source::Annotation) => "annotations (Annotation)",
                        None => "what is labelled as made from annotations and was not",
                    }
                ),
            ),
            Refusal::Effect(effect) => findings.object(
                Reason::EffectNotAllowed,
                format!(
                    "{concerned}: the {owner} does not allow the effect {effect:?}; remove the effect or the tier, or have \
                     the tier's owner add it to `allowedExposures.effects`."
                ),
            ),
            Refusal::Missing => findings.unresolved(
                Reason::TierNotFound,
                format!(
                    "{concerned}: there is no {owner}, so nobody gets it through that tier; create it, or correct the name."
                ),
            ),
            Refusal::Broken => findings.unresolved(
                Reason::TierNotFound,
                format!(
                    "{concerned}: the {owner} is not accepted, so nobody gets it through that tier; see the tier's conditions."
                ),
            ),
        }
    }
}
