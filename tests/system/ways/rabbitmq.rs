//! Through a real RabbitMQ, by AMQP clients that nobody here wrote: pika (Python) and amqplib (Node). And over HTTP, with
//! the broker behind the gateways.

use std::sync::Arc;

use bannou_gateway::bus::amqp::{Amqp, AmqpConfig};
use bannou_gateway::bus::{Bus, Slot};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::http::Http;
use super::local::fleet;
use super::{Door, GATEWAYS, Said, Say, Way, sum};
use crate::support::broker::shared;
use crate::support::daprd::Service;

struct Amqp091 {
    doors: [Door; GATEWAYS],
    /// Speakers as the users `game` and `chat`.
    speakers: [Service; 2],
}

fn gateway_of(url: &str) -> Arc<dyn Bus> {
    let slot = Slot(Uuid::new_v4().as_u64_pair().0);
    Amqp::new(AmqpConfig::parse(&[url.to_owned()]).unwrap(), slot).unwrap()
}

async fn by(speaker: impl AsyncFn(&str) -> Service) -> Amqp091 {
    let (broker, vhost) = shared().await;
    let url = broker.url(&vhost);
    let doors = fleet(|| gateway_of(&url), &super::http::access()).await;
    let of = |user: &str| broker.url_of(user, user, &vhost);
    let speakers = [speaker(&of("game")).await, speaker(&of("chat")).await];
    Amqp091 { doors, speakers }
}

async fn pika() -> Amqp091 {
    by(Service::pika).await
}

async fn amqplib() -> Amqp091 {
    by(Service::amqplib).await
}

async fn http() -> Http {
    let (broker, vhost) = shared().await;
    let url = broker.url(&vhost);
    Http { doors: fleet(|| gateway_of(&url), &super::http::access()).await }
}

impl Way for Amqp091 {
    fn doors(&self) -> &[Door; GATEWAYS] {
        &self.doors
    }

    async fn say(&self, say: Say<'_>) -> Said {
        let mut headers = json!({"bannou-service": say.service, "bannou-event": say.event});
        if let Some(ms) = say.timeout_ms {
            headers["bannou-timeout-ms"] = ms.into();
        }
        let answers = if say.receipt { say.whom.answers() } else { 0 };
        let order = json!({
            "key": say.whom.key(), "headers": headers, "body": BASE64_STANDARD.encode(say.body), "answers": answers,
            "wait_ms": 60_000,
        });
        let port = self.speakers[usize::from(say.stranger)].port;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let told = http.post(format!("http://127.0.0.1:{port}/say")).body(order.to_string()).send().await.unwrap();
        let told: Value = told.json().await.unwrap();
        assert_eq!(told["error"], Value::Null, "{told}");
        if told["returned"] == true {
            return Said::status(404);
        }
        if answers == 0 {
            return Said::status(200);
        }
        let told = told["answers"].as_array().unwrap();
        assert_eq!(told.len(), answers, "{told:?}");
        let answer = |answer: &Value| {
            let body = BASE64_STANDARD.decode(answer["body"].as_str().unwrap()).unwrap();
            (answer["headers"].clone(), body)
        };
        sum(told.iter().map(answer).collect())
    }
}

mod by_pika {
    ways!(super::pika);
}

mod by_amqplib {
    ways!(super::amqplib);
}

mod by_http {
    ways!(super::http);
}
