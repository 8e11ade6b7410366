//! Real sidecars and the services behind them. See `tests/services/README.md`.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::process::{PATIENCE, Process, free_port, installed, repository};

/// The namespace of all sidecars here.
pub const NAMESPACE: &str = "tests";

/// Sidecars that find each other, by a file: nothing leaves the machine.
#[derive(Clone)]
pub struct Mesh(Arc<TempDir>, Arc<Mutex<()>>);

/// A sidecar that runs.
pub struct Daprd {
    pub http: u16,
    pub process: Process,
}

/// A service that listens, without a sidecar.
pub struct Service {
    pub port: u16,
    pub process: Process,
}

impl Mesh {
    pub fn new() -> Mesh {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: tests\nspec:\n  nameResolution:\n    \
             component: sqlite\n    version: v1\n    configuration:\n      connectionString: {:?}\n",
            dir.path().join("names.db")
        );
        std::fs::write(dir.path().join("config.yaml"), config).unwrap();
        Mesh(Arc::new(dir), Arc::default())
    }

    /// A sidecar, ready; `app` is the port of the service behind it.
    pub async fn sidecar(&self, app_id: &str, app: Option<u16>, env: &[(&str, &str)]) -> Daprd {
        let [http, grpc, internal] = [free_port(), free_port(), free_port()];
        self.sidecar_at(app_id, app, [http, grpc, internal], env).await
    }

    /// The same at ports that were chosen before (HTTP, gRPC, internal gRPC).
    pub async fn sidecar_at(&self, app_id: &str, app: Option<u16>, ports: [u16; 3], env: &[(&str, &str)]) -> Daprd {
        let [http, grpc, internal] = ports.map(|p| p.to_string());
        // Two that make the file's tables at the same time can lose each other's names (seen).
        let _turn = self.1.lock().await;
        let process = Process::start(&installed("daprd.sh", "BANNOU_DAPRD"), |command| {
            command.env("DAPR_HOST_IP", "127.0.0.1").env("NAMESPACE", NAMESPACE);
            command.envs(env.iter().copied());
            command.args(["--app-id", app_id, "--config"]).arg(self.0.path().join("config.yaml"));
            if let Some(app) = app {
                command.args(["--app-port", &app.to_string()]);
            }
            command.args(["--dapr-http-port", &http, "--dapr-grpc-port", &grpc]);
            command.args(["--dapr-internal-grpc-port", &internal, "--dapr-listen-addresses", "127.0.0.1"]);
            command.args(["--dapr-internal-grpc-listen-address", "127.0.0.1", "--enable-metrics=false"]);
            command.args(["--disable-init-endpoints", "config", "--log-level", "info"]);
        });
        process.line("dapr initialized. Status: Running").await;
        Daprd { http: ports[0], process }
    }
}

impl Daprd {
    /// Until an app can be invoked through this sidecar.
    pub async fn finds(&self, app: &str) {
        let url = format!("http://127.0.0.1:{}/v1.0/invoke/{app}.{NAMESPACE}/method/healthz", self.http);
        let give_up = Instant::now() + PATIENCE;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        loop {
            let answer = client.get(&url).send().await;
            if answer.as_ref().is_ok_and(|a| a.status() == 200) {
                return;
            }
            assert!(Instant::now() < give_up, "{app} cannot be found: {answer:?}\n{}", self.process.output());
            sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

impl Service {
    /// Node's HTTP server, which knows nothing of Dapr.
    pub async fn plain(env: &[(&str, &str)]) -> Service {
        Service::at(Path::new("node"), "plain.mjs", 0, env).await
    }

    /// The same at a port that was chosen before.
    pub async fn plain_at(port: u16) -> Service {
        Service::at(Path::new("node"), "plain.mjs", port, &[]).await
    }

    /// The official Dapr Python SDK.
    pub async fn sdk(env: &[(&str, &str)]) -> Service {
        Service::at(&installed("python.sh", "BANNOU_PYTHON"), "sdk.py", 0, env).await
    }

    /// A service that speaks first, by pika; the URL says as whom.
    pub async fn pika(url: &str) -> Service {
        Service::at(&installed("python.sh", "BANNOU_PYTHON"), "speak.py", 0, &[("AMQP_URL", url)]).await
    }

    /// The same by amqplib, in Node.
    pub async fn amqplib(url: &str) -> Service {
        static PACKAGES: std::sync::Once = std::sync::Once::new();
        PACKAGES.call_once(|| drop(installed("node.sh", "BANNOU_NODE_MODULES")));
        Service::at(Path::new("node"), "speak.mjs", 0, &[("AMQP_URL", url)]).await
    }

    async fn at(program: &Path, file: &str, port: u16, env: &[(&str, &str)]) -> Service {
        let process = Process::start(program, |command| {
            command.arg(repository().join("tests/services").join(file)).args(["--port", &port.to_string()]);
            command.envs(env.iter().copied());
        });
        let line = process.line("listening ").await;
        let port = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Service { port, process }
    }

    /// Asks the service itself, beside sidecar and gateway.
    pub async fn ask(&self, path: &str) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(format!("http://127.0.0.1:{}{path}", self.port)).send().await.unwrap().json().await.unwrap()
    }

    /// Until what [`Service::ask`] says is `right`.
    pub async fn until(&self, path: &str, right: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let said = self.ask(path).await;
            if right(&said) {
                return said;
            }
            assert!(Instant::now() < give_up, "{path} stays {said}");
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}
