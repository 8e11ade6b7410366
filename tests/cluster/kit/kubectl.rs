//! The real kubectl, as a person runs it.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::control_plane::{Cluster, program};
use crate::process::PATIENCE;

impl Cluster {
    /// What it prints, on both ways; fails with that when kubectl does.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        let (good, output) = self.try_kubectl(arguments, "").await;
        assert!(good, "kubectl {arguments:?}: {output}");
        output
    }

    /// Applies YAML or JSON; `Err` has what a person reads.
    pub async fn apply(&self, text: &str) -> Result<String, String> {
        match self.try_kubectl(&["apply", "-f", "-"], text).await {
            (true, output) => Ok(output),
            (false, output) => Err(output),
        }
    }

    pub async fn try_kubectl(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut command = Command::new(program("kubectl"));
        command.arg("--kubeconfig").arg(self.admin_kubeconfig()).arg("--cache-dir").arg(self.folder().join("kubectl"));
        command.args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = async {
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(input.as_bytes()).await.unwrap();
            drop(stdin);
            child.wait_with_output().await.unwrap()
        };
        let output = timeout(PATIENCE, run).await.unwrap_or_else(|_| panic!("kubectl {arguments:?} does not end"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }
}
