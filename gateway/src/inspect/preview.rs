//! What a catalog would change for those who are connected, before anybody applies it.

use std::collections::HashMap;
use std::sync::Arc;

use super::people::NAMED;
use super::report::{ClientChange, Preview};
use crate::auth::Principal;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::table::SHARDS;
use crate::view::{Change, View, changes};

/// Looks at everybody, one after another. Takes as long as a catalog that is put into force: not for a task.
pub fn preview(shared: &Shared, candidate: &Arc<Snapshot>) -> Preview {
    let mut preview = Preview::default();
    // Many hold the same, before and after.
    let mut known: HashMap<[*const View; 2], Known> = HashMap::new();
    for part in 0..SHARDS {
        for session in shared.table.part(part) {
            let (client_id, now, principal) =
                session.see(|seen| (seen.client_id(), seen.view.clone(), seen.principal.cloned()));
            let then = then(shared, candidate, principal.as_ref());
            preview.connections += 1;
            preview.shut_out += usize::from(then.tiers.is_empty() && !now.tiers.is_empty());
            let Known { differs, .. } = known
                .entry([Arc::as_ptr(&now), Arc::as_ptr(&then)])
                .or_insert_with(|| Known { differs: changes(&now, &then), _views: [now.clone(), then.clone()] });
            if differs.is_empty() {
                continue;
            }
            preview.changed += 1;
            for change in differs.iter() {
                let counts = if change.added { &mut preview.gained } else { &mut preview.lost };
                *counts.entry(change.name.to_string()).or_default() += 1;
            }
            if preview.clients.len() < NAMED {
                preview.clients.push(client(client_id, principal.as_ref(), &now, &then, differs));
            }
        }
    }
    preview
}

/// What differs between two views.
struct Known {
    differs: std::sync::Arc<[Change]>,
    /// Kept, so that no other view comes to stand at their places.
    _views: [Arc<View>; 2],
}

/// The view that a session would come to have, as it does when a catalog is put into force.
fn then(shared: &Shared, candidate: &Arc<Snapshot>, principal: Option<&Principal>) -> Arc<View> {
    let principal = principal.filter(|p| candidate.verifier.knows(p));
    candidate.view(shared.admitted(candidate, principal))
}

fn client(
    client_id: String,
    principal: Option<&Principal>,
    now: &View,
    then: &View,
    differs: &[Change],
) -> ClientChange {
    let names = |added| differs.iter().filter(|c| c.added == added).map(|c| c.name.to_string()).collect();
    ClientChange {
        client_id,
        issuer: principal.map(|p| p.issuer_name.to_string()),
        subject: principal.map(|p| p.subject.to_string()),
        tiers_now: now.held_tiers().map(str::to_owned).collect(),
        tiers_then: then.held_tiers().map(str::to_owned).collect(),
        gains: names(true),
        loses: names(false),
    }
}
