//! Who has which name. A name stays with the object that has it, whatever becomes of that; a new one goes to the oldest that may have it.

use std::collections::BTreeMap;

use bannou_crds::kinds::{ServiceExposure, Source};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::exposure;
use super::fleet::FleetPlan;
use super::status::{Findings, Reason};
use crate::annotations;
use crate::index::{Key, ObjectKind, World};

/// Who has a name; `None` for one that cannot be read.
pub(super) type Owner<'w> = (Key, Option<&'w ServiceExposure>);

pub(super) struct Names<'w> {
    owners: BTreeMap<&'w str, Owner<'w>>,
}

impl<'w> Names<'w> {
    /// A written exposure takes the place of the one that was made from the annotations of its own backend.
    pub fn of(world: &'w World, fleet: &FleetPlan) -> Names<'w> {
        let namespace = fleet.catalog.namespace.as_str();
        let readable = world
            .exposures
            .values()
            .filter(|e| world.fleet_namespace(e) == Some(namespace))
            .filter_map(|e| Some((exposure::service_name(&e.spec).ok()?, &e.metadata, Some(e))));
        let unreadable = world
            .undecodable
            .values()
            .filter(|u| u.object.kind == ObjectKind::ServiceExposure && world.fleet_of_unreadable(u) == Some(namespace))
            .filter_map(|u| Some((u.service_name.as_deref()?, &u.metadata, None)));
        let mut asking: Vec<(&str, &ObjectMeta, Option<&ServiceExposure>)> = readable
            .chain(unreadable)
            .filter(|(name, metadata, _)| {
                let from = metadata.namespace.as_deref().unwrap_or_default();
                fleet.claimants(name).is_none_or(|allowed| allowed.contains(from))
            })
            .collect();
        asking.sort_by_cached_key(|(name, metadata, _)| world.precedence(namespace, name, metadata));
        let mut owners: BTreeMap<&str, Owner> = BTreeMap::new();
        for (name, metadata, exposure) in asking {
            match owners.get(name) {
                Some((_, owner)) if !replaces(world, exposure, *owner) => {}
                _ => drop(owners.insert(name, (Key::of(metadata), exposure))),
            }
        }
        Names { owners }
    }

    pub fn owner(&self, name: &str) -> Option<&Owner<'w>> {
        self.owners.get(name)
    }

    pub fn into_owners(self) -> BTreeMap<String, Key> {
        self.owners.into_iter().map(|(name, (key, _))| (name.to_owned(), key)).collect()
    }

    /// Whether the exposure may have the name it asks for; if not, the findings say why.
    pub fn grants(
        &self,
        name: &str,
        key: &Key,
        exposure: &ServiceExposure,
        fleet: &FleetPlan,
        findings: &mut Findings,
    ) -> bool {
        let may = fleet.claimants(name).is_none_or(|allowed| allowed.contains(key.namespace.as_str()));
        match self.owner(name) {
            Some((owner, _)) if owner == key => true,
            Some((owner, other)) if may => {
                let written =
                    other.is_some_and(|o| o.source() == Source::Resource) && exposure.source() == Source::Annotation;
                let why = if written { "which is written" } else { "which was here first" };
                let message = format!(
                    "spec.serviceName: the name {name:?} belongs to ServiceExposure {owner}, {why}; choose another name, or \
                     remove that exposure."
                );
                findings.withdraw(Reason::NameConflict, message);
                false
            }
            _ => {
                let message = format!(
                    "spec.serviceName: the Fleet does not let the namespace {:?} claim the name {name:?}; choose another name, \
                     or have the namespace added to the Fleet's `names`.",
                    key.namespace
                );
                findings.withdraw(Reason::NameNotAllowed, message);
                false
            }
        }
    }
}

/// Only what the operator itself has made gives way.
fn replaces(world: &World, exposure: Option<&ServiceExposure>, owner: Option<&ServiceExposure>) -> bool {
    let (Some(exposure), Some(owner)) = (exposure, owner) else { return false };
    annotations::source(world, owner) == Some(Source::Annotation)
        && exposure.source() == Source::Resource
        && owner.metadata.namespace == exposure.metadata.namespace
        && owner.spec.backend == exposure.spec.backend
}
