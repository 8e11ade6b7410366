//! `compile`: the world in, a catalog and every object's conditions out. Pure: no clock, no randomness, no I/O, and the
//! order in which objects came does not matter.
//!
//! What is wrong is withdrawn alone: a broken exposure leaves the others as they are, a tier that does not admit an
//! exposure costs it that tier. Only a Fleet that is not accepted gives no catalog at all; gateways keep the last good.

mod attach;
mod backend;
mod check;
mod exposure;
mod fleet;
mod names;
mod path;
mod status;
mod tier;

use std::collections::{BTreeMap, BTreeSet};

use bannou_crds::catalog::{self, Catalog, FORMAT, Service};
use bannou_crds::kinds::{AccessTier, FleetSpec, ServiceExposure, ServiceExposureSpec, ServiceRef};
use bannou_crds::{Kind, Target};

use self::attach::{Applicant, Gate};
use self::check::Problems;
use self::fleet::FleetPlan;
use self::names::Names;
use self::status::Findings;
pub use self::status::{Condition, ConditionType, ObjectStatus, Reason, Status};
use self::tier::TierPlan;
use crate::annotations;
use crate::index::{Key, ObjectKind, ObjectRef, Undecodable, World, age};

const MAX_TIERS: usize = 512;

/// What a fleet's gateways are to obey, and what each object of that fleet is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// `None`: the Fleet is missing or not accepted; gateways keep the last good catalog.
    pub catalog: Option<Catalog>,
    /// Of the Fleet itself, of the tiers in its namespace, and of the exposures that ask for it.
    pub conditions: BTreeMap<ObjectRef, ObjectStatus>,
    /// Who has which service's name, for [`World::settle`].
    pub owners: BTreeMap<String, Key>,
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
    for (object, unread) in &world.undecodable {
        let fleet = match object.kind {
            ObjectKind::ServiceExposure => world.fleet_of_unreadable(unread),
            _ => Some(object.key.namespace.as_str()),
        };
        if fleet.and_then(|namespace| world.fleet_in(namespace)).is_none() {
            conditions.insert(object.clone(), unreadable(unread));
        }
    }
    conditions
}

/// What is wrong with an exposure by itself, whoever else there is. Each begins with the field.
pub fn mistakes(spec: &ServiceExposureSpec) -> Vec<String> {
    let problems = [exposure::service_name(spec).err(), exposure::parse(spec).err()];
    problems.into_iter().flatten().flat_map(Problems::into_messages).collect()
}

/// What an object is told that cannot be read.
fn unreadable(object: &Undecodable) -> ObjectStatus {
    let mut findings = Findings::default();
    let message = format!("It cannot be read by this version of the operator: {}; correct it.", object.error);
    findings.withdraw(Reason::Invalid, message);
    let endpoints = (object.object.kind != ObjectKind::Fleet).then_some(0);
    findings.status(object.metadata.generation, endpoints, true)
}

/// With the hash of names left open, since nobody can write a test with a collision of SHA-256.
fn compile_with(world: &World, fleet: &Key, hash: &dyn Fn(Kind, &[u8]) -> Target) -> Compiled {
    let mut conditions = BTreeMap::new();
    let object = ObjectRef { kind: ObjectKind::Fleet, key: fleet.clone() };
    let (resource, unread) = (world.fleets.get(fleet), world.undecodable.get(&object));
    let generation = match (resource, unread) {
        (Some(resource), _) => resource.metadata.generation,
        (None, Some(unread)) => unread.metadata.generation,
        (None, None) => return Compiled { catalog: None, conditions, owners: BTreeMap::new() },
    };
    if let Some(first) = world.fleet_in(&fleet.namespace)
        && first != *fleet
    {
        let mut findings = Findings::default();
        let message = format!(
            "A namespace has one Fleet, and Fleet {first} was here first; put this one into a namespace of its own."
        );
        findings.withdraw(Reason::NameConflict, message);
        conditions.insert(object, findings.status(generation, None, true));
        return Compiled { catalog: None, conditions, owners: BTreeMap::new() };
    }
    // One that cannot be read has no catalog, but those who belong to it are told so.
    let (plan, problems) = match resource {
        Some(resource) => fleet::parse(fleet, &resource.spec),
        None => fleet::parse(fleet, &FleetSpec::default()),
    };
    let accepted = problems.is_empty() && unread.is_none();
    let names = Names::of(world, &plan);
    let mut compiler = Compiler { world, fleet: plan, hash, accepted, conditions };
    compiler.tell_unreadable();
    let (plans, mut tiers) = compiler.tiers();
    let services = compiler.services(&plans, &names);
    resolve_grantors(&plans, &services, &mut tiers);
    compiler.tell_tiers(&services, tiers.findings);
    let missing = compiler.managers(&services);
    if unread.is_none() {
        compiler.tell_fleet(object, generation, problems, missing);
    }
    let Compiler { fleet, accepted, conditions, .. } = compiler;
    let FleetPlan { catalog, .. } = fleet;
    let catalog = Catalog { format: FORMAT, fleet: catalog, tiers: tiers.compiled, services };
    Compiled { catalog: accepted.then_some(catalog), conditions, owners: names.into_owners() }
}

/// The names of those services that are in the catalog under the namespace that was given with them, and the rest.
fn present<'r>(refs: &'r [ServiceRef], services: &[Service]) -> (Vec<String>, Vec<&'r ServiceRef>) {
    let is_there = |r: &&ServiceRef| services.iter().any(|s| s.name == r.service && s.namespace == r.namespace);
    let (there, missing): (Vec<&ServiceRef>, Vec<&ServiceRef>) = refs.iter().partition(is_there);
    let names: BTreeSet<String> = there.into_iter().map(|r| r.service.clone()).collect();
    (names.into_iter().collect(), missing)
}

/// Who may grant a tier is bound to the namespace that the tier's owner named: a service of that name from elsewhere may not.
fn resolve_grantors(plans: &BTreeMap<String, TierPlan>, services: &[Service], tiers: &mut Tiers) {
    for tier in &mut tiers.compiled {
        let Some(plan) = plans.get(&tier.name) else { continue };
        let (names, missing) = present(&plan.grantable_by, services);
        tier.grantable_by = names;
        let found = tiers.findings.entry(tier.name.clone()).or_default();
        for missing in missing {
            let message = format!(
                "spec.grantableBy: this fleet has no service {:?} of the namespace {:?}, so nobody grants the tier in its name; \
                 expose it, or correct the name.",
                missing.service, missing.namespace
            );
            found.unresolved(Reason::ServiceNotFound, message);
        }
    }
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

    /// Those who may revoke, ban and kick, and a sentence for each that is not there.
    fn managers(&mut self, services: &[Service]) -> Vec<String> {
        let (names, missing) = present(&self.fleet.managers, services);
        let sentence = |missing: &ServiceRef| {
            format!(
                "spec.managers: this fleet has no service {:?} of the namespace {:?}, so nobody manages it in its name; expose it, or \
                 correct the name.",
                missing.service, missing.namespace
            )
        };
        let sentences = missing.into_iter().map(sentence).collect();
        self.fleet.catalog.managers = names;
        sentences
    }

    fn tell_fleet(&mut self, object: ObjectRef, generation: Option<i64>, problems: Problems, missing: Vec<String>) {
        let mut findings = Findings::default();
        reject(&mut findings, problems);
        for message in missing {
            findings.unresolved(Reason::ServiceNotFound, message);
        }
        self.conditions.insert(object, findings.status(generation, None, true));
    }

    fn tell_unreadable(&mut self) {
        for (object, unread) in &self.world.undecodable {
            let mine = match object.kind {
                ObjectKind::ServiceExposure => self.world.fleet_of_unreadable(unread) == Some(self.namespace()),
                ObjectKind::Fleet => {
                    object.key.namespace == self.namespace() && object.key.name == self.fleet.catalog.name
                }
                _ => object.key.namespace == self.namespace(),
            };
            if mine {
                self.conditions.insert(object.clone(), unreadable(unread));
            }
        }
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
                grantable_by: Vec::new(),
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

    /// Judges every exposure of the fleet, those first that have their names longest.
    fn services(&mut self, plans: &BTreeMap<String, TierPlan>, names: &Names) -> Vec<Service> {
        let world = self.world;
        let mut asking: Vec<(&Key, &ServiceExposure)> =
            world.exposures.iter().filter(|(_, e)| world.fleet_namespace(e) == Some(self.namespace())).collect();
        asking.sort_by_cached_key(|(_, e)| world.precedence(self.namespace(), &e.spec.service_name, &e.metadata));
        let unread = world.undecodable.keys().filter(|o| o.kind == ObjectKind::AccessTier).map(|o| &o.key);
        let broken: BTreeSet<String> = world
            .tiers
            .keys()
            .chain(unread)
            .filter(|key| key.namespace == self.namespace() && !plans.contains_key(&key.name))
            .map(|key| key.name.clone())
            .collect();
        let mut targets: BTreeMap<Target, String> = BTreeMap::new();
        let mut services = Vec::new();
        for (key, exposure) in asking {
            let mut findings = Findings::default();
            let service = self
                .judge(key, exposure, names, plans, &broken, &mut findings)
                .filter(|service| claim_targets(service, &mut targets, &mut findings));
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

    fn judge(
        &self,
        key: &Key,
        exposure: &ServiceExposure,
        names: &Names,
        plans: &BTreeMap<String, TierPlan>,
        broken: &BTreeSet<String>,
        findings: &mut Findings,
    ) -> Option<Service> {
        let name = match exposure::service_name(&exposure.spec) {
            Ok(name) => name,
            Err(problems) => {
                reject(findings, problems);
                return None;
            }
        };
        if !names.grants(name, key, exposure, &self.fleet, findings) {
            return None;
        }
        let plan = match exposure::parse(&exposure.spec) {
            Ok(plan) => plan,
            Err(problems) => {
                reject(findings, problems);
                return None;
            }
        };
        if let Some(backends) = &self.world.backends {
            backend::resolve(backends, &key.namespace, &plan.backend, findings);
        }
        let unlabelled = BTreeMap::new();
        let who = Applicant {
            service: name,
            namespace: &key.namespace,
            labels: self.world.namespaces.get(&key.namespace).unwrap_or(&unlabelled),
            source: annotations::source(self.world, exposure),
        };
        let gate = Gate { namespace: self.namespace(), tiers: plans, broken };
        Some(attach::attach(&plan, &who, &gate, self.hash, findings))
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
    // `append` would build the whole map anew, for every exposure.
    targets.extend(mine);
    true
}

fn reject(findings: &mut Findings, problems: Problems) {
    for message in problems.into_messages() {
        findings.withdraw(Reason::Invalid, message);
    }
}

#[cfg(test)]
mod tests;
