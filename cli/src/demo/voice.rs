//! How the demo services speak first: over the gateway's internal port, as a Dapr app does through its sidecar.

use std::sync::Arc;

use axum::http::HeaderValue;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::dev::internal::{Answer, InternalPort, Unreachable};

/// What is told in passing and has not arrived yet, at once.
const MAX_PASSING: usize = 64;

/// A mouth and an ear; clones are the same one.
#[derive(Clone)]
pub struct Voice {
    port: InternalPort,
    passing: Arc<Semaphore>,
}

impl Voice {
    pub fn new(port: InternalPort) -> Voice {
        Voice { port, passing: Arc::new(Semaphore::new(MAX_PASSING)) }
    }

    /// Tells one client something in passing: whether it arrives is nobody's business.
    pub fn mention(&self, client_id: String, event: &'static str, payload: Value) {
        let Ok(permit) = self.passing.clone().try_acquire_owned() else { return };
        let voice = self.clone();
        tokio::spawn(async move {
            let _ = voice.to_client(&client_id, event, &payload).await;
            drop(permit);
        });
    }

    /// Sends one client an event, `<service>.<event>`. Of one that is a request, the answer is the client's.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn to_client(&self, client_id: &str, event: &str, payload: &Value) -> Result<Answer, Unreachable> {
        self.send(&format!("/v1/clients/{client_id}/events/{event}"), payload).await
    }

    /// The same to everybody who may receive it.
    ///
    /// # Errors
    /// As above.
    pub async fn to_all(&self, event: &str, payload: &Value) -> Result<Answer, Unreachable> {
        self.send(&format!("/v1/all/events/{event}"), payload).await
    }

    async fn send(&self, path: &str, payload: &Value) -> Result<Answer, Unreachable> {
        let json = HeaderValue::from_static("application/json");
        self.port.post(path, Some(json), payload.to_string().into()).await
    }
}
