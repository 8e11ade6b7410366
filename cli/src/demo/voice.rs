//! How the demo services speak first: over the gateway's internal port, as a Dapr app does through its sidecar.

use axum::http::HeaderValue;
use serde_json::Value;

use crate::dev::internal::{Answer, InternalPort, Unreachable};

/// A mouth and an ear; clones are the same one.
#[derive(Clone)]
pub struct Voice(InternalPort);

impl Voice {
    pub fn new(port: InternalPort) -> Voice {
        Voice(port)
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
        self.0.post(path, Some(json), payload.to_string().into()).await
    }
}
