//! A catalog made ready for use: names by target, tiers as sets, views by what is held.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use bannou_crds::Target;
use bannou_crds::catalog::{Catalog, Endpoint, Event, RateLimit, Service};
use bannou_crds::push::Hash;
use parking_lot::Mutex;

use crate::auth::{Principal, Verifier, admission};
use crate::forward::Route;
use crate::tiers::TierSet;
use crate::view::View;

/// What a handle can point at in a catalog.
pub struct Entry {
    /// `<service>.<endpoint or event>`.
    pub name: Box<str>,
    pub target: Target,
    /// Index into `catalog.services`.
    pub service: usize,
    pub tiers: TierSet,
    pub what: What,
}

pub enum What {
    Endpoint { index: usize, route: Arc<Route> },
    Event { index: usize },
}

/// One version of the configuration, immutable.
pub struct Snapshot {
    pub catalog: Arc<Catalog>,
    pub verifier: Arc<Verifier>,
    /// In order of name, endpoints and events together.
    pub entries: Vec<Entry>,
    by_target: HashMap<Target, u32, foldhash::fast::RandomState>,
    /// Whether any endpoint wants the client's own token.
    pub forwards_tokens: bool,
    /// Of the catalog, once somebody asked.
    hash: OnceLock<Hash>,
    views: Mutex<HashMap<TierSet, Weak<View>>>,
}

impl Snapshot {
    /// `route` gives the way out of an endpoint.
    pub fn new(
        catalog: Arc<Catalog>,
        verifier: Arc<Verifier>,
        route: impl Fn(Target) -> Option<Arc<Route>>,
    ) -> Snapshot {
        let tier_index: HashMap<&str, usize> =
            catalog.tiers.iter().enumerate().map(|(i, t)| (t.name.as_str(), i)).collect();
        // A tier that holds another through `includes` may use what the other may: that is expanded on the side of the
        // holder, so here the names count as they stand.
        let tiers = |names: &[String]| names.iter().filter_map(|n| tier_index.get(n.as_str()).copied()).collect();
        let mut entries = Vec::new();
        for (at, service) in catalog.services.iter().enumerate() {
            for (index, endpoint) in service.endpoints.iter().enumerate() {
                // An endpoint without a way out is exposed to nobody.
                let Some(route) = route(endpoint.target) else { continue };
                entries.push(Entry {
                    name: format!("{}.{}", service.name, endpoint.name).into(),
                    target: endpoint.target,
                    service: at,
                    tiers: tiers(&endpoint.tiers),
                    what: What::Endpoint { index, route },
                });
            }
            for (index, event) in service.events.iter().enumerate() {
                entries.push(Entry {
                    name: format!("{}.{}", service.name, event.name).into(),
                    target: event.target,
                    service: at,
                    tiers: tiers(&event.tiers),
                    what: What::Event { index },
                });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name).then(a.target.cmp(&b.target)));
        let by_target = entries.iter().enumerate().map(|(i, e)| (e.target, i as u32)).collect();
        let forwards_tokens = catalog.services.iter().flat_map(|s| &s.endpoints).any(|e| e.forward_authorization);
        let hash = OnceLock::new();
        Snapshot { catalog, verifier, entries, by_target, forwards_tokens, hash, views: Mutex::default() }
    }

    /// The catalog's.
    pub fn hash(&self) -> &Hash {
        self.hash.get_or_init(|| Hash::of(&self.catalog))
    }

    pub fn find(&self, target: Target) -> Option<usize> {
        self.by_target.get(&target).map(|i| *i as usize)
    }

    pub fn endpoint<'a>(&'a self, entry: &'a Entry) -> Option<(&'a Service, &'a Endpoint, &'a Arc<Route>)> {
        let service = &self.catalog.services[entry.service];
        match &entry.what {
            What::Endpoint { index, route } => Some((service, &service.endpoints[*index], route)),
            What::Event { .. } => None,
        }
    }

    pub fn event(&self, entry: &Entry) -> Option<(&Service, &Event)> {
        let service = &self.catalog.services[entry.service];
        match &entry.what {
            What::Event { index } => Some((service, &service.events[*index])),
            What::Endpoint { .. } => None,
        }
    }

    pub fn rate_limit(&self, entry: &Entry) -> Option<RateLimit> {
        self.endpoint(entry).and_then(|(_, endpoint, _)| endpoint.rate_limit)
    }

    /// The tiers that a principal holds by admission; `None`: nobody has logged in.
    pub fn admitted(&self, principal: Option<&Principal>) -> TierSet {
        admission::tiers(&self.catalog.tiers, principal).into_iter().collect()
    }

    /// What holders of exactly these tiers see; one for all of them.
    pub fn view(self: &Arc<Self>, tiers: TierSet) -> Arc<View> {
        let mut views = self.views.lock();
        if let Some(view) = views.get(&tiers).and_then(Weak::upgrade) {
            return view;
        }
        // Sets that nobody holds any more would else pile up with every new combination.
        if views.len() >= 1024 {
            views.retain(|_, view| view.strong_count() > 0);
        }
        let view = Arc::new(View::new(self.clone(), tiers));
        views.insert(tiers, Arc::downgrade(&view));
        view
    }
}
