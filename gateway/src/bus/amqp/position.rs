//! Where a reader is: what of what arrives is new, what is missing, and whether this is still the same log.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use crate::bus::Start;

/// How many records back a broker begins at most: a reader begins with a whole chunk.
const CHUNK: usize = 4096;
/// Offsets in a row that a stream uses for itself: where a segment ends, it notes whom it knows. Nobody wrote a record there.
/// What retention takes are whole segments, hundreds of records.
const OWN: u64 = 4;

#[derive(Debug)]
pub struct Position {
    /// The offset of the next record to bring; `None` until the first one of a log is seen.
    next: Option<u64>,
    /// What the records before `next` looked like, by their offsets, the newest last.
    seen: VecDeque<(u64, u64)>,
    /// What lies before `next` must not be asked for: it cannot be read.
    exact: bool,
    /// Something arrived since [`Position::attach`]: what follows is what follows it in the log.
    anchored: bool,
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
        Position {
            next,
            seen: VecDeque::new(),
            exact: false,
            anchored: false,
            hasher: foldhash::fast::FixedState::default(),
        }
    }

    /// What to ask the broker for at a new beginning: the last one brought once more where there is one, since it shows that the
    /// log is the same; else a few before the first one wanted, since one of them shows that nothing is missing. `None`: the first.
    pub fn attach(&mut self) -> Option<u64> {
        self.anchored = false;
        let next = self.next?;
        let before = if self.exact { next } else { next.saturating_sub(OWN) };
        Some(self.seen.back().map_or(before, |&(offset, _)| offset))
    }

    /// The next offset to bring.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// From the first record of whatever is there.
    pub fn restart(&mut self) {
        self.next = None;
        self.exact = false;
        self.seen.clear();
    }

    /// Leaves out what cannot be read; gives its offset.
    pub fn skip(&mut self) -> Option<u64> {
        let skipped = self.next?;
        self.next = Some(skipped + 1);
        self.exact = true;
        self.seen.clear();
        Some(skipped)
    }

    pub fn take(&mut self, offset: u64, key: &str, body: &[u8]) -> Take {
        let look = self.hasher.hash_one((key, body));
        let next = *self.next.get_or_insert(offset);
        let anchored = std::mem::replace(&mut self.anchored, true);
        if offset < next {
            let i = self.seen.partition_point(|&(seen, _)| seen < offset);
            let same = match self.seen.get(i) {
                Some(&(seen, known)) if seen == offset => known == look,
                // Before all that is remembered, or where the log had no record.
                Some(_) if i == 0 => next - offset <= 2 * CHUNK as u64,
                Some(_) => false,
                None => self.seen.is_empty(),
            };
            return if same { Take::Skip } else { Take::Remade };
        }
        if self.seen.len() == CHUNK {
            self.seen.pop_front();
        }
        self.seen.push_back((offset, look));
        self.next = Some(offset + 1);
        self.exact = false;
        let missing = offset - next;
        if missing == 0 || (anchored && missing <= OWN) {
            Take::Bring
        } else {
            Take::Gap { from: next, to: offset - 1 }
        }
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
        let mut position = Position::new(Start::Offset(30));
        assert_eq!(position.attach(), Some(26));
        let taken = [26, 28, 30, 31].map(|offset| position.take(offset, "k", b""));
        assert_eq!(taken, [Take::Skip, Take::Skip, Take::Bring, Take::Bring]);
        assert_eq!(position.attach(), Some(31), "the last one once more");
        assert_eq!([31, 32].map(|offset| position.take(offset, "k", b"")), [Take::Skip, Take::Bring]);
    }

    #[test]
    fn what_is_missing_is_said_and_the_first_of_a_log_misses_nothing() {
        let mut position = Position::new(Start::First);
        assert_eq!((position.attach(), position.take(7, "k", b"")), (None, Take::Bring));
        assert_eq!(position.take(900, "k", b""), Take::Gap { from: 8, to: 899 });
        let mut position = Position::new(Start::Offset(2));
        assert_eq!((position.attach(), position.take(5, "k", b"")), (Some(0), Take::Gap { from: 2, to: 4 }));
    }

    #[test]
    fn offsets_that_the_log_uses_for_itself_are_not_missing() {
        let mut position = at(0, 10);
        assert_eq!(position.take(11, "k", b""), Take::Bring);
        assert_eq!(position.attach(), Some(11));
        assert_eq!([11, 13].map(|offset| position.take(offset, "k", b"")), [Take::Skip, Take::Bring]);
        position.attach();
        assert_eq!(position.take(15, "k", b""), Take::Gap { from: 14, to: 14 }, "what was read last is gone, too");
    }

    #[test]
    fn another_log_by_the_same_name_is_noticed() {
        let mut position = at(0, 10);
        assert_eq!(position.take(9, "k", &9_u64.to_be_bytes()), Take::Skip, "the same");
        assert_eq!(position.take(9, "k", b"another"), Take::Remade);
        let mut position = at(0, 10);
        assert_eq!(position.take(0, "another", &0_u64.to_be_bytes()), Take::Remade);
        let mut position = at(0, 3 * CHUNK as u64);
        assert_eq!(position.take(0, "k", b"x"), Take::Remade, "longer ago than a chunk");
        position.restart();
        assert_eq!((position.attach(), position.take(0, "k", b"x")), (None, Take::Bring));
        let mut position = at(0, 10);
        position.take(12, "k", b"");
        assert_eq!(position.take(11, "k", b""), Take::Remade, "there was nothing");
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let mut position = at(0, 30);
        assert_eq!((position.skip(), position.attach()), (Some(30), Some(31)));
        assert_eq!(position.take(31, "k", b""), Take::Bring);
    }
}
