//! The HTTP way in for services: the contract of the bus for those who speak no AMQP.

pub mod access;
mod exchanges;
mod http;
mod speak;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::app::listen;
use crate::bus::alive::Alive;
use crate::bus::directory::Directory;
use crate::shared::Shared;
pub use access::{Access, Services};
pub use speak::Fleet;

/// Sidecars keep connections open between calls: each that is closed under them costs a call that meets it.
const IDLE: Duration = Duration::from_secs(120);

/// What the internal port can be told.
#[derive(Clone)]
pub struct Options {
    pub addr: SocketAddr,
    pub access: Access,
}

impl Default for Options {
    fn default() -> Options {
        Options { addr: (Ipv4Addr::LOCALHOST, 9081).into(), access: Access::default() }
    }
}

/// Serves the port until it is dropped.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, access: Access, fleet: Arc<dyn Fleet>) {
    let speaker = Arc::new(speak::Speaker::new(shared.bus.clone(), fleet));
    let router = http::router(Arc::new(http::Port::new(shared, speaker.clone(), access)));
    tokio::join!(speaker.listen(), listen::serve(listener, None, router, IDLE));
}

/// What a gateway knows of its fleet.
pub struct Known {
    pub alive: Arc<Alive>,
    pub directory: Arc<Directory>,
}

impl Fleet for Known {
    fn gateways(&self) -> usize {
        self.alive.live().len()
    }

    fn sessions_of(&self, issuer: &str, subject: &str) -> Option<Vec<String>> {
        self.directory.is_ready().then(|| self.directory.sessions_of(issuer, subject))
    }
}
