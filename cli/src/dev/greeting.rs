//! What `bannou dev` says when it is ready.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use bannou_crds::Catalog;
use bannou_crds::catalog::{Backend, Service};

/// Who answers behind the gateway.
pub struct Apps<'a> {
    /// From `--app`, by name.
    pub own: &'a BTreeMap<String, String>,
    /// Demo services, by app-id.
    pub demo: &'a BTreeMap<String, String>,
}

impl Apps<'_> {
    /// How a service is reached: `None` when nobody is there.
    fn answerer<'a>(&'a self, service: &'a Service) -> Option<(&'a str, &'a str)> {
        let backend = backend_name(service);
        let names = [backend, &service.name];
        let own = names.iter().find_map(|n| self.own.get(*n)).map(|url| (url.as_str(), "yours"));
        own.or_else(|| self.demo.get(backend).map(|url| (url.as_str(), "demo")))
    }
}

/// Where things are, beside the playground.
pub struct Places<'a> {
    pub admin: SocketAddr,
    pub internal: SocketAddr,
    /// What services show at `internal`.
    pub token: &'a str,
    pub inspect: Option<SocketAddr>,
}

/// The lines after `playground …`: what there is, and how to go on.
pub fn text(catalog: &Catalog, apps: &Apps, folder: &str, places: &Places) -> String {
    let mut text = String::new();
    let width = catalog.services.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for service in &catalog.services {
        let endpoints: Vec<&str> = service.endpoints.iter().map(|e| e.name.as_str()).collect();
        let answered = match apps.answerer(service) {
            Some((url, whose)) => format!("{whose}, {url}"),
            None => "nobody: calls answer 502".to_owned(),
        };
        let _ = writeln!(text, "  {:width$}  {}  ({answered})", service.name, endpoints.join(", "));
    }
    let Places { admin, internal, token, inspect } = places;
    let _ = writeln!(text, "\nServices push to clients and ask them at http://{internal}/v1/ with this token:");
    let _ = writeln!(text, "  Authorization: Bearer {token}");
    if let Some(inspect) = inspect {
        let _ = writeln!(text, "\nWho is connected, and what they may: bannou conns --gateway http://{inspect}");
    }
    let _ =
        writeln!(text, "\nEdit the YAML in {folder} and watch the services change. Metrics: http://{admin}/metrics");
    let _ = writeln!(text, "Your own service in the place of one: --app NAME=http://127.0.0.1:7001. Stop: Ctrl-C");
    text
}

/// What a person should know about who answers: services without anybody, `--app` without a service.
pub fn warnings(catalog: &Catalog, apps: &Apps) -> Vec<String> {
    let mut lines = Vec::new();
    for service in &catalog.services {
        if apps.answerer(service).is_none() {
            let name = backend_name(service);
            lines.push(format!(
                "nobody answers for {}: calls get 502 until you start it and pass --app {name}=http://127.0.0.1:PORT",
                service.name
            ));
        }
    }
    for name in apps.own.keys() {
        let meant = |s: &&Service| backend_name(s) == name || s.name == *name;
        if !catalog.services.iter().any(|s| meant(&s)) {
            let known: Vec<&str> = catalog.services.iter().map(backend_name).collect();
            lines.push(format!("--app {name} is used by no service here; there are: {}", known.join(", ")));
        }
    }
    lines
}

/// The app-id, or the name of the Kubernetes Service.
fn backend_name(service: &Service) -> &str {
    match &service.backend {
        Backend::Dapr { app_id } => app_id,
        Backend::Service { name, .. } => name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalog() -> Catalog {
        let service = |name: &str, app: &str| {
            json!({
                "name": name, "namespace": "n", "backend": {"dapr": {"app_id": app}}, "max_in_flight": 1,
                "endpoints": [], "events": [],
            })
        };
        let fleet = json!({
            "namespace": "n", "name": "f", "issuers": [], "origins": [], "trusted_proxies": [],
            "resume_window_ms": 1, "max_session_age_ms": 1, "max_config_age_ms": 1, "max_token_life_ms": 1,
        });
        let services = [service("account", "account"), service("shop", "shop-app"), service("lost", "lost")];
        serde_json::from_value(json!({"format": 1, "fleet": fleet, "tiers": [], "services": services})).unwrap()
    }

    fn map(entries: &[&str]) -> BTreeMap<String, String> {
        entries.iter().map(|name| (name.to_string(), format!("http://{name}"))).collect()
    }

    #[test]
    fn says_who_answers_and_who_does_not() {
        let (own, demo) = (map(&["shop-app", "tpyo"]), map(&["account"]));
        let apps = Apps { own: &own, demo: &demo };
        let lines = warnings(&catalog(), &apps);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("nobody answers for lost") && lines[0].contains("--app lost="), "{}", lines[0]);
        assert!(lines[1].starts_with("--app tpyo") && lines[1].ends_with("account, shop-app, lost"), "{}", lines[1]);
        let (admin, internal) = ("127.0.0.1:9080".parse().unwrap(), "127.0.0.1:9081".parse().unwrap());
        let places = Places { admin, internal, token: "t0ken", inspect: None };
        let text = text(&catalog(), &apps, "folder", &places);
        assert!(text.contains("(demo, http://account)") && text.contains("(yours, http://shop-app)"), "{text}");
        assert!(text.contains("http://127.0.0.1:9081/v1/") && text.contains("Bearer t0ken"), "{text}");
        assert!(text.contains("(nobody: calls answer 502)") && text.contains("Ctrl-C"), "{text}");
    }
}
