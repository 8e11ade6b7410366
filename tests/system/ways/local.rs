//! Through the bus inside the process: two gateways and a service that share one.

use std::sync::Arc;

use bannou_gateway::app::{self, Options};
use bannou_gateway::auth::Secrets;
use bannou_gateway::bus::alive::Beat;
use bannou_gateway::bus::local::LocalBroker;
use bannou_gateway::bus::{Bus, Message, Slot, Unpublished, Value};
use bannou_gateway::internal::{self, Access};
use bannou_gateway::shared::Timing;
use serde_json::json;
use uuid::Uuid;

use super::{Door, GATEWAYS, Said, Say, Way, acquainted, services, sum};
use crate::support::catalog::{SECRET, SECRET_FILE};
use crate::support::process::PATIENCE;

/// Two gateways in this process, each with a bus of its own.
pub async fn fleet(bus: impl Fn() -> Arc<dyn Bus>, access: &Access) -> [Door; GATEWAYS] {
    let doors = [gateway(bus(), access.clone()).await, gateway(bus(), access.clone()).await];
    acquainted(&doors).await;
    doors
}

/// The bus of one more gateway.
pub fn gateway_of(broker: &LocalBroker) -> Arc<dyn Bus> {
    broker.bus(Slot(Uuid::new_v4().as_u64_pair().0), "bannou-gateway")
}

async fn gateway(bus: Arc<dyn Bus>, access: Access) -> Door {
    let free = ([127, 0, 0, 1], 0).into();
    let options = Options {
        client_addr: free,
        admin_addr: free,
        internal: internal::Options { addr: free, access },
        secrets: Secrets::Memory([(SECRET_FILE.to_owned(), SECRET.to_vec())].into()),
        bus,
        // So that gateways soon know of each other.
        timing: Timing { beat: Beat { every_ms: 100, ..Beat::default() }, ..Timing::default() },
        ..Options::default()
    };
    let (catalogs, followed) = tokio::sync::watch::channel(Arc::new(services()));
    let bound = app::build(options, followed).await.unwrap();
    let [admin, internal] = [bound.admin_addr(), bound.internal_addr()].map(|a| format!("http://{a}"));
    let url = format!("ws://{}/connect", bound.client_addr());
    tokio::spawn(async move {
        let _catalogs = catalogs;
        let _ = bound.run(std::future::pending()).await;
    });
    Door { url, admin, internal }
}

struct Local {
    broker: LocalBroker,
    doors: [Door; GATEWAYS],
}

async fn local() -> Local {
    let broker = LocalBroker::default();
    let doors = fleet(|| gateway_of(&broker), &Access::default()).await;
    Local { broker, doors }
}

impl Way for Local {
    fn doors(&self) -> &[Door; GATEWAYS] {
        &self.doors
    }

    async fn say(&self, say: Say<'_>) -> Said {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut headers = vec![("bannou-service", text(say.service)), ("bannou-event", text(say.event))];
        headers.extend(say.timeout_ms.map(|ms| ("bannou-timeout-ms", Value::Int(ms.try_into().unwrap()))));
        let id = Uuid::new_v4().to_string();
        let queue = format!("amq.gen-{id}");
        let mut mailbox = self.broker.mailbox(&queue);
        let message = Message {
            body: say.body.to_vec().into(),
            reply_to: say.receipt.then_some(queue),
            correlation_id: say.receipt.then(|| id.clone()),
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ..Message::default()
        };
        let user = if say.stranger { "chat" } else { "game" };
        match self.broker.publish_as(user, &say.whom.key(), message) {
            Err(Unpublished::Returned) => return Said::status(404),
            other => other.unwrap(),
        }
        let mut answers = Vec::new();
        while say.receipt && answers.len() < say.whom.answers() {
            let answer = tokio::time::timeout(PATIENCE, mailbox.recv()).await.expect("an answer").unwrap();
            assert_eq!(answer.correlation_id.as_deref(), Some(id.as_str()));
            let headers: serde_json::Map<_, _> = answer
                .headers
                .into_iter()
                .filter_map(|(name, value)| if let Value::Int(n) = value { Some((name, json!(n))) } else { None })
                .collect();
            answers.push((headers.into(), answer.body.to_vec()));
        }
        if say.receipt { sum(answers) } else { Said::status(200) }
    }
}

ways!(local);
