//! The world that a question is about: a folder's, or a cluster's.

use std::collections::BTreeMap;
use std::path::Path;

use bannou_crds::Catalog;
use bannou_operator::catalog::compile;
use bannou_operator::index::{Key, ObjectRef, World};

use crate::cluster::Where;
use crate::cluster::resources::{self, Written};
use crate::folder;
use crate::trouble::Trouble;

pub struct Source {
    pub world: World,
    /// The one that is meant.
    pub fleet: Key,
    /// On a cluster's objects.
    pub written: BTreeMap<ObjectRef, Vec<Written>>,
}

/// # Errors
/// It cannot be read, or has no such Fleet.
pub async fn read(folder: Option<&Path>, fleet: Option<&str>, at: &Where) -> Result<Source, Trouble> {
    let Some(path) = folder else {
        let cluster = at.connect().await?;
        let resources = resources::read(&cluster).await?;
        for (kind, why) in &resources.unread {
            eprintln!("note: nothing is said about backends, since no {kind} can be read: {why}");
        }
        let fleet = resources.fleet(fleet, cluster.namespace.as_deref())?;
        return Ok(Source { world: resources.world, fleet, written: resources.written });
    };
    let folder = folder::load(path).map_err(mistakes)?;
    let fleet = folder.fleet(fleet).map_err(Trouble::one)?;
    Ok(Source { world: folder.world, fleet, written: BTreeMap::new() })
}

pub fn mistakes(mistakes: Vec<folder::Mistake>) -> Trouble {
    Trouble(mistakes.iter().map(ToString::to_string).collect())
}

/// # Errors
/// The Fleet is not accepted, and why.
pub fn compiled(world: &World, fleet: &Key) -> Result<Catalog, Trouble> {
    let compiled = compile(world, fleet);
    compiled.catalog.ok_or_else(|| {
        let mut lines = super::report::advice(&compiled.conditions);
        lines.push(format!(
            "the Fleet {fleet} is not accepted, so there is no catalog; gateways keep their last good one"
        ));
        Trouble(lines)
    })
}
