use proptest::prelude::*;
use serde_json::json;

use super::{snapshot as messages_of, *};

fn version(number: u64) -> Version {
    Version { term: 1, number }
}

/// A catalog with these services (by the length of their timeout) and tiers.
fn catalog(services: &[(u8, u64)], tiers: &[(u8, bool)], age: u64) -> Catalog {
    let services: std::collections::BTreeMap<String, u64> =
        services.iter().map(|(name, timeout)| (format!("s{name:03}"), *timeout)).collect();
    let services: Vec<_> = services
        .into_iter()
        .map(|(name, timeout)| {
            json!({"name": name, "namespace": "a", "backend": {"dapr": {"app_id": name}}, "max_in_flight": timeout,
                   "endpoints": [], "events": []})
        })
        .collect();
    let tiers: std::collections::BTreeMap<String, bool> =
        tiers.iter().map(|(name, open)| (format!("t{name:03}"), *open)).collect();
    let tiers: Vec<_> = tiers
        .into_iter()
        .map(|(name, open)| {
            json!({"name": name, "includes": [], "admission": {"principal": "Anonymous"}, "limits": {},
                   "peers": if open { "Open" } else { "Disabled" }})
        })
        .collect();
    serde_json::from_value(json!({
        "format": 1, "tiers": tiers, "services": services,
        "fleet": {"namespace": "sys", "name": "default", "issuers": [], "origins": [], "trusted_proxies": [],
                  "resume_window_ms": 1, "max_session_age_ms": age, "max_config_age_ms": 1, "max_token_life_ms": 1},
    }))
    .expect("a catalog")
}

fn snapshot(version: Version, catalog: &Catalog) -> Vec<ToGateway> {
    messages_of(version, catalog, Hash::of(catalog))
}

fn between(base: (Version, &Catalog), next: (Version, &Catalog)) -> Delta {
    Delta::between(base, next, Hash::of(next.1))
}

/// Through the wire, as it goes.
fn sent(message: &ToGateway) -> ToGateway {
    serde_json::from_str(&serde_json::to_string(message).expect("JSON")).expect("what was written is read")
}

fn take_all(snapshot: &mut Snapshot, messages: &[ToGateway]) -> Result<(), Refused> {
    for message in messages {
        if let Some((version, catalog)) = snapshot.take(sent(message))? {
            snapshot.keep(version, catalog);
        }
    }
    Ok(())
}

fn catalogs() -> impl Strategy<Value = Catalog> {
    let services = proptest::collection::vec((any::<u8>(), 1..3u64), 0..150);
    let tiers = proptest::collection::vec((0..9u8, any::<bool>()), 0..6);
    (services, tiers, 1..3u64).prop_map(|(services, tiers, age)| catalog(&services, &tiers, age))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_and_deltas_lead_to_what_the_operator_has(catalogs in proptest::collection::vec(catalogs(), 1..5)) {
        let mut gateway = Snapshot::default();
        take_all(&mut gateway, &snapshot(version(1), &catalogs[0])).expect("it is good");
        prop_assert_eq!(gateway.catalog(), Some(&catalogs[0]));
        for (i, pair) in catalogs.windows(2).enumerate() {
            let number = i as u64 + 1;
            let delta = between((version(number), &pair[0]), (version(number + 1), &pair[1]));
            take_all(&mut gateway, &[ToGateway::Delta { delta: Box::new(delta) }]).expect("it is good");
            prop_assert_eq!(gateway.catalog(), Some(&pair[1]));
            prop_assert_eq!(gateway.version(), Some(version(number + 1)));
        }
    }
}

#[test]
fn a_delta_holds_what_differs_and_nothing_else() {
    let services: Vec<(u8, u64)> = (0..200).map(|i| (i, 1)).collect();
    let (before, mut changed) = (catalog(&services, &[(1, true)], 1), services);
    changed[7].1 = 2;
    changed.pop();
    let delta = between((version(1), &before), (version(2), &catalog(&changed, &[(1, true)], 1)));
    assert_eq!((delta.services.len(), delta.services_gone.len()), (1, 1));
    assert_eq!((delta.tiers.len(), delta.tiers_gone.len(), delta.fleet.is_none()), (0, 0, true));
}

#[test]
fn what_goes_back_or_is_not_whole_changes_nothing() {
    let (old, new) = (catalog(&[(1, 1)], &[], 1), catalog(&[(1, 2), (2, 1)], &[], 1));
    let mut gateway = Snapshot::of(version(5), old.clone());
    let has = version(5);
    for offered in [version(4), version(5), Version { term: 0, number: 99 }] {
        assert_eq!(take_all(&mut gateway, &snapshot(offered, &new)), Err(Refused::Older { has, offered }));
    }
    let delta = |base, next| between((base, &old), (next, &new));
    let take = |gateway: &mut Snapshot, delta| gateway.take(ToGateway::Delta { delta: Box::new(delta) });
    let other = take(&mut gateway, delta(version(4), version(6)));
    assert_eq!(other, Err(Refused::OtherBase { has: Some(has), base: version(4) }));
    let mut wrong = delta(has, version(6));
    wrong.services.pop();
    assert_eq!(take(&mut gateway, wrong), Err(Refused::OtherHash));

    // A snapshot that breaks off, then one that leaves a piece out.
    let messages = snapshot(version(6), &new);
    take_all(&mut gateway, &messages[..2]).expect("so far it is good");
    gateway.broken_off();
    assert_eq!(take_all(&mut gateway, &messages[2..]), Err(Refused::OutOfOrder));
    let short = [messages[0].clone(), messages[2].clone()];
    assert_eq!(take_all(&mut gateway, &short), Err(Refused::OtherHash));
    assert_eq!(gateway.catalog(), Some(&old));

    // Only a new holder's catalog follows with a lower number.
    let next = Version { term: 2, number: 1 };
    take_all(&mut gateway, &snapshot(next, &new)).expect("it is good");
    assert_eq!((gateway.version(), gateway.catalog()), (Some(next), Some(&new)));
}

#[test]
fn large_catalogs_come_in_pieces() {
    let services: Vec<(u8, u64)> = (0..=255).map(|i| (i, 1)).collect();
    let messages = snapshot(version(1), &catalog(&services, &[], 1));
    assert_eq!(messages.len(), 2 + 256 / PIECE);
}

#[test]
fn the_words_are_these() {
    for (said, json) in [
        (ToOperator::Ack { version: version(3) }, json!({"type": "ack", "version": {"term": 1, "number": 3}})),
        (
            ToOperator::Nack {
                version: version(3),
                reasons: vec![Reason { resource: Some("tier a".into()), why: "b".into() }],
            },
            json!({"type": "nack", "version": {"term": 1, "number": 3}, "reasons": [{"resource": "tier a", "why": "b"}]}),
        ),
        (
            ToOperator::Hello { software: "0.1.0".into(), version: None, hash: None },
            json!({"type": "hello", "software": "0.1.0", "version": null, "hash": null}),
        ),
    ] {
        assert_eq!(serde_json::to_value(&said).expect("JSON"), json);
    }
    let elsewhere = ToGateway::Elsewhere { holder: Some("b".into()), address: None };
    assert_eq!(serde_json::to_value(elsewhere).expect("JSON"), json!({"type": "elsewhere", "holder": "b"}));
}
