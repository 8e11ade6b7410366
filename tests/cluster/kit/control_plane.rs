//! etcd and kube-apiserver on free ports of this machine, and the controllers for tests that want Pods to appear.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio::time::{sleep, timeout};

use super::certificates::{Authority, Pair};
use crate::process::{PATIENCE, Process, free_port, installed};

/// A control plane that runs. Ends with the test binary, however that ends.
pub struct Cluster {
    folder: TempDir,
    authority: Authority,
    pub port: u16,
    etcd: Process,
    server: parking_lot::Mutex<Option<Process>>,
    arguments: Vec<String>,
    controllers: OnceCell<[Process; 2]>,
}

pub(super) fn program(name: &str) -> PathBuf {
    static FOLDER: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    FOLDER.get_or_init(|| installed("kubernetes.sh", "BANNOU_KUBERNETES")).join(name)
}

/// The shared one is never dropped, so its folder stays; the next run takes it away.
fn working_folder() -> TempDir {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(root).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("cluster-").and_then(|rest| rest.split('-').next()).map(str::to_owned);
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new().prefix(&format!("cluster-{}-", std::process::id())).tempdir_in(root).unwrap()
}

impl Cluster {
    /// The one of this binary, with the project's definitions in it.
    pub async fn shared() -> &'static Cluster {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                let cluster = Cluster::start().await;
                cluster.define().await;
                cluster
            })
            .await
    }

    /// Another one for tests whose operator writes: they take turns, or two operators would contradict each other on everything.
    pub async fn alone() -> (&'static Cluster, MutexGuard<'static, ()>) {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let cluster = SHARED.get_or_init(|| async {
            let cluster = Cluster::start().await;
            cluster.define().await;
            cluster
        });
        let cluster = cluster.await;
        // What the test before left would be in the default fleet of this one.
        cluster
            .kubectl(&[
                "delete",
                "fleets,accesstiers,serviceexposures,deployments,statefulsets",
                "--all",
                "--all-namespaces",
            ])
            .await;
        (cluster, turn)
    }

    /// One for a test that does harm to it; nothing of the project's is in it.
    pub async fn start() -> Cluster {
        // Tests do not wait for the controller that makes the account of a namespace, unless they want Pods.
        Cluster::start_with(|_| vec!["--disable-admission-plugins=ServiceAccount".to_owned()]).await
    }

    /// As people have it, with a log of what each user asked of it ([`super::audit`]).
    pub async fn audited() -> Cluster {
        Cluster::start_with(super::audit::arguments).await
    }

    /// `more`: arguments for the API server, from the folder of the cluster.
    async fn start_with(more: impl FnOnce(&Path) -> Vec<String>) -> Cluster {
        let folder = working_folder();
        let authority = Authority::new(folder.path());
        let [client, peer, port] = [free_port(), free_port(), free_port()];
        let [client_url, peer_url] = [client, peer].map(|p| format!("http://127.0.0.1:{p}"));
        let etcd = Process::start(&program("etcd"), |command| {
            // Nothing has to outlive a run.
            command.args([
                "--unsafe-no-fsync",
                "--name",
                "tests",
                "--logger",
                "zap",
                "--log-level",
                "warn",
                "--data-dir",
            ]);
            command.arg(folder.path().join("etcd"));
            command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
            command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
            command.args(["--initial-cluster", &format!("tests={peer_url}")]);
        });
        let serving = authority.server("apiserver", &["kubernetes.default.svc"]);
        let accounts = authority.key("service-accounts");
        let mut arguments = vec![
            format!("--etcd-servers={client_url}"),
            "--bind-address=127.0.0.1".into(),
            // The address in the Service `kubernetes`, which must not be of loopback; nobody dials it.
            "--advertise-address=192.0.2.1".into(),
            "--endpoint-reconciler-type=none".into(),
            format!("--secure-port={port}"),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            format!("--client-ca-file={}", authority.certificate().display()),
            format!("--tls-cert-file={}", serving.certificate.display()),
            format!("--tls-private-key-file={}", serving.key.display()),
            format!("--service-account-key-file={}", accounts.certificate.display()),
            format!("--service-account-signing-key-file={}", accounts.key.display()),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            "--authorization-mode=Node,RBAC".into(),
            "--watch-cache=true".into(),
        ];
        arguments.extend(more(folder.path()));
        let cluster = Cluster {
            folder,
            authority,
            port,
            etcd,
            server: parking_lot::Mutex::new(None),
            arguments,
            controllers: OnceCell::new(),
        };
        cluster.start_server().await;
        cluster
    }

    /// Starts the API server, also again after [`Cluster::kill_server`], and waits until it is ready.
    pub async fn start_server(&self) {
        let process = Process::start(&program("kube-apiserver"), |command| {
            command.args(&self.arguments);
        });
        *self.server.lock() = Some(process);
        let client = self.client().await;
        let ready = async {
            loop {
                let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
                // A failing one says more than "ok", and has it in it.
                if client.request_text(request).await.is_ok_and(|text| text == "ok") {
                    return;
                }
                sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        if timeout(PATIENCE, ready).await.is_err() {
            let server = self.server.lock();
            let output = server.as_ref().map(Process::output).unwrap_or_default();
            panic!("kube-apiserver is not ready:\n{output}\netcd:\n{}", self.etcd.output());
        }
    }

    /// STOP: it takes connections and answers nothing. CONT.
    pub fn signal_server(&self, name: &str) {
        self.server.lock().as_ref().expect("it runs").signal(name);
    }

    pub fn kill_server(&self) {
        if let Some(server) = self.server.lock().take() {
            server.kill();
        }
    }

    /// So that Deployments make Pods, and Pods are bound to nodes (which a test has to make up).
    pub async fn controllers(&self) {
        let start = |name: &'static str, more: Vec<String>| {
            let config = self.kubeconfig(name, &format!("system:{name}"), None);
            Process::start(&program(name), |command| {
                command.arg(format!("--kubeconfig={}", config.display()));
                command.args(["--leader-elect=false", "--secure-port=0"]).args(more);
            })
        };
        self.controllers
            .get_or_init(|| async {
                let key = self.folder.path().join("service-accounts.key");
                let manager = vec![
                    format!("--service-account-private-key-file={}", key.display()),
                    format!("--root-ca-file={}", self.authority.certificate().display()),
                    "--use-service-account-credentials".to_owned(),
                    "--allocate-node-cidrs=false".to_owned(),
                ];
                [start("kube-controller-manager", manager), start("kube-scheduler", Vec::new())]
            })
            .await;
    }

    /// A kubeconfig for a user that the certificate names; `group` as `system:masters` may do everything.
    pub fn kubeconfig(&self, name: &str, user: &str, group: Option<&str>) -> PathBuf {
        let pair = self.authority.client(user, group);
        self.write_kubeconfig(name, json!({"client-certificate": pair.certificate, "client-key": pair.key}))
    }

    /// A kubeconfig for the bearer of a token.
    pub fn kubeconfig_of_token(&self, name: &str, token: &str) -> PathBuf {
        self.write_kubeconfig(name, json!({"token": token}))
    }

    fn write_kubeconfig(&self, name: &str, user: serde_json::Value) -> PathBuf {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port), "certificate-authority": self.authority.certificate(),
            }}],
            "users": [{"name": "tests", "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        });
        let path = self.folder.path().join(format!("{name}.kubeconfig"));
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// For a server of the project's own.
    pub fn server_certificate(&self, name: &str) -> Pair {
        self.authority.server(name, &[])
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        let path = self.folder.path().join("admin.kubeconfig");
        if !path.exists() {
            return self.kubeconfig("admin", "admin", Some("system:masters"));
        }
        path
    }

    /// The admin's. A client belongs to the runtime of the test that asks for it.
    pub async fn client(&self) -> Client {
        client_of(&self.admin_kubeconfig()).await
    }

    /// Applies `crds/` as people do, and waits until they are served.
    pub async fn define(&self) {
        let folder = crate::process::repository().join("crds");
        let files =
            ["fleets", "accesstiers", "serviceexposures"].map(|kind| folder.join(format!("{kind}.bannou.dev.yaml")));
        let mut arguments = vec!["apply", "--server-side"];
        arguments.extend(files.iter().flat_map(|file| ["-f", file.to_str().unwrap()]));
        let applied = self.kubectl(&arguments).await;
        // Of a format that it does not know, and the like.
        assert!(!applied.contains("Warning"), "{applied}");
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await;
        // The API server publishes their schemas one by one, some time after it serves them, and an index of them later still; what
        // says that kubectl finds them is kubectl.
        let published = async {
            for kind in ["fleets", "accesstiers", "serviceexposures"] {
                while !self.try_kubectl(&["explain", kind], "").await.0 {
                    sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        };
        timeout(PATIENCE, published).await.expect("the schemas are published");
    }

    /// A namespace of the test's own; its name begins as given.
    pub async fn namespace(&self, prefix: &str, labels: &[(&str, &str)]) -> String {
        let namespace = Namespace {
            metadata: ObjectMeta {
                generate_name: Some(format!("{prefix}-")),
                labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let made = Api::all(self.client().await).create(&PostParams::default(), &namespace).await.unwrap();
        made.metadata.name.unwrap()
    }
}

pub async fn client_of(kubeconfig: &Path) -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}
