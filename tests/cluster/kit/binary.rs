//! The real `bannou-operator`, as a process.

use std::path::Path;

use tokio::time::{sleep, timeout};

use super::Cluster;
use crate::process::{PATIENCE, Process, binary};

pub struct Binary {
    pub process: Process,
    /// Where gateways dial, as `localhost`.
    pub push: u16,
    pub admin: u16,
}

/// The times of the lease of these processes, in seconds: short, but not so short that a busy machine loses it.
pub const LEASE: u64 = 6;

impl Binary {
    /// With the rights of an admin, and a CA of its own unless the flags give a certificate.
    pub async fn start(cluster: &Cluster, namespace: &str, pod: &str, flags: &[&str]) -> Binary {
        Binary::start_as(&cluster.admin_kubeconfig(), namespace, pod, flags).await
    }

    pub async fn start_as(kubeconfig: &Path, namespace: &str, pod: &str, flags: &[&str]) -> Binary {
        let process = Process::start(&binary("bannou-operator", "BANNOU_OPERATOR"), |command| {
            command.env("KUBECONFIG", kubeconfig);
            command.args(["--namespace", namespace, "--pod-name", pod, "--pod-ip", "127.0.0.1"]);
            command.args(["--push-bind", "127.0.0.1", "--admin-bind", "127.0.0.1", "--admin-port", "0"]);
            if !flags.contains(&"--push-port") {
                command.args(["--push-port", "0"]);
            }
            command.args(["--service", "localhost"]);
            if !flags.contains(&"--lease-seconds") {
                command.args(["--lease-seconds", &LEASE.to_string()]);
            }
            command.args(flags);
        });
        let line = process.line("listening").await;
        let port = |of: &str| {
            let rest = line.split_once(of).unwrap().1.split_whitespace().next().unwrap();
            rest.rsplit_once(':').unwrap().1.parse().unwrap()
        };
        let (push, admin) = (port("gateways="), port("operations="));
        Binary { process, push, admin }
    }

    /// The term, once it holds the lease.
    pub async fn holds(&self) -> u64 {
        self.until("it holds the lease", |b| b.value("bannou_operator_holder") == Some(1.0)).await;
        self.metrics().await.value("bannou_operator_term").unwrap() as u64
    }

    pub async fn ask(&self, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub async fn metrics(&self) -> Metrics {
        let (status, text) = self.ask("/metrics").await;
        assert_eq!(status, 200, "{text}");
        Metrics(text)
    }

    /// The first metrics of which it is true.
    pub async fn until(&self, what: &str, is_true: impl Fn(&Metrics) -> bool) -> Metrics {
        let search = async {
            loop {
                let metrics = self.metrics().await;
                if is_true(&metrics) {
                    return metrics;
                }
                sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        match timeout(PATIENCE, search).await {
            Ok(metrics) => metrics,
            Err(_) => panic!("never {what}:\n{}\n{}", self.metrics().await.0, self.process.output()),
        }
    }

    /// The same of readiness.
    pub async fn is_ready(&self) {
        let search = async {
            while self.ask("/readyz").await.0 != 200 {
                sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("never ready:\n{}", self.process.output()));
    }
}

/// As Prometheus reads them.
pub struct Metrics(pub String);

impl Metrics {
    /// Of a metric by its whole name with its labels: `bannou_operator_gateways{fleet="a/b"}`.
    pub fn value(&self, name: &str) -> Option<f64> {
        let line = self.0.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    pub fn of_fleet(&self, name: &str, fleet: &str) -> Option<f64> {
        self.value(&format!("bannou_operator_{name}{{fleet=\"{fleet}/default\"}}"))
    }
}
