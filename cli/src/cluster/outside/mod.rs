//! The way from outside, step by step: name, TCP, TLS, upgrade, subprotocol, origin, and a connection that is idle.

mod probe;

use std::time::Duration;

pub use probe::Probe;

use super::findings::Finding;
use crate::trouble::Trouble;

const AREA: &str = "outside";

/// What is asked.
pub struct Asked {
    pub url: String,
    /// `HOST:PORT` to dial in the URL's stead: the name is then the certificate's and the request's alone.
    pub via: Option<String>,
    /// As a browser would send it.
    pub origin: Option<String>,
    pub idle: Duration,
    /// PEM of a CA of one's own.
    pub ca: Option<Vec<u8>>,
}

/// Looks until a step fails, which the later ones need.
///
/// # Errors
/// The URL is none.
pub async fn look(asked: &Asked) -> Result<Vec<Finding>, Trouble> {
    let probe = Probe::new(asked)?;
    let mut found = Vec::new();
    match steps(&probe, asked, &mut found).await {
        Ok(()) => {}
        Err(finding) => found.push(finding),
    }
    Ok(found)
}

async fn steps(probe: &Probe, asked: &Asked, found: &mut Vec<Finding>) -> Result<(), Finding> {
    let addresses = probe.resolve().await?;
    let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    found.push(Finding::ok(AREA, format!("{} is {}", probe.host, listed.join(", "))));
    let stream = probe.connect(&addresses).await?;
    found.push(Finding::ok(AREA, format!("port {} is open", probe.port)));
    let stream = probe.secure(stream).await?;
    if probe.tls {
        found.push(Finding::ok(AREA, "the certificate is good for this name"));
    } else {
        let fix =
            "end TLS at the gateway (--tls-cert) or before it, and use wss://: browsers refuse ws:// on pages of https";
        found.push(Finding::warning(AREA, "the connection is not encrypted", fix));
    }
    let mut socket = probe.upgrade(stream, asked.origin.as_deref()).await?;
    found.push(Finding::ok(AREA, "it upgrades to a WebSocket, and the subprotocol bannou.v1 comes back"));
    if let Some(origin) = &asked.origin {
        found.push(Finding::ok(AREA, format!("the origin {origin} is on the fleet's list")));
    }
    found.push(probe.greeting(&mut socket).await?);
    if !asked.idle.is_zero() {
        found.push(probe.idle(&mut socket, asked.idle).await?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
