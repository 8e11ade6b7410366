//! What an edit changed, in words: one line for each thing that a client could notice.

use std::collections::BTreeMap;

use bannou_crds::Catalog;
use bannou_crds::catalog::{Endpoint, Event, Service, Tier};

/// `+` new, `-` gone, `~` different; empty when the two say the same.
pub fn between(old: &Catalog, new: &Catalog) -> Vec<String> {
    let mut lines = Vec::new();
    if old.fleet != new.fleet {
        lines.push(format!("~ fleet {}", new.fleet.name));
    }
    compare(&mut lines, "tier", &tiers(old), &tiers(new));
    compare(&mut lines, "service", &services(old), &services(new));
    compare(&mut lines, "endpoint", &endpoints(old), &endpoints(new));
    compare(&mut lines, "event", &events(old), &events(new));
    lines
}

fn compare<V: PartialEq>(lines: &mut Vec<String>, what: &str, old: &BTreeMap<String, V>, new: &BTreeMap<String, V>) {
    for (name, value) in new {
        match old.get(name) {
            None => lines.push(format!("+ {what} {name}")),
            Some(before) if before != value => lines.push(format!("~ {what} {name}")),
            Some(_) => {}
        }
    }
    lines.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("- {what} {name}")));
}

fn tiers(catalog: &Catalog) -> BTreeMap<String, &Tier> {
    catalog.tiers.iter().map(|t| (t.name.clone(), t)).collect()
}

/// Without endpoints and events, which are compared one by one.
fn services(catalog: &Catalog) -> BTreeMap<String, Service> {
    let bare = |s: &Service| Service { endpoints: Vec::new(), events: Vec::new(), ..s.clone() };
    catalog.services.iter().map(|s| (s.name.clone(), bare(s))).collect()
}

fn endpoints(catalog: &Catalog) -> BTreeMap<String, &Endpoint> {
    let all = catalog.services.iter().flat_map(|s| s.endpoints.iter().map(move |e| (s, e)));
    all.map(|(s, e)| (format!("{}.{}", s.name, e.name), e)).collect()
}

fn events(catalog: &Catalog) -> BTreeMap<String, &Event> {
    let all = catalog.services.iter().flat_map(|s| s.events.iter().map(move |e| (s, e)));
    all.map(|(s, e)| (format!("{}.{}", s.name, e.name), e)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn catalog(tier_peers: &str, services: Value) -> Catalog {
        let fleet = json!({
            "namespace": "n", "name": "f", "issuers": [], "origins": [], "trusted_proxies": [],
            "resume_window_ms": 1, "max_session_age_ms": 1, "max_config_age_ms": 1, "max_token_life_ms": 1,
        });
        let tier = json!({
            "name": "t", "includes": [], "admission": {"principal": "Anonymous"}, "limits": {}, "peers": tier_peers,
        });
        serde_json::from_value(json!({"format": 1, "fleet": fleet, "tiers": [tier], "services": services})).unwrap()
    }

    fn service(name: &str, app: &str, endpoints: &[(&str, u64)]) -> Value {
        let target = |endpoint: &str| bannou_crds::Target::of(bannou_crds::Kind::Endpoint, endpoint.as_bytes());
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|(endpoint, timeout)| {
                json!({
                    "name": endpoint, "target": target(endpoint), "path": [{"text": "/"}], "method": "POST",
                    "payload": "Body", "tiers": ["t"], "timeout_ms": timeout, "max_request_bytes": 1,
                    "max_response_bytes": 1, "interaction": "Request", "content_type": "application/json",
                })
            })
            .collect();
        json!({
            "name": name, "namespace": "n", "backend": {"dapr": {"app_id": app}}, "max_in_flight": 1,
            "endpoints": endpoints, "events": [],
        })
    }

    #[test]
    fn names_what_a_client_could_notice() {
        let old = catalog("Disabled", json!([service("a", "a", &[("x", 1), ("y", 1)]), service("b", "b", &[])]));
        assert!(between(&old, &old).is_empty());
        let new = catalog("Open", json!([service("a", "a", &[("x", 2), ("z", 1)]), service("c", "c", &[("w", 1)])]));
        let lines = between(&old, &new);
        let expected = [
            "~ tier t",
            "+ service c",
            "- service b",
            "~ endpoint a.x",
            "+ endpoint a.z",
            "+ endpoint c.w",
            "- endpoint a.y",
        ];
        assert_eq!(lines, expected);
        let moved = catalog("Disabled", json!([service("a", "other", &[("x", 1), ("y", 1)]), service("b", "b", &[])]));
        assert_eq!(between(&old, &moved), ["~ service a"]);
    }
}
