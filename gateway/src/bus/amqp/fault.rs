//! What goes wrong with a connection or a channel, in words that hold no secret.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::AMQPErrorKind;

/// Of one call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("no answer to {0} in time")]
    Slow(&'static str),
    /// The broker closed the channel with this code.
    #[error("{text}")]
    Refused { code: u16, text: String },
    /// The connection is of no use any more.
    #[error("{0}")]
    Broken(String),
    /// The broker sent what cannot be read.
    #[error("the broker sent what cannot be read")]
    Garbled,
}

pub const NOT_FOUND: u16 = 404;
pub const ACCESS_REFUSED: u16 = 403;
pub const PRECONDITION_FAILED: u16 = 406;

impl Fault {
    /// A word for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Fault::Slow(_) => "slow",
            Fault::Refused { .. } => "refused",
            Fault::Broken(_) => "broken",
            Fault::Garbled => "garbled",
        }
    }

    /// That there is no such queue. (The code alone also says that its node is away.)
    pub fn no_queue(&self) -> bool {
        matches!(self, Fault::Refused { code: NOT_FOUND, text } if text.contains("no queue"))
    }

    /// That the node of this connection has no replica of the stream.
    pub fn no_replica(&self) -> bool {
        matches!(self, Fault::Refused { text, .. } if text.contains("replica on the local node"))
    }

    /// Only this channel is gone.
    pub fn of_the_channel(&self) -> bool {
        matches!(self, Fault::Refused { .. })
    }
}

impl From<lapin::Error> for Fault {
    fn from(error: lapin::Error) -> Fault {
        match error.kind() {
            ErrorKind::ProtocolError(e) => {
                let text = e.get_message().as_str().to_owned();
                match e.kind() {
                    AMQPErrorKind::Soft(_) => Fault::Refused { code: e.get_id(), text },
                    AMQPErrorKind::Hard(_) => Fault::Broken(text),
                }
            }
            ErrorKind::IOError(e) if e.get_ref().is_some() => Fault::Broken(e.to_string()),
            ErrorKind::IOError(e) => Fault::Broken(e.kind().to_string()),
            ErrorKind::MissingHeartbeatError => Fault::Broken("silent for too long".to_owned()),
            ErrorKind::ParsingError(_) => Fault::Garbled,
            _ => Fault::Broken(error.to_string()),
        }
    }
}

/// Awaits `call` for at most `limit`.
pub async fn within<T, E: Into<Fault>>(
    limit: Duration,
    what: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Fault::Slow(what)),
    }
}

/// Waits between attempts: 50 ms to 1 s by default, half of it by chance.
#[derive(Debug)]
pub struct Backoff {
    range: (Duration, Duration),
    next: Duration,
}

impl Backoff {
    pub fn new(range: (Duration, Duration)) -> Backoff {
        Backoff { range, next: range.0 }
    }

    pub fn reset(&mut self) {
        self.next = self.range.0;
    }

    /// How long to wait now.
    pub fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.range.1);
        // Seeded anew by the system for each process, and counted up with each use.
        let chance = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), ()) % 1000;
        wait / 2 + wait.mul_f64(chance as f64 / 2000.0)
    }

    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_start_again() {
        let (first, last) = (Duration::from_millis(50), Duration::from_secs(1));
        let mut backoff = Backoff::new((first, last));
        let mut bound = first;
        for _ in 0..10 {
            let wait = backoff.next();
            assert!(wait >= bound / 2 && wait <= bound, "{wait:?} of {bound:?}");
            bound = (bound * 2).min(last);
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }

    #[tokio::test]
    async fn nothing_is_awaited_for_ever() {
        let never = std::future::pending::<Result<(), Fault>>();
        assert_eq!(within(Duration::from_millis(5), "x", never).await, Err(Fault::Slow("x")));
    }
}
