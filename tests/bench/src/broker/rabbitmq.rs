//! The broker under measurement: RabbitMQ by `tests/services/broker`, on a fixed port of the bench's own network namespace.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Result;
use crate::process::Server;

pub const URL: &str = "amqp://guest:guest@127.0.0.1:9672/%2F";
const ADDRESS: &str = "127.0.0.1:9672";
const EPMD: &str = "9669";
const NODE: &str = "bench";

pub struct RabbitMq {
    server: Server,
    epmd: std::process::Child,
    root: String,
    folder: tempfile::TempDir,
}

impl RabbitMq {
    /// # Errors
    /// `BANNOU_RABBITMQ` (what `tests/setup/rabbitmq.sh` prints) is not set, or the broker does not come up.
    pub fn start() -> Result<RabbitMq> {
        let root =
            std::env::var("BANNOU_RABBITMQ").map_err(|_| "BANNOU_RABBITMQ is not set: start tests/bench/run.sh")?;
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        for name in ["home", "epmd", NODE] {
            std::fs::create_dir(path.join(name))?;
        }
        std::fs::write(path.join("plugins"), "[].\n")?;
        let cookie = path.join("home/.erlang.cookie");
        std::fs::write(&cookie, uuid::Uuid::new_v4().simple().to_string())?;
        std::fs::set_permissions(cookie, std::fs::Permissions::from_mode(0o400))?;
        let config = format!(
            "listeners.tcp.1 = {ADDRESS}\nlog.console = true\nlog.console.level = warning\ndisk_free_limit.absolute = 1MB\n\
             distribution.listener.port_range.min = 9668\ndistribution.listener.port_range.max = 9668\n"
        );
        std::fs::write(path.join(NODE).join("rabbitmq.conf"), config)?;
        let epmd = command(&root, path, "epmd")
            .args(["epmd", "-port", EPMD])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let address: SocketAddr = ADDRESS.parse()?;
        let mut node = command(&root, path, NODE);
        node.arg("rabbitmq-server").stdout(Stdio::null());
        let server = Server::start("RabbitMQ", &mut node, address, address)?;
        Ok(RabbitMq { server, epmd, root, folder })
    }

    /// Rows of `rabbitmqctl list_…`.
    ///
    /// # Errors
    /// `rabbitmqctl` says why.
    pub fn count(&self, what: &str) -> Result<usize> {
        let rows: Value = serde_json::from_str(&self.ctl(&[what, "--formatter", "json"])?)?;
        Ok(rows.as_array().map_or(0, Vec::len))
    }

    /// Bytes that the broker says it holds.
    ///
    /// # Errors
    /// `rabbitmqctl` says why.
    pub fn memory(&self) -> Result<u64> {
        // What waits to be collected is nobody's.
        self.ctl(&["force_gc"])?;
        let total = self.ctl(&["eval", "erlang:memory(total)."])?;
        Ok(total.trim().parse()?)
    }

    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Result<()> {
        self.server.check()
    }

    fn ctl(&self, args: &[&str]) -> Result<String> {
        let mut ctl = command(&self.root, self.folder.path(), NODE);
        let output = ctl.args(["rabbitmqctl", "--quiet"]).args(args).stdin(Stdio::null()).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(format!("rabbitmqctl {args:?}: {}{}", text(&output.stdout), text(&output.stderr)).into())
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        let _ = self.epmd.kill();
        let _ = self.epmd.wait();
    }
}

fn command(root: &str, folder: &Path, node: &str) -> Command {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../services/broker");
    let mut command = Command::new(script);
    command.arg(root).arg(folder).args([node, EPMD]);
    command
}
