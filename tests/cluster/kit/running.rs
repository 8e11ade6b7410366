//! Where a replica of the operator is, over starts of its container.

use super::Cluster;
use super::binary::Binary;
use crate::process::free_port;

pub struct Place {
    pub namespace: String,
    pub name: String,
    /// Which gateways dial.
    pub port: u16,
}

impl Place {
    pub fn new(namespace: &str, name: &str) -> Place {
        Place { namespace: namespace.to_owned(), name: name.to_owned(), port: free_port() }
    }

    /// With the tests' certificate, for `localhost`.
    pub async fn start(&self, cluster: &Cluster, flags: &[&str]) -> Binary {
        let pair = cluster.server_certificate(&format!("operator-{}", self.port));
        let (certificate, key) = (pair.certificate.to_str().unwrap(), pair.key.to_str().unwrap());
        self.start_with_own_ca(cluster, &[&["--tls-cert", certificate, "--tls-key", key], flags].concat()).await
    }

    /// With a CA of its own, also for `localhost`.
    pub async fn start_with_own_ca(&self, cluster: &Cluster, flags: &[&str]) -> Binary {
        let port = self.port.to_string();
        let flags = [&["--push-port", &port, "--default-fleet", &self.namespace], flags].concat();
        Binary::start(cluster, &self.namespace, &self.name, &flags).await
    }
}
