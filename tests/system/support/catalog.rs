//! Catalogs for tests, typed: what a test does not say has a plain default.

use std::collections::BTreeMap;

use bannou_crds::catalog::{
    Admission, Backend, Catalog, Endpoint, Event, EventInteraction, FORMAT, FileKey, Fleet, Interaction, Issuer, Keys,
    Limits, OnOverflow, PathPart, Payload, Peers, Principal, Service, Tier,
};
use bannou_crds::{Kind, Target};
use serde_json::{Value, json};

use super::daprd::NAMESPACE;

/// The issuer of [`token`], and the secret that [`super::gateway::Gateway`] lays beside the catalog.
pub const ISSUER: &str = "https://id.test/";
pub const SECRET: &[u8] = b"a secret of the tests, 32 bytes and more";
pub const SECRET_FILE: &str = "issuer.key";

/// Tiers `anonymous` and `player`, no browser origins.
pub fn catalog(services: Vec<Service>) -> Catalog {
    let tier = |name: &str, includes: &[&str], principal| Tier {
        name: name.into(),
        includes: includes.iter().map(ToString::to_string).collect(),
        admission: Admission { principal, issuers: vec![], claims: vec![] },
        limits: Limits {
            requests_per_second: Some(100_000),
            burst: Some(100_000),
            max_in_flight: Some(1_000),
            max_message_bytes: Some(8 << 20),
            send_queue_bytes: Some(16 << 20),
            ..Limits::default()
        },
        peers: Peers::Introduced,
        grantable_by: Vec::new(),
    };
    Catalog {
        format: FORMAT,
        fleet: Fleet {
            namespace: NAMESPACE.into(),
            name: "tests".into(),
            issuers: vec![Issuer {
                name: "main".into(),
                issuer: ISSUER.into(),
                audiences: vec!["game".into()],
                audience_claim: None,
                algorithms: vec!["HS256".into()],
                keys: Keys::Files(vec![FileKey { kid: None, path: SECRET_FILE.into() }]),
                extra_required_claims: vec![],
            }],
            origins: vec![],
            trusted_proxies: vec![],
            resume_window_ms: 120_000,
            max_session_age_ms: 86_400_000,
            max_config_age_ms: 86_400_000,
            max_token_life_ms: 86_400_000,
            max_control_age_ms: 300_000,
            managers: Vec::new(),
        },
        tiers: vec![
            tier("anonymous", &[], Principal::Anonymous),
            tier("player", &["anonymous"], Principal::Authenticated),
        ],
        services,
    }
}

pub fn dapr(name: &str, app_id: &str, endpoints: Vec<Endpoint>) -> Service {
    service(name, Backend::Dapr { app_id: app_id.into() }, endpoints)
}

/// A Service backend; the gateway's `--override NAME=URL` says where it is.
pub fn direct(name: &str, endpoints: Vec<Endpoint>) -> Service {
    service(name, Backend::Service { name: name.into(), port: 80 }, endpoints)
}

fn service(name: &str, backend: Backend, endpoints: Vec<Endpoint>) -> Service {
    let mut endpoints: Vec<_> = endpoints;
    for endpoint in &mut endpoints {
        endpoint.target = Target::of(Kind::Endpoint, format!("{name}.{}", endpoint.name).as_bytes());
    }
    endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    Service {
        name: name.into(),
        namespace: NAMESPACE.into(),
        backend,
        max_in_flight: 512,
        breaker: None,
        endpoints,
        events: vec![],
        senders: vec![],
    }
}

/// The same service with events.
pub fn with_events(mut service: Service, mut events: Vec<Event>) -> Service {
    for event in &mut events {
        event.target = Target::of(Kind::Event, format!("{}.{}", service.name, event.name).as_bytes());
    }
    events.sort_by(|a, b| a.name.cmp(&b.name));
    service.events = events;
    service
}

/// For holders of one tier.
pub fn event(name: &str, interaction: EventInteraction, tier: &str) -> Event {
    Event {
        name: name.into(),
        target: Target(0),
        tiers: vec![tier.into()],
        interaction,
        timeout_ms: 20_000,
        on_overflow: OnOverflow::CloseAndReplay,
        schema: None,
    }
}

/// `"POST /v1/things"`, open to everybody. GET takes no payload.
pub fn endpoint(name: &str, line: &str) -> Endpoint {
    let (method, path) = line.split_once(' ').unwrap();
    Endpoint {
        name: name.into(),
        target: Target(0),
        path: vec![PathPart::Text(path.into())],
        method: method.into(),
        payload: if method == "GET" { Payload::None } else { Payload::Body },
        tiers: vec!["anonymous".into()],
        timeout_ms: 20_000,
        max_request_bytes: 65_536,
        max_response_bytes: 1_048_576,
        interaction: Interaction::Request,
        idempotent: false,
        effects: vec![],
        forward_authorization: false,
        rate_limit: None,
        content_type: "application/json".into(),
        schema: None,
        deprecated: None,
    }
}

/// A token that the fleet of [`catalog`] accepts, with these claims beside the usual ones.
pub fn token(subject: &str, more: &Value) -> String {
    token_by(SECRET, subject, more)
}

/// The same, signed with another secret.
pub fn token_by(secret: &[u8], subject: &str, more: &Value) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut claims: BTreeMap<String, Value> = serde_json::from_value(more.clone()).unwrap();
    for (name, value) in
        [("iss", json!(ISSUER)), ("aud", json!("game")), ("sub", json!(subject)), ("exp", json!(now + 3600))]
    {
        claims.entry(name.into()).or_insert(value);
    }
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}
