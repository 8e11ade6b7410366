use bannou_crds::kinds::{AccessTier, Fleet, ServiceExposure};
use serde_json::json;

use super::*;
use crate::catalog::{ConditionType, compile};
use crate::index::{Object, World};

fn read<T: serde::de::DeserializeOwned>(namespace: &str, name: &str, spec: serde_json::Value) -> T {
    serde_json::from_value(json!({
        "apiVersion": "bannou.dev/v1alpha1", "metadata": {"namespace": namespace, "name": name},
        "kind": match name { "default" => "Fleet", "anonymous" => "AccessTier", _ => "ServiceExposure" }, "spec": spec,
    }))
    .expect("an object")
}

fn exposure(name: &str, path: &str) -> Object {
    let spec = json!({
        "serviceName": name, "backend": {"dapr": {"appId": name}}, "fleetRef": {"namespace": "sys"},
        "endpoints": [{"name": "call", "path": path, "tiers": ["anonymous"]}],
    });
    Object::ServiceExposure(Box::new(read::<ServiceExposure>("sys", name, spec)))
}

fn world() -> World {
    let mut world = World::default();
    world.apply(Object::Fleet(read::<Fleet>("sys", "default", json!({}))));
    let tier = json!({"admission": {"principal": "Anonymous"}});
    world.apply(Object::AccessTier(read::<AccessTier>("sys", "anonymous", tier)));
    world.apply(exposure("one", "/1"));
    world.apply(exposure("two", "/2"));
    world
}

fn fleet() -> Key {
    Key::new("sys", "default")
}

fn said(publisher: &Publisher, compiled: &Compiled, name: &str, gateways: &[Gateway]) -> (Status, Reason) {
    let object = ObjectRef { kind: ObjectKind::ServiceExposure, key: Key::new("sys", name) };
    let status = publisher.programmed(&fleet(), &object, compiled.conditions[&object].clone(), gateways);
    let condition = status.condition(ConditionType::Programmed).expect("it is there");
    (condition.status, condition.reason)
}

fn gateway(acked: Option<(u64, u64)>) -> Gateway {
    let acked = acked.map(|(term, number)| Version { term, number });
    Gateway { name: "gateway-0".into(), acked, ..Gateway::default() }
}

#[test]
fn versions_rise_with_what_differs_and_with_the_term() {
    let mut world = world();
    let mut publisher = Publisher::new(7);
    let first = publisher.publish(&fleet(), &compile(&world, &fleet())).expect("the first");
    assert_eq!(first.version, Version { term: 7, number: 1 });
    assert_eq!(publisher.publish(&fleet(), &compile(&world, &fleet())), None, "nothing differs");
    world.apply(exposure("one", "/other"));
    let second = publisher.publish(&fleet(), &compile(&world, &fleet())).expect("it differs");
    assert_eq!(second.version, Version { term: 7, number: 2 });
    assert!(Version { term: 8, number: 1 } > second.version);
    // A Fleet that is not accepted has no catalog: the last good one stays.
    world.apply(Object::Fleet(read("sys", "default", json!({"origins": ["*"]}))));
    assert_eq!(publisher.publish(&fleet(), &compile(&world, &fleet())), None);
    assert_eq!(publisher.current(&fleet()), Some(&second));
}

#[test]
fn each_reason_why_something_is_programmed_or_not() {
    let world = world();
    let mut publisher = Publisher::new(1);
    let compiled = compile(&world, &fleet());
    publisher.publish(&fleet(), &compiled);
    let refused = Gateway { refused: Some((Version { term: 1, number: 1 }, "why".into())), ..gateway(Some((0, 9))) };
    for (gateways, expected) in [
        (vec![], (Status::False, Reason::NoGatewaysConnected)),
        (vec![gateway(None)], (Status::Unknown, Reason::Pending)),
        (vec![gateway(Some((0, 9)))], (Status::Unknown, Reason::Pending)),
        (vec![gateway(Some((1, 1)))], (Status::True, Reason::Programmed)),
        (vec![gateway(Some((1, 1))), gateway(None)], (Status::True, Reason::Programmed)),
        (vec![gateway(Some((1, 1))), gateway(Some((0, 9)))], (Status::Unknown, Reason::Pending)),
        (vec![gateway(Some((1, 1))), refused.clone()], (Status::False, Reason::Rejected)),
        (vec![Gateway { acked: Some(Version { term: 1, number: 2 }), ..refused }], (Status::True, Reason::Programmed)),
    ] {
        assert_eq!(said(&publisher, &compiled, "one", &gateways), expected, "{gateways:?}");
    }
}

/// Or every edit would write the status of every object twice.
#[test]
fn an_edit_of_one_leaves_the_others_programmed() {
    let mut world = world();
    let mut publisher = Publisher::new(1);
    publisher.publish(&fleet(), &compile(&world, &fleet()));
    world.apply(exposure("one", "/other"));
    let compiled = compile(&world, &fleet());
    publisher.publish(&fleet(), &compiled);
    let behind = [gateway(Some((1, 1)))];
    assert_eq!(said(&publisher, &compiled, "one", &behind), (Status::Unknown, Reason::Pending));
    assert_eq!(said(&publisher, &compiled, "two", &behind), (Status::True, Reason::Programmed));
}

#[test]
fn what_is_withdrawn_stays_so_whatever_gateways_say() {
    let mut world = world();
    world.apply(exposure("one", "no path"));
    let mut publisher = Publisher::new(1);
    let compiled = compile(&world, &fleet());
    publisher.publish(&fleet(), &compiled);
    assert_eq!(said(&publisher, &compiled, "one", &[gateway(Some((1, 1)))]), (Status::False, Reason::Pending));
}

#[test]
fn a_gateway_that_has_more_is_followed_by_a_higher_term() {
    let mut publisher = Publisher::new(1);
    publisher.publish(&fleet(), &compile(&world(), &fleet()));
    let came_with = |term, number| Gateway { came_with: Some(Version { term, number }), ..gateway(None) };
    assert_eq!(publisher.rise(&fleet(), &[gateway(None)]), None);
    assert_eq!(publisher.rise(&fleet(), &[came_with(0, 99)]), None, "it is behind");
    for (term, number) in [(1, 1), (9, 4), (20, 1)] {
        let risen = publisher.rise(&fleet(), &[came_with(term, number)]).expect("it rises");
        assert!(risen.version > Version { term, number });
        assert_eq!(publisher.rise(&fleet(), &[came_with(term, number)]), None, "once");
        assert_eq!(publisher.current(&fleet()), Some(&risen));
    }
    assert_eq!(publisher.rise(&fleet(), &[came_with(u64::MAX, 1)]), None, "nobody can have that");
}

#[test]
fn a_fleet_that_is_ahead_takes_no_other_along() {
    let mut world = world();
    world.apply(Object::Fleet(read::<Fleet>("other", "default", json!({}))));
    let other = Key::new("other", "default");
    let mut publisher = Publisher::new(1);
    publisher.publish(&fleet(), &compile(&world, &fleet()));
    publisher.publish(&other, &compile(&world, &other));
    let ahead = Gateway { came_with: Some(Version { term: 1000, number: 5 }), ..gateway(None) };
    let risen = publisher.rise(&other, &[ahead]).expect("it rises");
    assert_eq!(risen.version, Version { term: 1001, number: 1 });
    world.apply(exposure("one", "/other"));
    let next = publisher.publish(&fleet(), &compile(&world, &fleet())).expect("it differs");
    assert_eq!(next.version, Version { term: 1, number: 2 });
    world.apply(Object::Fleet(read::<Fleet>("other", "default", json!({"maxSessionAge": "1h"}))));
    let next = publisher.publish(&other, &compile(&world, &other)).expect("it differs");
    assert_eq!(next.version, Version { term: 1001, number: 2 });
}
