//! What the holder of the lease does: hears what the API server has, compiles it once it is quiet, publishes what differs.
//!
//! What cannot be read at the moment keeps its last good version, and [`Output::stale`] says so: an API server that is away takes
//! nothing from anybody.

mod definitions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::catalog::{Compiled, ObjectStatus, Reason, Status, compile, unattached};
use crate::index::{Key, Object, ObjectKind, ObjectRef, World};
use crate::keys::Troubles;
use crate::lease::Holding;
use crate::metrics::Meters;
use crate::publish::{Gateway, Published, Publisher, Version};
use crate::watch::{Seen, Written};

#[derive(Clone, Debug)]
pub struct Options {
    /// For exposures without a `fleetRef`.
    pub default_fleet_namespace: Option<String>,
    /// Compiles once nothing came for so long.
    pub quiet: Duration,
    /// Compiles after so long at the latest, however much comes.
    pub at_most: Duration,
    /// Looks again after so long whether a definition that was missing is back.
    pub retry: Duration,
    /// How long gateways that were there may be away, or find a new holder, before a fleet counts as one without gateways.
    pub forgiving: Duration,
    pub meters: Meters,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            default_fleet_namespace: None,
            quiet: Duration::from_millis(100),
            at_most: Duration::from_secs(1),
            retry: Duration::from_secs(2),
            forgiving: Duration::from_secs(60),
            meters: Meters::default(),
        }
    }
}

/// What the operator says at the moment.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub catalogs: BTreeMap<Key, Arc<Published>>,
    /// What every object is to be told.
    pub conditions: Arc<BTreeMap<ObjectRef, ObjectStatus>>,
    /// The world that this was compiled from.
    pub world: Arc<World>,
    /// What is written on each object of the project on the API server, as far as it was heard.
    pub written: Arc<BTreeMap<ObjectRef, Written>>,
    /// Why something may be older than the API server has it, by kind. Empty: all is well.
    pub stale: BTreeMap<ObjectKind, String>,
    /// Rises with every compilation. Zero: the world is not known yet.
    pub compiled: u64,
}

/// Connected gateways, by fleet.
pub type Gateways = BTreeMap<Key, Vec<Gateway>>;

/// What the controller is told.
#[derive(Debug)]
pub struct Heard {
    pub seen: mpsc::Receiver<Seen>,
    pub gateways: watch::Receiver<Gateways>,
    pub troubles: watch::Receiver<Troubles>,
}

/// Hears and publishes until `seen` ends.
pub async fn run(client: Client, options: Options, holding: Holding, heard: Heard, outputs: watch::Sender<Output>) {
    let Heard { mut seen, mut gateways, mut troubles } = heard;
    let (quiet, at_most, retry) = (options.quiet, options.at_most, options.retry);
    let mut state = State::new(&options, holding);
    loop {
        tokio::select! {
            word = seen.recv() => match word {
                Some(word) => state.hear(word),
                None => return,
            },
            Ok(()) = gateways.changed() => {}
            Ok(()) = troubles.changed() => {}
            () = until(state.forgiven_until) => {}
        }
        state.gateways.clone_from(&gateways.borrow_and_update());
        state.troubles.clone_from(&troubles.borrow_and_update());
        // What came together is one catalog, a `kubectl apply` of a folder for example.
        let latest = Instant::now() + at_most;
        while let Ok(Some(word)) = timeout_at((Instant::now() + quiet).min(latest), seen.recv()).await {
            state.hear(word);
        }
        while state.changed && state.is_complete() {
            if state.definitions_are_there(&client).await {
                state.compile().await;
                break;
            }
            tell(&outputs, &state);
            let again = Instant::now() + retry;
            while let Ok(Some(word)) = timeout_at(again, seen.recv()).await {
                state.hear(word);
            }
            if seen.is_closed() {
                return;
            }
        }
        state.conclude();
        tell(&outputs, &state);
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn tell(outputs: &watch::Sender<Output>, state: &State) {
    outputs.send_if_modified(|output| {
        let same = output.compiled == state.compiled
            && output.stale == state.failing
            && Arc::ptr_eq(&output.written, &state.written)
            && Arc::ptr_eq(&output.conditions, &state.conditions);
        *output = Output {
            catalogs: state.catalogs.clone(),
            conditions: state.conditions.clone(),
            world: state.compiled_from.clone(),
            written: state.written.clone(),
            stale: state.failing.clone(),
            compiled: state.compiled,
        };
        !same
    });
}

struct State {
    holding: Holding,
    meters: Meters,
    gateways: Gateways,
    troubles: Troubles,
    world: Arc<World>,
    /// Since it was compiled last.
    changed: bool,
    publisher: Publisher,
    /// Kinds that were listed whole at least once.
    listed: BTreeSet<ObjectKind>,
    failing: BTreeMap<ObjectKind, String>,
    /// Kinds of the project of which something went since their definitions were last seen to be there.
    lost: BTreeSet<ObjectKind>,
    written: Arc<BTreeMap<ObjectRef, Written>>,
    catalogs: BTreeMap<Key, Arc<Published>>,
    /// What the compiler said, and of which fleet each object is.
    judged: BTreeMap<ObjectRef, ObjectStatus>,
    fleet_of: BTreeMap<ObjectRef, Key>,
    conditions: Arc<BTreeMap<ObjectRef, ObjectStatus>>,
    compiled_from: Arc<World>,
    compiled: u64,
    /// When a gateway that had answered was there last, by fleet.
    heard: BTreeMap<Key, Instant>,
    began: Instant,
    forgiving: Duration,
    /// When something has to be told of a fleet that nobody answers for, if nothing comes before.
    forgiven_until: Option<Instant>,
}

impl State {
    fn new(options: &Options, holding: Holding) -> State {
        let mut world = World::of_cluster();
        world.default_fleet_namespace.clone_from(&options.default_fleet_namespace);
        State {
            gateways: Gateways::new(),
            troubles: Troubles::new(),
            world: Arc::new(world),
            changed: false,
            publisher: Publisher::new(holding.term),
            holding,
            meters: options.meters.clone(),
            listed: BTreeSet::new(),
            failing: BTreeMap::new(),
            lost: BTreeSet::new(),
            written: Arc::default(),
            catalogs: BTreeMap::new(),
            judged: BTreeMap::new(),
            fleet_of: BTreeMap::new(),
            conditions: Arc::default(),
            compiled_from: Arc::default(),
            compiled: 0,
            heard: BTreeMap::new(),
            began: Instant::now(),
            forgiving: options.forgiving,
            forgiven_until: None,
        }
    }

    /// Before every kind was listed, an object could be missing just because it was not heard of yet.
    fn is_complete(&self) -> bool {
        self.listed.len() == ObjectKind::ALL.len()
    }

    fn hear(&mut self, seen: Seen) {
        match seen {
            Seen::Apply(object, written) => {
                self.hear_written(&object, written);
                self.changed |= Arc::make_mut(&mut self.world).apply(*object);
            }
            Seen::Delete(object) => {
                if object.kind.is_own() {
                    self.lost.insert(object.kind);
                    Arc::make_mut(&mut self.written).remove(&object);
                }
                self.changed |= Arc::make_mut(&mut self.world).delete(&object);
            }
            Seen::Reset(kind, objects) => {
                self.failing.remove(&kind);
                self.changed |= self.listed.insert(kind);
                let there: BTreeSet<ObjectRef> = objects.iter().map(|(object, _)| object.reference()).collect();
                if kind.is_own() && self.world.all(kind).any(|object| !there.contains(&object)) {
                    self.lost.insert(kind);
                }
                Arc::make_mut(&mut self.written).retain(|object, _| object.kind != kind);
                for (object, written) in &objects {
                    self.hear_written(object, written.clone());
                }
                let objects = objects.into_iter().map(|(object, _)| object).collect();
                self.changed |= Arc::make_mut(&mut self.world).reset(kind, objects);
            }
            Seen::Failing(kind, error) => {
                tracing::warn!(%kind, error, "cannot be read; what was read before counts on");
                self.failing.insert(kind, error);
            }
        }
    }

    fn hear_written(&mut self, object: &Object, written: Written) {
        let reference = object.reference();
        if reference.kind.is_own() {
            Arc::make_mut(&mut self.written).insert(reference, written);
        }
    }

    /// Whoever deletes a definition deletes every object of it, and did not mean to take the players' services away.
    async fn definitions_are_there(&mut self, client: &Client) -> bool {
        for kind in self.lost.clone() {
            match definitions::state(client, kind).await {
                Ok(()) => {
                    self.lost.remove(&kind);
                    self.failing.remove(&kind);
                }
                Err(why) => {
                    tracing::warn!(%kind, why, "nothing new is published");
                    self.failing.insert(kind, why);
                }
            }
        }
        self.lost.is_empty()
    }

    async fn compile(&mut self) {
        self.changed = false;
        self.fleet_of.clear();
        self.compiled_from = self.world.clone();
        let world = self.world.clone();
        let began = std::time::Instant::now();
        // Ten thousand endpoints take longer than a task should.
        let compiled = tokio::task::spawn_blocking(move || {
            let fleets: Vec<(Key, Compiled)> =
                world.all_fleets().into_iter().map(|key| (key.clone(), compile(&world, &key))).collect();
            (fleets, unattached(&world))
        });
        let (fleets, mut conditions) = compiled.await.expect("compile does not panic");
        let gone: Vec<Key> =
            self.catalogs.keys().filter(|key| !fleets.iter().any(|(f, _)| f == *key)).cloned().collect();
        for fleet in gone {
            self.publisher.forget(&fleet);
            self.catalogs.remove(&fleet);
        }
        for (fleet, compiled) in fleets {
            if compiled.catalog.is_some() && !self.world.is_settled(&fleet.namespace, &compiled.owners) {
                Arc::make_mut(&mut self.world).settle(&fleet.namespace, &compiled.owners);
            }
            if let Some(published) = self.publisher.publish(&fleet, &compiled) {
                tracing::info!(%fleet, version = %published.version, services = published.catalog.services.len(), "published");
                self.catalogs.insert(fleet.clone(), published);
            }
            self.fleet_of.extend(compiled.conditions.keys().map(|object| (object.clone(), fleet.clone())));
            conditions.extend(compiled.conditions);
        }
        self.judged = conditions;
        self.compiled += 1;
        self.meters.compiles.inc();
        self.meters.compile_seconds.observe(began.elapsed().as_secs_f64());
    }

    /// With the gateways' word.
    fn conclude(&mut self) {
        // One that was stopped and wakes up does not rise above whoever holds the lease now.
        let rising = self.gateways.iter().filter(|_| self.holding.is_valid());
        for (fleet, gateways) in rising {
            if let Some(risen) = self.publisher.rise(fleet, gateways) {
                tracing::warn!(%fleet, version = %risen.version, "a gateway has a later version than this; the term rises above it");
                self.catalogs.insert(fleet.clone(), risen);
                self.compiled += 1;
            }
        }
        let forgiven = self.forgiven();
        self.forgiven_until = forgiven.values().min().copied();
        let conditions: BTreeMap<ObjectRef, ObjectStatus> = self
            .judged
            .iter()
            .map(|(object, judged)| {
                let fleet = self.fleet_of.get(object);
                let status = fleet.map(|fleet| self.concluded(object, judged, fleet, forgiven.contains_key(fleet)));
                (object.clone(), status.unwrap_or_else(|| judged.clone()))
            })
            .collect();
        if *self.conditions != conditions {
            self.conditions = Arc::new(conditions);
        }
    }

    /// Fleets of which no gateway has answered in this term, or none that had is there any more, and until when that says nothing.
    fn forgiven(&mut self) -> BTreeMap<Key, Instant> {
        let now = Instant::now();
        // What a gateway said to an earlier holder is no answer to this one.
        let recent = |version: Version| version.term >= self.holding.term;
        let answered = |g: &Gateway| g.acked.is_some_and(recent) || g.refused.as_ref().is_some_and(|r| recent(r.0));
        let answers = |gateways: &Vec<Gateway>| gateways.iter().any(answered);
        let answered: Vec<Key> =
            self.gateways.iter().filter(|(_, here)| answers(here)).map(|(fleet, _)| fleet.clone()).collect();
        self.heard.retain(|fleet, _| self.catalogs.contains_key(fleet));
        self.heard.extend(answered.iter().map(|fleet| (fleet.clone(), now)));
        let fleets = self.catalogs.keys().filter(|fleet| !answered.contains(*fleet));
        let until = fleets.map(|fleet| {
            let last = self.heard.get(fleet).map_or(self.began, |heard| self.began.max(*heard));
            (fleet.clone(), last + self.forgiving)
        });
        until.filter(|(_, until)| *until > now).collect()
    }

    /// `forgiven`: what was written of its gateways counts on, unless it was written of another generation.
    fn concluded(&self, object: &ObjectRef, judged: &ObjectStatus, fleet: &Key, forgiven: bool) -> ObjectStatus {
        let gateways = self.gateways.get(fleet).map(Vec::as_slice).unwrap_or_default();
        let written = self.written.get(object).filter(|_| forgiven).map(|written| &written.status);
        let count = u32::try_from(gateways.len()).unwrap_or(u32::MAX);
        let mut status = judged.clone();
        match written.and_then(|written| kept(written, judged)) {
            Some(kept) => status.conclude(kept),
            None => status = self.publisher.programmed(fleet, object, status, gateways),
        }
        if object.kind == ObjectKind::Fleet {
            let before = written.and_then(|written| u32::try_from(written["gateways"].as_u64()?).ok());
            status.gateways = Some(before.unwrap_or(count));
            if let Some(trouble) = self.troubles.get(fleet) {
                status.lacks(trouble.reason(), &trouble.to_string());
            }
        }
        status
    }
}

/// `Programmed` as it is written, where it was written of the generation that is judged now.
fn kept(written: &serde_json::Value, judged: &ObjectStatus) -> Option<(Status, Reason, String)> {
    let programmed = written["conditions"].as_array()?.iter().find(|c| c["type"] == "Programmed")?;
    let reason = [Reason::Programmed, Reason::Pending, Reason::NoGatewaysConnected, Reason::Rejected]
        .into_iter()
        .find(|reason| programmed["reason"] == reason.as_str())?;
    let status = match programmed["status"].as_str()? {
        "True" => Status::True,
        "False" => Status::False,
        _ => Status::Unknown,
    };
    // "Not in the catalog" was said of another one.
    let of_gateways = reason != Reason::Pending || status == Status::Unknown;
    let same = of_gateways && programmed["observedGeneration"].as_i64() == judged.observed_generation;
    same.then(|| (status, reason, programmed["message"].as_str().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests;
