use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bannou_crds::catalog::FORMAT;
use bannou_crds::push::{Delta, Hash, Refused, ToGateway, ToOperator, Version, snapshot};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;

/// A catalog with services of these names.
pub fn catalog(services: &[&str]) -> Catalog {
    let services: Vec<_> = services
        .iter()
        .map(|name| {
            json!({"name": name, "namespace": "a", "backend": {"dapr": {"app_id": name}}, "max_in_flight": 1,
                   "endpoints": [], "events": []})
        })
        .collect();
    serde_json::from_value(json!({
        "format": FORMAT, "tiers": [], "services": services,
        "fleet": {"namespace": "sys", "name": "default", "issuers": [], "origins": [], "trusted_proxies": [],
                  "resume_window_ms": 1, "max_session_age_ms": 1, "max_config_age_ms": 1, "max_token_life_ms": 1},
    }))
    .unwrap()
}

fn version(number: u64) -> Version {
    Version { term: 1, number }
}

/// Obeys everything but what has a service named "bad", until it is told to.
#[derive(Default)]
struct Gateway {
    in_force: parking_lot::Mutex<Option<Arc<Catalog>>>,
    compiled: AtomicUsize,
    takes_bad: AtomicBool,
}

impl Gateway {
    fn services(&self) -> Vec<String> {
        let catalog = self.in_force.lock().clone();
        catalog.into_iter().flat_map(|c| c.services.iter().map(|s| s.name.clone()).collect::<Vec<_>>()).collect()
    }
}

impl Obey for Gateway {
    fn obey(&self, catalog: &Arc<Catalog>) -> Result<(), Vec<Reason>> {
        if !self.could(catalog) {
            return Err(vec![Reason { resource: Some("service bad".into()), why: "it is bad".into() }]);
        }
        self.compiled.fetch_add(1, Ordering::Relaxed);
        *self.in_force.lock() = Some(catalog.clone());
        Ok(())
    }

    fn could(&self, catalog: &Arc<Catalog>) -> bool {
        self.takes_bad.load(Ordering::Relaxed) || catalog.services.iter().all(|s| s.name != "bad")
    }
}

/// The operator's end of a link.
struct Peer(WebSocketStream<DuplexStream>);

impl Peer {
    async fn says(&mut self, words: impl IntoIterator<Item = ToGateway>) {
        for word in words {
            self.0.send(Message::Text(serde_json::to_string(&word).unwrap().into())).await.unwrap();
        }
    }

    async fn offers(&mut self, number: u64, catalog: &Catalog) {
        self.says(snapshot(version(number), catalog, Hash::of(catalog))).await;
    }

    async fn hears(&mut self) -> ToOperator {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

struct World {
    gateway: Arc<Gateway>,
    state: Arc<State>,
    keep: watch::Sender<Option<Saved>>,
}

type Linked = tokio::task::JoinHandle<(push::Snapshot, End, bool)>;

impl World {
    fn new() -> World {
        World { gateway: Arc::default(), state: Arc::new(State::new(None)), keep: watch::channel(None).0 }
    }

    async fn link(&self, snapshot: push::Snapshot) -> (Peer, Linked) {
        let (here, there) = tokio::io::duplex(4096);
        let socket = WebSocketStream::from_raw_socket(here, Role::Client, None).await;
        let mut session =
            Session::new(socket, Timing::default(), self.state.clone(), self.gateway.clone(), self.keep.clone());
        let linked = tokio::spawn(async move {
            let (snapshot, end) = session.run(snapshot).await;
            (snapshot, end, session.was_useful())
        });
        (Peer(WebSocketStream::from_raw_socket(there, Role::Server, None).await), linked)
    }
}

#[tokio::test]
async fn a_catalog_is_obeyed_acknowledged_and_kept_and_a_bad_one_leaves_the_last() {
    let world = World::new();
    let (mut peer, linked) = world.link(push::Snapshot::default()).await;
    let hello = peer.hears().await;
    assert!(matches!(hello, ToOperator::Hello { version: None, hash: None, .. }), "{hello:?}");
    assert!(world.state.awaits_catalog());
    let (one, two, bad) = (catalog(&["one"]), catalog(&["one", "two"]), catalog(&["bad", "one"]));
    peer.offers(1, &one).await;
    assert_eq!(peer.hears().await, ToOperator::Ack { version: version(1) });
    assert_eq!((world.gateway.services(), world.state.version()), (vec!["one".to_owned()], Some(version(1))));
    assert_eq!(world.keep.borrow().as_ref().map(|s| s.version), Some(version(1)));

    let delta = |from: (u64, &Catalog), to: (u64, &Catalog)| {
        let delta = Delta::between((version(from.0), from.1), (version(to.0), to.1), Hash::of(to.1));
        ToGateway::Delta { delta: Box::new(delta) }
    };
    peer.says([delta((1, &one), (2, &bad))]).await;
    let reasons = vec![Reason { resource: Some("service bad".into()), why: "it is bad".into() }];
    assert_eq!(peer.hears().await, ToOperator::Nack { version: version(2), reasons });
    assert_eq!((world.gateway.services(), world.state.version()), (vec!["one".to_owned()], Some(version(1))));
    assert_eq!(world.state.status().refused.map(|r| r.0), Some(version(2)));

    // The next difference is one to what is in force.
    peer.says([delta((1, &one), (3, &two))]).await;
    assert_eq!(peer.hears().await, ToOperator::Ack { version: version(3) });
    // The same under another version is compiled no more.
    let compiled = world.gateway.compiled.load(Ordering::Relaxed);
    peer.says([delta((3, &two), (4, &two))]).await;
    assert_eq!(peer.hears().await, ToOperator::Ack { version: version(4) });
    assert_eq!(world.gateway.compiled.load(Ordering::Relaxed), compiled);

    // What leads nowhere ends the link, and takes nothing away.
    peer.says([delta((3, &two), (9, &one))]).await;
    let (kept, end, useful) = linked.await.unwrap();
    assert!(matches!(end, End::Refused(Refused::OtherBase { .. })), "{end}");
    assert_eq!((kept.version(), kept.catalog(), useful), (Some(version(4)), Some(&two), true));

    // The next link begins with what is here.
    let (mut peer, linked) = world.link(kept).await;
    let hello = peer.hears().await;
    let ToOperator::Hello { version: has, hash, .. } = hello else { panic!("{hello:?}") };
    assert_eq!((has, hash), (Some(version(4)), Some(Hash::of(&two))));
    peer.offers(2, &one).await;
    let (kept, end, _) = linked.await.unwrap();
    assert!(matches!(end, End::Refused(Refused::Older { .. })), "{end}");
    assert_eq!(kept.version(), Some(version(4)));
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_let_go_and_who_pings_is_heard() {
    let world = World::new();
    let (mut peer, linked) = world.link(push::Snapshot::default()).await;
    peer.hears().await;
    let began = Instant::now();
    // Half open: nothing comes, and nothing is read.
    let (_, end, useful) = linked.await.unwrap();
    assert!(matches!(end, End::Silent), "{end}");
    assert!(!useful, "the next dial waits longer");
    assert!(began.elapsed() <= Timing::default().silent + Timing::default().ping);

    let (peer, linked) = world.link(push::Snapshot::default()).await;
    let (mut says, mut hears) = peer.0.split();
    tokio::spawn(async move { while hears.next().await.is_some() {} });
    for _ in 0..20 {
        says.send(Message::Ping(Vec::new().into())).await.unwrap();
        tokio::time::sleep(Timing::default().silent / 2).await;
    }
    assert!(!linked.is_finished());
    says.close().await.unwrap();
    let (_, end, useful) = timeout(Timing::default().silent, linked).await.unwrap().unwrap();
    assert!(matches!(end, End::Closed) && useful, "{end}");
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_asked_for_again_once_it_can_be_obeyed() {
    let world = World::new();
    let (mut peer, linked) = world.link(push::Snapshot::default()).await;
    peer.hears().await;
    peer.offers(1, &catalog(&["bad"])).await;
    assert!(matches!(peer.hears().await, ToOperator::Nack { .. }));
    world.gateway.takes_bad.store(true, Ordering::Relaxed);
    // Somebody has to answer its pings.
    tokio::spawn(async move { while peer.0.next().await.is_some() {} });
    let (_, end, _) = linked.await.unwrap();
    assert!(matches!(end, End::Again), "{end}");
}

#[tokio::test]
async fn a_standby_says_where_the_operator_is_and_that_is_no_word_of_it() {
    let world = World::new();
    let before = world.state.silent_ms();
    let (mut peer, linked) = world.link(push::Snapshot::default()).await;
    peer.hears().await;
    let at = "10.1.2.3:9443".parse().unwrap();
    peer.says([ToGateway::Elsewhere { holder: Some("operator-1".into()), address: Some(at) }]).await;
    let (_, end, useful) = linked.await.unwrap();
    assert!(matches!(end, End::Elsewhere { address: Some(address), .. } if address == at));
    assert!(!useful && world.state.silent_ms() >= before);
}

#[tokio::test]
async fn more_than_a_catalog_can_be_is_not_taken() {
    let world = World::new();
    let (mut peer, linked) = world.link(push::Snapshot::default()).await;
    peer.hears().await;
    // Pieces without an end.
    let mut whole = snapshot(version(1), &catalog(&["a"]), Hash::of(&catalog(&["a"])));
    peer.says([whole.remove(0)]).await;
    let long = "x".repeat(4 * 1024 * 1024);
    let piece = catalog(&[&long]).services;
    let endless = async {
        loop {
            let word = serde_json::to_string(&ToGateway::Services { services: piece.clone() }).unwrap();
            if peer.0.send(Message::Text(word.into())).await.is_err() {
                return;
            }
        }
    };
    endless.await;
    let (kept, end, _) = linked.await.unwrap();
    assert!(matches!(end, End::TooLarge), "{end}");
    assert!(kept.catalog().is_none());
}
