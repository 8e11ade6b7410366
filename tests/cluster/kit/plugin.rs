//! `kubectl bannou …`: the real kubectl, which runs the command through a link on its PATH as people install it.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::control_plane::program;
use crate::process::{PATIENCE, binary, repository};

pub struct Plugin {
    folder: TempDir,
    kubeconfig: std::path::PathBuf,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Plugin {
    pub fn new(kubeconfig: &Path) -> Plugin {
        let folder = tempfile::tempdir().unwrap();
        symlink(binary("bannou", "BANNOU_BIN"), folder.path().join("kubectl-bannou")).unwrap();
        Plugin { folder, kubeconfig: kubeconfig.to_owned() }
    }

    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(program("kubectl"));
        command.arg("bannou").args(arguments).env("PATH", path).env("KUBECONFIG", &self.kubeconfig);
        command.current_dir(repository()).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.unwrap_or_else(|_| panic!("{arguments:?} does not end"));
        let output = output.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What is printed, where it ends with this code.
    pub async fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        if code == 2 { ran.err } else { ran.out }
    }

    /// With `-o json`.
    pub async fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let text = self.ends(code, &[arguments, &["-o", "json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}"))
    }

    /// A file that commands can be given.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}
