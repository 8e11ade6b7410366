//! The real `bannou-operator`, as a process.

use serde_json::Value;

use super::Cluster;
use crate::process::{Process, binary, free_port};

/// Where a replica is, over starts of its container.
pub struct Place {
    pub namespace: String,
    pub name: String,
    /// Which gateways dial.
    pub port: u16,
}

/// A replica that listens; ends when dropped, as by SIGKILL.
pub struct Running {
    pub process: Process,
    /// The operations port: `http://127.0.0.1:PORT`.
    pub admin: String,
}

impl Place {
    pub fn new(namespace: &str, name: &str) -> Place {
        Place { namespace: namespace.to_owned(), name: name.to_owned(), port: free_port() }
    }

    /// With the tests' certificate, for `localhost`; others take its lease over after seconds.
    pub async fn start(&self, cluster: &Cluster, flags: &[&str]) -> Running {
        let pair = cluster.server_certificate(&format!("operator-{}", self.port));
        let (certificate, key) = (pair.certificate.to_str().unwrap(), pair.key.to_str().unwrap());
        self.start_bare(cluster, &[&["--tls-cert", certificate, "--tls-key", key], flags].concat()).await
    }

    /// With a CA of its own, also for `localhost`.
    pub async fn start_with_own_ca(&self, cluster: &Cluster, flags: &[&str]) -> Running {
        self.start_bare(cluster, &[&["--service", "localhost"], flags].concat()).await
    }

    async fn start_bare(&self, cluster: &Cluster, flags: &[&str]) -> Running {
        let process = Process::start(&binary("bannou-operator", "BANNOU_OPERATOR"), |command| {
            command.env("KUBECONFIG", cluster.admin_kubeconfig());
            command.args(["--namespace", &self.namespace, "--pod-name", &self.name, "--pod-ip", "127.0.0.1"]);
            command.args(["--push-bind", "127.0.0.1", "--push-port", &self.port.to_string()]);
            command.args(["--admin-bind", "127.0.0.1", "--admin-port", "0", "--lease-seconds", "6"]);
            command.args(["--log-format", "json", "--log", "info,bannou_operator=debug"]);
            command.args(["--default-fleet", &self.namespace]);
            command.args(flags);
        });
        let line: Value = serde_json::from_str(&process.line("\"listening\"").await).unwrap();
        let admin = format!("http://{}", line["fields"]["operations"].as_str().unwrap());
        Running { process, admin }
    }
}
