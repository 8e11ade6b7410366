//! The catalog that the gateway follows here, and tokens that it accepts.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use bannou_crds::catalog::{
    Admission, Backend, Catalog, Effect, Endpoint, Event, EventInteraction, FORMAT, FileKey, Fleet, InlineKey,
    Interaction, Issuer, Keys, Limits, OnOverflow, PathPart, Payload, Peers, Principal, Service, Tier,
};
use bannou_crds::{Kind, Target};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};

use crate::options::Options;
use crate::process::Server;
use crate::{Result, backend};

pub const SERVICES: usize = 200;
const SECRET: &[u8] = b"a secret of the bench, known to nobody but everybody";
const AUDIENCE: &str = "bench";

pub struct Fixture {
    folder: tempfile::TempDir,
    es256: EncodingKey,
}

/// How a connection says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    Anonymous,
    Hs256,
    Es256,
}

impl Fixture {
    /// # Errors
    /// The folder for temporary files cannot be written.
    pub fn new() -> Result<Fixture> {
        let folder = tempfile::tempdir()?;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| "no key")?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).map_err(|_| "no key")?;
        let catalog = catalog(pair.public_key().as_ref())?;
        std::fs::write(folder.path().join("secret"), SECRET)?;
        std::fs::write(folder.path().join("catalog.json"), serde_json::to_vec(&catalog)?)?;
        Ok(Fixture { folder, es256: EncodingKey::from_ec_der(pkcs8.as_ref()) })
    }

    /// One with so many endpoints more, which no client sees.
    ///
    /// # Errors
    /// As [`Fixture::new`].
    pub(crate) fn large(endpoints: usize) -> Result<Fixture> {
        let fixture = Fixture::new()?;
        let mut catalog = fixture.catalog()?;
        catalog.tiers.insert(1, Tier { name: "other".into(), ..tier("other", Principal::GrantedOnly, &[]) });
        for service in 0..endpoints / 5 {
            let name = format!("unseen{service:05}");
            let mut added = Service { name: name.clone(), endpoints: Vec::new(), ..catalog.services[1].clone() };
            for number in 0..5 {
                let mut endpoint = endpoint(&name, &format!("call{number}"), "/v1/things", Vec::new());
                endpoint.tiers = vec!["other".into()];
                added.endpoints.push(endpoint);
            }
            catalog.services.push(added);
        }
        fixture.write(&catalog)?;
        Ok(fixture)
    }

    fn catalog(&self) -> Result<Catalog> {
        Ok(serde_json::from_slice(&std::fs::read(self.folder.path().join("catalog.json"))?)?)
    }

    fn write(&self, catalog: &Catalog) -> Result<()> {
        let (new, file) = (self.folder.path().join("new"), self.folder.path().join("catalog.json"));
        std::fs::write(&new, serde_json::to_vec(catalog)?)?;
        Ok(std::fs::rename(new, file)?)
    }

    /// One endpoint more, for holders of this tier: `bench.<name>`.
    ///
    /// # Errors
    /// The catalog cannot be read or written.
    pub(crate) fn edit(&self, name: &str, tier: &str) -> Result<()> {
        let mut catalog = self.catalog()?;
        let mut endpoint = endpoint("bench", name, "/v1/things", Vec::new());
        endpoint.tiers = vec![tier.into()];
        let bench = catalog.services.iter_mut().find(|s| s.name == "bench").ok_or("no bench")?;
        bench.endpoints.push(endpoint);
        bench.endpoints.sort_by(|a, b| a.name.cmp(&b.name));
        self.write(&catalog)
    }

    /// Where `catalog.json` is, and the key files that it names.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A fresh gateway process.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) fn gateway(&self, options: &Options) -> Result<Server> {
        self.start(options, &[])
    }

    /// The same on a broker.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) fn gateway_on(&self, options: &Options, broker: &str) -> Result<Server> {
        self.start(options, &["--broker", broker])
    }

    fn start(&self, options: &Options, more: &[&str]) -> Result<Server> {
        let (binary, workers) = (&options.gateway, options.workers);
        std::fs::create_dir_all(&options.out)?;
        let log = std::fs::File::create(options.out.join("gateway.log"))?;

        let (address, admin): (SocketAddr, SocketAddr) = ("127.0.0.1:9002".parse()?, self.admin());
        let mut command = Command::new(binary);
        command
            .arg("--catalog")
            .arg(self.folder.path().join("catalog.json"))
            .arg("--secrets-dir")
            .arg(self.folder.path())
            .args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()])
            .args(["--admin-bind", &admin.ip().to_string(), "--admin-port", &admin.port().to_string()])
            .args(["--internal-port", "0", "--inspect-port", "0"])
            .args(["--worker-threads", &workers.to_string()])
            .args(["--override", &format!("bench=http://{}", backend::ADDRESS)])
            .args(more)
            // Everything as it is by default, so the log too.
            .stdout(log.try_clone()?)
            .stderr(log);
        Server::start("bannou-gateway", &mut command, address, address)
    }

    /// Where every gateway of a run has its operations port.
    pub(crate) fn admin(&self) -> SocketAddr {
        ([127, 0, 0, 1], 9082).into()
    }

    /// A token of its own for each connection: nothing can be had from a cache of verified ones.
    ///
    /// # Errors
    /// Signing failed.
    pub fn token(&self, login: Login, number: usize) -> Result<Option<String>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = |issuer: &str| {
            serde_json::json!({
                "iss": issuer, "aud": AUDIENCE, "sub": format!("player-{number:06}"), "iat": now, "exp": now + 3600,
                "jti": uuid::Uuid::new_v4(), "roles": ["player"],
            })
        };
        let (algorithm, key, issuer) = match login {
            Login::Anonymous => return Ok(None),
            Login::Hs256 => (Algorithm::HS256, &EncodingKey::from_secret(SECRET), "https://hs256.bench/"),
            Login::Es256 => (Algorithm::ES256, &self.es256, "https://es256.bench/"),
        };
        Ok(Some(jsonwebtoken::encode(&Header::new(algorithm), &claims(issuer), key)?))
    }
}

fn catalog(es256_point: &[u8]) -> Result<Catalog> {
    // SEC 1, uncompressed: 04 ‖ x ‖ y.
    let (x, y) = es256_point.get(1..65).ok_or("not a point")?.split_at(32);
    let jwk = serde_json::json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y), "alg": "ES256"});
    let issuer = |name: &str, algorithm: &str, keys: Keys| Issuer {
        name: name.into(),
        issuer: format!("https://{name}.bench/"),
        audiences: vec![AUDIENCE.into()],
        audience_claim: None,
        algorithms: vec![algorithm.into()],
        keys,
        extra_required_claims: Vec::new(),
    };
    Ok(Catalog {
        format: FORMAT,
        fleet: Fleet {
            namespace: "bench".into(),
            name: "default".into(),
            issuers: vec![
                issuer("hs256", "HS256", Keys::Files(vec![FileKey { kid: None, path: "secret".into() }])),
                issuer("es256", "ES256", Keys::Inline(vec![InlineKey { kid: None, pem: None, jwk: Some(jwk) }])),
            ],
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            resume_window_ms: 120_000,
            max_session_age_ms: 86_400_000,
            max_config_age_ms: 86_400_000,
            max_token_life_ms: 86_400_000,
            max_control_age_ms: 300_000,
            managers: Vec::new(),
        },
        tiers: vec![
            tier("anonymous", Principal::Anonymous, &[]),
            tier("player", Principal::Authenticated, &["anonymous"]),
        ],
        services: services(),
    })
}

fn tier(name: &str, principal: Principal, includes: &[&str]) -> Tier {
    Tier {
        name: name.into(),
        includes: includes.iter().map(|&i| i.into()).collect(),
        admission: Admission { principal, issuers: Vec::new(), claims: Vec::new() },
        limits: Limits {
            // Nothing is to be refused here: the relay runs as fast as the machine does.
            requests_per_second: Some(100_000_000),
            burst: Some(100_000_000),
            max_in_flight: Some(32),
            max_connections_per_subject: Some(4),
            max_message_bytes: Some(65_536),
            max_connection_age_ms: None,
            send_queue_bytes: Some(4 * 1024 * 1024),
        },
        peers: Peers::Introduced,
        grantable_by: Vec::new(),
    }
}

/// `bench.introduce`, and 199 that a client merely sees.
fn services() -> Vec<Service> {
    let service = |name: String, endpoint: Endpoint| Service {
        name,
        namespace: "bench".into(),
        backend: Backend::Service { name: "bench".into(), port: 80 },
        max_in_flight: 512,
        breaker: None,
        endpoints: vec![endpoint],
        events: Vec::new(),
        senders: vec!["guest".into()],
    };
    let seen = (1..SERVICES).map(|number| {
        let name = format!("service{number:03}");
        let endpoint = endpoint(&name, "create", "/v1/things", Vec::new());
        service(name, endpoint)
    });
    let mut bench = service("bench".into(), endpoint("bench", "introduce", "/introduce", vec![Effect::Peers]));
    bench.events = vec![event("ask", EventInteraction::Request), event("push", EventInteraction::Push)];
    std::iter::once(bench).chain(seen).collect()
}

fn event(name: &str, interaction: EventInteraction) -> Event {
    Event {
        name: name.into(),
        target: Target::of(Kind::Event, format!("bench.{name}").as_bytes()),
        tiers: vec!["anonymous".into()],
        interaction,
        timeout_ms: 10_000,
        on_overflow: OnOverflow::CloseAndReplay,
        schema: None,
    }
}

fn endpoint(service: &str, name: &str, path: &str, effects: Vec<Effect>) -> Endpoint {
    Endpoint {
        name: name.into(),
        target: Target::of(Kind::Endpoint, format!("{service}.{name}").as_bytes()),
        path: vec![PathPart::Text(path.into())],
        method: "POST".into(),
        payload: Payload::Body,
        tiers: vec!["anonymous".into()],
        timeout_ms: 10_000,
        max_request_bytes: 65_536,
        max_response_bytes: 65_536,
        interaction: Interaction::Request,
        idempotent: false,
        effects,
        forward_authorization: false,
        rate_limit: None,
        content_type: "application/json".into(),
        schema: None,
        deprecated: None,
    }
}
