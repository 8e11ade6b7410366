//! The certificate that a replica serves with, made in memory from the CA in the Secret, anew whenever that is another one.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Trouble;
use super::authority::{self, Authority};
use super::object::{asked, is_ours};
use crate::tls::Serving;

#[derive(Clone, Debug)]
pub struct Names {
    /// Where the Secret is.
    pub namespace: String,
    pub dns: Vec<String>,
    /// How long a CA is current.
    pub period: Duration,
}

/// A certificate lasts so much longer than a period, and is made anew at half of its life.
const SPARE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Between two looks, while there is no CA yet.
const SOON: Duration = Duration::from_millis(500);

/// `lacking`: why there is no certificate yet.
pub async fn follow(client: Client, names: Names, serving: Arc<Serving>, lacking: watch::Sender<String>) {
    let api: Api<Secret> = Api::namespaced(client, &names.namespace);
    let life = names.period.saturating_add(SPARE);
    let every = (names.period / 16).clamp(SOON, Duration::from_secs(10));
    let mut served: Option<(Authority, Instant)> = None;
    loop {
        match look(&api, &names).await {
            Ok(authority) => {
                let fresh = served.as_ref().is_some_and(|(of, made)| *of == authority && made.elapsed() < life / 2);
                if !fresh {
                    match authority.serving(&names.dns, Timestamp::now(), life) {
                        Ok(certificate) => {
                            tracing::info!(names = ?names.dns, "serves with a new certificate");
                            serving.exchange(certificate);
                            served = Some((authority, Instant::now()));
                        }
                        Err(error) => tracing::warn!(error, "no certificate can be made; the last good one goes on"),
                    }
                }
            }
            Err(why) => {
                lacking.send_if_modified(|before| {
                    let changed = *before != why;
                    if changed {
                        tracing::warn!(why, "the operator's CA cannot be read");
                    }
                    *before = why;
                    changed
                });
            }
        }
        sleep(if served.is_some() { every } else { SOON }).await;
    }
}

async fn look(api: &Api<Secret>, names: &Names) -> Result<Authority, String> {
    let what = format!("Secret {}/{}", names.namespace, authority::NAME);
    let secret = asked(&what, api.get_opt(authority::NAME)).await.map_err(|trouble| trouble.to_string())?;
    let secret = secret.ok_or_else(|| format!("{what}: the holder of the lease has not made it yet"))?;
    if !is_ours(&secret.metadata) {
        return Err(Trouble::NotOwned(what).to_string());
    }
    authority::current(&secret.data.unwrap_or_default(), Timestamp::now())
        .ok_or_else(|| format!("{what}: no certificate can be made from it"))
}
