//! A gateway's Pod, without a kubelet: the test mounts what one would, and runs the real `bannou-gateway`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::Cluster;
use super::backend::Backend;
use crate::client::Client;
use crate::identity::{AUDIENCE, account_and_pod, token};
use crate::process::{PATIENCE, Process, binary};

/// How often such a gateway pings its operator, in milliseconds: so that a test need not wait for it.
const PING_MS: &str = "500";

/// What is mounted, and outlives the container.
pub struct Pod {
    pub namespace: String,
    pub name: String,
    folder: TempDir,
}

impl Pod {
    /// With its ServiceAccount, and a token that is bound to it.
    pub async fn new(cluster: &Cluster, namespace: &str, name: &str) -> Pod {
        cluster.apply(&account_and_pod(namespace, "bannou-gateway", name)).await.unwrap();
        let pod = Pod { namespace: namespace.to_owned(), name: name.to_owned(), folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(pod.path("state")).unwrap();
        std::fs::copy(cluster.folder().join("ca.crt"), pod.path("ca.crt")).unwrap();
        let token = token(&cluster.client().await, namespace, "bannou-gateway", AUDIENCE, Some(name)).await;
        pod.mount_token(&token);
        pod
    }

    /// One that another Pod's or nobody's token is mounted into.
    pub fn with_token(self, token: &str) -> Pod {
        self.mount_token(token);
        self
    }

    fn mount_token(&self, token: &str) {
        std::fs::write(self.path("token"), token).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Mounts the certificates that the operator made, once they are there.
    pub async fn mount_ca(&self, cluster: &Cluster) {
        let wait = ["wait", "-n", &self.namespace, "configmap/bannou-operator-ca", "--for=create", "--timeout=120s"];
        cluster.kubectl(&wait).await;
        let api = Api::<ConfigMap>::namespaced(cluster.client().await, &self.namespace);
        let map = api.get("bannou-operator-ca").await.unwrap();
        std::fs::write(self.path("ca.crt"), &map.data.unwrap()["ca.crt"]).unwrap();
    }

    /// Mounts a Secret of its namespace as it is now, as the kubelet does: the files are swapped all at once. Gives the folder.
    pub async fn mount_secret(&self, cluster: &Cluster, name: &str) -> PathBuf {
        let secret = Api::<Secret>::namespaced(cluster.client().await, &self.namespace).get(name).await.unwrap();
        let data = secret.data.unwrap();
        let (mount, version) = (self.path(name), secret.metadata.resource_version.unwrap());
        let folder = mount.join(format!("..{version}"));
        std::fs::create_dir_all(&folder).unwrap();
        for (key, value) in &data {
            std::fs::write(folder.join(key), &value.0).unwrap();
            let link = mount.join(key);
            if !link.is_symlink() {
                symlink(Path::new("..data").join(key), link).unwrap();
            }
        }
        symlink(&folder, mount.join("..new")).unwrap();
        std::fs::rename(mount.join("..new"), mount.join("..data")).unwrap();
        mount
    }

    /// Starts the container, and waits until it listens.
    pub async fn start(&self, operator: u16, configure: impl FnOnce(&mut Command)) -> Gateway {
        let process = Process::start(&binary("bannou-gateway", "BANNOU_GATEWAY_BIN"), |command| {
            command.args(["--operator", &format!("wss://localhost:{operator}"), "--pod-name", &self.name]);
            command.arg("--operator-ca").arg(self.path("ca.crt"));
            command.arg("--operator-token-file").arg(self.path("token"));
            command.arg("--state-dir").arg(self.path("state"));
            command.args(["--operator-ping-ms", PING_MS]);
            command.args(["--bind", "127.0.0.1", "--port", "0", "--admin-bind", "127.0.0.1", "--admin-port", "0"]);
            command.args([
                "--internal-port",
                "0",
                "--inspect-port",
                "0",
                "--drain-seconds",
                "1",
                "--ping-seconds",
                "3600",
            ]);
            command.args(["--log-format", "json", "--log", "info,bannou_gateway=debug"]);
            configure(command);
        });
        let line: Value = serde_json::from_str(&process.line("\"listening\"").await).unwrap();
        let field = |name: &str| line["fields"][name].as_str().unwrap().to_owned();
        let url = format!("ws://{}/connect", field("clients"));
        let [admin, inspect] = ["operations", "inspect"].map(|name| format!("http://{}", field(name)));
        Gateway { process, url, admin, inspect }
    }

    /// The same, with the backend in the place of the sidecar and of these apps.
    pub async fn start_with(&self, operator: u16, backend: &Backend, apps: &[&str]) -> Gateway {
        self.start(operator, |command| {
            command.args(["--dapr-http", &backend.url()]);
            for app in apps {
                command.args(["--override", &format!("{app}={}", backend.url())]);
            }
        })
        .await
    }
}

/// The real `bannou-gateway`, which follows an operator.
pub struct Gateway {
    pub process: Process,
    /// Where clients connect: `ws://127.0.0.1:PORT/connect`.
    pub url: String,
    /// The operations port: `http://127.0.0.1:PORT`.
    pub admin: String,
    /// The inspect port: `http://127.0.0.1:PORT`.
    pub inspect: String,
}

impl Gateway {
    pub async fn client(&self) -> Client {
        Client::connect(&self.url).await
    }

    pub async fn client_with(&self, token: &str) -> Client {
        Client::connect_with(&self.url, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Status and body of a path of the operations port.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{}{path}", self.admin)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn ready(&self) {
        let waits = async {
            while self.admin("/readyz").await.0 != 200 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(PATIENCE, waits).await.is_err() {
            panic!("not ready: {}\n{}", self.admin("/readyz").await.1, self.process.output());
        }
    }

    /// The value of a metric's sample, by the text before its value and without the prefix; 0 when it is not there.
    pub async fn metric(&self, sample: &str) -> f64 {
        let (_, text) = self.admin("/metrics").await;
        let of_it =
            |line: &str| line.strip_prefix("bannou_gateway_")?.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(of_it).unwrap_or_default()
    }

    /// The first value of which it is true.
    pub async fn metric_until(&self, sample: &str, is_true: impl Fn(f64) -> bool) -> f64 {
        let waits = async {
            loop {
                let value = self.metric(sample).await;
                if is_true(value) {
                    return value;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        match timeout(PATIENCE, waits).await {
            Ok(value) => value,
            Err(_) => panic!("{sample} is {}\n{}", self.metric(sample).await, self.process.output()),
        }
    }

    /// Closes of connections since the start, by whatever code.
    pub async fn closes(&self) -> f64 {
        let (_, text) = self.admin("/metrics").await;
        let samples = text.lines().filter(|line| line.starts_with("bannou_gateway_closes_total{"));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}
