//! Real RabbitMQ brokers: one, or a cluster. See `tests/setup/rabbitmq.sh` and `tests/services/broker`.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Duration, Instant, sleep};

use super::process::{PATIENCE, Process, free_port, installed, repository};

/// A node of RabbitMQ with ports and a folder of its own. What it stored outlives [`Broker::kill`] and [`Broker::stop`].
pub struct Broker {
    /// AMQP without TLS, on 127.0.0.1.
    pub port: u16,
    /// AMQP with TLS, where [`Tls`] was given.
    pub tls_port: Option<u16>,
    /// Without `@localhost`.
    pub node: String,
    home: Arc<Home>,
    process: Mutex<Option<Process>>,
}

/// Brokers that know each other, by order of their names.
pub struct Cluster {
    pub nodes: Vec<Broker>,
}

/// What a broker with a TLS listener shows, and whom it believes; all PEM.
pub struct Tls {
    pub ca: String,
    pub certificate: String,
    pub key: String,
    /// Whether a client must show a certificate of the same authority.
    pub clients: bool,
}

/// What nodes of one cluster share.
struct Home {
    root: PathBuf,
    folder: TempDir,
    epmd: u16,
    /// Apart from the nodes: one that dies must not take it along.
    _epmd: Process,
}

/// How many vhosts `t0`, `t1`, … a broker has from its start, all of them open to `guest`.
const VHOSTS: usize = 100;

impl Broker {
    /// One that is up: user `guest` with password `guest`, from loopback as from anywhere.
    pub async fn start() -> Broker {
        Broker::start_with(None).await
    }

    pub async fn start_with(tls: Option<&Tls>) -> Broker {
        let broker = Broker::prepare(&Home::new(), "n0", "", tls);
        broker.restart().await;
        broker
    }

    fn prepare(home: &Arc<Home>, node: &str, more: &str, tls: Option<&Tls>) -> Broker {
        let folder = home.folder.path().join(node);
        fs::create_dir(&folder).unwrap();
        let (port, distribution) = (free_port(), free_port());
        let mut config = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\nlog.console = true\nlog.console.level = info\n\
             distribution.listener.port_range.min = {distribution}\ndistribution.listener.port_range.max = {distribution}\n\
             distribution.listener.interface = 127.0.0.1\ndisk_free_limit.absolute = 1MB\n\
             vm_memory_high_watermark.absolute = 2GB\nload_definitions = /mnt/definitions.json\n{more}"
        );
        let tls_port = tls.map(|tls| {
            let port = free_port();
            for (name, text) in [("ca.pem", &tls.ca), ("cert.pem", &tls.certificate), ("key.pem", &tls.key)] {
                fs::write(folder.join(name), text).unwrap();
            }
            let _ = write!(
                config,
                "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = /mnt/{node}/ca.pem\n\
                 ssl_options.certfile = /mnt/{node}/cert.pem\nssl_options.keyfile = /mnt/{node}/key.pem\n\
                 ssl_options.verify = {}\nssl_options.fail_if_no_peer_cert = {}\n",
                if tls.clients { "verify_peer" } else { "verify_none" },
                tls.clients,
            );
            port
        });
        fs::write(folder.join("rabbitmq.conf"), config).unwrap();
        Broker { port, tls_port, node: node.to_owned(), home: home.clone(), process: Mutex::new(None) }
    }

    /// For a client, as `guest` in this vhost.
    pub fn url(&self, vhost: &str) -> String {
        self.url_of("guest", "guest", vhost)
    }

    pub fn url_of(&self, user: &str, password: &str, vhost: &str) -> String {
        format!("amqp://{user}:{password}@127.0.0.1:{}/{}", self.port, vhost.replace('/', "%2F"))
    }

    /// Starts it, or starts it again with what it stored, and returns when it takes connections.
    pub async fn restart(&self) {
        self.boot();
        self.up().await;
    }

    fn boot(&self) {
        drop(self.process.lock().take());
        let process = Process::start(&repository().join("tests/services/broker"), |command| {
            self.home.arguments(command, &self.node);
            command.arg("rabbitmq-server");
        });
        *self.process.lock() = Some(process);
    }

    async fn up(&self) {
        let give_up = Instant::now() + PATIENCE;
        // The listener is the last thing that a node starts.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < give_up, "{} does not come up:\n{}", self.node, self.output());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// As by SIGKILL; returns when it is gone.
    pub async fn kill(&self) {
        let Some(process) = self.process.lock().take() else { return };
        process.kill();
        let give_up = Instant::now() + PATIENCE;
        // The kernel ends what runs in its namespace a moment later.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
            assert!(Instant::now() < give_up, "{} does not end", self.node);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What was declared is on its disk from now on. Its stores of definitions write behind by seconds, and a kill in that time
    /// leaves streams that no restart brings back.
    pub fn settle(&self) {
        self.ctl(&["eval", "mnesia:sync_log(), mnesia:dump_log(), [dets:sync(T) || T <- dets:all()]."]);
    }

    /// In order: clients are told.
    pub async fn stop(&self) {
        self.ctl(&["stop_app"]);
        self.kill().await;
    }

    /// From now on it takes no publishes, or takes them again.
    pub fn memory_alarm(&self, on: bool) {
        let limit = if on { "1" } else { "2GB" };
        self.ctl(&["set_vm_memory_high_watermark", "absolute", limit]);
    }

    /// Runs `rabbitmqctl` for this node and gives what it printed.
    pub fn ctl(&self, args: &[&str]) -> String {
        let output = self.run("rabbitmqctl", &[&["--quiet"], args].concat());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "rabbitmqctl {args:?}: {out}{err}");
        out.into_owned()
    }

    /// Runs a program of the broker's installation, or a script below [`Broker::folder`] (which is `/mnt` to it).
    pub fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(repository().join("tests/services/broker"));
        self.home.arguments(&mut command, &self.node);
        command.arg(program).args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Shared by the nodes of a cluster.
    pub fn folder(&self) -> PathBuf {
        self.home.folder.path().to_owned()
    }

    /// What it logged since it was last started.
    pub fn output(&self) -> String {
        self.process.lock().as_ref().map(Process::output).unwrap_or_default()
    }
}

impl Cluster {
    /// Three nodes that found each other.
    pub async fn start() -> Cluster {
        let home = Home::new();
        let names = ["n0", "n1", "n2"];
        let mut found = "cluster_formation.peer_discovery_backend = classic_config\n\
                         cluster_formation.target_cluster_size_hint = 3\n"
            .to_owned();
        for (i, name) in names.iter().enumerate() {
            let _ = writeln!(found, "cluster_formation.classic_config.nodes.{} = {name}@localhost", i + 1);
        }
        let nodes: Vec<Broker> = names.iter().map(|name| Broker::prepare(&home, name, &found, None)).collect();
        nodes.iter().for_each(Broker::boot);
        for node in &nodes {
            node.up().await;
        }
        let cluster = Cluster { nodes };
        cluster.whole().await;
        cluster
    }

    /// Until all nodes see all.
    pub async fn whole(&self) {
        let give_up = Instant::now() + PATIENCE;
        let count = "length(rabbit_nodes:list_running()).";
        for node in &self.nodes {
            while node.ctl(&["eval", count]).trim() != self.nodes.len().to_string() {
                assert!(Instant::now() < give_up, "{} does not see all nodes:\n{}", node.node, node.output());
                sleep(Duration::from_millis(200)).await;
            }
        }
    }

    /// One for each node.
    pub fn urls(&self, vhost: &str) -> Vec<String> {
        self.nodes.iter().map(|node| node.url(vhost)).collect()
    }

    /// The node that leads this stream, and one that has no replica of it.
    pub fn leader(&self, vhost: &str, stream: &str) -> &Broker {
        let all = self.nodes.iter().find(|node| node.process.lock().is_some()).unwrap();
        let rows = all.ctl(&["list_queues", "-p", vhost, "--no-table-headers", "name", "leader"]);
        let row = rows.lines().find(|row| row.split_whitespace().next() == Some(stream));
        let leader = row.unwrap_or_else(|| panic!("no {stream} in {rows}")).split_whitespace().last().unwrap();
        self.nodes.iter().find(|node| format!("{}@localhost", node.node) == leader).unwrap()
    }
}

impl Home {
    fn new() -> Arc<Home> {
        let root = installed("rabbitmq.sh", "BANNOU_RABBITMQ");
        let folder = tempfile::tempdir().unwrap();
        let (path, epmd) = (folder.path(), free_port());
        fs::create_dir(path.join("home")).unwrap();
        fs::create_dir(path.join("epmd")).unwrap();
        fs::write(path.join("plugins"), "[].\n").unwrap();
        let cookie = path.join("home/.erlang.cookie");
        fs::write(&cookie, uuid::Uuid::new_v4().simple().to_string()).unwrap();
        fs::set_permissions(cookie, fs::Permissions::from_mode(0o400)).unwrap();
        fs::write(path.join("definitions.json"), definitions().to_string()).unwrap();
        let process = Process::start(&repository().join("tests/services/broker"), |command| {
            command.arg(&root).arg(path).args(["epmd", &epmd.to_string(), "epmd", "-port", &epmd.to_string()]);
        });
        Arc::new(Home { root, folder, epmd, _epmd: process })
    }

    fn arguments(&self, command: &mut Command, node: &str) {
        command.arg(&self.root).arg(self.folder.path()).args([node, &self.epmd.to_string()]);
    }
}

/// The users: `guest` may everything, `game` and `chat` are services.
fn definitions() -> Value {
    let names = || (0..VHOSTS).map(|n| format!("t{n}")).chain(["/".to_owned()]);
    let vhosts: Vec<_> = names().map(|name| json!({ "name": name })).collect();
    let permissions = names().flat_map(|vhost| {
        let of_service = |name: &str| {
            json!({
                "user": name, "vhost": vhost, "configure": format!("^{name}\\."),
                "write": format!("^(bannou\\.clients|{name}\\..*)$"),
                "read": format!("^(bannou\\.sessions|{name}\\..*)$"),
            })
        };
        [
            json!({ "user": "guest", "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*" }),
            of_service("game"),
            of_service("chat"),
        ]
    });
    json!({
        "vhosts": vhosts,
        "users": [
            { "name": "guest", "password": "guest", "tags": ["administrator"] },
            { "name": "game", "password": "game", "tags": [] },
            { "name": "chat", "password": "chat", "tags": [] },
        ],
        "permissions": permissions.collect::<Vec<_>>(),
    })
}

/// A broker for all tests that leave it running, and a vhost in it that is nobody else's.
pub async fn shared() -> (&'static Broker, String) {
    static BROKER: tokio::sync::OnceCell<Broker> = tokio::sync::OnceCell::const_new();
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let broker = BROKER.get_or_init(Broker::start).await;
    let vhost = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    assert!(vhost < VHOSTS, "more tests than vhosts: raise VHOSTS");
    (broker, format!("t{vhost}"))
}
