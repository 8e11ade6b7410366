//! From AccessTiers as they are written to tiers with their inheritance expanded.

use std::collections::{BTreeMap, BTreeSet};

use bannou_crds::catalog::{self, ClaimOperator, Effect, Peers, Principal};
use bannou_crds::kinds::{AccessTierSpec, AllowedExposures, ClaimRule, NamespacesFrom, ServiceRef, Source};
use kube::core::{Selector, SelectorExt};

use super::check::{Problems, listed};
use super::fleet::{FleetPlan, check_services};
use super::status::{Findings, Reason};

const MAX_BYTES: u32 = 16 << 20;
const MANY: u32 = 1_000_000;
const DAY: u64 = 86_400_000;

/// A tier that is well formed; its inheritance is not yet looked at.
pub(super) struct TierPlan {
    pub includes: BTreeSet<String>,
    pub admission: catalog::Admission,
    pub limits: catalog::Limits,
    pub peers: Peers,
    pub allowed: Allowed,
    pub grantable_by: Vec<ServiceRef>,
}

/// Which exposures a tier lets in.
pub(super) struct Allowed {
    namespaces: AllowedNamespaces,
    sources: Vec<Source>,
    effects: Vec<Effect>,
}

enum AllowedNamespaces {
    Same,
    All,
    Selected(Selector),
}

impl Allowed {
    pub fn admits_namespace(&self, own: &str, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        match &self.namespaces {
            AllowedNamespaces::Same => own == namespace,
            AllowedNamespaces::All => true,
            AllowedNamespaces::Selected(selector) => selector.matches(labels),
        }
    }

    pub fn admits_source(&self, source: Source) -> bool {
        self.sources.contains(&source)
    }

    pub fn admits_effect(&self, effect: Effect) -> bool {
        self.effects.contains(&effect)
    }
}

pub(super) fn parse(name: &str, spec: &AccessTierSpec) -> Result<TierPlan, Problems> {
    let mut p = Problems::default();
    p.at_most("spec.includes", &spec.includes, 32);
    p.dns_label("metadata.name", name);
    let admission = parse_admission(&mut p, spec);
    check_services(&mut p, "spec.grantableBy", &spec.grantable_by);
    let allowed = parse_allowed(&mut p, spec.allowed_exposures.as_ref());
    let limits = parse_limits(&mut p, spec);
    if !p.is_empty() {
        return Err(p);
    }
    Ok(TierPlan {
        includes: spec.includes.iter().cloned().collect(),
        admission,
        limits,
        peers: spec.peers.unwrap_or(Peers::Disabled),
        allowed,
        grantable_by: spec.grantable_by.clone(),
    })
}

fn parse_admission(p: &mut Problems, spec: &AccessTierSpec) -> catalog::Admission {
    let Some(admission) = &spec.admission else {
        return catalog::Admission { principal: Principal::GrantedOnly, issuers: Vec::new(), claims: Vec::new() };
    };
    p.at_most("spec.admission.issuers", &admission.issuers, 32);
    p.at_most("spec.admission.claims", &admission.claims, 16);
    if admission.principal != Principal::Authenticated {
        let why = match admission.principal {
            Principal::Anonymous => "with `principal: Anonymous` everybody holds this tier",
            _ => "with `principal: GrantedOnly` no token gives this tier",
        };
        if !admission.issuers.is_empty() {
            p.add("spec.admission.issuers", format!("{why}, so this would never be read; remove it"));
        }
        if !admission.claims.is_empty() {
            p.add("spec.admission.claims", format!("{why}, so this would never be read; remove it"));
        }
    }
    for (i, claim) in admission.claims.iter().enumerate() {
        check_claim(p, &format!("spec.admission.claims[{i}]"), claim);
    }
    let claim =
        |c: &ClaimRule| catalog::ClaimRule { path: c.path.clone(), operator: c.operator, values: c.values.clone() };
    let issuers: BTreeSet<String> = admission.issuers.iter().cloned().collect();
    catalog::Admission {
        principal: admission.principal,
        issuers: issuers.into_iter().collect(),
        claims: admission.claims.iter().map(claim).collect(),
    }
}

fn check_claim(p: &mut Problems, at: &str, claim: &ClaimRule) {
    if claim.path.is_empty() {
        p.add(&format!("{at}.path"), "must name at least one member, for example [scope]");
    }
    p.at_most(&format!("{at}.path"), &claim.path, 8);
    for (i, member) in claim.path.iter().enumerate() {
        p.text(&format!("{at}.path[{i}]"), member, 128);
    }
    p.at_most(&format!("{at}.values"), &claim.values, 64);
    for (i, value) in claim.values.iter().enumerate() {
        p.text(&format!("{at}.values[{i}]"), value, 256);
    }
    match (claim.operator, claim.values.is_empty()) {
        (ClaimOperator::In | ClaimOperator::NotIn | ClaimOperator::HasWord, true) => {
            p.add(&format!("{at}.values"), "must name at least one value");
        }
        (ClaimOperator::Exists | ClaimOperator::DoesNotExist, false) => {
            p.add(&format!("{at}.values"), "have no meaning with Exists and DoesNotExist; remove them");
        }
        _ => {}
    }
}

fn parse_allowed(p: &mut Problems, allowed: Option<&AllowedExposures>) -> Allowed {
    let at = "spec.allowedExposures.namespaces.selector";
    let namespaces = allowed.and_then(|a| a.namespaces.as_ref());
    let namespaces = match namespaces.map(|n| (n.from, &n.selector)) {
        None | Some((NamespacesFrom::Same, None)) => AllowedNamespaces::Same,
        Some((NamespacesFrom::All, None)) => AllowedNamespaces::All,
        Some((NamespacesFrom::Same | NamespacesFrom::All, Some(_))) => {
            p.add(at, "is read with `from: Selector` alone; remove it or change `from`");
            AllowedNamespaces::Same
        }
        Some((NamespacesFrom::Selector, None)) => {
            p.add(at, "is missing; add for example {matchLabels: {bannou.dev/tenant: game}}");
            AllowedNamespaces::Same
        }
        Some((NamespacesFrom::Selector, Some(selector))) => {
            for (i, rule) in selector.match_expressions.iter().flatten().enumerate() {
                if matches!(rule.operator.as_str(), "In" | "NotIn") && rule.values.as_ref().is_none_or(Vec::is_empty) {
                    p.add(&format!("{at}.matchExpressions[{i}].values"), "must name at least one value");
                }
            }
            match Selector::try_from(selector.clone()) {
                Ok(selector) => AllowedNamespaces::Selected(selector),
                Err(error) => {
                    p.add(at, error.to_string());
                    AllowedNamespaces::Same
                }
            }
        }
    };
    let sources = allowed.map(|a| a.sources.clone()).filter(|s| !s.is_empty());
    Allowed {
        namespaces,
        sources: sources.unwrap_or_else(|| vec![Source::Resource]),
        effects: allowed.map(|a| a.effects.clone()).unwrap_or_default(),
    }
}

fn parse_limits(p: &mut Problems, spec: &AccessTierSpec) -> catalog::Limits {
    let Some(limits) = &spec.limits else { return catalog::Limits::default() };
    let requests_per_second = p.optional_number("spec.limits.requestsPerSecond", limits.requests_per_second, (1, MANY));
    let burst = p.optional_number("spec.limits.burst", limits.burst, (1, MANY));
    if burst.is_some() && requests_per_second.is_none() {
        p.add("spec.limits.burst", "has no meaning without `requestsPerSecond`; add it");
    }
    let age = limits.max_connection_age.as_deref();
    catalog::Limits {
        requests_per_second,
        burst: burst.or(requests_per_second),
        max_in_flight: p.optional_number("spec.limits.maxInFlight", limits.max_in_flight, (1, 65_536)),
        max_connections_per_subject: p.optional_number(
            "spec.limits.maxConnectionsPerSubject",
            limits.max_connections_per_subject,
            (1, 65_536),
        ),
        max_message_bytes: p.optional_number("spec.limits.maxMessageBytes", limits.max_message_bytes, (1, MAX_BYTES)),
        max_connection_age_ms: age
            .map(|age| p.duration("spec.limits.maxConnectionAge", Some(age), 0, (1_000, 30 * DAY))),
        send_queue_bytes: p.optional_number(
            "spec.limits.sendQueueBytes",
            limits.send_queue_bytes,
            (16_384, 4 * MAX_BYTES),
        ),
    }
}

/// Takes tiers in a cycle out, and expands the inheritance of the rest.
///
/// What is not there, or was itself withdrawn, gives no rights: it is left out and told.
pub(super) fn expand(
    plans: &mut BTreeMap<String, TierPlan>,
    findings: &mut BTreeMap<String, Findings>,
) -> BTreeMap<String, BTreeSet<String>> {
    let reach: BTreeMap<String, BTreeSet<String>> =
        plans.keys().map(|name| (name.clone(), reachable(plans, name))).collect();
    for (name, all) in &reach {
        if all.contains(name) {
            let partners = all.iter().filter(|other| reach.get(*other).is_some_and(|r| r.contains(name)));
            let message = format!(
                "spec.includes: the tiers {} include each other in a circle; remove one of the inclusions.",
                listed(partners.map(String::as_str))
            );
            findings.entry(name.clone()).or_default().withdraw(Reason::TierCycle, message);
            plans.remove(name);
        }
    }
    for (name, plan) in plans.iter() {
        for missing in plan.includes.iter().filter(|i| !plans.contains_key(*i)) {
            let state = if findings.get(missing).is_some_and(Findings::is_withdrawn) {
                "is not accepted"
            } else {
                "does not exist"
            };
            let message = format!(
                "spec.includes: the tier {missing:?} {state} in this namespace, so holders do not get its rights; \
                 repair it, or remove it here."
            );
            findings.entry(name.clone()).or_default().unresolved(Reason::TierNotFound, message);
        }
    }
    plans.keys().map(|name| (name.clone(), reachable(plans, name))).collect()
}

/// Every existing tier that `from` includes, directly or not; `from` is among them only in a cycle.
fn reachable(plans: &BTreeMap<String, TierPlan>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&String> = plans.get(from).into_iter().flat_map(|p| &p.includes).collect();
    while let Some(name) = next.pop() {
        if let Some(plan) = plans.get(name)
            && seen.insert(name.clone())
        {
            next.extend(&plan.includes);
        }
    }
    seen
}

/// Issuers that the fleet does not have admit nobody.
pub(super) fn resolve_issuers(admission: &mut catalog::Admission, fleet: &FleetPlan, findings: &mut Findings) {
    if admission.issuers.is_empty() {
        return;
    }
    let (known, unknown): (Vec<_>, Vec<_>) = admission.issuers.drain(..).partition(|name| fleet.has_issuer(name));
    if !unknown.is_empty() {
        let message = format!(
            "spec.admission.issuers: the Fleet has no issuer {}; add it there, or correct the name.",
            listed(unknown.iter().map(String::as_str))
        );
        findings.unresolved(Reason::IssuerNotFound, message);
    }
    if known.is_empty() {
        // An empty list would mean: tokens of any issuer.
        *admission = catalog::Admission { principal: Principal::GrantedOnly, issuers: Vec::new(), claims: Vec::new() };
    } else {
        admission.issuers = known;
    }
}
