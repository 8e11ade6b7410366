//! `bannou playground`: the page alone, for a gateway elsewhere, to stand in a Pod of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

use super::dev::shutdown;
use crate::playground;

/// Serve the playground's page for a gateway elsewhere.
///
/// The page connects to --connect from the browser, so that must be a URL which browsers reach; the fleet's `origins` must name
/// where this page is served.
#[derive(clap::Args)]
pub struct Args {
    /// Where the page connects to: ws://HOST:PORT/connect or wss://…
    #[arg(long, value_name = "URL", env = "BANNOU_CONNECT", value_parser = websocket)]
    connect: String,

    /// The address to listen on
    #[arg(long, default_value_t = Ipv4Addr::UNSPECIFIED.into(), env = "BANNOU_BIND")]
    bind: IpAddr,

    /// The port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8080, env = "BANNOU_PORT")]
    port: u16,
}

fn websocket(text: &str) -> Result<String, String> {
    let uri = axum::http::Uri::try_from(text).map_err(|e| e.to_string())?;
    match uri.scheme_str() {
        Some("ws" | "wss") => Ok(text.to_owned()),
        _ => Err("a URL that begins with ws:// or wss://".to_owned()),
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PlaygroundError {
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

pub async fn run(args: Args) -> Result<(), PlaygroundError> {
    let address = SocketAddr::new(args.bind, args.port);
    let shutdown = shutdown().map_err(PlaygroundError::Signals)?;
    let listen = |error| PlaygroundError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let router = Router::new().route("/livez", get(|| async { "ok\n" })).merge(playground::page(&args.connect));
    println!("playground http://{bound}/ for {}", args.connect);
    tokio::select! {
        // Accept errors are retried inside; it never comes back.
        _ = async { axum::serve(listener, router).await } => {}
        () = shutdown => {}
    }
    Ok(())
}
