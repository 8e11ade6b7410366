//! The bus of `bannou dev`: inside the process, or a broker.

use std::sync::Arc;
use std::time::Duration;

use bannou_gateway::bus::amqp::{Amqp, AmqpConfig, NotAConfig};
use bannou_gateway::bus::local::LocalBroker;
use bannou_gateway::bus::{Bus, Slot, State};
use tokio::sync::watch;
use tokio::time::timeout;

/// Whom the quickstart's exposures name as `senders`: the user that a fresh RabbitMQ has, so that one YAML does for both.
const USER: &str = "guest";
/// A broker that is there is reached within this.
pub const SOON: Duration = Duration::from_secs(3);

/// Inside the process.
pub fn local() -> Arc<dyn Bus> {
    LocalBroker::default().bus(slot(), USER)
}

fn slot() -> Slot {
    Slot(uuid::Uuid::new_v4().as_u64_pair().0)
}

/// Over the nodes of a broker; connects in the background. Needs a runtime.
///
/// # Errors
/// Says what is wrong with the URLs.
pub fn over(urls: &[String]) -> Result<Arc<dyn Bus>, NotAConfig> {
    Ok(Amqp::new(AmqpConfig::parse(urls)?, slot())?)
}

/// Says what the bus waits for, when that takes longer than `soon`, and when it waits no more. Never ends.
pub async fn follow(mut state: watch::Receiver<State>, soon: Duration, say: impl Fn(&str)) {
    while let Some(first) = changed(&mut state, |awaiting| !awaiting.is_empty()).await {
        match timeout(soon, changed(&mut state, <[String]>::is_empty)).await {
            Ok(Some(_)) => continue,
            Ok(None) => break,
            Err(_) => say(&format!("services cannot speak first: {}", first.join("; "))),
        }
        if changed(&mut state, <[String]>::is_empty).await.is_none() {
            break;
        }
        say("services can speak first again");
    }
    std::future::pending().await
}

/// What is awaited, once that is `wanted`. `None`: the bus is gone.
async fn changed(state: &mut watch::Receiver<State>, wanted: impl Fn(&[String]) -> bool) -> Option<Vec<String>> {
    let state = state.wait_for(|state| wanted(&state.awaiting)).await.ok()?;
    Some(state.awaiting.clone())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_takes_long_is_told_and_so_is_its_end() {
        let state = watch::Sender::new(State { awaiting: vec!["the broker at h:1".to_owned()] });
        let (say, mut said) = mpsc::channel(4);
        let receiver = state.subscribe();
        let following = tokio::spawn(async move {
            follow(receiver, Duration::ZERO, |news| drop(say.try_send(news.to_owned()))).await;
        });
        assert_eq!(said.recv().await.unwrap(), "services cannot speak first: the broker at h:1");
        state.send_replace(State::default());
        assert_eq!(said.recv().await.unwrap(), "services can speak first again");
        following.abort();
    }
}
