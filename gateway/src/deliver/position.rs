//! Positions in logs as clients see them: `tag` (8 bits) ‖ offset (48 bits), in the 56 bits of an exchange number.

const OFFSET_BITS: u32 = 48;
const OFFSET: u64 = (1 << OFFSET_BITS) - 1;

/// `bannou.groups`; homes of a session count from 1.
pub const GROUPS: u8 = 0;
pub const FIRST_HOME: u8 = 1;

pub fn number(tag: u8, offset: u64) -> u64 {
    u64::from(tag) << OFFSET_BITS | offset & OFFSET
}

pub fn tag(number: u64) -> u8 {
    (number >> OFFSET_BITS) as u8
}

pub fn offset(number: u64) -> u64 {
    number & OFFSET
}

/// The cursor of whoever has seen nothing of a home.
pub fn before(tag: u8) -> u64 {
    number(tag, 0) - 1
}

/// Where the homes of a session begin: by tag, in order. All of them in the log of this gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Homes(Vec<(u8, u64)>);

impl Homes {
    pub fn first() -> Homes {
        Homes(vec![(FIRST_HOME, 0)])
    }

    pub fn current(&self) -> u8 {
        self.0.last().map_or(FIRST_HOME, |(tag, _)| *tag)
    }

    /// From this offset on the next tag counts. `None`: there are no more tags.
    pub fn moved(&mut self, at: u64) -> Option<u8> {
        let tag = self.current().checked_add(1)?;
        self.0.push((tag, at));
        Some(tag)
    }

    /// The log was made anew: what was before it cannot be read any more. `None`: there are no more tags.
    pub fn remade(&mut self) -> Option<u8> {
        let tag = self.current().checked_add(1)?;
        self.0 = vec![(tag, 0)];
        Some(tag)
    }

    /// The number of a frame that stands at this offset.
    pub fn number(&self, offset: u64) -> u64 {
        let home = self.0.iter().rev().find(|(_, from)| *from <= offset);
        number(home.map_or(FIRST_HOME, |(tag, _)| *tag), offset)
    }

    /// The offset after a cursor, and whether something before it can no longer be read.
    pub fn after(&self, cursor: u64) -> (u64, bool) {
        let first = self.0.first().map_or((FIRST_HOME, 0), |home| *home);
        if tag(cursor) < first.0 {
            return (first.1, cursor != before(first.0) && first.0 > FIRST_HOME);
        }
        // A cursor beyond the homes that there are is nobody's; from the newest one's begin nothing is missed.
        match self.0.iter().find(|(t, _)| *t == tag(cursor)) {
            Some((_, from)) => (from.max(&(offset(cursor) + 1)).to_owned(), false),
            None => (self.0.last().map_or(0, |(_, from)| *from), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_homes_only_grow() {
        assert_eq!(number(1, 5), 0x0001_0000_0000_0005);
        assert_eq!((tag(number(255, 9)), offset(number(255, 9))), (255, 9));
        assert!(number(2, 0) > number(1, OFFSET));
        let mut homes = Homes::first();
        assert_eq!(homes.number(7), number(1, 7));
        assert_eq!(homes.moved(10), Some(2));
        assert_eq!((homes.number(9), homes.number(10)), (number(1, 9), number(2, 10)));
        assert_eq!(homes.remade(), Some(3));
        assert_eq!(homes.number(0), number(3, 0));
        let mut last = Homes(vec![(255, 0)]);
        assert_eq!((last.moved(1), last.remade()), (None, None));
    }

    #[test]
    fn what_follows_a_cursor() {
        let mut homes = Homes::first();
        assert_eq!(homes.after(0), (0, false));
        assert_eq!(homes.after(number(1, 4)), (5, false));
        homes.moved(10);
        assert_eq!(homes.after(number(1, 4)), (5, false), "both homes are in one log");
        assert_eq!(homes.after(number(2, 12)), (13, false));
        assert_eq!(homes.after(number(9, 12)), (10, false));
        homes.remade();
        assert_eq!(homes.after(number(2, 12)), (0, true));
        assert_eq!(homes.after(before(3)), (0, false));
    }
}
