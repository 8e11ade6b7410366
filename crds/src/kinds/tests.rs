use kube::CustomResourceExt;

use super::*;

/// Reading and writing again loses nothing: every field that the resource may carry is one that the types know.
fn survives<T: serde::de::DeserializeOwned + Serialize>(object: serde_json::Value) {
    let read: T = serde_json::from_value(object.clone()).expect("it is read");
    assert_eq!(serde_json::to_value(read).expect("it is written"), object);
}

#[test]
fn every_field_of_an_exposure_is_known() {
    survives::<ServiceExposureSpec>(serde_json::json!({
        "serviceName": "account",
        "backend": {"dapr": {"appId": "account"}},
        "fleetRef": {"namespace": "bannou-system"},
        "defaults": {"timeout": "10s", "maxRequestBytes": 65536, "maxResponseBytes": 1_048_576},
        "resilience": {
            "maxInFlight": 512,
            "breaker": {"consecutiveFailures": 10, "openFor": "5s", "halfOpenRequests": 3}
        },
        "endpoints": [{
            "name": "create", "path": "/v1/accounts", "httpMethod": "POST", "payload": "Body", "tiers": ["anonymous"],
            "timeout": "3s", "interaction": "Request", "idempotent": true, "effects": ["Login", "Tiers", "Peers", "Groups"],
            "authorization": "Forward", "rateLimit": {"requestsPerSecond": 5, "burst": 10},
            "contentType": "application/json",
            "schema": {"request": {"type": "object"}, "response": {"type": "object"}}, "deprecated": "use create2"
        }],
        "events": [{
            "name": "welcome", "tiers": ["anonymous"], "interaction": "Push", "timeout": "10s",
            "onOverflow": "CloseAndReplay", "schema": {"payload": {"type": "object"}, "reply": {"type": "object"}}
        }],
        "senders": {"amqpUsers": ["account"]}
    }));
    survives::<Backend>(serde_json::json!({"service": {"name": "legacy", "port": 8080}}));
    survives::<Backend>(serde_json::json!({"peer": {"hosts": ["gamehost"], "selection": "Newest"}}));
}

#[test]
fn every_field_of_a_tier_is_known() {
    survives::<AccessTierSpec>(serde_json::json!({
        "includes": ["anonymous"],
        "admission": {
            "principal": "Authenticated", "issuers": ["main"],
            "claims": [{"path": ["realm_access", "roles"], "operator": "In", "values": ["player", "vip"]}]
        },
        "grantableBy": [{"namespace": "accounts", "service": "auth"}],
        "allowedExposures": {
            "namespaces": {"from": "Selector", "selector": {"matchLabels": {"bannou.dev/tenant": "game"}}},
            "sources": ["Resource", "Annotation"], "effects": ["Login"]
        },
        "limits": {
            "requestsPerSecond": 50, "burst": 100, "maxInFlight": 32, "maxConnectionsPerSubject": 4,
            "maxMessageBytes": 65536, "maxConnectionAge": "12h", "sendQueueBytes": 262_144
        },
        "peers": "Introduced"
    }));
}

#[test]
fn every_field_of_a_fleet_is_known() {
    survives::<FleetSpec>(serde_json::json!({
        "issuers": [{
            "name": "main", "issuer": "https://id.example.com/", "audiences": ["game"],
            "audienceClaim": {"name": "client_id", "values": ["game"]}, "algorithms": ["ES256"],
            "keys": {
                "jwksUri": "https://id.example.com/jwks", "secretRef": {"name": "a", "key": "b"},
                "inline": [{"kid": "1", "pem": "…"}, {"jwk": {"kty": "OKP"}}]
            },
            "extraRequiredClaims": ["jti"]
        }],
        "origins": ["https://play.example.com"],
        "trustedProxies": ["10.0.0.0/8"],
        "names": [{"pattern": "auth", "namespaces": ["accounts"]}],
        "resume": {"window": "2m"},
        "maxSessionAge": "24h", "maxConfigAge": "24h", "maxControlAge": "5m", "maxTokenLife": "24h",
        "managers": [{"namespace": "accounts", "service": "admin"}]
    }));
}

#[test]
fn the_kinds_are_what_kubectl_calls_them() {
    for (crd, kind, plural) in [
        (ServiceExposure::crd(), "ServiceExposure", "serviceexposures"),
        (AccessTier::crd(), "AccessTier", "accesstiers"),
        (Fleet::crd(), "Fleet", "fleets"),
    ] {
        assert_eq!(crd.spec.names.kind, kind);
        assert_eq!(crd.spec.names.plural, plural);
        assert_eq!(crd.spec.group, GROUP);
        assert_eq!(crd.spec.versions[0].name, VERSION);
        assert_eq!(crd.spec.scope, "Namespaced");
    }
}
