//! The services behind the quickstart: plain HTTP, exactly as a Dapr app sees its requests. Of Bannou they know nothing
//! but the `bannou-*` headers.

mod account;
mod auth;
mod chat;
mod echo;
mod game;
mod http;
mod voice;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use auth::ACCOUNTS;
pub use auth::Signer;
pub use voice::Voice;

/// App-ids for which there is a demo service.
pub const APPS: [&str; 5] = ["account", "auth", "chat", "echo", "game"];

/// As much as any endpoint of the gateway may take by default, and room to be told off by the service itself.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Running demo services; they end when this is dropped.
pub struct Demo {
    /// App-id to base URL, such as `http://127.0.0.1:40123`.
    pub urls: BTreeMap<String, String>,
    /// The demo's TCP game server, when the app `game` runs here.
    pub game: Option<SocketAddr>,
    _tasks: JoinSet<()>,
}

/// Where one demo service listens when it runs alone.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub http: SocketAddr,
    /// Of the TCP game server, with the app `game` alone; clients are told this address.
    pub game: SocketAddr,
}

/// Says how to sign a token right now; `None`: the fleet has no issuer that the demo could sign for.
pub type CurrentSigner = Arc<dyn Fn() -> Option<Signer> + Send + Sync>;

impl Demo {
    /// Starts those of [`APPS`] that `wanted` names, each on a free loopback port. Other names are ignored.
    /// With a `voice`, `account`, `chat` and `game` speak first.
    pub async fn start(wanted: &[&str], signer: CurrentSigner, voice: Option<Voice>) -> io::Result<Self> {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::start_at(Place { http: anywhere, game: anywhere }, wanted, signer, voice).await
    }

    /// The same at addresses that are given; with one service, or with port 0.
    pub async fn start_at(
        place: Place,
        wanted: &[&str],
        signer: CurrentSigner,
        voice: Option<Voice>,
    ) -> io::Result<Self> {
        let mut demo = Self { urls: BTreeMap::new(), game: None, _tasks: JoinSet::new() };
        for app in APPS.into_iter().filter(|app| wanted.contains(app)) {
            let router = match app {
                "account" => account::router(voice.clone()),
                "auth" => auth::router(signer.clone()),
                "chat" => chat::router(voice.clone()),
                "echo" => echo::router(),
                "game" => {
                    let listener = TcpListener::bind(place.game).await?;
                    let address = listener.local_addr()?;
                    demo.game = Some(address);
                    let (router, server) = game::router(address, voice.clone());
                    demo._tasks.spawn(server.run(listener));
                    router
                }
                _ => unreachable!("APPS lists only what is started here"),
            };
            demo.serve(app, place.http, router).await?;
        }
        Ok(demo)
    }

    async fn serve(&mut self, app: &str, address: SocketAddr, router: Router) -> io::Result<()> {
        let listener = TcpListener::bind(address).await?;
        self.urls.insert(app.to_owned(), format!("http://{}", listener.local_addr()?));
        let router = router.fallback(http::unknown_path).layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
        self._tasks.spawn(async move {
            // Accept errors are retried inside; it never comes back.
            let _ = axum::serve(listener, router).await;
        });
        Ok(())
    }
}

#[cfg(test)]
mod speaking;
#[cfg(test)]
mod tests;
