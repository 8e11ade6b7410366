//! Who closes which dead slot, and when: the live gateway with the lowest slot, then the next one.

use crate::bus::Slot;
use crate::bus::alive::Dead;

/// Slots that `own` begins to close now. `live` holds every live gateway, `own` among them; `window_ms` is how long a
/// session can come back; `patience_ms` how long the next one waits for who is before it.
pub(super) fn turns(dead: &[Dead], live: &[Slot], own: Slot, window_ms: u64, patience_ms: u64) -> Vec<Slot> {
    let before = live.iter().filter(|slot| **slot < own).count() as u64;
    let mine = |dead: &&Dead| {
        let window_ms = if dead.left { 0 } else { window_ms };
        let Some(due_ms) = dead.since_ms.checked_sub(window_ms) else { return false };
        match dead.closing_ms {
            None => due_ms >= before * patience_ms,
            // Somebody is at it: the first in line waits as well.
            Some(closing_ms) => due_ms.min(closing_ms) >= before.max(1) * patience_ms,
        }
    };
    dead.iter().filter(mine).map(|d| d.slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: [Slot; 3] = [Slot(4), Slot(6), Slot(5)];

    fn closes(own: u64, since_ms: u64, closing_ms: Option<u64>) -> bool {
        let dead = [Dead { slot: Slot(1), since_ms, left: false, closing_ms }];
        turns(&dead, &LIVE, Slot(own), 1_000, 10_000) == [Slot(1)]
    }

    #[test]
    fn the_lowest_after_the_window_then_the_next() {
        assert!(!closes(4, 999, None));
        assert!(closes(4, 1_000, None));
        assert!(!closes(5, 10_999, None));
        assert!(closes(5, 11_000, None));
        assert!(!closes(6, 20_999, None));
        assert!(closes(6, 21_000, None));
    }

    #[test]
    fn whoever_is_at_it_is_left_alone_while_it_gets_on() {
        assert!(!closes(5, 60_000, Some(9_999)));
        assert!(closes(5, 60_000, Some(10_000)));
        assert!(!closes(4, 60_000, Some(9_999)), "also by the one whose turn it is");
        assert!(closes(4, 60_000, Some(10_000)));
        assert!(!closes(6, 60_000, Some(10_000)));
    }

    #[test]
    fn who_left_in_order_is_not_waited_for() {
        let dead = [Dead { slot: Slot(1), since_ms: 0, left: true, closing_ms: None }];
        assert_eq!(turns(&dead, &LIVE, Slot(4), 1_000, 10_000), [Slot(1)]);
        assert_eq!(turns(&dead, &LIVE, Slot(5), 1_000, 10_000), []);
    }
}
