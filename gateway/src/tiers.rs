//! Sets of tiers, by index into the snapshot's list.

/// At most as many tiers as a catalog may hold.
pub const MAX_TIERS: usize = 512;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TierSet([u64; MAX_TIERS / 64]);

impl TierSet {
    pub fn insert(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    pub fn remove(&mut self, index: usize) {
        self.0[index / 64] &= !(1 << (index % 64));
    }

    pub fn contains(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    pub fn intersects(&self, other: &TierSet) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..MAX_TIERS).filter(|i| self.contains(*i))
    }
}

impl FromIterator<usize> for TierSet {
    fn from_iter<I: IntoIterator<Item = usize>>(indexes: I) -> TierSet {
        let mut set = TierSet::default();
        indexes.into_iter().for_each(|i| set.insert(i));
        set
    }
}
