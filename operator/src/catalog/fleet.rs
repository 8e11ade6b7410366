//! From a Fleet as it is written to what gateways and the other steps need.

use std::collections::BTreeSet;

use bannou_crds::catalog;
use bannou_crds::kinds::{FleetSpec, InlineKey, Issuer, Keys, ServiceRef};
use ipnet::IpNet;

use super::check::{Problems, is_dns_label, is_namespace};
use crate::index::Key;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const ASYMMETRIC: &[&str] = &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
const SYMMETRIC: &[&str] = &["HS256", "HS384", "HS512"];

pub(super) struct FleetPlan {
    pub catalog: catalog::Fleet,
    pub names: Vec<NamePattern>,
    pub managers: Vec<ServiceRef>,
}

impl FleetPlan {
    pub fn has_issuer(&self, name: &str) -> bool {
        self.catalog.issuers.iter().any(|i| i.name == name)
    }

    /// Which namespaces may claim a name; `None`: all.
    pub fn claimants(&self, name: &str) -> Option<BTreeSet<&str>> {
        let mut rules = self.names.iter().filter(|rule| rule.matches(name)).peekable();
        rules.peek()?;
        Some(rules.flat_map(|rule| rule.namespaces.iter().map(String::as_str)).collect())
    }
}

pub(super) struct NamePattern {
    pattern: String,
    namespaces: Vec<String>,
}

impl NamePattern {
    fn matches(&self, name: &str) -> bool {
        let mut pieces = self.pattern.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let mut pieces: Vec<&str> = pieces.collect();
        let Some(last) = pieces.pop() else { return rest.is_empty() };
        for piece in pieces {
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

pub(super) fn parse(key: &Key, spec: &FleetSpec) -> (FleetPlan, Problems) {
    let mut p = Problems::default();
    p.at_most("spec.issuers", &spec.issuers, 32);
    p.unique("spec.issuers", "name", spec.issuers.iter().map(|i| i.name.as_str()));
    // Which keys would count for such a token?
    p.unique("spec.issuers", "issuer", spec.issuers.iter().map(|i| i.issuer.as_str()));
    let issuers = spec.issuers.iter().enumerate().map(|(i, issuer)| parse_issuer(&mut p, i, issuer)).collect();

    p.at_most("spec.origins", &spec.origins, 64);
    for (i, origin) in spec.origins.iter().enumerate() {
        if let Err(message) = check_origin(origin) {
            p.add(&format!("spec.origins[{i}]"), message);
        }
    }

    p.at_most("spec.trustedProxies", &spec.trusted_proxies, 64);
    let mut trusted_proxies = Vec::new();
    for (i, proxy) in spec.trusted_proxies.iter().enumerate() {
        match proxy.parse::<IpNet>() {
            Ok(net) => trusted_proxies.push(net.trunc()),
            Err(_) => p.add(
                &format!("spec.trustedProxies[{i}]"),
                format!("{proxy:?} is not a network; write for example 10.0.0.0/8 or 192.0.2.7/32"),
            ),
        }
    }

    let names = parse_names(&mut p, spec);
    check_services(&mut p, "spec.managers", &spec.managers);
    let window = spec.resume.as_ref().and_then(|r| r.window.as_deref());
    let catalog = catalog::Fleet {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        issuers,
        origins: spec.origins.clone(),
        trusted_proxies,
        resume_window_ms: p.duration("spec.resume.window", window, 2 * MINUTE, (1_000, HOUR)),
        max_session_age_ms: p.duration("spec.maxSessionAge", spec.max_session_age.as_deref(), DAY, (MINUTE, 30 * DAY)),
        max_config_age_ms: p.duration("spec.maxConfigAge", spec.max_config_age.as_deref(), DAY, (MINUTE, 30 * DAY)),
        max_token_life_ms: p.duration("spec.maxTokenLife", spec.max_token_life.as_deref(), DAY, (MINUTE, 30 * DAY)),
        max_control_age_ms: p.duration(
            "spec.maxControlAge",
            spec.max_control_age.as_deref(),
            5 * MINUTE,
            (1_000, 30 * DAY),
        ),
        managers: Vec::new(),
    };
    (FleetPlan { catalog, names, managers: spec.managers.clone() }, p)
}

fn parse_names(p: &mut Problems, spec: &FleetSpec) -> Vec<NamePattern> {
    p.at_most("spec.names", &spec.names, 128);
    for (i, rule) in spec.names.iter().enumerate() {
        let good = (1..=63).contains(&rule.pattern.len())
            && rule.pattern.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-*".contains(&b));
        if !good {
            p.add(
                &format!("spec.names[{i}].pattern"),
                format!("{:?} can match no service's name: use a-z, 0-9, \"-\" and \"*\"", rule.pattern),
            );
        }
        p.at_most(&format!("spec.names[{i}].namespaces"), &rule.namespaces, 64);
        for (j, namespace) in rule.namespaces.iter().enumerate() {
            if !is_namespace(namespace) {
                p.add(&format!("spec.names[{i}].namespaces[{j}]"), format!("{namespace:?} is not a namespace"));
            }
        }
    }
    spec.names
        .iter()
        .map(|rule| NamePattern { pattern: rule.pattern.clone(), namespaces: rule.namespaces.clone() })
        .collect()
}

fn parse_issuer(p: &mut Problems, i: usize, issuer: &Issuer) -> catalog::Issuer {
    let at = |field: &str| format!("spec.issuers[{i}].{field}");
    p.dns_label(&at("name"), &issuer.name);
    p.text(&at("issuer"), &issuer.issuer, 512);
    p.at_most(&at("audiences"), &issuer.audiences, 16);
    for (j, audience) in issuer.audiences.iter().enumerate() {
        p.text(&at(&format!("audiences[{j}]")), audience, 256);
    }
    match (&issuer.audience_claim, issuer.audiences.is_empty()) {
        (None, true) => p.add(
            &at("audiences"),
            "must name at least one audience, or `audienceClaim` what stands in for it: else a token made for another \
             application would be good here",
        ),
        (Some(_), false) => p.add(&at("audienceClaim"), "cannot stand beside `audiences`; remove one of them"),
        (Some(claim), true) => {
            p.text(&at("audienceClaim.name"), &claim.name, 128);
            p.at_most(&at("audienceClaim.values"), &claim.values, 16);
            if claim.values.is_empty() {
                p.add(&at("audienceClaim.values"), "must name at least one value");
            }
        }
        (None, false) => {}
    }
    let (mut symmetric, mut asymmetric) = (false, false);
    for (j, algorithm) in issuer.algorithms.iter().enumerate() {
        let (s, a) = (SYMMETRIC.contains(&algorithm.as_str()), ASYMMETRIC.contains(&algorithm.as_str()));
        symmetric |= s;
        asymmetric |= a;
        if !s && !a {
            p.add(
                &at(&format!("algorithms[{j}]")),
                format!("{algorithm:?} is not among {}, {}", ASYMMETRIC.join(", "), SYMMETRIC.join(", ")),
            );
        }
    }
    if issuer.algorithms.is_empty() {
        p.add(&at("algorithms"), "must name at least one; it is never taken from the token");
    }
    // A public key that is tried as an HMAC secret is a secret that everybody knows.
    if symmetric && asymmetric {
        p.add(&at("algorithms"), "must not mix HMAC (HS…) with the others: a public key could then sign tokens");
    }
    p.at_most(&at("extraRequiredClaims"), &issuer.extra_required_claims, 16);
    for (j, claim) in issuer.extra_required_claims.iter().enumerate() {
        p.text(&at(&format!("extraRequiredClaims[{j}]")), claim, 128);
    }
    let keys = parse_keys(p, &at("keys"), &issuer.keys, symmetric);
    catalog::Issuer {
        name: issuer.name.clone(),
        issuer: issuer.issuer.clone(),
        audiences: issuer.audiences.clone(),
        audience_claim: issuer
            .audience_claim
            .as_ref()
            .map(|c| catalog::AudienceClaim { name: c.name.clone(), values: c.values.clone() }),
        algorithms: issuer.algorithms.clone(),
        keys,
        extra_required_claims: issuer.extra_required_claims.clone(),
    }
}

fn parse_keys(p: &mut Problems, at: &str, keys: &Keys, symmetric: bool) -> catalog::Keys {
    let nothing = catalog::Keys::Inline(Vec::new());
    match keys {
        Keys { jwks_uri: Some(uri), secret_ref: None, inline } if inline.is_empty() => {
            if let Err(message) = check_jwks_uri(uri) {
                p.add(&format!("{at}.jwksUri"), message);
            }
            if symmetric {
                p.add(&format!("{at}.jwksUri"), "HMAC secrets are read from Secrets alone: use `secretRef`");
            }
            catalog::Keys::JwksUri(uri.clone())
        }
        Keys { jwks_uri: None, secret_ref: Some(secret), inline } if inline.is_empty() => {
            p.object_name(&format!("{at}.secretRef.name"), &secret.name);
            let good = (1..=253).contains(&secret.key.len())
                && !matches!(secret.key.as_str(), "." | "..")
                && secret.key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            if !good {
                p.add(&format!("{at}.secretRef.key"), format!("{:?} is not the key of a Secret", secret.key));
            }
            catalog::Keys::Files(vec![catalog::FileKey { kid: None, path: format!("{}/{}", secret.name, secret.key) }])
        }
        Keys { jwks_uri: None, secret_ref: None, inline } if !inline.is_empty() => {
            p.at_most(&format!("{at}.inline"), inline, 16);
            if symmetric {
                p.add(&format!("{at}.inline"), "an HMAC secret must not stand in a resource: use `secretRef`");
            }
            let mut kids = BTreeSet::new();
            for (j, key) in inline.iter().enumerate() {
                let at = format!("{at}.inline[{j}]");
                if let Some(kid) = &key.kid {
                    p.text(&format!("{at}.kid"), kid, 128);
                    if !kids.insert(kid) {
                        p.add(&format!("{at}.kid"), format!("{kid:?} is there twice; key ids must differ"));
                    }
                }
                check_inline(p, &at, key);
            }
            let copy =
                |k: &InlineKey| catalog::InlineKey { kid: k.kid.clone(), pem: k.pem.clone(), jwk: k.jwk.clone() };
            catalog::Keys::Inline(inline.iter().map(copy).collect())
        }
        _ => {
            p.add(at, "must have exactly one of `jwksUri`, `secretRef` and `inline`");
            nothing
        }
    }
}

fn check_inline(p: &mut Problems, at: &str, key: &InlineKey) {
    match (&key.pem, &key.jwk) {
        (Some(pem), None) => {
            if pem.contains("PRIVATE KEY") {
                p.add(
                    &format!("{at}.pem"),
                    "is a private key; put the public one here, and treat this one as known to all",
                );
            } else if pem.len() > 16_384 || !pem.contains("-----BEGIN ") || !pem.contains("PUBLIC KEY-----") {
                p.add(&format!("{at}.pem"), "is not a public key in PEM (\"-----BEGIN PUBLIC KEY-----\")");
            }
        }
        (None, Some(jwk)) => match jwk.get("kty").and_then(|k| k.as_str()) {
            Some("oct") => {
                p.add(&format!("{at}.jwk"), "is a symmetric key, which must not stand in a resource: use `secretRef`");
            }
            Some("RSA" | "EC" | "OKP") if jwk.get("d").is_some() => {
                p.add(
                    &format!("{at}.jwk"),
                    "is a private key; put the public one here, and treat this one as known to all",
                );
            }
            Some("RSA" | "EC" | "OKP") => {}
            _ => p.add(&format!("{at}.jwk"), "needs a `kty` of RSA, EC or OKP"),
        },
        _ => p.add(at, "must have exactly one of `pem` and `jwk`"),
    }
}

pub(super) fn check_services(p: &mut Problems, field: &str, services: &[ServiceRef]) {
    p.at_most(field, services, 32);
    for (i, service) in services.iter().enumerate() {
        if !is_namespace(&service.namespace) {
            p.add(&format!("{field}[{i}].namespace"), format!("{:?} is not a namespace", service.namespace));
        }
        if !is_dns_label(&service.service) {
            p.add(&format!("{field}[{i}].service"), format!("{:?} is not the name of a service", service.service));
        }
    }
}

/// An origin as browsers write it: scheme, host in lower case, port unless it is the scheme's own.
fn check_origin(origin: &str) -> Result<(), String> {
    let example = "write it as browsers do, for example https://play.example.com or http://localhost:8080";
    if matches!(origin, "*" | "null") {
        return Err(format!("{origin:?} would let any site use a player's browser; list the sites"));
    }
    let (scheme, authority) = origin.split_once("://").ok_or_else(|| format!("{origin:?} has no scheme; {example}"))?;
    let good_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_lowercase() || b"+-.".contains(&b));
    let (host, port) = split_port(authority);
    let good_host = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._[]:".contains(&b));
    let good_port = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n != 0));
    if origin.len() > 256 || !good_scheme || !good_host || !good_port {
        return Err(format!("{origin:?} is not an origin; {example}, without a path or a \"/\" at the end"));
    }
    match (scheme, port) {
        ("http", Some("80")) | ("https", Some("443")) => {
            Err(format!("{origin:?} names the port that browsers leave out; remove it"))
        }
        _ => Ok(()),
    }
}

/// https; plain http only to this machine, for tests.
fn check_jwks_uri(uri: &str) -> Result<(), String> {
    if uri.len() > 1024 || uri.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err("is not a URI".to_owned());
    }
    let (scheme, behind) = uri.split_once("://").ok_or("is not a URI; write https://…")?;
    let authority = behind.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, _) = split_port(authority);
    if host.is_empty() || authority.contains('@') {
        return Err(format!("{uri:?} needs a host, and no user before it"));
    }
    match scheme {
        "https" => Ok(()),
        "http" if matches!(host, "127.0.0.1" | "localhost" | "[::1]") => Ok(()),
        _ => Err(format!("{uri:?} must be https: who can change these keys can log in as anybody")),
    }
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        let matches =
            |pattern: &str, name: &str| NamePattern { pattern: pattern.into(), namespaces: Vec::new() }.matches(name);
        assert!(matches("auth", "auth"));
        assert!(!matches("auth", "auth2"));
        assert!(!matches("auth", "aut"));
        assert!(matches("*", "anything"));
        assert!(matches("game-*", "game-eu"));
        assert!(!matches("game-*", "game"));
        assert!(matches("*-admin", "game-admin"));
        assert!(matches("a*b*c", "axxbyyc"));
        assert!(!matches("a*b*c", "axxcyyb"));
        assert!(!matches("a*a", "a"), "one letter cannot be both ends");
    }

    #[test]
    fn origins_are_written_as_browsers_do() {
        for good in ["https://play.example.com", "http://localhost:8080", "http://[::1]:8080", "app+x://host"] {
            assert_eq!(check_origin(good), Ok(()), "{good}");
        }
        for bad in [
            "*",
            "null",
            "play.example.com",
            "https://play.example.com/",
            "https://Play.example.com",
            "https://a:443",
            "http://a:80",
            "https://a:0",
            "https://",
            "https://a b",
        ] {
            assert!(check_origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_fetched_over_https() {
        for good in ["https://id.example.com/jwks", "http://127.0.0.1:7000/jwks", "http://localhost/jwks"] {
            assert_eq!(check_jwks_uri(good), Ok(()), "{good}");
        }
        for bad in [
            "http://id.example.com/jwks",
            "file:///etc/passwd",
            "https://",
            "https://127.0.0.1@evil/",
            "jwks",
            "http://127.0.0.1.evil/",
        ] {
            assert!(check_jwks_uri(bad).is_err(), "{bad}");
        }
    }
}
