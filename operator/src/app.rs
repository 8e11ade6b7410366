//! One replica of the operator: stands by, and does the work while it holds the lease. The only place that knows everybody.

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::controller::{self, Gateways, Options, Output};
use crate::lease::{self, Holding, Role, Settings};
use crate::{apply, watch as reader};

/// What others are told of a replica.
#[derive(Debug)]
pub struct Voice {
    pub role: watch::Sender<Role>,
    /// Nothing compiled (`compiled: 0`) while somebody else holds the lease, and until the world is known.
    pub output: watch::Sender<Output>,
}

impl Default for Voice {
    fn default() -> Voice {
        Voice { role: watch::channel(Role::Standby(None)).0, output: watch::channel(Output::default()).0 }
    }
}

/// Runs a replica until `stop` is true or dropped; then ends the work, and lets go of the lease. The term in `options` is set here.
pub async fn run(
    client: Client,
    settings: Settings,
    options: Options,
    gateways: watch::Receiver<Gateways>,
    voice: Voice,
    mut stop: watch::Receiver<bool>,
) {
    let mut role = voice.role.subscribe();
    let (let_go, told_to) = watch::channel(false);
    let mut lease = JoinSet::new();
    lease.spawn(lease::hold(client.clone(), settings, voice.role, told_to));
    let mut work = JoinSet::new();
    loop {
        let now = role.borrow_and_update().clone();
        // Nobody writes any more when the lease is lost, and a new holder lists everything afresh.
        work.shutdown().await;
        voice.output.send_replace(Output::default());
        if let Role::Holder(holding) = now {
            begin(&mut work, &client, &options, holding, &gateways, &voice.output);
        }
        tokio::select! {
            changed = role.changed() => if changed.is_err() { break },
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    work.shutdown().await;
    voice.output.send_replace(Output::default());
    let_go.send_replace(true);
    while lease.join_next().await.is_some() {}
}

fn begin(
    work: &mut JoinSet<()>,
    client: &Client,
    options: &Options,
    holding: Holding,
    gateways: &watch::Receiver<Gateways>,
    output: &watch::Sender<Output>,
) {
    let options = Options { term: holding.term, ..options.clone() };
    let (seen, mut readers) = reader::watch(client);
    // Readers end with the task that owns them.
    work.spawn(async move { while readers.join_next().await.is_some() {} });
    work.spawn(apply::run(client.clone(), holding, output.subscribe()));
    work.spawn(controller::run(client.clone(), options, seen, gateways.clone(), output.clone()));
}
