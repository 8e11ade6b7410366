//! Starts `bannou dev` and whatever else prints a line when it is ready.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

/// Until a test is given up. Nothing is expected to take long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running process whose output is read line by line; killed when dropped.
pub struct Process {
    child: Child,
    pub out: Output<ChildStdout>,
    pub err: Output<ChildStderr>,
}

/// The lines of one stream. Those that nobody has asked for yet are kept.
pub struct Output<R> {
    lines: Lines<BufReader<R>>,
    kept: Vec<String>,
}

/// A `bannou dev` that is ready.
pub struct Dev {
    pub process: Process,
    /// `http://127.0.0.1:PORT/`
    pub page: String,
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub fn quickstart() -> PathBuf {
    repository().join("examples/quickstart")
}

/// The binary beside this test's own: built by whoever runs the system tests.
pub fn bannou() -> Command {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join("bannou");
    assert!(binary.exists(), "{} is not there: cargo build -p bannou-cli", binary.display());
    Command::new(binary)
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Process { child, out: Output::new(out), err: Output::new(err) }
    }

    /// Asks it to end, as Kubernetes and `kill` do.
    pub async fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        self.ended().await
    }

    pub async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it should have ended").unwrap()
    }
}

impl<R: AsyncRead + Unpin> Output<R> {
    fn new(from: R) -> Self {
        Output { lines: BufReader::new(from).lines(), kept: Vec::new() }
    }

    /// The first line that holds `text` and has not been given yet.
    pub async fn line(&mut self, text: &str) -> String {
        if let Some(at) = self.kept.iter().position(|line| line.contains(text)) {
            return self.kept.remove(at);
        }
        loop {
            match timeout(PATIENCE, self.lines.next_line()).await {
                Ok(Ok(Some(line))) if line.contains(text) => return line,
                Ok(Ok(Some(line))) => self.kept.push(line),
                end => panic!("no line with {text:?} ({end:?}) among:\n{}", self.kept.join("\n")),
            }
        }
    }

    /// All that comes until the end.
    pub async fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Ok(Some(line)) = timeout(PATIENCE, self.lines.next_line()).await.expect("no end of output") {
            rest.push_str(&line);
            rest.push('\n');
        }
        rest
    }
}

impl Dev {
    /// With ports of its own, and whatever `arguments` say beside.
    pub async fn start(folder: &Path, arguments: &[&str]) -> Dev {
        let mut command = bannou();
        command
            .arg("dev")
            .arg(folder)
            .args(["--port", "0", "--admin-port", "0", "--internal-port", "0"])
            .args(arguments);
        let mut process = Process::start(&mut command);
        let line = tokio::select! {
            line = process.out.line("playground ") => line,
            error = process.err.line("error: ") => panic!("{error}"),
        };
        let page = line.strip_prefix("playground ").unwrap().to_owned();
        Dev { process, page }
    }

    /// Where a client connects.
    pub fn url(&self) -> String {
        format!("{}connect", self.page.replace("http://", "ws://"))
    }
}

/// A copy of the quickstart that may be edited.
pub fn copy_of_quickstart() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(quickstart()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}
