//! The parts of a process, put together. The only place that knows everybody.

pub mod replica;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::client::ClientBuilder;
use kube::{Api, Client, Config};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::rustls;

use self::replica::Voice;
use crate::admin::{self, Admin};
use crate::config::Args;
use crate::controller::{Gateways, Options};
use crate::keys::serve::Names;
use crate::keys::{self, Trouble, object};
use crate::lease::{Settings, identity};
use crate::metrics::{Meters, View};
use crate::push::identity::Expected;
use crate::push::{self, Push, Registry};
use crate::tls::given::Given;
use crate::tls::{self, Serving};

/// Without a word from the API server for so long, a request has failed. Longer than a watch lasts.
const PATIENCE: Duration = Duration::from_secs(75);

/// Until the API server is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// Until the API server takes a connection.
const CONNECT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no API server is known: {0}; run in a Pod with a ServiceAccount, or set KUBECONFIG")]
    NoApiServer(kube::config::InferConfigError),
    #[error("the API server at {url} cannot be used: {error}")]
    Client { url: String, error: kube::Error },
    #[error("cannot listen on {flag} {address}: {error}")]
    Listen { flag: &'static str, address: SocketAddr, error: io::Error },
    #[error("--tls-cert and --tls-key: {0}")]
    Given(String),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A process that listens and does nothing yet.
pub struct Bound {
    client: Client,
    args: Args,
    meters: Meters,
    push: TcpListener,
    admin: TcpListener,
    addresses: (SocketAddr, SocketAddr),
    given: Option<Given>,
    serving: Arc<Serving>,
}

/// Reads, checks and listens.
///
/// # Errors
/// The first thing without which there is no operator.
pub async fn bind(args: Args) -> Result<Bound, Error> {
    let meters = Meters::default();
    let client = client(&meters).await?;
    let serving = Arc::new(Serving::default());
    let given = args.tls_cert.clone().zip(args.tls_key.clone());
    let given = given.map(|(certificate, key)| Given { certificate, key });
    if let Some(given) = &given {
        serving.exchange(given.read().map_err(Error::Given)?);
    }
    let (push, push_addr) = listen("--push-bind", args.push()).await?;
    let (admin, admin_addr) = listen("--admin-bind", args.admin()).await?;
    Ok(Bound { client, args, meters, push, admin, addresses: (push_addr, admin_addr), given, serving })
}

async fn client(meters: &Meters) -> Result<Client, Error> {
    let mut config = Config::infer().await.map_err(Error::NoApiServer)?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(PATIENCE);
    config.reset_reader_on_write = true;
    let url = config.cluster_url.to_string();
    let builder = ClientBuilder::try_from(config).map_err(|error| Error::Client { url, error })?;
    Ok(builder.with_layer(&meters.layer()).build())
}

async fn listen(flag: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |error| Error::Listen { flag, address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl Bound {
    pub fn push_addr(&self) -> SocketAddr {
        self.addresses.0
    }

    pub fn admin_addr(&self) -> SocketAddr {
        self.addresses.1
    }

    /// Until `stop` is true or dropped.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let Bound { client, args, meters, push, admin, addresses, given, serving } = self;
        let address = args.pod_ip.map(|ip| SocketAddr::new(ip, addresses.0.port()));
        let identity = identity(&args.pod_name, address);
        let options = Options {
            default_fleet_namespace: args.default_fleet.clone(),
            meters: meters.clone(),
            ..Options::default()
        };
        let voice = Voice::default();
        let (role, output) = (voice.role.subscribe(), voice.output.subscribe());
        let (registry, gateways) = watch::channel(Gateways::new());
        let view = View { role: role.clone(), output: output.clone(), gateways: gateways.clone() };
        let server = tls::server(serving.clone()).expect("the provider has what TLS 1.2 and 1.3 need");
        let link = Push {
            client: client.clone(),
            expected: Expected {
                audience: args.audience.clone(),
                service_account: args.gateway_service_account.clone(),
            },
            output,
            role: role.clone(),
            registry: Registry::new(registry),
            meters: meters.clone(),
        };
        let mut beside = JoinSet::new();
        let (lacks, lacking) = watch::channel("the API server was not asked yet".to_owned());
        let registry = meters.registry(view);
        beside.spawn(admin::serve(admin, Admin { registry, role, serving: serving.clone(), lacking }));
        beside.spawn(push::serve(push, server, link));
        let own = given.is_none();
        match given {
            Some(given) => beside.spawn(given.follow(serving)),
            None => {
                let (namespace, dns, period) = (args.namespace.clone(), args.names(), args.ca_rotation);
                beside.spawn(keys::serve::follow(client.clone(), Names { namespace, dns, period }, serving, lacks))
            }
        };
        let owner = tokio::select! {
            owner = deployment(&client, &args) => owner,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let mut settings = Settings::new(&args.namespace, &args.lease, &identity).lasting(args.lease_seconds);
        settings.owner.clone_from(&owner);
        settings.meters = meters;
        let keys = keys::Settings {
            namespace: args.namespace.clone(),
            owner,
            fleet_key_rotation: args.fleet_key_rotation,
            ca_rotation: own.then_some(args.ca_rotation),
        };
        replica::run(client, settings, options, Some(keys), gateways, voice, stop).await;
    }
}

/// The Deployment that was named, once the API server says something about it. Without it the operator runs as well, and leaves behind what
/// it makes.
async fn deployment(client: &Client, args: &Args) -> Option<OwnerReference> {
    let name = args.deployment.as_deref()?;
    let api: Api<Deployment> = Api::namespaced(client.clone(), &args.namespace);
    let what = format!("Deployment {}/{name}", args.namespace);
    loop {
        match object::asked(&what, api.get_metadata_opt(name)).await {
            Ok(Some(found)) => return Some(keys::owner::<Deployment>(name, found.metadata.uid?)),
            Ok(None) => {
                tracing::warn!(what, "is not there, so nothing that the operator makes is owned by it");
                return None;
            }
            Err(trouble @ Trouble::Forbidden(_)) => {
                tracing::warn!(why = trouble.why(), "nothing that the operator makes is owned by its Deployment");
                return None;
            }
            Err(trouble) => tracing::warn!(why = trouble.why(), "the operator's own Deployment cannot be read"),
        }
        sleep(AGAIN).await;
    }
}
