//! The real `bannou-gateway`, following a catalog of the test's.

use std::process::Command;

use bannou_crds::Catalog;
use serde_json::Value;
use tempfile::TempDir;

use super::catalog::{SECRET, SECRET_FILE};
use super::client::Client;
use super::process::{Process, binary};

/// A gateway that listens.
pub struct Gateway {
    pub process: Process,
    /// Where clients connect: `ws://127.0.0.1:PORT/connect`.
    pub url: String,
    /// The operations port: `http://127.0.0.1:PORT`.
    pub admin: String,
    /// The internal port: `http://127.0.0.1:PORT`.
    pub internal: String,
    /// The inspect port: `http://127.0.0.1:PORT`.
    pub inspect: String,
    folder: TempDir,
}

/// A test's client reads only when it waits for something, so on a slow machine it must not be asked whether it lives.
pub const NO_PINGS: [&str; 2] = ["--ping-seconds", "3600"];

impl Gateway {
    /// `configure` adds flags and environment to its command line.
    pub async fn start(catalog: &Catalog, configure: impl FnOnce(&mut Command)) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(SECRET_FILE), SECRET).unwrap();
        let file = folder.path().join("catalog.json");
        std::fs::write(&file, serde_json::to_vec(catalog).unwrap()).unwrap();
        let process = Process::start(&binary("bannou-gateway", "BANNOU_GATEWAY_BIN"), |command| {
            command.arg("--catalog").arg(&file);
            command.args(["--bind", "127.0.0.1", "--port", "0", "--admin-bind", "127.0.0.1", "--admin-port", "0"]);
            command.args(["--internal-port", "0", "--inspect-port", "0"]);
            command.args(["--log-format", "json", "--log", "info,bannou_gateway=debug", "--drain-seconds", "1"]);
            configure(command);
        });
        let line: Value = serde_json::from_str(&process.line("\"listening\"").await).unwrap();
        let field = |name: &str| line["fields"][name].as_str().unwrap().to_owned();
        let url = format!("ws://{}/connect", field("clients"));
        let admin = format!("http://{}", field("operations"));
        let internal = format!("http://{}", field("services"));
        let inspect = format!("http://{}", field("inspect"));
        Gateway { process, url, admin, internal, inspect, folder }
    }

    /// One whose sidecar listens on this port.
    pub async fn with_sidecar(catalog: &Catalog, http: u16) -> Gateway {
        Gateway::start(catalog, |command| {
            command.args(NO_PINGS).args(["--dapr-http", &format!("http://127.0.0.1:{http}")]);
        })
        .await
    }

    /// One with backends at known ports of this machine.
    pub async fn with_overrides(catalog: &Catalog, backends: &[(&str, u16)]) -> Gateway {
        Gateway::start(catalog, |command| {
            for (name, port) in backends {
                command.args(["--override", &format!("{name}=http://127.0.0.1:{port}")]);
            }
        })
        .await
    }

    pub fn internal_port(&self) -> u16 {
        self.internal.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.url).await
    }

    pub async fn client_with(&self, token: &str) -> Client {
        Client::connect_with(&self.url, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Writes another catalog where the gateway reads it; it notices by itself.
    pub fn follow(&self, catalog: &Catalog) {
        self.follow_text(&serde_json::to_string(catalog).unwrap());
    }

    /// The same with a text that need not be a catalog.
    pub fn follow_text(&self, text: &str) {
        let (new, file) = (self.folder.path().join("new"), self.folder.path().join("catalog.json"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// Writes the issuer's secret anew, as a mounted Secret changes: in one step.
    pub fn new_secret(&self, secret: &[u8]) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, secret).unwrap();
        std::fs::rename(new, self.folder.path().join(SECRET_FILE)).unwrap();
    }

    /// Status and body of a path of the operations port.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{}{path}", self.admin)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Returns when it says that it is ready.
    pub async fn ready(&self) {
        let waits = async {
            while self.admin("/readyz").await.0 != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(super::process::PATIENCE, waits).await.is_err() {
            panic!("not ready: {}", self.admin("/readyz").await.1);
        }
    }

    /// The value of a metric's sample, by the text before its value; 0 when it is not there.
    pub async fn metric(&self, sample: &str) -> f64 {
        let (_, text) = self.admin("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_default()
    }

    /// Returns when a sample has this value.
    pub async fn metric_is(&self, sample: &str, value: f64) {
        let waits = async {
            while self.metric(sample).await != value {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(super::process::PATIENCE, waits)
            .await
            .unwrap_or_else(|_| panic!("{sample} never was {value}"));
    }
}
