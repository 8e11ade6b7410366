//! The real helm, as a person runs it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::control_plane::Cluster;
use crate::process::{PATIENCE, installed, repository};

/// Of the repository.
pub fn chart(name: &str) -> PathBuf {
    repository().join("charts").join(name)
}

impl Cluster {
    /// What it prints, on both ways; fails with that when helm does.
    pub async fn helm(&self, arguments: &[&str]) -> String {
        self.try_helm(arguments).await.unwrap_or_else(|output| panic!("helm {arguments:?}: {output}"))
    }

    /// `Err` has what a person reads.
    pub async fn try_helm(&self, arguments: &[&str]) -> Result<String, String> {
        helm(Some(&self.admin_kubeconfig()), arguments).await
    }
}

/// `kubeconfig`: none for what needs no cluster. Sees nothing of a person's own configuration.
pub async fn helm(kubeconfig: Option<&Path>, arguments: &[&str]) -> Result<String, String> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    static HOME: OnceLock<TempDir> = OnceLock::new();
    let home = HOME.get_or_init(|| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()).path();
    let mut command = Command::new(PROGRAM.get_or_init(|| installed("helm.sh", "BANNOU_HELM")));
    for name in std::env::vars().map(|(name, _)| name).filter(|n| n.starts_with("HELM_") || n == "KUBECONFIG") {
        command.env_remove(name);
    }
    for (name, folder) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")] {
        command.env(name, home.join(folder));
    }
    command.env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null"))).args(arguments).kill_on_drop(true);
    let output =
        timeout(PATIENCE, command.output()).await.unwrap_or_else(|_| panic!("helm {arguments:?} does not end"));
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(text) } else { Err(text) }
}
