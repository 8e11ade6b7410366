//! Versions of catalogs, and what gateways said to them. Pure: whoever speaks with gateways tells it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bannou_crds::Catalog;
use bannou_crds::push::Hash;
pub use bannou_crds::push::Version;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::catalog::{Compiled, ObjectStatus, Reason, Status};
use crate::index::{Key, ObjectKind, ObjectRef};

/// A catalog that gateways are to obey.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    pub version: Version,
    pub catalog: Catalog,
    /// Of the catalog.
    pub hash: Hash,
}

/// Of a part.
type Digested = [u8; 32];

/// What one holder of the lease has published, by fleet.
#[derive(Debug)]
pub struct Publisher {
    term: u64,
    fleets: BTreeMap<Key, State>,
}

#[derive(Debug)]
struct State {
    current: Arc<Published>,
    /// The part of each object in the catalog, and the version that brought it as it is.
    parts: BTreeMap<ObjectRef, (Digested, Version)>,
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
        let number = before.map_or(0, |b| b.current.version.number) + 1;
        let version = Version { term: self.term, number };
        let mut parts = parts(fleet, catalog, compiled);
        for (object, part) in &mut parts {
            let same = before.and_then(|b| b.parts.get(object)).filter(|old| old.0 == part.0);
            part.1 = same.map_or(version, |old| old.1);
        }
        let current = Arc::new(Published { version, catalog: catalog.clone(), hash: Hash::of(catalog) });
        self.fleets.insert(fleet.clone(), State { current: current.clone(), parts });
        Some(current)
    }

    /// The same catalog again in a higher term, where a gateway has a version from somewhere that it would not go back from: the lease was
    /// deleted, say, and terms began anew.
    pub fn rise(&mut self, fleet: &Key, gateways: &[Gateway]) -> Option<Arc<Published>> {
        let state = self.fleets.get_mut(fleet)?;
        let highest = gateways.iter().filter_map(|g| g.came_with).max()?;
        let version = state.current.version;
        if highest < version {
            return None;
        }
        self.term = self.term.max(highest.term.saturating_add(1));
        let next = Version { term: self.term, number: 1 };
        state.current = Arc::new(Published { version: next, ..(*state.current).clone() });
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
        let since = state.parts.get(object).map_or(state.current.version, |part| part.1);
        if let Some(condition) = status.pending_mut() {
            let (status, reason, message) = judge(since, gateways);
            (condition.status, condition.reason, condition.message) = (status, reason, message);
        }
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

/// Parts, with a version yet to be set.
fn parts(fleet: &Key, catalog: &Catalog, compiled: &Compiled) -> BTreeMap<ObjectRef, (Digested, Version)> {
    let part = |kind, key: Key, digest| (ObjectRef { kind, key }, (digest, Version::default()));
    let mut parts = BTreeMap::from([part(ObjectKind::Fleet, fleet.clone(), digest(&catalog.fleet))]);
    let tiers = catalog.tiers.iter();
    parts.extend(tiers.map(|t| part(ObjectKind::AccessTier, Key::new(&fleet.namespace, &t.name), digest(t))));
    let services = catalog.services.iter().filter_map(|s| Some((compiled.owners.get(&s.name)?, s)));
    parts.extend(services.map(|(owner, s)| part(ObjectKind::ServiceExposure, owner.clone(), digest(s))));
    parts
}

fn digest(value: &impl Serialize) -> Digested {
    Sha256::digest(serde_json::to_vec(value).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests;
