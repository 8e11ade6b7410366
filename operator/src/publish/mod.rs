//! Versions of catalogs, and what gateways said to them. Pure: whoever speaks with gateways tells it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bannou_crds::Catalog;
use bannou_crds::catalog::{Service, Tier};
pub use bannou_crds::push::Version;
use bannou_crds::push::{Delta, Hash, ToGateway};

use crate::catalog::{Compiled, ObjectStatus, Reason, Status};
use crate::index::{Key, ObjectKind, ObjectRef};

/// A catalog that gateways are to obey.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    pub version: Version,
    pub catalog: Catalog,
    /// Of the catalog.
    pub hash: Hash,
    /// What a gateway that has the version before is sent: nearly every one, so it is made once for all.
    step: Option<(Version, Arc<str>)>,
}

impl Published {
    /// What a gateway is sent that has `base`: JSON of a [`ToGateway::Delta`].
    pub fn difference_to(&self, base: &Published) -> Arc<str> {
        match &self.step {
            Some((before, text)) if *before == base.version => text.clone(),
            _ => difference((base.version, &base.catalog), (self.version, &self.catalog), &self.hash),
        }
    }

    /// The same for one that has this very catalog, under another version.
    pub fn difference_to_version(&self, base: Version) -> Arc<str> {
        difference((base, &self.catalog), (self.version, &self.catalog), &self.hash)
    }
}

fn difference(base: (Version, &Catalog), next: (Version, &Catalog), hash: &Hash) -> Arc<str> {
    let delta = ToGateway::Delta { delta: Box::new(Delta::between(base, next, hash.clone())) };
    serde_json::to_string(&delta).expect("the words of the link are JSON").into()
}

/// No lease has had so many holders: what a gateway names above it is made up.
const MOST_TERMS: u64 = 1 << 53;

/// What one holder of the lease has published, by fleet.
#[derive(Debug)]
pub struct Publisher {
    /// Of the lease. A fleet whose gateways have more is ahead of it, by itself: none moves the versions of another.
    term: u64,
    fleets: BTreeMap<Key, State>,
}

#[derive(Debug)]
struct State {
    current: Arc<Published>,
    /// Each object that has a part in the catalog, and the version that brought this part as it is.
    parts: BTreeMap<ObjectRef, Version>,
}

impl Publisher {
    pub fn new(term: u64) -> Publisher {
        Publisher { term, fleets: BTreeMap::new() }
    }

    /// The new version, where there is anything to send. Without a catalog the last good one stays.
    pub fn publish(&mut self, fleet: &Key, compiled: &Compiled) -> Option<Arc<Published>> {
        let catalog = compiled.catalog.as_ref()?;
        let before = self.fleets.get(fleet);
        if before.is_some_and(|b| b.current.catalog == *catalog) {
            return None;
        }
        let version = before.map_or(Version { term: self.term, number: 1 }, |b| {
            let Version { term, number } = b.current.version;
            Version { term, number: number + 1 }
        });
        let parts = parts(fleet, catalog, compiled, before, version);
        let hash = Hash::of(catalog);
        let step = before.map(|b| {
            let base = b.current.version;
            (base, difference((base, &b.current.catalog), (version, catalog), &hash))
        });
        let current = Arc::new(Published { version, catalog: catalog.clone(), hash, step });
        self.fleets.insert(fleet.clone(), State { current: current.clone(), parts });
        Some(current)
    }

    /// The same catalog again in a higher term, where a gateway has a version from somewhere that it would not go back from: the lease was
    /// deleted, say, and terms began anew.
    pub fn rise(&mut self, fleet: &Key, gateways: &[Gateway]) -> Option<Arc<Published>> {
        let state = self.fleets.get_mut(fleet)?;
        let highest = gateways.iter().filter_map(|g| g.came_with).filter(|v| v.term < MOST_TERMS).max()?;
        let version = state.current.version;
        if highest < version {
            return None;
        }
        let next = Version { term: highest.term + 1, number: 1 };
        let mut risen = Published { version: next, step: None, ..(*state.current).clone() };
        risen.step = Some((version, risen.difference_to_version(version)));
        state.current = Arc::new(risen);
        // Whoever obeyed a part obeys it under the new version.
        Some(state.current.clone())
    }

    pub fn current(&self, fleet: &Key) -> Option<&Arc<Published>> {
        self.fleets.get(fleet).map(|state| &state.current)
    }

    /// A fleet that is no more.
    pub fn forget(&mut self, fleet: &Key) {
        self.fleets.remove(fleet);
    }

    /// The status with what the gateways of its fleet say. Only what stands in the catalog depends on them.
    pub fn programmed(
        &self,
        fleet: &Key,
        object: &ObjectRef,
        mut status: ObjectStatus,
        gateways: &[Gateway],
    ) -> ObjectStatus {
        let Some(state) = self.fleets.get(fleet) else { return status };
        // What was never a part of it (a tier that everything is refused under, say) is obeyed with the rest.
        let since = state.parts.get(object).copied().unwrap_or(state.current.version);
        status.conclude(judge(since, gateways));
        status
    }
}

/// One that is connected and has answered to at least one catalog since, or (`acked: None`) to none yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    pub name: String,
    /// What it had when it came, where that is no older than what was published then, and not the same.
    pub came_with: Option<Version>,
    pub acked: Option<Version>,
    /// The last version that it refused, and why.
    pub refused: Option<(Version, String)>,
}

/// Messages name no figures: they would be written again with every gateway that comes and goes.
fn judge(since: Version, gateways: &[Gateway]) -> (Status, Reason, String) {
    if gateways.is_empty() {
        let message = "In the catalog, but no gateway of the fleet is connected to the operator.";
        return (Status::False, Reason::NoGatewaysConnected, message.to_owned());
    }
    // What was refused counts until a later one is taken.
    let refused = gateways.iter().find_map(|g| {
        let (version, why) = g.refused.as_ref()?;
        (*version >= since && g.acked.is_none_or(|acked| acked < since)).then_some((&g.name, why))
    });
    if let Some((name, why)) = refused {
        let message = format!("The gateway {name} refused the catalog and keeps its last good one: {why}");
        return (Status::False, Reason::Rejected, message);
    }
    // One that has only just come has taken nothing yet, and takes nothing away from what the others obey.
    let mut answered = gateways.iter().filter_map(|g| g.acked).peekable();
    if answered.peek().is_some() && answered.all(|acked| acked >= since) {
        return (Status::True, Reason::Programmed, "Every connected gateway obeys it.".to_owned());
    }
    (Status::Unknown, Reason::Pending, "In the catalog; waiting for gateways to take it over.".to_owned())
}

/// The parts of a catalog: those that are as they were keep their version, the rest has the new one.
fn parts(
    fleet: &Key,
    catalog: &Catalog,
    compiled: &Compiled,
    before: Option<&State>,
    version: Version,
) -> BTreeMap<ObjectRef, Version> {
    let old = before.map(|state| &state.current.catalog);
    let since = |object: &ObjectRef, same: bool| {
        let before = before.filter(|_| same).and_then(|state| state.parts.get(object));
        before.copied().unwrap_or(version)
    };
    let mut parts = BTreeMap::new();
    let mut part = |kind, key: Key, same| {
        let object = ObjectRef { kind, key };
        let since = since(&object, same);
        parts.insert(object, since);
    };
    part(ObjectKind::Fleet, fleet.clone(), old.is_some_and(|old| old.fleet == catalog.fleet));
    let tiers: HashMap<&str, &Tier> = old.iter().flat_map(|o| &o.tiers).map(|t| (t.name.as_str(), t)).collect();
    for tier in &catalog.tiers {
        let same = tiers.get(tier.name.as_str()) == Some(&tier);
        part(ObjectKind::AccessTier, Key::new(&fleet.namespace, &tier.name), same);
    }
    let services: HashMap<&str, &Service> =
        old.iter().flat_map(|o| &o.services).map(|s| (s.name.as_str(), s)).collect();
    for service in &catalog.services {
        let Some(owner) = compiled.owners.get(&service.name) else { continue };
        part(ObjectKind::ServiceExposure, owner.clone(), services.get(service.name.as_str()) == Some(&service));
    }
    parts
}

#[cfg(test)]
mod tests;
