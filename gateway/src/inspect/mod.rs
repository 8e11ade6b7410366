//! What a gateway tells the command line: who is connected and why they may what they may, what a catalog would change.
//!
//! On loopback alone: who may port-forward to the Pod may ask, and put clients out. Web pages that a browser on the same machine shows are
//! turned away, also by another name for loopback.

mod http;
pub mod people;
mod preview;
pub mod report;
pub mod standing;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::app::listen;
use crate::shared::Shared;

/// Where `bannou` looks for it in a Pod.
pub const PORT: u16 = 9082;

/// Between two questions on one connection.
const IDLE: Duration = Duration::from_secs(60);

/// Serves the port until it is dropped. `draining` says whether this gateway is leaving.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, draining: impl Fn() -> bool + Send + Sync + 'static) {
    let router = http::router(Arc::new(http::Port::new(shared, Box::new(draining))));
    listen::serve(listener, None, router, IDLE).await;
}
