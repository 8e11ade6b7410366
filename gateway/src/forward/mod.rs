//! The exits of a client's request: through the Dapr sidecar, or straight to an HTTP service.
//!
//! A route is compiled once per endpoint and catalog. A call is prepared (checked, built; pure) and then sent:
//! `route.prepare(&caller, payload)?` and `forwarder.call(call).await?`. Dropping the future, or the answer's body, closes
//! the connection, and so reaches the service.

mod breaker;
mod caller;
mod dapr;
mod effects;
mod error;
mod http;
mod path;
mod route;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::http::uri::{Authority, Scheme};
use ::http::{HeaderValue, Request, Uri};
use bannou_crds::Target;
use bannou_crds::catalog::{Backend, Catalog, Endpoint, Service};
use parking_lot::Mutex;

pub use self::caller::{Caller, RequestId};
pub use self::effects::{Dropped, EffectHeader, Secret};
pub use self::error::{CallError, ConfigError, NotReady, RouteError};
pub use self::http::{Answer, Body};
pub use self::path::MAX_QUERY;
pub use self::route::{Call, Route};

use self::http::{Http, Outgoing, Shared};
use self::path::Via;
use self::route::Exit;

/// How long an unused connection to a service is kept: less than the five seconds after which common servers close it.
const DIRECT_IDLE: Duration = Duration::from_secs(4);
/// daprd closes none.
const SIDECAR_IDLE: Duration = Duration::from_secs(60);
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Where backends are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The sidecar, `http://127.0.0.1:3500`. `None`: Dapr backends without an override answer 502.
    pub dapr_http: Option<Uri>,
    /// daprd's `DAPR_API_TOKEN`.
    pub dapr_api_token: Option<Secret>,
    /// Backends at known addresses: app-id, Kubernetes Service or catalog name, or `namespace/name` of one, to
    /// `http://host:port[/base]`.
    pub overrides: BTreeMap<String, Uri>,
    /// Service backends are `http://{name}.{namespace}.svc.{cluster_domain}:{port}`.
    pub cluster_domain: String,
    pub connect_timeout: Duration,
    /// Unused connections kept per backend; in use are at most a service's `max_in_flight`.
    pub max_idle_per_host: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dapr_http: None,
            dapr_api_token: None,
            overrides: BTreeMap::new(),
            cluster_domain: "cluster.local".into(),
            connect_timeout: Duration::from_secs(2),
            max_idle_per_host: 64,
        }
    }
}

/// Services by namespace and name.
type Services = HashMap<(String, String), Weak<Shared>>;

/// The way out to services. One per process.
pub struct Forwarder {
    sidecar: Option<(Authority, Option<HeaderValue>)>,
    overrides: BTreeMap<String, (Authority, String)>,
    cluster_domain: String,
    direct: Http,
    through_sidecar: Http,
    services: Mutex<Services>,
}

impl Forwarder {
    /// # Errors
    /// An address that is not `http://host:port`, a token that is no header value.
    pub fn new(config: Config) -> Result<Forwarder, ConfigError> {
        let direct = http::client(&config, DIRECT_IDLE);
        let through_sidecar = http::client(&config, SIDECAR_IDLE);
        let Config { dapr_http, dapr_api_token, overrides, cluster_domain, connect_timeout: _, max_idle_per_host: _ } =
            config;
        let token = dapr_api_token.filter(|token| !token.expose().is_empty()).map(|token| {
            let mut value = HeaderValue::from_str(token.expose()).map_err(|_| ConfigError::Token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let token = token.transpose()?;
        let sidecar = dapr_http.map(|uri| address(&uri)).transpose()?.map(|(authority, _)| (authority, token));
        let overrides = overrides.into_iter().map(|(name, uri)| Ok((name, address(&uri)?)));
        let overrides = overrides.collect::<Result<_, ConfigError>>()?;
        if authority(&format!("x.{cluster_domain}:80")).is_none() {
            return Err(ConfigError::Domain { domain: cluster_domain });
        }
        let services = Mutex::default();
        Ok(Forwarder { sidecar, overrides, cluster_domain, direct, through_sidecar, services })
    }

    /// Whether requests can leave: the sidecar's outbound health, or at once without one.
    ///
    /// # Errors
    /// The sidecar cannot be reached, or says no.
    pub async fn ready(&self) -> Result<(), NotReady> {
        let Some((authority, _)) = &self.sidecar else { return Ok(()) };
        let request = Request::get(format!("http://{authority}/v1.0/healthz/outbound"))
            .header(::http::header::HOST, authority.as_str())
            .body(Outgoing::empty())
            .map_err(|_| NotReady::SidecarUnreachable)?;
        match tokio::time::timeout(READY_TIMEOUT, self.through_sidecar.request(request)).await {
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(NotReady::SidecarNotReady(response.status().as_u16())),
            Ok(Err(_)) | Err(_) => Err(NotReady::SidecarUnreachable),
        }
    }

    /// Compiles every endpoint. Services that were there before keep their breaker and their count of requests in flight.
    /// What cannot be compiled is left out and reported.
    pub fn routes(&self, catalog: &Catalog) -> (Vec<(Target, Arc<Route>)>, Vec<RouteError>) {
        let mut routes = Vec::new();
        let mut errors = Vec::new();
        for service in &catalog.services {
            for endpoint in &service.endpoints {
                match self.compile(service, endpoint) {
                    Ok(route) => routes.push((endpoint.target, route)),
                    Err(error) => errors.push(error),
                }
            }
        }
        (routes, errors)
    }

    /// # Errors
    /// What a catalog can hold and a request cannot: see [`RouteError`].
    pub fn compile(&self, service: &Service, endpoint: &Endpoint) -> Result<Arc<Route>, RouteError> {
        let exit = self.exit(service).map_err(|what| RouteError {
            service: service.name.clone(),
            endpoint: endpoint.name.clone(),
            what,
        })?;
        Route::new(service, endpoint, exit, self.shared(service)).map(Arc::new)
    }

    /// Sends a prepared call and waits for the head of its answer (of a `Stream`, for its first byte).
    ///
    /// # Errors
    /// The 5xx ones of [`CallError`], and 413 when the sidecar finds something too large. A service's own status, whatever
    /// it is, is an [`Answer`].
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let http = match call.route().via {
            Via::Direct => &self.direct,
            Via::Dapr => &self.through_sidecar,
        };
        http::call(http, call).await
    }

    fn exit(&self, service: &Service) -> Result<Exit, String> {
        let backend = match &service.backend {
            Backend::Dapr { app_id } => app_id,
            Backend::Service { name, .. } => name,
        };
        for name in [backend, &service.name] {
            let within = format!("{}/{name}", service.namespace);
            if let Some((authority, base)) = self.overrides.get(&within).or_else(|| self.overrides.get(name)) {
                return Ok(Exit::Direct { authority: authority.clone(), base: base.clone() });
            }
        }
        // These become parts of a URL: a hand-written catalog must not lead it elsewhere.
        let label = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if backend.is_empty() || !label(backend) || !label(&service.namespace) {
            return Err("app-id, Service and namespace are letters, digits and hyphens".into());
        }
        match &service.backend {
            Backend::Service { name, port } => {
                let host = format!("{name}.{}.svc.{}:{port}", service.namespace, self.cluster_domain);
                let authority = authority(&host).ok_or_else(|| format!("{host} is no address"))?;
                Ok(Exit::Direct { authority, base: String::new() })
            }
            Backend::Dapr { app_id } => Ok(match &self.sidecar {
                None => Exit::Nowhere,
                Some((authority, api_token)) => Exit::Dapr {
                    authority: authority.clone(),
                    api_token: api_token.clone(),
                    app: if service.namespace.is_empty() {
                        app_id.clone()
                    } else {
                        format!("{app_id}.{}", service.namespace)
                    },
                },
            }),
        }
    }

    fn shared(&self, service: &Service) -> Arc<Shared> {
        let mut services = self.services.lock();
        let key = (service.namespace.clone(), service.name.clone());
        if let Some(shared) = services.get(&key).and_then(Weak::upgrade) {
            return shared;
        }
        services.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(Shared::default());
        services.insert(key, Arc::downgrade(&shared));
        shared
    }
}

fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    (!authority.host().is_empty() && !text.contains('@')).then_some(authority)
}

/// Authority and base path, without a slash at its end.
fn address(uri: &Uri) -> Result<(Authority, String), ConfigError> {
    let wrong = || ConfigError::Address { url: uri.to_string() };
    let found = uri.authority().and_then(|a| authority(a.as_str())).ok_or_else(wrong)?;
    if uri.scheme() != Some(&Scheme::HTTP) || uri.query().is_some() {
        return Err(wrong());
    }
    Ok((found, uri.path().trim_end_matches('/').to_owned()))
}
