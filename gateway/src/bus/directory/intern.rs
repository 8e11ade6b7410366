//! Equal values stored once, each under a small number, for as long as somebody uses it.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

#[derive(Debug)]
pub(super) struct Interner<T> {
    items: Vec<Option<(T, u32)>>,
    free: Vec<u32>,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner { items: Vec::new(), free: Vec::new(), table: HashTable::new(), hasher: RandomState::default() }
    }
}

impl<T: Hash + Eq> Interner<T> {
    pub fn find(&self, value: &T) -> Option<u32> {
        let is = |at: &u32| self.get(*at) == Some(value);
        self.table.find(self.hasher.hash_one(value), is).copied()
    }

    pub fn get(&self, at: u32) -> Option<&T> {
        self.items.get(at as usize)?.as_ref().map(|(value, _)| value)
    }

    /// One use more; each is given back by [`Interner::release`].
    pub fn acquire(&mut self, value: T) -> u32 {
        let (items, hasher) = (&mut self.items, &self.hasher);
        let hash_of = |items: &[Option<(T, u32)>], at: u32| {
            items[at as usize].as_ref().map_or(0, |(value, _)| hasher.hash_one(value))
        };
        let hash = hasher.hash_one(&value);
        let is = |at: &u32| items[*at as usize].as_ref().is_some_and(|(v, _)| *v == value);
        match self.table.entry(hash, is, |at| hash_of(items, *at)) {
            Entry::Occupied(entry) => {
                let at = *entry.get();
                if let Some((_, uses)) = &mut items[at as usize] {
                    *uses += 1;
                }
                at
            }
            Entry::Vacant(entry) => {
                let at = self.free.pop().unwrap_or_else(|| {
                    items.push(None);
                    items.len() as u32 - 1
                });
                items[at as usize] = Some((value, 1));
                entry.insert(at);
                at
            }
        }
    }

    /// One use less; whether it was the last.
    pub fn release(&mut self, at: u32) -> bool {
        let Some(Some((value, uses))) = self.items.get_mut(at as usize) else { return false };
        *uses -= 1;
        if *uses > 0 {
            return false;
        }
        let hash = self.hasher.hash_one(&*value);
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == at) {
            entry.remove();
        }
        self.items[at as usize] = None;
        self.free.push(at);
        true
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_while_it_is_used() {
        let mut interner = Interner::default();
        let numbers: Vec<u32> = (0..100).map(|n| interner.acquire(n.to_string())).collect();
        assert_eq!(interner.acquire("7".to_owned()), numbers[7]);
        assert_eq!(interner.find(&"7".to_owned()), Some(numbers[7]));
        assert!(!interner.release(numbers[7]));
        assert!(interner.release(numbers[7]));
        assert_eq!((interner.find(&"7".to_owned()), interner.get(numbers[7]), interner.len()), (None, None, 99));
        assert_eq!(interner.acquire("new".to_owned()), numbers[7], "the place is used again");
        assert!((0..100).filter(|n| *n != 7).all(|n| interner.get(numbers[n]) == Some(&n.to_string())));
    }
}
