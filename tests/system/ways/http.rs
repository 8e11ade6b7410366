//! Over HTTP, at one gateway of two that share the bus inside the process.

use bannou_gateway::bus::local::LocalBroker;
use bannou_gateway::internal::access::digest;
use bannou_gateway::internal::{Access, Services};

use super::{Door, GATEWAYS, Said, Say, Way, Whom, local};

const TOKENS: [(&str, &str); 2] = [("game", "the token of game"), ("chat", "the token of chat")];

pub struct Http {
    pub doors: [Door; GATEWAYS],
}

/// Who may speak, each for itself.
pub fn access() -> Access {
    TOKENS.iter().fold(Access::default(), |access, (service, token)| {
        access.with_token(digest(token.as_bytes()), Services::These([(*service).to_owned()].into()))
    })
}

async fn http() -> Http {
    let broker = LocalBroker::default();
    Http { doors: local::fleet(|| local::gateway_of(&broker), &access()).await }
}

/// Says it at this door, as the service with this token.
pub async fn post(door: &Door, token: &str, say: Say<'_>) -> Said {
    let whom = match say.whom {
        Whom::Client(id) => format!("clients/{id}"),
        // As the Fleet calls the issuer.
        Whom::Subject(subject) => format!("subjects/main/{subject}"),
        Whom::Tier(tier) => format!("tiers/{tier}"),
        Whom::All => "all".to_owned(),
    };
    let url = format!("{}/v1/{whom}/events/{}.{}", door.internal, say.service, say.event);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.post(url).bearer_auth(token).body(say.body.to_vec());
    if let Some(ms) = say.timeout_ms {
        request = request.header("bannou-timeout-ms", ms);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let header = |name| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    let (told, kind) = (header("bannou-status"), header("content-type").unwrap());
    let body = answer.bytes().await.unwrap().to_vec();
    if kind == "application/octet-stream" {
        assert_eq!(told, Some(status.to_string()), "what a client said is said twice");
        return Said { status, delivered: 0, body };
    }
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    if status != 200 {
        assert_eq!((kind.as_str(), &body["status"]), ("application/problem+json", &status.into()), "{body}");
        assert!(told.is_none_or(|told| told == status.to_string()));
        return Said::status(status);
    }
    let delivered = body["delivered"].as_u64().unwrap();
    // For one client the status says it already, on every way.
    Said { delivered: if matches!(say.whom, Whom::Client(_)) { 0 } else { delivered }, ..Said::status(200) }
}

impl Way for Http {
    fn doors(&self) -> &[Door; GATEWAYS] {
        &self.doors
    }

    async fn say(&self, say: Say<'_>) -> Said {
        let token = TOKENS[usize::from(say.stranger)].1;
        post(&self.doors[0], token, say).await
    }
}

ways!(http);
