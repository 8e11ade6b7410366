//! Catalogs that are asked about, and put into force nowhere.

use std::collections::HashMap;
use std::sync::Arc;

use bannou_crds::{Catalog, catalog};

use super::Rejected;
use crate::auth::Verifier;
use crate::forward::Forwarder;
use crate::snapshot::Snapshot;
use crate::tiers::MAX_TIERS;

/// Whether this gateway understands a catalog, whatever is in it.
///
/// # Errors
/// Another format, or more tiers than there is room for.
pub fn fits(catalog: &Catalog) -> Result<(), Rejected> {
    if catalog.format != catalog::FORMAT {
        return Err(Rejected::Format(catalog.format));
    }
    if catalog.tiers.len() > MAX_TIERS {
        return Err(Rejected::TooManyTiers(catalog.tiers.len()));
    }
    Ok(())
}

/// A snapshot that serves nobody: it knows who may see what, and has neither keys nor connections.
///
/// # Errors
/// As [`fits`], and what is wrong with the issuers.
pub fn offline(catalog: Arc<Catalog>, forwarder: &Forwarder) -> Result<Arc<Snapshot>, Rejected> {
    fits(&catalog)?;
    let verifier = Verifier::without_keys(&catalog.fleet, &catalog.claim_paths())?;
    let routes: HashMap<_, _> = forwarder.routes(&catalog).0.into_iter().collect();
    Ok(Arc::new(Snapshot::new(catalog, Arc::new(verifier), |target| routes.get(&target).cloned())))
}
