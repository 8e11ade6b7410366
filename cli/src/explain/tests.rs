//! What `can_i` says is what a gateway does: with real tokens, for any resources and claims.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bannou_crds::kinds::{AccessTier, Fleet, ServiceExposure};
use bannou_gateway::auth::{JwksCache, Secrets, Times, Verifier};
use bannou_gateway::forward::{Config, Forwarder};
use bannou_gateway::snapshot::Snapshot;
use bannou_operator::catalog::compile;
use bannou_operator::index::{Key, Object, World};
use futures_util::FutureExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a secret of enough bytes for HS256";
const TIERS: [&str; 4] = ["a", "b", "c", "d"];
const NAMES: [&str; 3] = ["x", "y", "z"];

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn subset(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(of, 0..=of.len())
}

fn admission() -> impl Strategy<Value = Value> {
    let operator = prop_oneof![Just("In"), Just("NotIn"), Just("Exists"), Just("DoesNotExist"), Just("HasWord")];
    let path = prop_oneof![Just(vec!["role"]), Just(vec!["deep", "role"])];
    let rule = (path, operator, subset(&["p", "q", "1"])).prop_map(|(path, operator, mut values)| {
        match operator {
            "Exists" | "DoesNotExist" => values.clear(),
            _ if values.is_empty() => values.push("p"),
            _ => {}
        }
        json!({"path": path, "operator": operator, "values": values})
    });
    prop_oneof![
        Just(json!({"principal": "Anonymous"})),
        Just(json!({"principal": "GrantedOnly"})),
        (subset(&["one", "two", "gone"]), proptest::collection::vec(rule, 0..3)).prop_map(|(issuers, claims)| {
            json!({"principal": "Authenticated", "issuers": issuers, "claims": claims})
        }),
    ]
}

fn tier() -> impl Strategy<Value = Value> {
    (subset(&TIERS), admission(), prop_oneof![Just("All"), Just("Same")]).prop_map(|(includes, admission, from)| {
        json!({"includes": includes, "admission": admission, "allowedExposures": {"namespaces": {"from": from}}})
    })
}

/// Claims that are mostly good, each of them sometimes wrong, missing or odd.
fn claims() -> impl Strategy<Value = Option<Value>> {
    fn one(of: &'static [&'static str]) -> impl Strategy<Value = Value> {
        proptest::sample::select(of).prop_map(|text| serde_json::from_str(text).expect("JSON"))
    }
    let role =
        || one(&[r#""p""#, r#""q z""#, r#""p q""#, "1", "null", "[]", r#"["q","z"]"#, r#"[["p"]]"#, r#"{"p":1}"#]);
    let optional = |value: BoxedStrategy<Value>| proptest::option::weighted(0.8, value);
    let members = (
        one(&[r#""https://one/""#, r#""https://two/""#, r#""https://three/""#, "1"]),
        optional(one(&[r#""game""#, r#"["x","game"]"#, r#"["x"]"#, "[1]"]).boxed()),
        optional(one(&[r#""42""#, r#""""#, "42"]).boxed()),
        optional(one(&["1800000600", "1800000600.5", "1799999000", "1900000000", r#""soon""#]).boxed()),
        optional(role().boxed()),
        optional(prop_oneof![role().prop_map(|r| json!({"role": r})), role()].boxed()),
    );
    let object = members.prop_map(|(iss, aud, sub, exp, role, deep)| {
        let all = [("iss", Some(iss)), ("aud", aud), ("sub", sub), ("exp", exp), ("role", role), ("deep", deep)];
        Value::Object(all.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect())
    });
    proptest::option::weighted(0.85, object)
}

fn world(tiers: &[Value], exposures: &[(Vec<&str>, Vec<&str>, &str)]) -> World {
    let issuer = |name: &str| {
        json!({"name": name, "issuer": format!("https://{name}/"), "audiences": ["game"], "algorithms": ["HS256"],
               "keys": {"secretRef": {"name": "k", "key": "k"}}})
    };
    let spec = json!({"issuers": [issuer("one"), issuer("two")]});
    let mut fleet = Fleet::new("default", serde_json::from_value(spec).expect("a fleet"));
    fleet.metadata.namespace = Some("sys".to_owned());
    let mut world = World::default();
    world.default_fleet_namespace = Some("sys".to_owned());
    world.apply(Object::Fleet(fleet));
    for (name, spec) in TIERS.iter().zip(tiers) {
        let mut tier = AccessTier::new(name, serde_json::from_value(spec.clone()).expect("a tier"));
        tier.metadata.namespace = Some("sys".to_owned());
        world.apply(Object::AccessTier(tier));
    }
    for (i, (endpoint, event, namespace)) in exposures.iter().enumerate() {
        // Two of them want the same name.
        let service = NAMES[i.min(1)];
        let spec = json!({
            "serviceName": service, "backend": {"dapr": {"appId": "app"}},
            "endpoints": [{"name": "call", "path": "/call", "tiers": endpoint}, {"name": format!("only{i}"), "path": "/{claims.role}", "tiers": endpoint}],
            "events": [{"name": "told", "tiers": event}],
        });
        let mut exposure = ServiceExposure::new(NAMES[i], serde_json::from_value(spec).expect("an exposure"));
        exposure.metadata.namespace = Some((*namespace).to_owned());
        world.apply(Object::ServiceExposure(Box::new(exposure)));
    }
    world
}

/// The names that a connection with this token sees, as a gateway with keys tells them; `None`: it is refused.
fn gateway(world: &World, token: Option<&str>) -> Option<BTreeSet<String>> {
    let catalog = compile(world, &Key::new("sys", "default")).catalog.expect("a catalog");
    let secrets = Secrets::Memory(BTreeMap::from([("k/k".to_owned(), SECRET.to_vec())]));
    let verifier =
        Verifier::new(&catalog.fleet, &catalog.claim_paths(), &secrets, &JwksCache::offline()).expect("a verifier");
    let principal = match token.map(|t| verifier.verify(t, now()).now_or_never().expect("keys are at hand")) {
        Some(Ok(principal)) => Some(principal),
        Some(Err(_)) => return None,
        None => None,
    };
    let forwarder = Forwarder::new(Config::default()).expect("a forwarder");
    let routes: BTreeMap<_, _> = forwarder.routes(&catalog).0.into_iter().collect();
    let snapshot = Arc::new(Snapshot::new(Arc::new(catalog), Arc::new(verifier), |t| routes.get(&t).cloned()));
    let view = snapshot.view(snapshot.admitted(principal.as_ref()));
    Some(view.entries().map(|e| e.name.to_string()).collect())
}

proptest! {
    #[test]
    fn says_what_a_gateway_does(
        tiers in proptest::collection::vec(tier(), TIERS.len()),
        exposures in proptest::collection::vec((subset(&TIERS), subset(&TIERS), prop_oneof![Just("sys"), Just("team")]), 1..=3),
        claims in claims(),
    ) {
        let world = world(&tiers, &exposures);
        let token = claims.as_ref().map(|claims| {
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET)).expect("a token")
        });
        let text = claims.map(|c| c.to_string());
        let seen = gateway(&world, token.as_deref());
        let mut asked = 0;
        for service in NAMES {
            for member in ["call", "only0", "only1", "only2", "told"] {
                let name = format!("{service}.{member}");
                let question = Question {
                    world: &world,
                    fleet: &Key::new("sys", "default"),
                    name: &name,
                    claims: text.as_deref().map(str::as_bytes),
                    now: now(),
                    times: Times::Checked,
                };
                let does = seen.as_ref().is_some_and(|seen| seen.contains(&name));
                match can_i(&question) {
                    Ok(decision) => {
                        asked += 1;
                        prop_assert_eq!(decision.allowed, does, "{:#?}", decision);
                        prop_assert_eq!(decision.client.refused.is_some(), seen.is_none(), "{:#?}", decision);
                        prop_assert_eq!(decision.allowed, decision.reasons.is_empty(), "{:#?}", decision);
                        prop_assert_eq!(decision.allowed, decision.fixes.is_empty(), "{:#?}", decision);
                        let held = |name: &String| decision.tiers.iter().any(|t| t.held && t.name == *name);
                        prop_assert_eq!(decision.allowed, decision.exposed_to.iter().any(held), "the chain says it, too");
                    }
                    Err(_) => prop_assert!(!does, "{} is in the catalog", name),
                }
            }
        }
        prop_assert!(asked > 0);
    }
}
