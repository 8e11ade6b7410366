//! The wiring: the only place that knows every room.

mod admin;
mod catalog;
mod connect;
mod drain;
pub(crate) mod listen;
mod offline;
mod source;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::net::TcpListener;

use crate::auth::{JwksCache, Secrets};
use crate::bus::contract::ReplyAllow;
use crate::bus::local::LocalBroker;
use crate::bus::{Bus, Slot};
use crate::certificate::Certificate;
use crate::forward::{self, Forwarder};
use crate::inspect;
use crate::internal;
use crate::keyring::Keyring;
use crate::metrics::Metrics;
use crate::shared::{Configuration, Fleet, Shared, Timing};

pub use catalog::{Rejected, follow_file, read_file};
pub use offline::{fits, offline};
pub use source::Source;

/// Everything that one gateway can be told at its start.
pub struct Options {
    pub client_addr: SocketAddr,
    pub admin_addr: SocketAddr,
    /// Where clients upgrade.
    pub connect_path: String,
    pub keyring: Arc<Keyring>,
    /// What makes the client port speak TLS.
    pub tls: Option<Certificate>,
    /// Served on the client port beside `connect_path`.
    pub extra_routes: axum::Router,
    /// Allowed beside those of the fleet.
    pub extra_origins: Vec<String>,
    pub forward: forward::Config,
    /// Where key files are.
    pub secrets: Secrets,
    pub max_connections: usize,
    /// How long clients are given to leave after SIGTERM.
    pub drain: Duration,
    pub timing: Timing,
    /// The way in for services.
    pub bus: Arc<dyn Bus>,
    /// Where answers to services may go.
    pub reply_allow: ReplyAllow,
    pub internal: internal::Options,
    /// Of the inspect port, on 127.0.0.1; 0 takes a free one. `None`: there is none.
    pub inspect_port: Option<u16>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            client_addr: ([127, 0, 0, 1], 8080).into(),
            admin_addr: ([127, 0, 0, 1], 9080).into(),
            connect_path: "/connect".to_owned(),
            keyring: Arc::new(Keyring::random()),
            tls: None,
            extra_routes: axum::Router::new(),
            extra_origins: Vec::new(),
            forward: forward::Config::default(),
            secrets: Secrets::Dir(PathBuf::from(".")),
            max_connections: 100_000,
            drain: Duration::from_secs(5),
            timing: Timing::default(),
            bus: LocalBroker::default().bus(Slot::random(), "bannou-gateway"),
            reply_allow: ReplyAllow::default(),
            internal: internal::Options::default(),
            inspect_port: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {addr} for {what}: {error}. {advice}", advice = advice(.error, .what))]
    Listen { what: &'static str, addr: SocketAddr, error: io::Error },
    #[error("the catalog cannot be used: {0}")]
    Catalog(#[from] Rejected),
    #[error("the way to the services cannot be set up: {0}")]
    Forward(#[from] forward::ConfigError),
    #[error("the connect path {0:?} must start with / and hold no {{, }} or *")]
    ConnectPath(String),
}

/// Others took this gateway for dead, and nobody comes back to its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this gateway was stopped, or cut off from the broker, for so long that another one has closed its log: start it anew"
)]
pub struct Deposed;

fn advice(error: &io::Error, what: &str) -> String {
    let flag = match what {
        "clients" => "--port",
        "services" => "--internal-port",
        "the command line" => "--inspect-port",
        _ => "--admin-port",
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("Another program has that port: stop it, or choose another with {flag}"),
        io::ErrorKind::PermissionDenied => format!("Ports under 1024 need a privilege: choose another with {flag}"),
        _ => format!("Choose another address or port ({flag})"),
    }
}

/// What the tasks of one gateway need beyond [`Shared`].
pub(crate) struct Door {
    pub shared: Arc<Shared>,
    pub extra_origins: Vec<String>,
    pub max_connections: usize,
    pub draining: AtomicBool,
}

/// Everything that [`build`] checks, without listening.
///
/// # Errors
/// As [`build`].
pub fn check(options: Options, source: impl Into<Source>) -> Result<(), StartError> {
    // A check asks nobody: keys behind URLs are fetched by those who serve, and operators dialled.
    prepare(options.forward, options.secrets, source.into(), JwksCache::offline()).map(drop)
}

fn prepare(
    forward: forward::Config,
    secrets: Secrets,
    source: Source,
    jwks: Arc<JwksCache>,
) -> Result<(Arc<Forwarder>, source::Prepared), StartError> {
    // Whoever embeds the gateway may have chosen the same one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let forwarder = Arc::new(Forwarder::new(forward)?);
    let maker = Arc::new(catalog::Maker::new(secrets, jwks, forwarder.clone()));
    Ok((forwarder, source.prepare(maker)?))
}

/// A gateway that listens already and does not serve yet.
pub struct Bound {
    door: Arc<Door>,
    clients: TcpListener,
    admin: TcpListener,
    internal: (TcpListener, internal::Access),
    inspect: Option<(TcpListener, SocketAddr)>,
    client_addr: SocketAddr,
    admin_addr: SocketAddr,
    internal_addr: SocketAddr,
    router: axum::Router,
    tls: Option<Certificate>,
    drain: Duration,
    follow: source::Follow,
}

/// Binds every listener and compiles the first catalog, where there is one already; nothing is served before [`Bound::run`].
///
/// Needs a tokio runtime around it: the listeners belong to one.
///
/// # Errors
/// A sentence that says what to do.
#[expect(clippy::unused_async, reason = "what binds to a runtime must be called inside one")]
pub async fn build(options: Options, source: impl Into<Source>) -> Result<Bound, StartError> {
    let Options {
        client_addr,
        admin_addr,
        connect_path,
        keyring,
        tls,
        extra_routes,
        extra_origins,
        forward,
        secrets,
        max_connections,
        drain,
        timing,
        bus,
        reply_allow,
        internal,
        inspect_port,
    } = options;
    if !connect_path.starts_with('/') || connect_path.contains(['{', '}', '*']) {
        return Err(StartError::ConnectPath(connect_path));
    }
    let jwks = JwksCache::new().map_err(Rejected::from)?;
    let mut metrics = Metrics::default();
    metrics.registry.register_collector(Box::new(jwks.clone()));
    bus.register(&mut metrics.registry);
    let (forwarder, source::Prepared { snapshot, follow }) = prepare(forward, secrets, source.into(), jwks)?;
    if let Some(operator) = follow.operator() {
        operator.register(&mut metrics.registry);
    }
    let metrics = Arc::new(metrics);
    let (clients, client_addr) = listen("clients", client_addr)?;
    let (admin, admin_addr) = listen("operations", admin_addr)?;
    let (services, internal_addr) = listen("services", internal.addr)?;
    let inspect =
        inspect_port.map(|port| listen("the command line", (Ipv4Addr::LOCALHOST, port).into())).transpose()?;
    // A start and an end for each session that is there, and as many again.
    let events = max_connections.saturating_mul(4);
    let fleet = Fleet::new(bus, reply_allow, internal_addr.to_string(), timing.beat, metrics.fleet.clone(), events);
    let config = Configuration { snapshot, operator: follow.operator().cloned() };
    let shared = Arc::new(Shared::new(keyring, metrics, config, forwarder, timing, fleet, max_connections));
    if !shared.awaits_catalog() {
        shared.metrics.catalog_applied.inc();
    }
    let door = Arc::new(Door { shared, extra_origins, max_connections, draining: AtomicBool::new(false) });
    let router = connect::router(&door, &connect_path).merge(extra_routes);
    let internal = (services, internal.access);
    Ok(Bound {
        door,
        clients,
        admin,
        internal,
        inspect,
        client_addr,
        admin_addr,
        internal_addr,
        router,
        tls,
        drain,
        follow,
    })
}

fn listen(what: &'static str, addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = listen::bind(addr).and_then(|l| l.local_addr().map(|a| (l, a)));
    bound.map_err(|error| StartError::Listen { what, addr, error })
}

impl Bound {
    pub fn client_addr(&self) -> SocketAddr {
        self.client_addr
    }

    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Where services speak over HTTP.
    pub fn internal_addr(&self) -> SocketAddr {
        self.internal_addr
    }

    /// Where the command line asks.
    pub fn inspect_addr(&self) -> Option<SocketAddr> {
        self.inspect.as_ref().map(|(_, addr)| *addr)
    }

    /// Tells what the way in for services still waits for, a line each, whenever it is asked while this runs.
    pub fn awaiting(&self) -> impl Fn() -> Vec<String> + use<> {
        let door = self.door.clone();
        move || door.shared.desk.awaiting()
    }

    /// Counts catalogs that were refused, for whoever reads them.
    pub fn rejected(&self) -> Counter {
        self.door.shared.metrics.catalog_rejected.clone()
    }

    /// Serves until `shutdown` is ready, then lets clients leave and ends.
    ///
    /// # Errors
    /// Another gateway has closed everything of this one: it must be started anew.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Deposed> {
        let Bound { door, clients, admin, internal: (services, access), inspect, router, tls, drain, follow, .. } =
            self;
        // Before anybody is admitted: a saved catalog may be older than it may count in full.
        door.shared.sweep();
        let bus = tokio::spawn(door.shared.clone().serve_bus());
        let sweeper = tokio::spawn(sweep(door.shared.clone()));
        let shared = door.shared.clone();
        let spreading = tokio::spawn(async move { shared.spread().await });
        let follower = tokio::spawn(follow.run(door.shared.clone()));
        let keyring = door.shared.keyring.clone();
        let keys = tokio::spawn(async move { keyring.follow().await });
        let config = tls.as_ref().map(Certificate::server_config);
        let certificate = tokio::spawn(async move {
            if let Some(certificate) = tls {
                certificate.follow().await;
            }
        });
        let operations = tokio::spawn(admin::serve(admin, door.clone()));
        let known = internal::Known { alive: door.shared.alive.clone(), directory: door.shared.directory.clone() };
        let speaking = tokio::spawn(internal::serve(services, door.shared.clone(), access, Arc::new(known)));
        let asked = door.clone();
        let inspecting = tokio::spawn(async move {
            if let Some((listener, _)) = inspect {
                inspect::serve(listener, asked.shared.clone(), move || asked.draining.load(Ordering::Relaxed)).await;
            }
        });
        let accepting = tokio::spawn(listen::serve(clients, config, router, listen::HEADERS_WITHIN));
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            () = door.shared.alive.deposed() => Err(Deposed),
        };
        if ended.is_ok() {
            drain::leave(&door, drain, accepting).await;
            door.shared.end_sessions().await;
        } else {
            // Before they are asked to leave: theirs is another close.
            door.shared.desk.depose(&door.shared);
            drain::leave(&door, Duration::ZERO, accepting).await;
        }
        for task in [sweeper, spreading, follower, keys, certificate, operations, speaking, inspecting, bus] {
            task.abort();
        }
        ended
    }
}

/// One clock for all timers of all sessions.
async fn sweep(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(Duration::from_millis(250));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        shared.sweep();
    }
}
