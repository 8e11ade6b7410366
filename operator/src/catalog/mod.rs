//! `compile`: the world in, a catalog and every object's conditions out. Pure: no clock, no randomness, no I/O, and the
//! order in which objects came does not matter.
//!
//! What is wrong is withdrawn alone: a broken exposure leaves the others as they are, a tier that does not admit an
//! exposure costs it that tier. Only a Fleet that is not accepted gives no catalog at all; gateways keep the last good.

mod attach;
mod check;
mod exposure;
mod fleet;
mod path;
mod status;
mod tier;

use std::collections::{BTreeMap, BTreeSet};

use bannou_crds::catalog::{self, Catalog, FORMAT, Service};
use bannou_crds::kinds::{AccessTier, Fleet, ServiceExposure, Source};
use bannou_crds::{Kind, Target};

use self::attach::{Applicant, Gate};
use self::check::Problems;
use self::exposure::ExposurePlan;
use self::fleet::FleetPlan;
use self::status::Findings;
pub use self::status::{Condition, ConditionType, ObjectStatus, Reason, Status};
use self::tier::TierPlan;
use crate::index::{BackendKey, BackendState, Key, ObjectKind, ObjectRef, World, age};

const MAX_TIERS: usize = 512;

/// What a fleet's gateways are to obey, and what each object of that fleet is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// `None`: the Fleet is missing or not accepted; gateways keep the last good catalog.
    pub catalog: Option<Catalog>,
    /// Of the Fleet itself, of the tiers in its namespace, and of the exposures that ask for it.
    pub conditions: BTreeMap<ObjectRef, ObjectStatus>,
}

/// Compiles one fleet. Objects of other fleets are not looked at.
pub fn compile(world: &World, fleet: &Key) -> Compiled {
    compile_with(world, fleet, &Target::of)
}

/// The statuses of objects that belong to no existing fleet, and so appear in no `compile`.
pub fn unattached(world: &World) -> BTreeMap<ObjectRef, ObjectStatus> {
    let mut conditions = BTreeMap::new();
    let mut tell = |kind, key: &Key, generation, message: String| {
        let mut findings = Findings::default();
        findings.unresolved(Reason::FleetNotFound, message);
        findings.withdraw_silently();
        conditions.insert(ObjectRef { kind, key: key.clone() }, findings.status(generation, Some(0), true));
    };
    for (key, tier) in &world.tiers {
        if world.fleet_in(&key.namespace).is_none() {
            let message =
                format!("There is no Fleet in the namespace {:?}; a tier lives beside its Fleet.", key.namespace);
            tell(ObjectKind::AccessTier, key, tier.metadata.generation, message);
        }
    }
    for (key, exposure) in &world.exposures {
        let message = match world.fleet_namespace(exposure) {
            Some(namespace) if world.fleet_in(namespace).is_some() => continue,
            Some(namespace) => format!(
                "There is no Fleet in the namespace {namespace:?}; create it, or correct spec.fleetRef.namespace."
            ),
            None => "No spec.fleetRef, and there is no default fleet; add `fleetRef: {namespace: …}`.".to_owned(),
        };
        tell(ObjectKind::ServiceExposure, key, exposure.metadata.generation, message);
    }
    conditions
}

/// With the hash of names left open, since nobody can write a test with a collision of SHA-256.
fn compile_with(world: &World, fleet: &Key, hash: &dyn Fn(Kind, &[u8]) -> Target) -> Compiled {
    let mut conditions = BTreeMap::new();
    let Some(resource) = world.fleets.get(fleet) else {
        return Compiled { catalog: None, conditions };
    };
    if let Some(first) = world.fleet_in(&fleet.namespace)
        && Key::of(&first.metadata) != *fleet
    {
        let mut findings = Findings::default();
        let message = format!(
            "A namespace has one Fleet, and Fleet {} was here first; put this one into a namespace of its own.",
            Key::of(&first.metadata)
        );
        findings.withdraw(Reason::NameConflict, message);
        let object = ObjectRef { kind: ObjectKind::Fleet, key: fleet.clone() };
        conditions.insert(object, findings.status(resource.metadata.generation, None, true));
        return Compiled { catalog: None, conditions };
    }
    let (plan, problems) = fleet::parse(fleet, &resource.spec);
    let mut compiler = Compiler { world, fleet: plan, hash, accepted: problems.is_empty(), conditions };
    compiler.tell_fleet(fleet, resource, problems);
    let (plans, tiers) = compiler.tiers();
    let services = compiler.services(&plans);
    compiler.tell_tiers(&services, tiers.findings);
    let Compiler { fleet, accepted, conditions, .. } = compiler;
    let catalog = Catalog { format: FORMAT, fleet: fleet.catalog, tiers: tiers.compiled, services };
    Compiled { catalog: accepted.then_some(catalog), conditions }
}

struct Compiler<'a> {
    world: &'a World,
    fleet: FleetPlan,
    hash: &'a dyn Fn(Kind, &[u8]) -> Target,
    /// Whether the Fleet itself is accepted.
    accepted: bool,
    conditions: BTreeMap<ObjectRef, ObjectStatus>,
}

struct Tiers {
    compiled: Vec<catalog::Tier>,
    /// One entry for each tier that exists.
    findings: BTreeMap<String, Findings>,
}

impl<'a> Compiler<'a> {
    fn namespace(&self) -> &str {
        &self.fleet.catalog.namespace
    }

    fn tell_fleet(&mut self, key: &Key, resource: &Fleet, problems: Problems) {
        let mut findings = Findings::default();
        reject(&mut findings, problems);
        let object = ObjectRef { kind: ObjectKind::Fleet, key: key.clone() };
        self.conditions.insert(object, findings.status(resource.metadata.generation, None, true));
    }

    fn tiers(&self) -> (BTreeMap<String, TierPlan>, Tiers) {
        let mut plans = BTreeMap::new();
        let mut findings: BTreeMap<String, Findings> = BTreeMap::new();
        let mut here: Vec<(&Key, &AccessTier)> =
            self.world.tiers.iter().filter(|(key, _)| key.namespace == self.namespace()).collect();
        here.sort_by_key(|(_, tier)| age(&tier.metadata));
        for (i, (key, tier)) in here.into_iter().enumerate() {
            let found = findings.entry(key.name.clone()).or_default();
            if i >= MAX_TIERS {
                let message = format!(
                    "A fleet has at most {MAX_TIERS} tiers, and there are as many that are older; remove some."
                );
                found.withdraw(Reason::Invalid, message);
                continue;
            }
            match tier::parse(&key.name, &tier.spec) {
                Ok(plan) => {
                    plans.insert(key.name.clone(), plan);
                }
                Err(problems) => reject(found, problems),
            }
        }
        let included = tier::expand(&mut plans, &mut findings);
        for (name, plan) in &mut plans {
            tier::resolve_issuers(&mut plan.admission, &self.fleet, findings.entry(name.clone()).or_default());
        }
        let compiled = plans
            .iter()
            .map(|(name, plan)| catalog::Tier {
                name: name.clone(),
                includes: included.get(name).into_iter().flatten().cloned().collect(),
                admission: plan.admission.clone(),
                limits: plan.limits,
                peers: plan.peers,
            })
            .collect();
        (plans, Tiers { compiled, findings })
    }

    fn tell_tiers(&mut self, services: &[Service], findings: BTreeMap<String, Findings>) {
        let mut attached: BTreeMap<&str, u32> = BTreeMap::new();
        for tier in services.iter().flat_map(|s| &s.endpoints).flat_map(|e| &e.tiers) {
            *attached.entry(tier).or_default() += 1;
        }
        let namespace = self.namespace().to_owned();
        for (name, found) in findings {
            let key = Key::new(namespace.clone(), name);
            let generation = self.world.tiers.get(&key).and_then(|t| t.metadata.generation);
            let endpoints = attached.get(key.name.as_str()).copied().unwrap_or_default();
            let status = found.status(generation, Some(endpoints), self.accepted);
            self.conditions.insert(ObjectRef { kind: ObjectKind::AccessTier, key }, status);
        }
    }

    /// Judges every exposure of the fleet, the oldest first.
    fn services(&mut self, plans: &BTreeMap<String, TierPlan>) -> Vec<Service> {
        let world = self.world;
        let mut asking: Vec<(&Key, &ServiceExposure)> =
            world.exposures.iter().filter(|(_, e)| world.fleet_namespace(e) == Some(self.namespace())).collect();
        asking.sort_by_key(|(_, e)| age(&e.metadata));
        let broken: BTreeSet<String> = world
            .tiers
            .keys()
            .filter(|key| key.namespace == self.namespace() && !plans.contains_key(&key.name))
            .map(|key| key.name.clone())
            .collect();
        let owners = self.owners(&asking);
        let mut targets: BTreeMap<Target, String> = BTreeMap::new();
        let mut services = Vec::new();
        for (key, exposure) in asking {
            let mut findings = Findings::default();
            let service = self.judge(key, exposure, &owners, plans, &broken, &mut targets, &mut findings);
            let count = service.as_ref().map_or(0, |s| s.endpoints.len());
            let status = findings.status(
                exposure.metadata.generation,
                Some(u32::try_from(count).unwrap_or(u32::MAX)),
                self.accepted,
            );
            self.conditions.insert(ObjectRef { kind: ObjectKind::ServiceExposure, key: key.clone() }, status);
            services.extend(service.filter(|s| !s.endpoints.is_empty() || !s.events.is_empty()));
        }
        services.sort_by(|a, b| a.name.cmp(&b.name));
        services
    }

    /// Who owns each name: the oldest that may claim it, whatever else is wrong with it. A written exposure takes the
    /// place of the one that was made from its own workload's annotations.
    fn owners<'w>(
        &self,
        asking: &[(&'w Key, &'w ServiceExposure)],
    ) -> BTreeMap<&'w str, (&'w Key, &'w ServiceExposure)> {
        let mut owners: BTreeMap<&str, (&Key, &ServiceExposure)> = BTreeMap::new();
        for (key, exposure) in asking {
            let Ok(name) = exposure::service_name(&exposure.spec) else { continue };
            if self.fleet.claimants(name).is_some_and(|allowed| !allowed.contains(key.namespace.as_str())) {
                continue;
            }
            let replaces = |owner: &ServiceExposure| {
                owner.source() == Source::Annotation
                    && exposure.source() == Source::Resource
                    && owner.metadata.namespace == exposure.metadata.namespace
                    && owner.spec.backend == exposure.spec.backend
            };
            match owners.get(name) {
                Some((_, owner)) if !replaces(owner) => {}
                _ => {
                    owners.insert(name, (key, exposure));
                }
            }
        }
        owners
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `services`, cut out to be read alone")]
    fn judge(
        &self,
        key: &Key,
        exposure: &ServiceExposure,
        owners: &BTreeMap<&str, (&Key, &ServiceExposure)>,
        plans: &BTreeMap<String, TierPlan>,
        broken: &BTreeSet<String>,
        targets: &mut BTreeMap<Target, String>,
        findings: &mut Findings,
    ) -> Option<Service> {
        let name = match exposure::service_name(&exposure.spec) {
            Ok(name) => name,
            Err(problems) => {
                reject(findings, problems);
                return None;
            }
        };
        match owners.get(name) {
            Some((owner, _)) if *owner == key => {}
            Some((owner, other)) if self.fleet.claimants(name).is_none_or(|a| a.contains(key.namespace.as_str())) => {
                let why = if other.source() == Source::Resource && exposure.source() == Source::Annotation {
                    "which is written"
                } else {
                    "which was here first"
                };
                let message = format!(
                    "spec.serviceName: the name {name:?} belongs to ServiceExposure {owner}, {why}; choose another name, or \
                     remove that exposure."
                );
                findings.withdraw(Reason::NameConflict, message);
                return None;
            }
            _ => {
                let message = format!(
                    "spec.serviceName: the Fleet does not let the namespace {:?} claim the name {name:?}; choose another name, \
                     or have the namespace added to the Fleet's `names`.",
                    key.namespace
                );
                findings.withdraw(Reason::NameNotAllowed, message);
                return None;
            }
        }
        let plan = match exposure::parse(&exposure.spec) {
            Ok(plan) => plan,
            Err(problems) => {
                reject(findings, problems);
                return None;
            }
        };
        self.resolve_backend(key, &plan, findings);
        let unlabelled = BTreeMap::new();
        let who = Applicant {
            service: name,
            namespace: &key.namespace,
            labels: self.world.namespaces.get(&key.namespace).unwrap_or(&unlabelled),
            source: exposure.source(),
        };
        let gate = Gate { namespace: self.namespace(), tiers: plans, broken };
        let service = attach::attach(&plan, &who, &gate, self.hash, findings);
        claim_targets(&service, targets, findings).then_some(service)
    }

    fn resolve_backend(&self, key: &Key, plan: &ExposurePlan, findings: &mut Findings) {
        let Some(backends) = &self.world.backends else { return };
        let namespace = key.namespace.clone();
        let (backend, spelled) = match &plan.backend {
            catalog::Backend::Dapr { app_id } => {
                (BackendKey::Dapr { namespace, app_id: app_id.clone() }, format!("Dapr app {app_id:?}"))
            }
            catalog::Backend::Service { name, port } => (
                BackendKey::Service { namespace, name: name.clone(), port: *port },
                format!("Service {name:?} with port {port}"),
            ),
        };
        match backends.get(&backend) {
            Some(BackendState::Ready) => {}
            Some(BackendState::NoReadyPods) => findings.unresolved(
                Reason::NoReadyPods,
                format!("spec.backend: none of the Pods of the {spelled} is ready; clients get 502 until one is."),
            ),
            Some(BackendState::NotDaprEnabled) => findings.unresolved(
                Reason::BackendNotDaprEnabled,
                format!(
                    "spec.backend: the workload of the {spelled} has no annotation `dapr.io/enabled: \"true\"`; add it."
                ),
            ),
            None => findings.unresolved(
                Reason::BackendNotFound,
                format!(
                    "spec.backend: there is no {spelled} in the namespace {:?}; deploy it, or correct the name.",
                    key.namespace
                ),
            ),
        }
    }
}

/// Takes the service's targets, unless one of them belongs to another name already.
fn claim_targets(service: &Service, targets: &mut BTreeMap<Target, String>, findings: &mut Findings) -> bool {
    let endpoints = service.endpoints.iter().map(|e| (e.target, format!("{}.{}", service.name, e.name)));
    let events = service.events.iter().map(|e| (e.target, format!("{}.{}", service.name, e.name)));
    let mut mine = BTreeMap::new();
    for (target, name) in endpoints.chain(events) {
        if let Some(other) = targets.get(&target).or_else(|| mine.get(&target)) {
            let message = format!(
                "The names {name:?} and {other:?} have the same hash, so a gateway could not tell them apart; rename {name:?}."
            );
            findings.withdraw(Reason::NameConflict, message);
            return false;
        }
        mine.insert(target, name);
    }
    targets.append(&mut mine);
    true
}

fn reject(findings: &mut Findings, problems: Problems) {
    for message in problems.into_messages() {
        findings.withdraw(Reason::Invalid, message);
    }
}

#[cfg(test)]
mod tests;
