//! Where a reader is: what of what arrives is new, what is missing, and whether this is still the same log.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use crate::bus::Start;

/// How many records back a broker begins at most: a reader begins with a whole chunk.
const CHUNK: u64 = 4096;

#[derive(Debug)]
pub struct Position {
    /// The offset of the next record to bring; `None` until the first one of a log is seen.
    next: Option<u64>,
    /// What the records before `next` looked like, the newest last.
    seen: VecDeque<u64>,
    hasher: foldhash::fast::FixedState,
}

/// What to do with a record that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// It was brought before, or lies before where the reader begins.
    Skip,
    Bring,
    /// These are missing before it; bring it after saying so.
    Gap {
        from: u64,
        to: u64,
    },
    /// This is another log by the same name: read it from its beginning.
    Remade,
}

impl Position {
    /// `Start::Next` is to be resolved by the caller.
    pub fn new(start: Start) -> Position {
        let next = match start {
            Start::First | Start::Next => None,
            Start::Offset(offset) => Some(offset),
        };
        Position { next, seen: VecDeque::new(), hasher: foldhash::fast::FixedState::default() }
    }

    /// What to ask the broker for: the last one brought once more where there is one, since it shows that the log is the same.
    pub fn ask(&self) -> Option<u64> {
        let next = self.next?;
        Some(if self.seen.is_empty() { next } else { next - 1 })
    }

    /// The next offset to bring.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// From the first record of whatever is there.
    pub fn restart(&mut self) {
        self.next = None;
        self.seen.clear();
    }

    /// Leaves out what cannot be read; gives its offset.
    pub fn skip(&mut self) -> Option<u64> {
        let skipped = self.next?;
        self.next = Some(skipped + 1);
        // What was seen no longer ends right before `next`.
        self.seen.clear();
        Some(skipped)
    }

    pub fn take(&mut self, offset: u64, key: &str, body: &[u8]) -> Take {
        let look = self.hasher.hash_one((key, body));
        let next = *self.next.get_or_insert(offset);
        if offset < next {
            let back = next - offset;
            let known = usize::try_from(back).ok().and_then(|back| self.seen.len().checked_sub(back));
            return match known {
                Some(i) if self.seen[i] != look => Take::Remade,
                None if back > CHUNK => Take::Remade,
                _ => Take::Skip,
            };
        }
        if offset > next {
            self.seen.clear();
        }
        if self.seen.len() as u64 == CHUNK {
            self.seen.pop_front();
        }
        self.seen.push_back(look);
        self.next = Some(offset + 1);
        if offset > next { Take::Gap { from: next, to: offset - 1 } } else { Take::Bring }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64, upto: u64) -> Position {
        let mut position = Position::new(Start::Offset(offset));
        for offset in offset..upto {
            assert_eq!(position.take(offset, "k", &offset.to_be_bytes()), Take::Bring);
        }
        position
    }

    #[test]
    fn a_chunk_that_begins_earlier_is_skipped_up_to_the_offset_asked_for() {
        let mut position = Position::new(Start::Offset(3));
        assert_eq!(position.ask(), Some(3));
        let taken = [1, 2, 3, 4].map(|offset| position.take(offset, "k", b""));
        assert_eq!(taken, [Take::Skip, Take::Skip, Take::Bring, Take::Bring]);
        assert_eq!(position.ask(), Some(4), "the last one once more");
        assert_eq!([4, 5].map(|offset| position.take(offset, "k", b"")), [Take::Skip, Take::Bring]);
    }

    #[test]
    fn what_is_missing_is_said_and_the_first_of_a_log_misses_nothing() {
        let mut position = Position::new(Start::First);
        assert_eq!((position.ask(), position.take(7, "k", b"")), (None, Take::Bring));
        assert_eq!(position.take(9, "k", b""), Take::Gap { from: 8, to: 8 });
        let mut position = Position::new(Start::Offset(2));
        assert_eq!(position.take(5, "k", b""), Take::Gap { from: 2, to: 4 });
    }

    #[test]
    fn another_log_by_the_same_name_is_noticed() {
        let mut position = at(0, 10);
        assert_eq!(position.take(9, "k", &9_u64.to_be_bytes()), Take::Skip, "the same");
        assert_eq!(position.take(9, "k", b"another"), Take::Remade);
        let mut position = at(0, 10);
        assert_eq!(position.take(0, "another", &0_u64.to_be_bytes()), Take::Remade);
        let mut position = at(0, 2 * CHUNK + 10);
        assert_eq!(position.take(0, "k", b"x"), Take::Remade, "longer ago than a chunk");
        position.restart();
        assert_eq!((position.ask(), position.take(0, "k", b"x")), (None, Take::Bring));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let mut position = at(0, 3);
        assert_eq!((position.skip(), position.ask()), (Some(3), Some(4)));
        assert_eq!(position.take(4, "k", b""), Take::Bring);
    }
}
