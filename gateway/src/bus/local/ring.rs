//! A log in memory: what does not fit any more goes at its old end.

use std::collections::VecDeque;

use crate::bus::{Message, Read, Record, Start, Value};

/// What a log may hold; beyond either the oldest goes.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub messages: usize,
    pub bytes: usize,
}

#[derive(Debug)]
pub struct Ring {
    kept: VecDeque<(usize, Record)>,
    bytes: usize,
    /// The offset that the next record gets.
    next: u64,
    retention: Retention,
}

/// What a record costs beside its texts.
const RECORD: usize = 256;

impl Ring {
    pub fn new(retention: Retention) -> Ring {
        Ring { kept: VecDeque::new(), bytes: 0, next: 0, retention }
    }

    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn push(&mut self, key: String, message: Message) {
        let record = Record { offset: self.next, key, message };
        let size = size(&record);
        self.next += 1;
        self.bytes += size;
        self.kept.push_back((size, record));
        while self.kept.len() > 1 && (self.kept.len() > self.retention.messages || self.bytes > self.retention.bytes) {
            let gone = self.kept.pop_front();
            self.bytes -= gone.map_or(0, |(size, _)| size);
        }
    }

    /// The offset of the oldest that is there.
    fn first(&self) -> u64 {
        self.next - self.kept.len() as u64
    }

    /// Where a reader that begins so stands.
    pub fn position(&self, start: Start) -> u64 {
        match start {
            Start::First => self.first(),
            Start::Offset(offset) => offset.min(self.next),
            Start::Next => self.next,
        }
    }

    /// What a reader at `at` brings next, at most `most` of it; empty at the end of the log.
    pub fn from(&self, at: u64, most: usize) -> Vec<Read> {
        let first = self.first();
        let gap = (at < first).then(|| Read::Gap { from: at, to: first - 1 });
        let skip = at.saturating_sub(first) as usize;
        let records = self.kept.iter().skip(skip).take(most).map(|(_, record)| Read::Record(record.clone()));
        gap.into_iter().chain(records).collect()
    }
}

fn size(record: &Record) -> usize {
    let Message { body, user_id, reply_to, correlation_id, message_id, headers } = &record.message;
    let texts = [user_id, reply_to, correlation_id, message_id].map(|t| t.as_ref().map_or(0, String::len));
    let header = |(name, value): (&String, &Value)| name.len() + if let Value::Text(t) = value { t.len() } else { 8 };
    RECORD + record.key.len() + body.len() + texts.iter().sum::<usize>() + headers.iter().map(header).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(messages: usize, bytes: usize, bodies: &[&'static str]) -> Ring {
        let mut ring = Ring::new(Retention { messages, bytes });
        for body in bodies {
            ring.push("k".to_owned(), Message { body: (*body).into(), ..Message::default() });
        }
        ring
    }

    fn offsets(reads: &[Read]) -> Vec<u64> {
        let offset = |read: &Read| if let Read::Record(r) = read { Some(r.offset) } else { None };
        reads.iter().filter_map(offset).collect()
    }

    #[test]
    fn the_oldest_go_and_are_told_as_a_gap() {
        let ring = ring(2, 1 << 20, &["a", "b", "c", "d"]);
        let reads = ring.from(1, 10);
        assert_eq!(reads.first(), Some(&Read::Gap { from: 1, to: 1 }));
        assert_eq!(offsets(&reads), [2, 3]);
        assert_eq!(offsets(&ring.from(2, 10)), [2, 3]);
        assert_eq!(ring.from(3, 10).len(), 1, "no gap where nothing is missing");
        assert!(ring.from(4, 10).is_empty());
    }

    #[test]
    fn bytes_are_a_bound_too_but_the_newest_always_stays() {
        assert_eq!(offsets(&ring(10, RECORD + 10, &["a", "b"]).from(0, 10)), [1]);
        let large = ring(10, RECORD, &["a", "this alone is more than may be"]);
        assert_eq!(offsets(&large.from(0, 10)), [1]);
        assert_eq!(large.bytes, large.kept[0].0);
    }

    #[test]
    fn where_readers_begin() {
        let ring = ring(2, 1 << 20, &["a", "b", "c"]);
        assert_eq!(ring.position(Start::First), 1);
        assert_eq!(ring.position(Start::Next), 3);
        assert_eq!(ring.position(Start::Offset(0)), 0, "so that what is missing is told");
        assert_eq!(ring.position(Start::Offset(9)), 3, "beyond the end is at the end");
        assert_eq!(offsets(&ring.from(1, 1)), [1]);
    }
}
