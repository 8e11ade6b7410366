//! What a service's answer changes about its caller: a login, an introduction.

use std::sync::Arc;
use std::time::SystemTime;

use super::Session;
use super::peers::{Introduced, Introducer, introduce};
use crate::control::to_json;
use crate::forward::{Dropped, EffectHeader};
use crate::metrics::Refusal;

impl Session {
    /// Honours the effects of an answer, before the answer itself goes out. What cannot be is dropped and counted.
    pub(super) async fn obey(self: &Arc<Self>, effects: Vec<EffectHeader>, service: &str, endpoint: &str) {
        let mut introduced = Vec::new();
        for effect in effects {
            match effect {
                EffectHeader::SetToken(token) => self.set_token(token.expose(), service, endpoint).await,
                EffectHeader::Introduce { client_id, labels } => match Session::client_of(&client_id, self) {
                    Some(session) => {
                        let mut labels = labels.into_iter();
                        let (label, of_caller) = (labels.next(), labels.next());
                        introduced.push((Introduced { session, label }, of_caller));
                    }
                    None => self.dropped("introduced client unknown"),
                },
                EffectHeader::GrantTier { .. } | EffectHeader::RevokeTier { .. } => self.dropped("effect Tiers"),
                EffectHeader::Join { .. } | EffectHeader::Leave { .. } => self.dropped("effect Groups"),
            }
        }
        if introduced.is_empty() {
            return;
        }
        // The caller is part of its own introduction, under the label that the service gave it, if any.
        let of_caller = introduced.iter().find_map(|(_, label)| label.clone());
        let mut all: Vec<Introduced> = introduced.into_iter().map(|(i, _)| i).collect();
        if !all.iter().any(|i| i.session.id() == self.id()) {
            all.push(Introduced { session: self.clone(), label: of_caller });
        }
        let by = Introducer { service: service.to_owned(), endpoint: endpoint.to_owned() };
        for _ in 0..introduce(&all, by) {
            self.dropped("introduction not permitted");
        }
    }

    async fn set_token(self: &Arc<Self>, token: &str, service: &str, endpoint: &str) {
        match self.verify(token).await {
            Ok(principal) => {
                let left = principal.expires_at.duration_since(SystemTime::now());
                let message = serde_json::json!({
                    "type": "token", "token": token, "expires_in_s": left.map_or(0, |d| d.as_secs()),
                });
                self.say(&to_json(&message));
                self.log_in(principal, token, "authenticated");
            }
            Err(error) => {
                tracing::warn!(service, endpoint, reason = error.reason(), "a service set a token that is refused");
                self.dropped("token refused");
            }
        }
    }

    pub(super) fn count_dropped(&self, dropped: Dropped) {
        for (reason, count) in [
            ("not declared by the endpoint", dropped.undeclared),
            ("bannou-request-id not repeated", dropped.unbound),
            ("malformed", dropped.malformed),
        ] {
            if count > 0 {
                self.shared.metrics.effects_dropped.get_or_create(&Refusal { reason }).inc_by(count.into());
            }
        }
    }

    fn dropped(&self, reason: &'static str) {
        self.shared.metrics.effects_dropped.get_or_create(&Refusal { reason }).inc();
    }
}
