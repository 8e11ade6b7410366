//! `bannou demo APP`: one of the quickstart's services as a process of its own, to stand in a Pod beside its Dapr sidecar.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::dev::shutdown;
use crate::demo::{APPS, Demo, Place, Signer, Voice};
use crate::dev::internal::InternalPort;

/// Run one of the quickstart's services: account, auth, chat, echo or game.
///
/// Plain HTTP, as a Dapr app is asked. What it says first (welcomes, notices, matches) goes to --gateway, by the sidecar of this
/// service for example; the gateway then knows by the sidecar who speaks.
#[derive(clap::Args)]
#[command(after_help = "Example:
  bannou demo game --gateway http://127.0.0.1:3500/v1.0/invoke/bannou-gateway.bannou-system/method")]
pub struct Args {
    /// Which one
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(APPS))]
    app: String,

    /// The address to listen on
    #[arg(long, default_value_t = Ipv4Addr::UNSPECIFIED.into(), env = "BANNOU_BIND")]
    bind: IpAddr,

    /// The app port
    #[arg(long, default_value_t = 3000, env = "BANNOU_PORT")]
    port: u16,

    /// The address of the TCP game server, which clients are told; only of `game`
    #[arg(long, value_name = "ADDRESS", env = "BANNOU_GAME_ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
    game_address: SocketAddr,

    /// What comes before /v1/… at the gateway's internal port. Without it the service only answers
    #[arg(long, value_name = "URL", env = "BANNOU_GATEWAY")]
    gateway: Option<String>,

    /// A file with the key that `auth` signs tokens with: that of the fleet's issuer, HS256
    #[arg(long, value_name = "FILE", env = "BANNOU_SIGNING_KEY_FILE")]
    signing_key_file: Option<PathBuf>,

    /// `iss` of these tokens
    #[arg(long, default_value = "https://demo.bannou.dev/", env = "BANNOU_ISSUER")]
    issuer: String,

    /// `aud` of these tokens
    #[arg(long, default_value = "quickstart", env = "BANNOU_AUDIENCE")]
    audience: String,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("--signing-key-file {path}: {error}", path = path.display())]
    Key { path: PathBuf, error: io::Error },
    #[error("{app} cannot listen on {address}: {error}")]
    Listen { app: String, address: SocketAddr, error: io::Error },
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

pub async fn run(args: Args) -> Result<(), DemoError> {
    let Args { app, bind, port, game_address, gateway, signing_key_file, issuer, audience } = args;
    let shutdown = shutdown().map_err(DemoError::Signals)?;
    let signer = match signing_key_file {
        None => None,
        Some(path) => {
            let secret = std::fs::read(&path).map_err(|error| DemoError::Key { path, error })?;
            let algorithm = jsonwebtoken::Algorithm::HS256;
            Some(Signer { issuer, audience: Some(audience), kid: None, algorithm, secret })
        }
    };
    let voice = gateway.map(|url| Voice::new(InternalPort::by_sidecar(&url)));
    let address = SocketAddr::new(bind, port);
    let place = Place { http: address, game: game_address };
    let demo = Demo::start_at(place, &[&app], Arc::new(move || signer.clone()), voice).await;
    let demo = demo.map_err(|error| DemoError::Listen { app: app.clone(), address, error })?;
    for (app, url) in &demo.urls {
        println!("{app} {url}");
    }
    shutdown.await;
    Ok(())
}
