//! The key of a fleet, which makes its gateways' handles and resume tokens: what is in its Secret. Without I/O.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use super::rotation::turn;

/// Of the Secret, in every fleet's namespace.
pub const NAME: &str = "bannou-fleet-key";

const PREVIOUS: &str = "previous.key";
const CURRENT: &str = "current.key";
const NEXT: &str = "next.key";

/// Bytes of a key. One that is shorter was cut off by somebody, and is none.
const LENGTH: usize = 64;

/// What the Secret is to hold, and whether that is anything new.
pub fn contents(
    there: &BTreeMap<String, ByteString>,
    due: bool,
    mut random: impl FnMut() -> [u8; LENGTH],
) -> (BTreeMap<String, ByteString>, bool) {
    let mut fresh = || ByteString(random().to_vec());
    let good = |name| there.get(name).filter(|key| key.0.len() >= LENGTH).cloned();
    let turned = turn(good(CURRENT), good(NEXT), due, &mut fresh);
    let previous = turned.previous.or_else(|| good(PREVIOUS));
    let changed = turned.changed || previous.is_none();
    let keys = [(PREVIOUS, previous.unwrap_or_else(fresh)), (CURRENT, turned.current), (NEXT, turned.next)];
    (keys.map(|(name, key)| (name.to_owned(), key)).into(), changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_moves_up_and_a_broken_one_is_replaced() {
        let mut count = 0;
        let mut random = || {
            count += 1;
            [count; LENGTH]
        };
        let firsts = |keys: &BTreeMap<String, ByteString>| {
            assert!(keys.values().all(|key| key.0.len() == LENGTH));
            [PREVIOUS, CURRENT, NEXT].map(|name| keys[name].0[0])
        };
        let (keys, changed) = contents(&BTreeMap::new(), false, &mut random);
        assert_eq!((firsts(&keys), changed), ([3, 1, 2], true));
        assert_eq!(contents(&keys, false, &mut random), (keys.clone(), false));
        let (mut keys, changed) = contents(&keys, true, &mut random);
        assert_eq!((firsts(&keys), changed), ([1, 2, 4], true));
        keys.insert(CURRENT.to_owned(), ByteString(vec![0; 8]));
        let (keys, changed) = contents(&keys, true, &mut random);
        assert_eq!((firsts(&keys), changed), ([1, 4, 5], true), "the next one is known, so it counts");
    }
}
