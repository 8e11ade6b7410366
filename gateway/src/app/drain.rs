//! Leaving: clients are told, spread over the drain time, calls end, connections are closed with 1012.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::Door;
use crate::control::{Reconnect, to_json};
use crate::handle::random;
use crate::session::Close;

const DRAINED: Close = Close::new(1012, "this gateway is going away", Reconnect::Resume);
/// For the close handshakes at the end.
const FAREWELL: Duration = Duration::from_secs(3);

pub async fn leave(door: &Arc<Door>, within: Duration, accepting: JoinHandle<()>) {
    door.draining.store(true, Ordering::Relaxed);
    accepting.abort();
    let shared = &door.shared;
    let until = Instant::now() + within;
    tracing::info!(connections = shared.table.len(), seconds = within.as_secs(), "draining");
    shared.table.each(|session| {
        // Spread, so that the next gateway does not get them all at once.
        let fraction = f64::from(u32::from_be_bytes(random())) / f64::from(u32::MAX);
        let after = (within.as_millis() as f64 * fraction / 2.0) as u64;
        session.say(&to_json(&serde_json::json!({
            "type": "going_away", "reconnect_after_ms": after, "reason": "this gateway is shutting down",
        })));
    });
    // Those who are gone early need not be waited for, nor connections without a call in flight at the end.
    let gone = async {
        while !shared.table.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout_at(until, gone).await;
    shared.table.each(|session| session.close(DRAINED));
    let gone = async {
        while !shared.table.is_empty() || shared.metrics.connections.get() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = timeout(FAREWELL, gone).await;
    tracing::info!("drained");
}
