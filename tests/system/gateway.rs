//! A real gateway process on free ports, with its own folder.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// Ends with its value.
pub struct Gateway {
    pub clients: SocketAddr,
    _folder: TempDir,
    _child: Child,
}

impl Gateway {
    /// Writes the catalog and the files beside it, and waits until the gateway says where it listens.
    pub async fn start(catalog: &Value, files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).expect("a file");
        }
        let path = folder.path().join("catalog.json");
        std::fs::write(&path, catalog.to_string()).expect("the catalog");
        let mut child = Command::new(binary())
            .arg("--catalog")
            .arg(&path)
            .args(["--bind", "127.0.0.1", "--port", "0", "--admin-bind", "127.0.0.1", "--admin-port", "0"])
            .args(["--log-format", "json"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (found, mut listening) = watch::channel(None);
        // Read to its end: a full pipe would stop the gateway.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let json: Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(address) = json["fields"]["clients"].as_str() {
                    found.send_replace(address.parse().ok());
                } else if json["level"] != "INFO" {
                    eprintln!("gateway: {line}");
                }
            }
        });
        let clients = listening.wait_for(Option::is_some).await.expect("the gateway ended before it listened");
        let clients = clients.expect("waited for");
        Self { clients, _folder: folder, _child: child }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/connect", self.clients)
    }
}

/// Beside the test binary: `make test` builds it first.
fn binary() -> PathBuf {
    let exe = std::env::current_exe().expect("this program");
    let path = exe.ancestors().nth(2).expect("target/…/deps/").join("bannou-gateway");
    assert!(path.exists(), "{} is not there: cargo build -p bannou-gateway", path.display());
    path
}
