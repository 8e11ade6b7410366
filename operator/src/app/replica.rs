//! One replica of the operator: stands by, and does the work while it holds the lease.

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::controller::{self, Gateways, Heard, Options, Output};
use crate::index::ObjectKind;
use crate::keys::{self, Troubles};
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
        Voice { role: watch::channel(Role::default()).0, output: watch::channel(Output::default()).0 }
    }
}

/// Runs a replica, with `keys` to write if it is the one to do that, until `stop` is true or dropped; then ends the work, and lets go of the lease.
pub async fn run(
    client: Client,
    settings: Settings,
    options: Options,
    keys: Option<keys::Settings>,
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
        match now {
            Role::Unknown | Role::Standby(_) => drop(voice.output.send_replace(Output::default())),
            Role::Lapsed => voice.output.send_modify(lapsed),
            Role::Holder(holding) => {
                voice.output.send_replace(Output::default());
                begin(&mut work, &client, &options, keys.as_ref(), holding, &gateways, &voice.output);
            }
        }
        tokio::select! {
            changed = role.changed() => if changed.is_err() { break },
            _ = stop.wait_for(|stop| *stop) => break,
            () = failed(&mut work) => {}
        }
    }
    work.shutdown().await;
    voice.output.send_replace(Output::default());
    let_go.send_replace(true);
    while lease.join_next().await.is_some() {}
}

/// Ends by a panic alone, which it passes on: the process is to start again, not to hold a lease and do nothing.
async fn failed(work: &mut JoinSet<()>) {
    while let Some(ended) = work.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
    std::future::pending().await
}

/// What was published counts on, and nothing of it is heard of any more.
fn lapsed(output: &mut Output) {
    let why = "the lease could not be renewed: the API server does not answer";
    output.stale = ObjectKind::ALL.into_iter().map(|kind| (kind, why.to_owned())).collect();
}

fn begin(
    work: &mut JoinSet<()>,
    client: &Client,
    options: &Options,
    keys: Option<&keys::Settings>,
    holding: Holding,
    gateways: &watch::Receiver<Gateways>,
    output: &watch::Sender<Output>,
) {
    let (seen, mut readers) = reader::watch(client);
    // Readers end with the task that owns them.
    work.spawn(async move { while readers.join_next().await.is_some() {} });
    work.spawn(apply::run(client.clone(), holding.clone(), options.meters.clone(), output.subscribe()));
    let (tell, troubles) = watch::channel(Troubles::new());
    if let Some(settings) = keys {
        let (holding, meters, outputs) = (holding.clone(), options.meters.clone(), output.subscribe());
        work.spawn(keys::run(client.clone(), holding, settings.clone(), meters, outputs, tell));
    }
    let heard = Heard { seen, gateways: gateways.clone(), troubles };
    work.spawn(controller::run(client.clone(), options.clone(), holding, heard, output.clone()));
}
