//! What commands ask a cluster: its resources of the API server, and its gateways through a port-forward, or straight by a URL.

pub mod findings;
pub mod gateways;
mod http;
pub mod operator;
pub mod outside;
pub mod resources;

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::trouble::Trouble;

/// Until an address answers.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Of one answer of the API server.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Which cluster, as kubectl is told.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct Where {
    /// The kubeconfig. [default: $KUBECONFIG, ~/.kube/config, or the Pod's own account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context to use.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The namespace that is meant: of the fleet, or of the workload. [default: every fleet's; the context's for workloads]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// The same, or gateways by their own addresses.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Target {
    #[command(flatten)]
    pub at: Where,
    /// A gateway's inspect port, such as http://127.0.0.1:9082, instead of those that the cluster has. Repeatable.
    #[arg(long = "gateway", value_name = "URL")]
    pub gateways: Vec<String>,
}

pub struct Cluster {
    pub client: Client,
    /// How it is called in messages.
    pub url: String,
    /// Asked for; `None`: every one.
    pub namespace: Option<String>,
    /// The context's, for what is named without one.
    pub default_namespace: String,
}

impl Where {
    /// # Errors
    /// There is no configuration, or nobody answers at its address.
    pub async fn connect(&self) -> Result<Cluster, Trouble> {
        // The process may have chosen the same one already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let read = match (&self.kubeconfig, &self.context) {
            (Some(path), _) => {
                let read = Kubeconfig::read_from(path).map_err(|e| no_config(&format!("{}: {e}", path.display())))?;
                Config::from_custom_kubeconfig(read, &options).await.map_err(|e| no_config(&e.to_string()))
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|e| no_config(&e.to_string())),
            (None, None) => Config::infer().await.map_err(|e| no_config(&e.to_string())),
        };
        let mut config = read?;
        config.connect_timeout = Some(CONNECT_WITHIN);
        let (url, default_namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|e| no_config(&e.to_string()))?;
        Ok(Cluster { client, url, namespace: self.namespace.clone(), default_namespace })
    }
}

impl Cluster {
    /// The one for workloads.
    pub fn workload_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(&self.default_namespace)
    }

    /// Waits for an answer of the API server, a bounded time.
    ///
    /// # Errors
    /// In words that say what to do; `what` completes "may not …".
    pub async fn ask<T>(&self, what: &str, answer: impl Future<Output = kube::Result<T>>) -> Result<T, Trouble> {
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(answer) => answer.map_err(|error| self.explain(what, &error)),
            Err(_) => Err(Trouble::one(format!(
                "the API server at {} did not answer within {} s",
                self.url,
                ANSWER_WITHIN.as_secs()
            ))),
        }
    }

    fn explain(&self, what: &str, error: &kube::Error) -> Trouble {
        match error {
            kube::Error::Api(status) if status.code == 403 => Trouble::one(format!(
                "you may not {what}: {}; have the right given to you, or choose another --context",
                status.message
            )),
            kube::Error::Api(status) if status.code == 401 => Trouble::one(format!(
                "the API server at {} does not know you: log in again, or choose another --context",
                self.url
            )),
            kube::Error::Api(status) => Trouble::one(format!("could not {what}: {}", status.message)),
            // The cause is the last of a chain.
            other => Trouble::one(format!(
                "the API server at {} cannot be reached: {}; is the cluster up, and is this the right --context?",
                self.url,
                root(other)
            )),
        }
    }
}

/// Whether the API server has no such kind, or no such object.
pub fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn no_config(why: &str) -> Trouble {
    Trouble::one(format!(
        "no cluster is known: {why}; name a kubeconfig by --kubeconfig or KUBECONFIG, or a gateway by --gateway http://127.0.0.1:9082"
    ))
}

fn root(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
