//! Replicas of the operator that hold a lease, each in a thread of its own, so that one can be stopped as by SIGSTOP.

use std::sync::mpsc;
use std::time::Duration;

use bannou_operator::app::replica::{Voice, run};
use bannou_operator::controller::{Gateways, Options, Output};
use bannou_operator::lease::{Role, Settings};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::Cluster;
use crate::process::PATIENCE;

pub struct Replica {
    pub role: watch::Receiver<Role>,
    pub output: watch::Receiver<Output>,
    pub gateways: watch::Sender<Gateways>,
    stop: watch::Sender<bool>,
    runtime: tokio::runtime::Handle,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// While it lives, the replica does not run.
pub struct Frozen(#[expect(dead_code, reason = "dropped to let it go on")] mpsc::Sender<()>);

impl Replica {
    /// The times of its lease are short, but not so short that a busy machine loses it.
    pub async fn start(cluster: &Cluster, namespace: &str, identity: &str) -> Replica {
        let settings = Settings {
            duration: Duration::from_secs(6),
            deadline: Duration::from_secs(4),
            every: Duration::from_millis(500),
            ..Settings::new(namespace, "bannou-operator", identity)
        };
        let kubeconfig = cluster.admin_kubeconfig();
        let voice = Voice::default();
        let (role, output) = (voice.role.subscribe(), voice.output.subscribe());
        let (gateways, connected) = watch::channel(Gateways::new());
        let (stop, stopped) = watch::channel(false);
        let (kill, killed) = oneshot::channel();
        let (handle, of) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            handle.send(runtime.handle().clone()).unwrap();
            runtime.block_on(async {
                let client = super::control_plane::client_of(&kubeconfig).await;
                tokio::select! {
                    () = run(client, settings, Options::default(), None, connected, voice, stopped) => {}
                    // As by SIGKILL: what it spawned ends with the runtime, and nothing is let go of.
                    _ = killed => {}
                }
            });
        });
        Replica { role, output, gateways, stop, runtime: of.await.unwrap(), kill: Some(kill), thread: Some(thread) }
    }

    /// The term, once it holds the lease.
    pub async fn holds(&mut self) -> u64 {
        let held = timeout(PATIENCE, self.role.wait_for(|role| matches!(role, Role::Holder(_)))).await;
        match &*held.expect("it never holds the lease").expect("it runs") {
            Role::Holder(holding) => holding.term,
            _ => unreachable!(),
        }
    }

    /// Stands by, and knows who holds the lease.
    pub async fn stands_by(&mut self, holder: &str) {
        let is = |role: &Role| matches!(role, Role::Standby(Some(other)) if other == holder);
        timeout(PATIENCE, self.role.wait_for(is)).await.expect("it never stands by").expect("it runs");
    }

    /// The first output of which it is true.
    pub async fn until(&mut self, what: &str, is_true: impl Fn(&Output) -> bool) -> Output {
        let found = timeout(PATIENCE, self.output.wait_for(|output| is_true(output))).await;
        found.unwrap_or_else(|_| panic!("never {what}")).expect("it runs").clone()
    }

    /// Blocks its only thread.
    pub async fn freeze(&self) -> Frozen {
        let (go_on, wait) = mpsc::channel::<()>();
        let (blocks, blocked) = oneshot::channel();
        self.runtime.spawn(async move {
            blocks.send(()).unwrap();
            let _ = wait.recv();
        });
        blocked.await.unwrap();
        Frozen(go_on)
    }

    pub async fn kill(mut self) {
        drop(self.kill.take());
        self.join().await;
    }

    /// As by SIGTERM.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.join().await;
    }

    async fn join(&mut self) {
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
    }
}
