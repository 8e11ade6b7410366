//! A real gateway process on a real broker that fails: its clients and its services notice nothing of it.

use bannou_crds::Catalog;
use bannou_crds::catalog::EventInteraction;
use bannou_gateway::bus::contract::{EVENT, SERVICE};
use bannou_gateway::bus::{Message, Unpublished, Value};
use tokio::time::{Instant, sleep};

use crate::support::amqp::Peer;
use crate::support::broker::Broker;
use crate::support::catalog::{catalog, direct, endpoint, event, with_events};
use crate::support::daprd::Service;
use crate::support::gateway::{Gateway, NO_PINGS};
use crate::support::process::PATIENCE;
use crate::support::proxy::{Proxy, Way};
use crate::wire::raw::{Raw, handle};

const NUMBER: u64 = (1 << 56) - 1;

fn game() -> Catalog {
    let events = vec![event("news", EventInteraction::Push, "anonymous")];
    let mut game = with_events(direct("game", vec![endpoint("echo", "POST /echo")]), events);
    game.senders = vec!["game".into()];
    catalog(vec![game])
}

struct World {
    broker: Broker,
    way: Proxy,
    gateway: Gateway,
    _service: Service,
}

impl World {
    async fn start() -> World {
        let broker = Broker::start().await;
        let way = Proxy::to(broker.port).await;
        let service = Service::plain(&[]).await;
        let gateway = Gateway::start(&game(), |command| {
            command.args(NO_PINGS).args(["--override", &format!("game=http://127.0.0.1:{}", service.port)]);
            command.args(["--broker", &format!("amqp://guest:guest@127.0.0.1:{}", way.port)]);
        })
        .await;
        let world = World { broker, way, gateway, _service: service };
        world.readiness("ready\n").await;
        world
    }

    /// Until readiness says this.
    async fn readiness(&self, text: &str) -> String {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let (_, said) = self.gateway.admin("/readyz").await;
            if said.contains(text) {
                return said;
            }
            assert!(Instant::now() < give_up, "{said}\n{}", self.gateway.process.output());
            sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn client(&self) -> Raw {
        Raw::connect(&self.gateway.url, &[("sec-websocket-protocol", "bannou.v1")]).await.greeted().await
    }
}

fn news(body: &str) -> Message {
    let text = |t: &str| Value::Text(t.to_owned());
    Message {
        body: body.to_owned().into(),
        headers: [(SERVICE.to_owned(), text("game")), (EVENT.to_owned(), text("news"))].into(),
        ..Message::default()
    }
}

async fn pushed(client: &mut Raw, expected: &str) {
    let news = handle(&client.discovery["events"]["game.news"]);
    let (from, _, payload) = client.frame().await;
    assert_eq!((from, String::from_utf8(payload).unwrap().as_str()), (news, expected));
}

async fn called(client: &mut Raw, id: u64) {
    client.ask("game.echo", id, b"{}").await;
    let (_, answered, _) = client.frame().await;
    assert_eq!(answered & NUMBER, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay_and_call_while_the_broker_is_away_and_what_was_confirmed_arrives() {
    let world = World::start().await;
    let mut client = world.client().await;
    let id = client.discovery["client_id"].as_str().unwrap().to_owned();
    let mut game = Peer::connect(&world.broker, "game", "/").await;
    game.publish("bannou.clients", &id, news("one")).await.unwrap();
    pushed(&mut client, "one").await;
    game.publish("bannou.clients", "all", news("for all")).await.unwrap();
    pushed(&mut client, "for all").await;

    // The broker is there for others, and what they are told is confirmed waits in the log.
    world.way.turn(Way::Reset);
    world.readiness("awaiting the broker at 127.0.0.1:").await;
    assert!(world.gateway.metric("bannou_gateway_bus_awaiting").await > 0.0);
    game.publish("bannou.clients", &id, news("two")).await.unwrap();
    called(&mut client, 1).await;
    world.way.turn(Way::Open);
    pushed(&mut client, "two").await;
    world.readiness("ready\n").await;

    // The whole broker goes, and comes back.
    world.broker.settle();
    world.broker.kill().await;
    world.readiness("awaiting the broker at 127.0.0.1:").await;
    called(&mut client, 2).await;
    world.broker.restart().await;
    world.readiness("ready\n").await;
    let mut game = Peer::connect(&world.broker, "game", "/").await;
    game.publish("bannou.clients", &id, news("three")).await.unwrap();
    pushed(&mut client, "three").await;
    called(&mut client, 3).await;
    assert!(world.gateway.metric("bannou_gateway_bus_reconnects_total{part=\"reading\"}").await >= 2.0);
    let log = world.gateway.process.output();
    assert!(log.contains("the bus waits") && log.contains("the bus goes on"), "{log}");
    assert!(!log.contains("guest:guest") && !log.contains("Server returned us a message"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_memory_alarm_clients_stay_and_it_is_said() {
    let world = World::start().await;
    let mut client = world.client().await;
    let id = client.discovery["client_id"].as_str().unwrap().to_owned();
    world.broker.memory_alarm(true);
    world.readiness("awaiting the broker accepts no publishes").await;
    called(&mut client, 1).await;
    world.broker.memory_alarm(false);
    world.readiness("ready\n").await;
    let mut game = Peer::connect(&world.broker, "game", "/").await;
    assert_eq!(game.publish("bannou.clients", "0123456789abcdef.x.1", news("x")).await, Err(Unpublished::Returned));
    game.publish("bannou.clients", &id, news("after")).await.unwrap();
    pushed(&mut client, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_deleted_under_a_gateway_costs_no_socket() {
    let world = World::start().await;
    let mut client = world.client().await;
    let id = client.discovery["client_id"].as_str().unwrap().to_owned();
    let admin = Peer::connect(&world.broker, "guest", "/").await;
    let mut game = Peer::connect(&world.broker, "game", "/").await;
    let slot = id.split('.').next().unwrap();
    admin.delete_queue(&format!("bannou.slot.{slot}")).await;
    // Returned while there is no log: the sender knows.
    let give_up = Instant::now() + PATIENCE;
    while let Err(error) = game.publish("bannou.clients", &id, news("after")).await {
        assert_eq!(error, Unpublished::Returned);
        assert!(Instant::now() < give_up);
    }
    // What was in it is gone, and said to be; what the new one took arrives.
    assert_eq!(client.said("gap").await["unknown"], true);
    client.said("resume").await;
    assert_eq!(client.frame().await.2, b"after");
    called(&mut client, 1).await;
}
