//! Clients that were introduced to each other.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bannou_crds::Target;
use bannou_crds::catalog::Peers as PeerMode;

use super::{Session, State};
use crate::bus::contract::Address;
use crate::control::to_json;
use crate::handle::{self, Handle};

/// Of one session; an introduction beyond is dropped and counted.
pub const MAX_PEERS: usize = 256;
/// Labels come from services; longer ones are cut.
const MAX_LABEL: usize = 128;

/// Tells one introduction of a pair from an earlier one of the same two.
static LINKS: AtomicU64 = AtomicU64::new(0);

/// What one session knows of another.
pub struct Link {
    pub session: Arc<Session>,
    /// The handle by which the other one knows this session.
    pub as_known_there: Handle,
    label: Box<str>,
    introduced_by: Arc<Introducer>,
    told: bool,
    number: u64,
}

/// The service and endpoint whose word made two clients peers.
pub struct Introducer {
    pub service: String,
    pub endpoint: String,
}

#[derive(Default)]
pub struct Peers {
    links: HashMap<Target, Link, foldhash::fast::RandomState>,
    /// Labels that are gone and not told yet.
    removed: Vec<Box<str>>,
    /// Peers who are gone: their handles get 404 instead of 403. The newest [`MAX_PEERS`].
    gone: VecDeque<Target>,
}

impl Peers {
    pub fn get(&self, target: Target) -> Option<&Link> {
        self.links.get(&target)
    }

    pub fn is_gone(&self, target: Target) -> bool {
        self.gone.contains(&target)
    }

    pub fn session_ids(&self) -> Vec<String> {
        self.links.values().map(|l| l.session.id().to_string()).collect()
    }

    /// Whether there is something that the client does not know.
    pub fn untold(&self) -> bool {
        !self.removed.is_empty() || self.links.values().any(|l| !l.told)
    }

    /// The client is told all of them, as if it knew none.
    pub fn tell_again(&mut self) {
        self.removed.clear();
        self.links.values_mut().for_each(|link| link.told = false);
    }

    fn label_for(&self, wanted: &str) -> Box<str> {
        let taken = |label: &str| self.links.values().any(|l| &*l.label == label);
        let wanted: String = wanted.chars().take(MAX_LABEL).collect();
        if !taken(&wanted) {
            return wanted.into();
        }
        let numbered = (2..).map(|n| format!("{wanted}-{n}")).find(|label| !taken(label));
        numbered.unwrap_or(wanted).into()
    }

    fn remove(&mut self, target: Target) -> Option<Link> {
        let link = self.links.remove(&target)?;
        if link.told {
            self.removed.push(link.label.clone());
        }
        if self.gone.len() == MAX_PEERS {
            self.gone.pop_front();
        }
        self.gone.push_back(target);
        Some(link)
    }

    /// The session is over: everybody who knew it is told.
    pub fn part_all(self, session: &Arc<Session>) {
        for link in self.links.into_values() {
            link.session.forget_peer(session.target(), None);
        }
    }
}

/// A client that a service names in an introduction.
pub struct Introduced {
    pub session: Arc<Session>,
    pub label: Option<String>,
}

/// Makes all of these peers of each other. Those for whom that may not be are left out; gives how many that were.
pub fn introduce(all: &[Introduced], by: Introducer) -> usize {
    let by = Arc::new(by);
    let fit = |session: &Session| {
        let state = session.state.lock();
        !state.left && state.view.peers >= PeerMode::Introduced && state.view.sees_service(&by.service)
    };
    let (may, not): (Vec<&Introduced>, Vec<&Introduced>) = all.iter().partition(|i| fit(&i.session));
    let mut refused = not.len();
    for (i, a) in may.iter().enumerate() {
        for b in &may[i + 1..] {
            if a.session.id() != b.session.id() && !link(a, b, &by) {
                refused += 1;
            }
        }
    }
    for one in may {
        let mut state = one.session.state.lock();
        one.session.tell(&mut state);
    }
    refused
}

/// One direction after the other, since two sessions' locks are never held together; what happens in between is undone.
fn link(a: &Introduced, b: &Introduced, by: &Arc<Introducer>) -> bool {
    let number = LINKS.fetch_add(1, Ordering::Relaxed);
    match a.session.add_peer(b, by, number) {
        Added::Already => return true,
        Added::No => return false,
        Added::Yes => {}
    }
    match b.session.add_peer(a, by, number) {
        // Whoever left or parted before the other side was linked had nothing to take back there: it is taken back here.
        Added::Yes if !a.session.knows(b.session.target(), number) => {
            b.session.forget_peer(a.session.target(), Some(number));
            false
        }
        Added::Yes | Added::Already => true,
        Added::No => {
            a.session.forget_peer(b.session.target(), Some(number));
            false
        }
    }
}

enum Added {
    Yes,
    Already,
    No,
}

impl Session {
    fn add_peer(&self, other: &Introduced, by: &Arc<Introducer>, number: u64) -> Added {
        let mut state = self.state.lock();
        if state.left {
            return Added::No;
        }
        let peers = state.peers.get_or_insert_default();
        if peers.links.contains_key(&other.session.target()) {
            return Added::Already;
        }
        if peers.links.len() >= MAX_PEERS {
            return Added::No;
        }
        let session_id = other.session.id().to_string();
        let label = peers.label_for(other.label.as_deref().unwrap_or(&session_id));
        peers.gone.retain(|t| *t != other.session.target());
        let link = Link {
            session: other.session.clone(),
            as_known_there: other.session.handle_of(self.target()),
            label,
            introduced_by: by.clone(),
            told: false,
            number,
        };
        peers.links.insert(other.session.target(), link);
        self.changed();
        Added::Yes
    }

    /// Whether that introduction still stands on this side.
    fn knows(&self, target: Target, number: u64) -> bool {
        let state = self.state.lock();
        state.peers.as_ref().and_then(|p| p.get(target)).is_some_and(|l| l.number == number)
    }

    /// Ends what this session knows of a peer and tells it so; with `number` only if it is still that introduction.
    fn forget_peer(self: &Arc<Self>, target: Target, number: Option<u64>) {
        let mut state = self.state.lock();
        let Some(peers) = &mut state.peers else { return };
        if number.is_some_and(|n| peers.get(target).is_none_or(|l| l.number != n)) {
            return;
        }
        if peers.remove(target).is_some() {
            self.changed();
            self.tell(&mut state);
            drop(state);
            // The session's task remembers the last peer it wrote to; it must let go of it.
            self.call_task();
        }
    }

    /// The client withdraws from a peer. `false`: no peer has that label.
    pub(super) fn part(self: &Arc<Self>, label: &str) -> bool {
        let mut state = self.state.lock();
        let Some(peers) = &mut state.peers else { return false };
        let found = peers.links.iter().find(|(_, l)| &*l.label == label).map(|(t, l)| (*t, l.session.clone()));
        let Some((target, other)) = found else { return false };
        peers.remove(target);
        self.changed();
        self.tell(&mut state);
        drop(state);
        other.forget_peer(self.target(), None);
        true
    }

    /// Those who know this session by an earlier connection of it write to this one from now on.
    pub(super) fn rewire_peers(self: &Arc<Self>, before: &Arc<Session>) {
        let links: Vec<(Target, Arc<Session>)> = {
            let state = self.state.lock();
            state.peers.iter().flat_map(|p| p.links.iter()).map(|(t, l)| (*t, l.session.clone())).collect()
        };
        for (target, other) in links {
            let found = {
                let mut state = other.state.lock();
                let link = state.peers.as_mut().and_then(|p| p.links.get_mut(&self.target()));
                let link = link.filter(|l| Arc::ptr_eq(&l.session, before) || Arc::ptr_eq(&l.session, self));
                link.map(|l| l.session = self.clone()).is_some()
            };
            if found {
                other.changed();
                other.call_task();
                continue;
            }
            // The other one has come back itself meanwhile, or has parted.
            match self.shared.table.find(other.id()).filter(|now| !Arc::ptr_eq(now, &other)) {
                Some(now) if now.relink(self) => {
                    let mut state = self.state.lock();
                    let link = state.peers.as_mut().and_then(|p| p.links.get_mut(&target));
                    link.into_iter().for_each(|l| l.session = now.clone());
                    self.changed();
                }
                _ => self.forget_peer(target, None),
            }
        }
    }

    fn relink(&self, to: &Arc<Session>) -> bool {
        let mut state = self.state.lock();
        let link = state.peers.as_mut().and_then(|p| p.links.get_mut(&to.target()));
        let found = link.map(|l| l.session = to.clone()).is_some();
        self.changed();
        found
    }

    /// After a resume: whole, also when there are none.
    pub(super) fn tell_all_peers(self: &Arc<Self>, state: &mut State) {
        match &mut state.peers {
            Some(peers) if !peers.links.is_empty() => {
                peers.tell_again();
                // `resumed` brought a token that knows them.
                if !self.tell_peers(state) {
                    self.tell(state);
                }
            }
            _ => self.say(&to_json(&serde_json::json!({"type": "peers", "added": {}, "removed": []}))),
        }
    }

    pub fn client_of(id: &str, own: &Arc<Session>) -> Option<Arc<Session>> {
        match Address::parse(id)? {
            Address::Client { slot, session, .. } if slot == own.shared.slot => own.shared.table.find(session),
            _ => None,
        }
    }

    /// `false`: no room.
    pub(super) fn tell_peers(self: &Arc<Self>, state: &mut State) -> bool {
        let Some(peers) = &mut state.peers else { return true };
        if !peers.untold() {
            return true;
        }
        let mut added = serde_json::Map::new();
        for link in peers.links.values().filter(|l| !l.told) {
            let handle = handle::text(&self.handle_of(link.session.target()));
            added.insert(
                link.label.to_string(),
                serde_json::json!({
                    "handle": handle,
                    "session_id": link.session.id(),
                    "service": link.introduced_by.service,
                    "endpoint": link.introduced_by.endpoint,
                }),
            );
        }
        let message = to_json(&serde_json::json!({"type": "peers", "added": added, "removed": peers.removed}));
        let fits = self.writer.text(&message).is_ok();
        if fits {
            peers.removed.clear();
            peers.links.values_mut().for_each(|l| l.told = true);
        }
        fits
    }
}
