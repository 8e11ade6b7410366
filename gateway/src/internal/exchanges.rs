//! Who waits for which answer of the bus: a bounded map from `correlation_id` to whoever asked.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::bus::Message;

/// Answers of one exchange that may wait to be taken: one per gateway of a fleet, with room.
const ANSWERS: usize = 256;

type Open = Mutex<HashMap<Uuid, mpsc::Sender<Message>>>;

pub struct Exchanges {
    open: Arc<Open>,
    most: usize,
}

/// One that is open; dropped, it is over, and what is said to it later is lost.
pub struct Exchange {
    pub id: Uuid,
    answers: mpsc::Receiver<Message>,
    open: Arc<Open>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.open.lock().remove(&self.id);
    }
}

impl Exchange {
    /// The next answer; waits for ever where none comes.
    pub async fn answer(&mut self) -> Message {
        match self.answers.recv().await {
            Some(answer) => answer,
            // The map holds the other end as long as this is there.
            None => std::future::pending().await,
        }
    }
}

impl Exchanges {
    pub fn new(most: usize) -> Exchanges {
        Exchanges { open: Arc::default(), most }
    }

    /// `None`: as many are open as may.
    pub fn open(&self) -> Option<Exchange> {
        let (sender, answers) = mpsc::channel(ANSWERS);
        // Random, so that nobody can answer who has not seen the question.
        let id = Uuid::new_v4();
        let mut open = self.open.lock();
        if open.len() >= self.most {
            return None;
        }
        open.insert(id, sender);
        drop(open);
        Some(Exchange { id, answers, open: self.open.clone() })
    }

    /// Gives an answer to whoever waits for it; `false`: nobody does.
    pub fn answered(&self, answer: Message) -> bool {
        let id = answer.correlation_id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
        let waiting = id.and_then(|id| self.open.lock().get(&id).cloned());
        waiting.is_some_and(|waiting| waiting.try_send(answer).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: &str) -> Message {
        Message { correlation_id: Some(id.to_owned()), ..Message::default() }
    }

    #[tokio::test]
    async fn an_answer_finds_who_asked_until_they_have_gone() {
        let all = Exchanges::new(8);
        let (mut one, mut other) = (all.open().unwrap(), all.open().unwrap());
        assert!(all.answered(answer(&other.id.to_string())));
        assert!(all.answered(answer(&one.id.to_string())));
        assert_eq!(one.answer().await, answer(&one.id.to_string()));
        assert_eq!(other.answer().await, answer(&other.id.to_string()));
        let gone = one.id.to_string();
        drop(one);
        assert!(!all.answered(answer(&gone)));
        assert!(!all.answered(answer("x")) && !all.answered(Message::default()));
    }

    #[test]
    fn they_are_bounded_and_so_are_the_answers_to_one() {
        let all = Exchanges::new(2);
        let kept = [all.open().unwrap(), all.open().unwrap()];
        assert!(all.open().is_none());
        let id = kept[0].id.to_string();
        assert_eq!((0..2 * ANSWERS).filter(|_| all.answered(answer(&id))).count(), ANSWERS);
        drop(kept);
        assert!(all.open().is_some());
    }
}
