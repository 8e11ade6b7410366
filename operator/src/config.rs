//! What `bannou-operator` can be told, by flag or by environment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// The control plane of Bannou: watches ServiceExposures, AccessTiers, Fleets and annotated workloads, and tells every gateway what to
/// obey.
///
/// Replicas stand by for each other: the holder of a Lease does the work, the others say where it is. The API server is that of the
/// Pod's ServiceAccount, or of KUBECONFIG.
#[derive(Clone, Debug, Parser)]
#[command(name = "bannou-operator", version)]
pub struct Args {
    /// The namespace that the operator runs in: of its Lease, and of the Secret with its CA.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: String,

    /// The name of this replica's Pod, for the Lease and the log.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: String,

    /// The address at which gateways reach this replica, once the other replicas say that it is the holder.
    #[arg(long, env = "POD_IP", value_name = "ADDRESS")]
    pub pod_ip: Option<IpAddr>,

    /// The Deployment that runs the operator: it owns what the operator makes in its namespace, so that this goes with it.
    #[arg(long, env = "BANNOU_DEPLOYMENT", value_name = "NAME")]
    pub deployment: Option<String>,

    /// The name of the Lease.
    #[arg(long, env = "BANNOU_LEASE", value_name = "NAME", default_value = "bannou-operator")]
    pub lease: String,

    /// The fleet of exposures that name none, by its namespace.
    #[arg(long, env = "BANNOU_DEFAULT_FLEET", value_name = "NAMESPACE")]
    pub default_fleet: Option<String>,

    /// The address that gateways dial.
    #[arg(long, env = "BANNOU_PUSH_BIND", value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub push_bind: IpAddr,

    /// The port that gateways dial; 0 takes a free one.
    #[arg(long, env = "BANNOU_PUSH_PORT", value_name = "PORT", default_value_t = 9443)]
    pub push_port: u16,

    /// The address of the operations port: liveness, readiness, metrics.
    #[arg(long, env = "BANNOU_ADMIN_BIND", value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub admin_bind: IpAddr,

    /// The operations port; 0 takes a free one.
    #[arg(long, env = "BANNOU_ADMIN_PORT", value_name = "PORT", default_value_t = 9080)]
    pub admin_port: u16,

    /// The Service that gateways dial: its DNS names are those of the certificate that the operator makes for itself.
    #[arg(long, env = "BANNOU_SERVICE", value_name = "NAME", default_value = "bannou-operator")]
    pub service: String,

    /// The cluster's DNS domain, for these names.
    #[arg(long, env = "BANNOU_CLUSTER_DOMAIN", value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,

    /// A PEM file with a certificate chain, in place of a CA of the operator's own. Read again when it changes. Needs --tls-key.
    #[arg(long, env = "BANNOU_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// A PEM file with the certificate's private key.
    #[arg(long, env = "BANNOU_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The audience of gateways' tokens.
    #[arg(long, env = "BANNOU_AUDIENCE", value_name = "NAME", default_value = "bannou-operator")]
    pub audience: String,

    /// The ServiceAccount of gateways, in their fleet's namespace.
    #[arg(long, env = "BANNOU_GATEWAY_SERVICE_ACCOUNT", value_name = "NAME", default_value = "bannou-gateway")]
    pub gateway_service_account: String,

    /// How long a fleet's key is current, as 30d or 12h. Gateways know the next one for as long before.
    #[arg(long, env = "BANNOU_FLEET_KEY_ROTATION", value_name = "DURATION", default_value = "30d", value_parser = period)]
    pub fleet_key_rotation: Duration,

    /// How long the operator's CA is current, likewise.
    #[arg(long, env = "BANNOU_CA_ROTATION", value_name = "DURATION", default_value = "180d", value_parser = period)]
    pub ca_rotation: Duration,

    /// How long the holder of the Lease may be silent until another takes over, in seconds. The same on all replicas.
    #[arg(long, env = "BANNOU_LEASE_SECONDS", value_name = "SECONDS", default_value_t = 15, hide = true,
          value_parser = clap::value_parser!(u32).range(2..=300))]
    pub lease_seconds: u32,

    /// What is logged, as for RUST_LOG: info, debug, bannou_operator::push=debug …
    #[arg(long, env = "BANNOU_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// How logs are written.
    #[arg(long, env = "BANNOU_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl Args {
    pub fn push(&self) -> SocketAddr {
        SocketAddr::new(self.push_bind, self.push_port)
    }

    pub fn admin(&self) -> SocketAddr {
        SocketAddr::new(self.admin_bind, self.admin_port)
    }

    /// The names that gateways may dial the Service by.
    pub fn names(&self) -> Vec<String> {
        let (service, namespace) = (&self.service, &self.namespace);
        let short = format!("{service}.{namespace}");
        let full = format!("{short}.svc");
        let whole = format!("{full}.{}", self.cluster_domain);
        vec![service.clone(), short, full, whole]
    }
}

/// A certificate that lasts for four of them still has a date.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);

/// As the resources have durations, and whole days too.
fn period(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let period = match days {
        Some(days) => Duration::from_secs(u64::from(days) * 24 * 3600),
        None => bannou_crds::duration::parse(text).map_err(|_| "write for example 30d, 12h or 90m".to_owned())?,
    };
    match period {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        period if period > LONGEST => Err("must be at most 3650d".to_owned()),
        period => Ok(period),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(flags: &[&str]) -> Result<Args, String> {
        let given = ["bannou-operator", "--namespace", "sys", "--pod-name", "operator-0"];
        Args::try_parse_from(given.iter().chain(flags)).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let args = args(&[]).unwrap();
        assert_eq!((args.push().to_string(), args.admin().port()), ("0.0.0.0:9443".to_owned(), 9080));
        assert_eq!(args.fleet_key_rotation, Duration::from_secs(30 * 24 * 3600));
        assert_eq!(
            args.names(),
            [
                "bannou-operator",
                "bannou-operator.sys",
                "bannou-operator.sys.svc",
                "bannou-operator.sys.svc.cluster.local"
            ]
        );
    }

    #[test]
    fn what_cannot_be_is_named_with_what_would_do() {
        for (flags, said) in [
            (&["--ca-rotation", "a while"][..], "write for example 30d"),
            (&["--ca-rotation", "0d"], "longer than nothing"),
            (&["--fleet-key-rotation", "9999d"], "at most 3650d"),
            (&["--tls-cert", "tls.crt"], "--tls-key"),
            (&["--pod-ip", "here"], "--pod-ip"),
            (&["--lease-seconds", "1"], "--lease-seconds"),
        ] {
            let error = args(flags).unwrap_err();
            assert!(error.contains(said), "{flags:?}: {error}");
        }
    }
}
