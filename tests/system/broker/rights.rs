//! The users and rights that `contrib/rabbitmq/setup.sh` makes, on a real broker.

use std::process::Output;

use bannou_gateway::bus::{Bus, Log, Message, Start, To, Unpublished};
use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};

use super::{bus, config, in_time, next, own, record, text};
use crate::support::amqp::Peer;
use crate::support::broker::Broker;
use crate::support::process::repository;

const PASSWORD: &str = "a-password-of-a-test";

/// Runs the script in the broker's own surroundings, the password on its input.
fn setup(broker: &Broker, args: &str) -> Output {
    let script = broker.folder().join("setup.sh");
    std::fs::copy(repository().join("contrib/rabbitmq/setup.sh"), script).unwrap();
    broker.run("sh", &["-c", &format!("echo {PASSWORD} | sh /mnt/setup.sh {args}")])
}

fn done(broker: &Broker, args: &str) {
    let output = setup(broker, args);
    assert!(output.status.success(), "setup.sh {args}: {output:?}");
}

async fn connection(broker: &Broker, user: &str) -> Connection {
    let url = broker.url_of(user, PASSWORD, "fleet");
    Connection::connect(&url, ConnectionProperties::default()).await.unwrap()
}

fn refused<T: std::fmt::Debug>(what: &str, result: Result<T, impl std::fmt::Display>) {
    let error = result.map(|_| ()).map_err(|e| e.to_string()).expect_err(what);
    assert!(error.contains("ACCESS_REFUSED"), "{what}: {error}");
}

async fn binds(channel: &Channel, exchange: &str) -> Result<(), lapin::Error> {
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?;
    let (name, key) = (queue.name().clone(), "#".into());
    channel.queue_bind(name, exchange.into(), key, QueueBindOptions::default(), FieldTable::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_gives_each_user_what_it_needs_and_nothing_else() {
    let broker = Broker::start().await;
    done(&broker, "fleet fleet bannou-gateway");
    done(&broker, "service fleet chess");
    done(&broker, "service fleet herald client subject tier group all");
    done(&broker, "service fleet herald client subject tier group all");
    for wrong in ["", "fleet", "service fleet", "service nowhere chess", "service fleet chess everybody", "fleet v a.b"]
    {
        assert!(!setup(&broker, wrong).status.success(), "{wrong}");
    }

    // A gateway: declares all, reads and writes each log, answers, forwards, deletes.
    let gateway = bus(config(&[broker.url_of("bannou-gateway", PASSWORD, "fleet")])).await;
    assert_eq!(gateway.user(), "bannou-gateway");
    for to in [
        To::Log(Log::Control),
        To::Log(Log::Groups),
        To::Log(Log::Slot(gateway.slot())),
        To::Sessions("connected".to_owned()),
        To::Clients("all".to_owned()),
    ] {
        let published = gateway.publish(to.clone(), text("x")).unwrap();
        assert_eq!(in_time("a confirmation", published).await, Ok(()), "{to:?}");
    }
    for log in [Log::Control, Log::Groups, Log::Sessions, Log::Slot(gateway.slot())] {
        next(&mut gateway.read(log, Start::First)).await;
    }
    let mut replies = gateway.replies();
    gateway.publish(To::Queue(gateway.reply_to()), text("to itself")).unwrap().await.unwrap();
    assert_eq!(in_time("a reply", replies.recv()).await.unwrap().body, "to itself");
    let other = bus(config(&[broker.url_of("bannou-gateway", PASSWORD, "fleet")])).await;
    let dead = other.slot();
    drop(other);
    assert_eq!(in_time("a deletion", gateway.delete(dead)).await, Ok(()));

    // A service: to its clients, and hears answers and session events.
    let id = format!("{}.{}.1", gateway.slot(), uuid::Uuid::new_v4());
    let mut chess = Peer::login(&broker, "chess", PASSWORD, "fleet").await;
    let mut log = own(&gateway);
    record(&mut log).await;
    chess.publish("bannou.clients", &id, text("a move")).await.unwrap();
    assert_eq!(record(&mut log).await.1, "a move");
    chess.publish("bannou.clients", "subject.00ff", text("x")).await.unwrap();
    let (inbox, mut answers) = chess.inbox().await;
    gateway.publish(To::Queue(inbox), text("an answer")).unwrap().await.unwrap();
    assert_eq!(in_time("an answer", answers.recv()).await.unwrap().body, "an answer");
    let connection = connection(&broker, "chess").await;
    binds(&connection.create_channel().await.unwrap(), "bannou.sessions").await.unwrap();

    // And nothing else.
    let slot = Log::Slot(gateway.slot()).name();
    for (exchange, key) in [
        ("bannou.clients", "all"),
        ("bannou.clients", "tier.player"),
        ("bannou.clients", "group.chat"),
        ("bannou.clients", slot.as_str()),
        ("bannou.sessions", "connected"),
        ("", slot.as_str()),
        ("", "bannou.groups"),
        ("", "bannou.control"),
        ("", gateway.reply_to().as_str()),
        ("amq.topic", "x"),
    ] {
        refused(&format!("{exchange}/{key}"), chess.publish(exchange, key, text("x")).await);
    }
    let as_gateway = Message { user_id: Some("bannou-gateway".to_owned()), ..text("x") };
    let lie = chess.publish("bannou.clients", &id, as_gateway).await;
    assert!(matches!(&lie, Err(Unpublished::Refused(why)) if why.contains("user_id")), "{lie:?}");
    let channel = async || connection.create_channel().await.unwrap();
    refused("bind to bannou.clients", binds(&channel().await, "bannou.clients").await);
    for log in ["bannou.groups", "bannou.control", "bannou.sessions", slot.as_str()] {
        let c = channel().await;
        let read = c.basic_consume(log.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await;
        if log != "bannou.sessions" {
            refused(log, read); // session events are there for services to read
        }
        let c = channel().await;
        refused(log, c.queue_delete(log.into(), Default::default()).await);
    }
    let c = channel().await;
    let options = ExchangeDeclareOptions::default();
    refused("x", c.exchange_declare("x".into(), ExchangeKind::Fanout, options, FieldTable::default()).await);

    // One that may speak to all.
    let mut herald = Peer::login(&broker, "herald", PASSWORD, "fleet").await;
    for key in ["all", "tier.player", "group.chat.room", "subject.00ff"] {
        assert_eq!(herald.publish("bannou.clients", key, text("x")).await, Ok(()), "{key}");
    }
    refused("a log", herald.publish("", "bannou.groups", text("x")).await);
    // Nobody of these sees another virtual host.
    assert!(
        Connection::connect(&broker.url_of("chess", PASSWORD, "/"), ConnectionProperties::default()).await.is_err()
    );
}
