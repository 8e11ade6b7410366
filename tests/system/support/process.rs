//! Processes of a test: their lines, and that they end with it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Until a test is given up. Nothing is expected to take long; a machine that builds something else beside may be slow.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// A running process whose output is kept line by line. It ends when this is dropped, and when the test binary ends
/// however it ends: `tests/services/tied` sees to that. Not bound to a runtime, so tests can share one.
pub struct Process {
    child: Child,
    tie: Option<ChildStdin>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    ended: Mutex<usize>,
    more: Notify,
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The binary beside this test's own, built by whoever runs the system tests; or what the variable names.
pub fn binary(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(binary.exists(), "{} is not there: build it first (tests/run.sh system does)", binary.display());
    binary
}

/// What a script under `tests/setup` installs and prints the path of, unless the variable says where it is.
pub fn installed(script: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let script = repository().join("tests/setup").join(script);
    let output = Command::new(&script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{} failed", script.display());
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// A port that was free a moment ago; never the same twice in this process.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    loop {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut given = GIVEN.lock();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}

impl Process {
    /// `configure` adds arguments and environment.
    pub fn start(program: &Path, configure: impl FnOnce(&mut Command)) -> Process {
        let mut command = Command::new(repository().join("tests/services/tied"));
        command.arg(program);
        // Nothing of the machine's own Dapr or gateway may leak in.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("DAPR_") || text.starts_with("BANNOU_") || text == "APP_API_TOKEN" {
                command.env_remove(&name);
            }
        }
        configure(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let log = Arc::new(Log::default());
        keep(child.stdout.take().unwrap(), log.clone());
        keep(child.stderr.take().unwrap(), log.clone());
        let tie = child.stdin.take();
        Process { child, tie, log }
    }

    /// The first line that holds `text`, from the beginning on.
    pub async fn line(&self, text: &str) -> String {
        self.line_after(0, text).await
    }

    /// How many lines there are by now: a mark for [`Process::line_after`].
    pub fn mark(&self) -> usize {
        self.log.lines.lock().len()
    }

    pub async fn line_after(&self, mark: usize, text: &str) -> String {
        let search = async {
            loop {
                let more = self.log.more.notified();
                let ended = *self.log.ended.lock() == 2;
                if let Some(line) = self.log.lines.lock().iter().skip(mark).find(|l| l.contains(text)) {
                    return Some(line.clone());
                }
                if ended {
                    return None;
                }
                more.await;
            }
        };
        match timeout(PATIENCE, search).await {
            Ok(Some(line)) => line,
            end => panic!("no line with {text:?} ({end:?}) among:\n{}", self.output()),
        }
    }

    pub fn output(&self) -> String {
        self.log.lines.lock().join("\n")
    }

    /// Asks it to end, as Kubernetes does, and waits until it has.
    pub fn terminate(mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// Sends the server itself a signal: STOP, CONT …
    pub fn signal(&self, name: &str) {
        let tied = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{tied}/task/{tied}/children")).unwrap();
        // `tied` has another one that waits for the end of the test.
        let is_tied = |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default() == "tied\n";
        let server = children.split_whitespace().find(|pid| !is_tied(pid)).expect("the server has ended");
        assert!(Command::new("kill").arg(format!("-{name}")).arg(server).status().unwrap().success());
    }

    /// Returns when it has ended by itself.
    pub fn wait(mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends it at once, and returns when it is gone.
    pub fn kill(mut self) {
        drop(self.tie.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.tie.take());
        // So that it is no zombie; `tied` ends within moments of its server.
        let _ = self.child.wait();
    }
}

/// Reads in a thread, so that a process is never held up by a full pipe.
fn keep(from: impl Read + Send + 'static, log: Arc<Log>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            log.lines.lock().push(String::from_utf8_lossy(&line).into_owned());
            log.more.notify_waiters();
        }
        *log.ended.lock() += 1;
        log.more.notify_waiters();
    });
}
