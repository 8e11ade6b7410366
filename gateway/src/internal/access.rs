//! Who may speak for which service over HTTP. Pure; by default nobody.
//!
//! Two ways to be known: as a Dapr app, by what its sidecar says of it, which counts only together with the app token that
//! the gateway's own sidecar sends and only from this machine; or by a token of one's own.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};
use bannou_crds::catalog::{Backend, Service};
use sha2::{Digest as _, Sha256};

/// SHA-256 of a token: what is compared, so that neither time nor a log says anything about one.
pub type Digest = [u8; 32];

pub fn digest(token: &[u8]) -> Digest {
    Sha256::digest(token).into()
}

const APP_TOKEN: HeaderName = HeaderName::from_static("dapr-api-token");
const CALLER_APP: HeaderName = HeaderName::from_static("dapr-caller-app-id");
const CALLER_NAMESPACE: HeaderName = HeaderName::from_static("dapr-caller-namespace");

/// For which services a token speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Services {
    All,
    These(Arc<[String]>),
}

/// Who is let in. Empty: nobody.
#[derive(Clone, Default)]
pub struct Access {
    app_token: Option<Digest>,
    tokens: Vec<(Digest, Services)>,
}

/// Whoever has shown who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    App { id: String, namespace: String },
    Token(Services),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error(
        "nobody may speak here yet: give the gateway --internal-tokens FILE (tokens bound to services), or \
         --dapr-app-token-file FILE (the APP_API_TOKEN of its sidecar) so that Dapr apps can call it"
    )]
    Closed,
    #[error("say who calls: an Authorization: Bearer token, or through the gateway's Dapr sidecar")]
    Nobody,
    #[error("the bearer token is not one of those that may speak here")]
    Token,
    #[error("there must be exactly one Authorization header, and it must be a Bearer token")]
    Authorization,
    #[error("the app token (dapr-api-token) is missing or wrong: only the gateway's own sidecar knows it")]
    AppToken,
    #[error("Dapr apps are known only on loopback, from the gateway's own sidecar")]
    Elsewhere,
    #[error("there must be exactly one dapr-caller-app-id and one dapr-caller-namespace")]
    CallerHeaders,
}

impl Unknown {
    /// A word for logs and metric labels.
    pub fn reason(self) -> &'static str {
        match self {
            Unknown::Closed => "closed",
            Unknown::Nobody => "nobody",
            Unknown::Token => "token",
            Unknown::Authorization => "authorization",
            Unknown::AppToken => "app_token",
            Unknown::Elsewhere => "elsewhere",
            Unknown::CallerHeaders => "caller_headers",
        }
    }
}

impl Access {
    /// Lets Dapr apps in, for the exposures whose backend they are.
    #[must_use]
    pub fn with_app_token(mut self, token: Digest) -> Access {
        self.app_token = Some(token);
        self
    }

    #[must_use]
    pub fn with_token(mut self, token: Digest, services: Services) -> Access {
        self.tokens.push((token, services));
        self
    }

    /// Who calls. A token, where one is sent, decides alone; what a sidecar says counts otherwise.
    ///
    /// # Errors
    /// What to do about it.
    pub fn caller(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Caller, Unknown> {
        if self.app_token.is_none() && self.tokens.is_empty() {
            return Err(Unknown::Closed);
        }
        if headers.contains_key(AUTHORIZATION) {
            return self.bearer(headers);
        }
        if ![APP_TOKEN, CALLER_APP, CALLER_NAMESPACE].iter().any(|name| headers.contains_key(name)) {
            return Err(Unknown::Nobody);
        }
        let (Some(expected), Some(given)) = (&self.app_token, only(headers, &APP_TOKEN)) else {
            return Err(Unknown::AppToken);
        };
        if !same(expected, &digest(given.as_bytes())) {
            return Err(Unknown::AppToken);
        }
        if !peer.to_canonical().is_loopback() {
            return Err(Unknown::Elsewhere);
        }
        match (only(headers, &CALLER_APP), only(headers, &CALLER_NAMESPACE)) {
            (Some(id), Some(namespace)) => Ok(Caller::App { id: id.to_owned(), namespace: namespace.to_owned() }),
            _ => Err(Unknown::CallerHeaders),
        }
    }

    fn bearer(&self, headers: &HeaderMap) -> Result<Caller, Unknown> {
        let (scheme, token) =
            only(headers, &AUTHORIZATION).and_then(|v| v.split_once(' ')).ok_or(Unknown::Authorization)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unknown::Authorization);
        }
        let given = digest(token.trim().as_bytes());
        // All of them, whatever the first ones say: the time tells nothing.
        let found = self.tokens.iter().fold(
            None,
            |found, (token, services)| {
                if same(token, &given) { Some(services) } else { found }
            },
        );
        found.map(|services| Caller::Token(services.clone())).ok_or(Unknown::Token)
    }
}

/// The value of a header that is there exactly once, and not empty.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok().filter(|v| !v.is_empty())?;
    values.next().is_none().then_some(value)
}

fn same(a: &Digest, b: &Digest) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

impl Caller {
    /// Whether this one may speak under this service's name.
    pub fn speaks_for(&self, service: &Service) -> bool {
        match self {
            Caller::App { id, namespace } => {
                matches!(&service.backend, Backend::Dapr { app_id } if app_id == id) && service.namespace == *namespace
            }
            Caller::Token(Services::All) => true,
            Caller::Token(Services::These(names)) => names.contains(&service.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn open() -> Access {
        let these = Services::These(["game".to_owned()].into());
        Access::default().with_app_token(digest(b"app")).with_token(digest(b"t0ken"), these)
    }

    const DAPR: [(&str, &str); 3] =
        [("dapr-api-token", "app"), ("dapr-caller-app-id", "shop"), ("dapr-caller-namespace", "prod")];

    fn service(name: &str, namespace: &str, backend: &serde_json::Value) -> Service {
        serde_json::from_value(serde_json::json!({
            "name": name, "namespace": namespace, "backend": backend, "max_in_flight": 1, "endpoints": [], "events": [],
        }))
        .unwrap()
    }

    #[test]
    fn by_default_nobody_is_let_in() {
        let none = Access::default();
        for headers in [headers(&[]), headers(&DAPR), headers(&[("authorization", "Bearer x")])] {
            assert_eq!(none.caller(&headers, HERE), Err(Unknown::Closed));
        }
    }

    #[test]
    fn a_dapr_app_is_known_by_all_three_headers_once_each_and_from_here_alone() {
        let app = Caller::App { id: "shop".into(), namespace: "prod".into() };
        assert_eq!(open().caller(&headers(&DAPR), HERE), Ok(app.clone()));
        assert_eq!(open().caller(&headers(&DAPR), "::ffff:127.0.0.1".parse().unwrap()), Ok(app));
        assert_eq!(open().caller(&headers(&DAPR), "10.0.0.7".parse().unwrap()), Err(Unknown::Elsewhere));
        let refused = |pairs: &[(&'static str, &str)]| open().caller(&headers(pairs), HERE).unwrap_err();
        assert_eq!(refused(&[]), Unknown::Nobody);
        assert_eq!(refused(&DAPR[1..]), Unknown::AppToken, "whoever reaches the port can write the other two");
        assert_eq!(refused(&[("dapr-api-token", "ap"), DAPR[1], DAPR[2]]), Unknown::AppToken);
        assert_eq!(refused(&[DAPR[0], DAPR[0], DAPR[1], DAPR[2]]), Unknown::AppToken);
        assert_eq!(refused(&DAPR[..2]), Unknown::CallerHeaders);
        for twice in [1, 2] {
            let pairs: Vec<_> = DAPR.into_iter().chain([(DAPR[twice].0, "other")]).collect();
            assert_eq!(refused(&pairs), Unknown::CallerHeaders);
        }
        let only_tokens = Access::default().with_token(digest(b"t0ken"), Services::All);
        assert_eq!(only_tokens.caller(&headers(&DAPR), HERE), Err(Unknown::AppToken));
    }

    #[test]
    fn a_bearer_token_decides_alone() {
        let bearer = |value: &str| open().caller(&headers(&[("authorization", value)]), "10.0.0.7".parse().unwrap());
        let game = Caller::Token(Services::These(["game".to_owned()].into()));
        assert_eq!(bearer("Bearer t0ken"), Ok(game.clone()));
        assert_eq!(bearer("bearer t0ken"), Ok(game));
        assert_eq!(bearer("Bearer t0ke"), Err(Unknown::Token));
        assert_eq!(bearer("Bearer app"), Err(Unknown::Token));
        assert_eq!(bearer("Basic t0ken"), Err(Unknown::Authorization));
        let both: Vec<_> = DAPR.into_iter().chain([("authorization", "Bearer wrong")]).collect();
        assert_eq!(open().caller(&headers(&both), HERE), Err(Unknown::Token));
        let two = [("authorization", "Bearer t0ken"), ("authorization", "Bearer t0ken")];
        assert_eq!(open().caller(&headers(&two), HERE), Err(Unknown::Authorization));
    }

    #[test]
    fn each_speaks_for_what_is_theirs() {
        let shop = service("store", "prod", &serde_json::json!({"dapr": {"app_id": "shop"}}));
        let elsewhere = service("store", "test", &serde_json::json!({"dapr": {"app_id": "shop"}}));
        let other = service("shop", "prod", &serde_json::json!({"dapr": {"app_id": "store"}}));
        let plain = service("game", "prod", &serde_json::json!({"service": {"name": "shop", "port": 80}}));
        let app = Caller::App { id: "shop".into(), namespace: "prod".into() };
        assert_eq!([&shop, &elsewhere, &other, &plain].map(|s| app.speaks_for(s)), [true, false, false, false]);
        let token = Caller::Token(Services::These(["game".to_owned()].into()));
        assert_eq!([&shop, &plain].map(|s| token.speaks_for(s)), [false, true]);
        assert!(Caller::Token(Services::All).speaks_for(&shop));
    }
}
