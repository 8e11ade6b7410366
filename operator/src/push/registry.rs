//! Which gateways are connected, and what they said to the catalogs that they were sent.

use std::sync::Arc;

use bannou_crds::push::Version;
use tokio::sync::watch;

use crate::controller::Gateways;
use crate::index::Key;
use crate::publish::Gateway;

/// Of one fleet. More are turned away: somebody dials in a circle.
const MOST: usize = 4096;

/// Tells the controller. Clones are the same registry.
#[derive(Clone, Debug)]
pub struct Registry {
    gateways: Arc<watch::Sender<Gateways>>,
}

/// One gateway's entry; it leaves when this is dropped.
#[derive(Debug)]
pub struct Entry {
    registry: Registry,
    fleet: Key,
    name: String,
}

impl Registry {
    pub fn new(gateways: watch::Sender<Gateways>) -> Registry {
        Registry { gateways: Arc::new(gateways) }
    }

    /// `None`: there are too many already. `name` is this link's alone.
    pub(super) fn enter(&self, fleet: &Key, name: String, came_with: Option<Version>) -> Option<Entry> {
        let gateway = Gateway { name: name.clone(), came_with, ..Gateway::default() };
        let entered = self.gateways.send_if_modified(|all| {
            let here = all.entry(fleet.clone()).or_default();
            let room = here.len() < MOST;
            if room {
                here.push(gateway);
            }
            room
        });
        entered.then(|| Entry { registry: self.clone(), fleet: fleet.clone(), name })
    }
}

impl Entry {
    pub(super) fn fleet(&self) -> &Key {
        &self.fleet
    }

    pub(super) fn acked(&self, version: Version) {
        self.change(|gateway| gateway.acked = Some(version));
    }

    pub(super) fn refused(&self, version: Version, why: String) {
        self.change(|gateway| gateway.refused = Some((version, why)));
    }

    fn change(&self, change: impl FnOnce(&mut Gateway)) {
        self.registry.gateways.send_modify(|all| {
            let here = all.get_mut(&self.fleet).into_iter().flatten();
            if let Some(gateway) = here.into_iter().find(|g| g.name == self.name) {
                change(gateway);
            }
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.gateways.send_modify(|all| {
            if let Some(here) = all.get_mut(&self.fleet) {
                here.retain(|g| g.name != self.name);
                if here.is_empty() {
                    all.remove(&self.fleet);
                }
            }
        });
    }
}
