//! What `bannou-gateway` can be told: by flag, by environment, by file, in this order of precedence.

mod operator;
mod services;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde::Deserialize;

use crate::app::Options;
use crate::auth::Secrets;
use crate::bus::alive::Beat;
use crate::bus::contract::ReplyAllow;
use crate::bus::url::NotABroker;
use crate::certificate::{Certificate, CertificateError};
use crate::forward::{self, Secret};
use crate::inspect;
use crate::internal;
use crate::keyring::{KeyFileError, Keyring};
use crate::shared::Timing;
use crate::sync::{self, NotAnOperator};
pub use services::Broker;

/// The data plane of Bannou: one WebSocket per client, frames routed by their header alone.
///
/// Follows the operator (--operator), or a catalog file that `bannou compile FOLDER -o FILE` wrote (--catalog); when that
/// changes it is read again. A bad catalog is reported and left: the last good one goes on. Clients connect to ws://HOST:PORT/connect.
#[derive(Debug, Parser)]
#[command(name = "bannou-gateway", version)]
pub struct Args {
    /// A YAML file with the long names of these flags as keys (`port: 8080`). Flags and environment win over it.
    #[arg(long, env = "BANNOU_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Reads everything, says what is wrong with it or "ok", and ends without serving.
    #[arg(long)]
    pub check_config: bool,

    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// The compiled catalog to follow.
    #[arg(long, env = "BANNOU_CATALOG", value_name = "FILE")]
    catalog: Option<PathBuf>,

    /// The operator to follow instead, wss://HOST:PORT. Needs --operator-ca, --operator-token-file and --pod-name.
    #[arg(long, env = "BANNOU_OPERATOR", value_name = "URL")]
    operator: Option<String>,

    /// A PEM file with the certificates that vouch for the operator's; read at each dial.
    #[arg(long, env = "BANNOU_OPERATOR_CA", value_name = "FILE")]
    operator_ca: Option<PathBuf>,

    /// A file with the projected token of this Pod's ServiceAccount, made for the operator; read at each dial.
    #[arg(long, env = "BANNOU_OPERATOR_TOKEN_FILE", value_name = "FILE")]
    operator_token_file: Option<PathBuf>,

    /// The Pod that this gateway is, as the operator's API server knows it.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,

    /// A folder where the operator's last good catalog is saved, so that a start without the operator serves it.
    #[arg(long, env = "BANNOU_STATE_DIR", value_name = "FOLDER")]
    state_dir: Option<PathBuf>,

    /// The address that clients connect to. [default: 0.0.0.0]
    #[arg(long, env = "BANNOU_BIND", value_name = "ADDRESS")]
    bind: Option<IpAddr>,

    /// The port that clients connect to; 0 takes a free one. [default: 8080]
    #[arg(long, env = "BANNOU_PORT", value_name = "PORT")]
    port: Option<u16>,

    /// The address of the operations port: liveness, readiness, metrics. Keep it off public Services. [default: 0.0.0.0]
    #[arg(long, env = "BANNOU_ADMIN_BIND", value_name = "ADDRESS")]
    admin_bind: Option<IpAddr>,

    /// The operations port; 0 takes a free one. [default: 9080]
    #[arg(long, env = "BANNOU_ADMIN_PORT", value_name = "PORT")]
    admin_port: Option<u16>,

    /// The path at which clients upgrade. [default: /connect]
    #[arg(long, env = "BANNOU_CONNECT_PATH", value_name = "PATH")]
    connect_path: Option<String>,

    /// A file with at least 32 random bytes, the same on every gateway of a fleet: the key by which sessions are opened. Those of
    /// next.key and previous.key beside it are accepted, too; all are read again when they change. Without it this process
    /// makes its own, and its handles and resume tokens mean nothing to any other.
    #[arg(long, env = "BANNOU_FLEET_KEY_FILE", value_name = "FILE")]
    fleet_key_file: Option<PathBuf>,

    /// The folder that key files of issuers are read from. [default: the catalog's, or the current one]
    #[arg(long, env = "BANNOU_SECRETS_DIR", value_name = "FOLDER")]
    secrets_dir: Option<PathBuf>,

    /// A PEM file with the certificate chain: clients then connect to wss://. Needs --tls-key. Both are read again when they change.
    #[arg(long, env = "BANNOU_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// A PEM file with the certificate's private key.
    #[arg(long, env = "BANNOU_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// The Dapr sidecar's HTTP address. [default: http://127.0.0.1:$DAPR_HTTP_PORT or 3500]
    #[arg(long, env = "BANNOU_DAPR_HTTP", value_name = "URL")]
    dapr_http: Option<String>,

    /// A file with the sidecar's API token. [default: the environment's DAPR_API_TOKEN]
    #[arg(long, env = "BANNOU_DAPR_API_TOKEN_FILE", value_name = "FILE")]
    dapr_api_token_file: Option<PathBuf>,

    /// Where a backend is instead, by app-id or Service name, plain HTTP: account=http://127.0.0.1:7001. Repeatable.
    #[arg(long = "override", env = "BANNOU_OVERRIDE", value_name = "NAME=URL", value_delimiter = ',')]
    r#override: Vec<String>,

    /// The cluster's DNS domain, for Service backends. [default: cluster.local]
    #[arg(long, env = "BANNOU_CLUSTER_DOMAIN", value_name = "DOMAIN")]
    cluster_domain: Option<String>,

    /// A RabbitMQ node, amqp[s]://USER@HOST:PORT/VHOST; the nodes of a cluster by repeating it. Without it services reach
    /// clients of this process alone.
    #[arg(long, env = "BANNOU_BROKER", value_name = "URL", value_delimiter = ',', hide_env_values = true)]
    broker: Vec<String>,

    /// A PEM file with the certificates that vouch for the broker's. [default: those of the system]
    #[arg(long, env = "BANNOU_BROKER_CA", value_name = "FILE")]
    broker_ca: Option<PathBuf>,

    /// A file with the broker user's password, so that it need not stand in the URL.
    #[arg(long, env = "BANNOU_BROKER_PASSWORD_FILE", value_name = "FILE")]
    broker_password_file: Option<PathBuf>,

    /// Queues that answers may go to, by what services write into `reply_to`; * stands for anything. Repeatable.
    /// [default: amq.rabbitmq.reply-to* and amq.gen-*]
    #[arg(long, env = "BANNOU_BROKER_REPLY_ALLOW", value_name = "PATTERN", value_delimiter = ',')]
    broker_reply_allow: Vec<String>,

    /// The address of the internal port, where services push and ask over HTTP. [default: 127.0.0.1]
    #[arg(long, env = "BANNOU_INTERNAL_BIND", value_name = "ADDRESS")]
    internal_bind: Option<IpAddr>,

    /// The internal port, the app port of the gateway's Dapr sidecar; 0 takes a free one. [default: 9081]
    #[arg(long, env = "BANNOU_INTERNAL_PORT", value_name = "PORT")]
    internal_port: Option<u16>,

    /// A YAML list of who may speak for which services: {tokenFile: FILE or sha256: HEX, services: [NAME]}.
    #[arg(long, env = "BANNOU_INTERNAL_TOKENS", value_name = "FILE")]
    internal_tokens: Option<PathBuf>,

    /// A file with the APP_API_TOKEN of the gateway's sidecar: Dapr apps may then speak for the exposures that they are behind.
    #[arg(long, env = "BANNOU_DAPR_APP_TOKEN_FILE", value_name = "FILE")]
    dapr_app_token_file: Option<PathBuf>,

    /// The port that `bannou` asks about connections, always on 127.0.0.1: who may port-forward may ask. 0 takes a free one.
    /// [default: 9082]
    #[arg(long, env = "BANNOU_INSPECT_PORT", value_name = "PORT")]
    inspect_port: Option<u16>,

    /// Most connections at once; more are refused with 503. [default: 100000]
    #[arg(long, env = "BANNOU_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<usize>,

    /// How long clients are given to leave after SIGTERM, in seconds. [default: 5]
    #[arg(long, env = "BANNOU_DRAIN_SECONDS", value_name = "SECONDS")]
    drain_seconds: Option<u64>,

    /// Seconds between two pings to a client. [default: 25]
    #[arg(long, env = "BANNOU_PING_SECONDS", value_name = "SECONDS")]
    ping_seconds: Option<u64>,

    /// Between two pings to the operator, in milliseconds; what else is waited for on its link is so many times that.
    #[arg(long, env = "BANNOU_OPERATOR_PING_MS", value_name = "MS", hide = true)]
    operator_ping_ms: Option<u64>,

    /// How long a silent gateway of the fleet is taken for alive, in milliseconds. The same on all of them.
    #[arg(long, env = "BANNOU_DEAD_AFTER_MS", value_name = "MS", hide = true)]
    dead_after_ms: Option<u64>,

    /// How long what still arrives for a dead gateway is answered before its log is deleted, in milliseconds.
    #[arg(long, env = "BANNOU_LOG_GRACE_MS", value_name = "MS", hide = true)]
    log_grace_ms: Option<u64>,

    /// Threads that serve. [default: one for each core]
    #[arg(long, env = "BANNOU_WORKER_THREADS", value_name = "N")]
    worker_threads: Option<usize>,

    /// How logs are written: text or json. [default: text]
    #[arg(long, env = "BANNOU_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,

    /// What is logged, as for RUST_LOG: info, debug, access=off,info … [default: info]
    #[arg(long, env = "BANNOU_LOG", value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Everything read and checked, as far as that goes without listening.
pub struct Config {
    pub options: Options,
    pub source: Source,
    /// `None`: the bus inside the process.
    pub broker: Option<Broker>,
    pub worker_threads: Option<usize>,
}

/// Where catalogs come from.
pub enum Source {
    File(PathBuf),
    Operator(Box<sync::Config>),
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("no catalog: give --operator URL, or --catalog FILE (write one with `bannou compile FOLDER -o FILE`)")]
    NoCatalog,
    #[error("--operator and --catalog exclude each other: one of them says what to serve")]
    TwoCatalogs,
    #[error("--operator: {0}")]
    Operator(#[from] NotAnOperator),
    #[error("--operator needs {0}")]
    OperatorNeeds(&'static str),
    #[error("{0} needs --operator")]
    WithoutOperator(&'static str),
    #[error("--state-dir {path}: {error}: name a folder that this process may write to", path = path.display())]
    StateDir { path: PathBuf, error: std::io::Error },
    #[error("{what} {path}: {error}", path = path.display())]
    File { what: &'static str, path: PathBuf, error: String },
    #[error("--tls-cert and --tls-key come together: the other one is missing")]
    HalfTls,
    #[error(transparent)]
    Tls(#[from] CertificateError),
    #[error("{flag} {text:?}: {error}")]
    Value { flag: &'static str, text: String, error: String },
    #[error("--broker: {0}")]
    Broker(NotABroker),
    #[error("--broker: {one} and {other} are not nodes of one cluster: user and virtual host must be the same")]
    TwoBrokers { one: String, other: String },
    #[error("--broker-ca is for amqps, {0} is not encrypted")]
    CaWithoutTls(String),
    #[error("{0} needs --broker")]
    WithoutBroker(&'static str),
    #[error("--fleet-key-file: {0}")]
    FleetKey(#[from] KeyFileError),
}

macro_rules! first_of {
    ($flags:ident, $file:ident: $($field:ident),*) => {
        // Taken apart in full: a setting that nobody merges does not compile.
        let Settings { $($field),*, r#override, broker, broker_reply_allow } = $flags;
        Settings {
            $($field: $field.or($file.$field)),*,
            r#override: some_of(r#override, $file.r#override),
            broker: some_of(broker, $file.broker),
            broker_reply_allow: some_of(broker_reply_allow, $file.broker_reply_allow),
        }
    };
}

fn some_of(flags: Vec<String>, file: Vec<String>) -> Vec<String> {
    if flags.is_empty() { file } else { flags }
}

impl Settings {
    fn or(self, file: Settings) -> Settings {
        let flags = self;
        first_of! { flags, file:
            catalog, operator, operator_ca, operator_token_file, pod_name, state_dir, operator_ping_ms, bind, port, admin_bind, admin_port, connect_path, fleet_key_file, secrets_dir, tls_cert, tls_key,
            dapr_http, dapr_api_token_file, cluster_domain, broker_ca, broker_password_file, internal_bind, internal_port,
            internal_tokens, dapr_app_token_file, inspect_port, max_connections, drain_seconds, ping_seconds, dead_after_ms,
            log_grace_ms, worker_threads,
            log_format, log
        }
    }
}

impl Args {
    /// Puts the file's settings behind those of flags and environment.
    ///
    /// # Errors
    /// Names the file, the line and the key.
    pub fn with_file(self) -> Result<Args, ConfigError> {
        let Some(path) = &self.config else { return Ok(self) };
        let failed = |error: String| ConfigError::File { what: "--config", path: path.clone(), error };
        let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
        let file: Settings = serde_saphyr::from_str(&text).map_err(|e| failed(e.to_string()))?;
        Ok(Args { settings: self.settings.or(file), ..self })
    }

    pub fn log(&self) -> (LogFormat, &str) {
        (self.settings.log_format.unwrap_or_default(), self.settings.log.as_deref().unwrap_or("info"))
    }

    /// # Errors
    /// The first setting that cannot be.
    pub fn config(self) -> Result<Config, ConfigError> {
        let s = self.settings;
        let operator = operator::Given {
            operator: s.operator,
            ca: s.operator_ca,
            token_file: s.operator_token_file,
            pod: s.pod_name,
            state_dir: s.state_dir,
            ping_ms: s.operator_ping_ms,
        };
        let source = match (s.catalog, operator.config()?) {
            (Some(_), Some(_)) => return Err(ConfigError::TwoCatalogs),
            (Some(file), None) => Source::File(file),
            (None, Some(operator)) => Source::Operator(Box::new(operator)),
            (None, None) => return Err(ConfigError::NoCatalog),
        };
        let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let folder = || {
            let file = if let Source::File(file) = &source { file.parent() } else { None };
            file.filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
        };
        let tls = match (s.tls_cert, s.tls_key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(Certificate::read(cert, key)?),
            _ => return Err(ConfigError::HalfTls),
        };
        let dapr_http = s.dapr_http.unwrap_or_else(|| {
            format!("http://127.0.0.1:{}", std::env::var("DAPR_HTTP_PORT").unwrap_or_else(|_| "3500".to_owned()))
        });
        let dapr_api_token = match s.dapr_api_token_file {
            Some(path) => Some(read("--dapr-api-token-file", &path)?.trim_ascii().to_vec())
                .and_then(|bytes| String::from_utf8(bytes).ok()),
            None => std::env::var("DAPR_API_TOKEN").ok(),
        };
        let keyring = s.fleet_key_file.map_or_else(|| Ok(Keyring::random()), Keyring::from_file)?;
        let mut forward = forward::Config {
            dapr_http: Some(url("--dapr-http", &dapr_http)?),
            dapr_api_token: dapr_api_token.filter(|t| !t.is_empty()).map(Secret::new),
            overrides: overrides(&s.r#override)?,
            ..forward::Config::default()
        };
        if let Some(domain) = s.cluster_domain {
            forward.cluster_domain = domain;
        }
        let mut timing = Timing::default();
        if let Some(seconds) = s.ping_seconds {
            timing.ping_every_ms = seconds.clamp(1, 3600) * 1000;
        }
        if let Some(ms) = s.dead_after_ms {
            timing.beat = Beat::within(ms);
        }
        timing.log_grace_ms = s.log_grace_ms.unwrap_or(timing.log_grace_ms);
        let broker = services::broker(&s.broker, s.broker_ca, s.broker_password_file)?;
        let reply_allow = match s.broker_reply_allow.as_slice() {
            [] => ReplyAllow::default(),
            patterns => ReplyAllow::new(patterns.iter().cloned()),
        };
        let mut internal = internal::Options::default();
        internal.addr.set_ip(s.internal_bind.unwrap_or(internal.addr.ip()));
        internal.addr.set_port(s.internal_port.unwrap_or(internal.addr.port()));
        internal.access = services::access(s.internal_tokens, s.dapr_app_token_file)?;
        let defaults = Options::default();
        let options = Options {
            client_addr: SocketAddr::new(s.bind.unwrap_or(everywhere), s.port.unwrap_or(8080)),
            admin_addr: SocketAddr::new(s.admin_bind.unwrap_or(everywhere), s.admin_port.unwrap_or(9080)),
            connect_path: s.connect_path.unwrap_or(defaults.connect_path),
            keyring: Arc::new(keyring),
            tls,
            forward,
            secrets: Secrets::Dir(s.secrets_dir.unwrap_or_else(folder)),
            max_connections: s.max_connections.unwrap_or(defaults.max_connections),
            drain: s.drain_seconds.map_or(defaults.drain, Duration::from_secs),
            timing,
            bus: defaults.bus,
            reply_allow,
            internal,
            inspect_port: Some(s.inspect_port.unwrap_or(inspect::PORT)),
            extra_routes: defaults.extra_routes,
            extra_origins: defaults.extra_origins,
        };
        Ok(Config { options, source, broker, worker_threads: s.worker_threads })
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |e: std::io::Error| ConfigError::File { what, path: path.to_owned(), error: e.to_string() };
    std::fs::read(path).map_err(failed)
}

fn url(flag: &'static str, text: &str) -> Result<http::Uri, ConfigError> {
    text.parse().map_err(|e: http::uri::InvalidUri| ConfigError::Value {
        flag,
        text: text.to_owned(),
        error: format!("not a URL ({e}): write for example http://127.0.0.1:3500"),
    })
}

fn overrides(pairs: &[String]) -> Result<BTreeMap<String, http::Uri>, ConfigError> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, target)) => Ok((name.to_owned(), url("--override", target)?)),
        None => Err(ConfigError::Value {
            flag: "--override",
            text: text.clone(),
            error: "write NAME=URL, for example account=http://127.0.0.1:7001".to_owned(),
        }),
    };
    pairs.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(flags: &[&str]) -> Args {
        Args::parse_from(std::iter::once("bannou-gateway").chain(flags.iter().copied()))
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, "port: 1\nadmin-port: 2\ncatalog: /c.json\noverride: [a=http://x]\n").unwrap();
        let config = args(&["--config", file.to_str().unwrap(), "--port", "3"]).with_file().unwrap().config().unwrap();
        assert_eq!(config.options.client_addr.port(), 3);
        assert_eq!(config.options.admin_addr.port(), 2);
        assert!(matches!(config.source, Source::File(path) if path == Path::new("/c.json")));
        assert!(config.options.forward.overrides.contains_key("a"));
    }

    #[test]
    fn a_wrong_key_in_the_file_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, "port: 1\nprot: 2\n").unwrap();
        let error = args(&["--config", file.to_str().unwrap()]).with_file().unwrap_err().to_string();
        assert!(error.contains("gateway.yaml") && error.contains("prot") && error.contains('2'), "{error}");
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(args(&[]).config().err().unwrap().to_string().contains("--catalog"));
        let half = args(&["--catalog", "c", "--tls-cert", "x"]).config().err().unwrap();
        assert!(matches!(half, ConfigError::HalfTls));
        let wrong = args(&["--catalog", "c", "--override", "x"]).config().err().unwrap();
        assert!(wrong.to_string().contains("NAME=URL"));
    }
}
