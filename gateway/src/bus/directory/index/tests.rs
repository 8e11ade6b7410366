use proptest::prelude::*;

use super::SessionEventKind::{Authenticated, Connected, Disconnected, Moved};
use super::*;

const HERE: Slot = Slot(0xa);
const THERE: Slot = Slot(0xb);

fn event(event: SessionEventKind, session: u128, slot: Slot, tag: u8, subject: Option<&str>) -> SessionEvent {
    let session_id = Uuid::from_u128(session);
    SessionEvent {
        event,
        session_id,
        tag,
        client_id: format!("{slot}.{session_id}.{tag}"),
        issuer: subject.map(|_| "https://id".to_owned()),
        subject: subject.map(str::to_owned),
        reason: None,
    }
}

fn of(index: &Index, subject: &str) -> Vec<String> {
    let mut clients = index.of_subject("https://id", subject);
    clients.sort_unstable();
    clients
}

fn client(session: u128, slot: Slot, tag: u8) -> String {
    format!("{slot}.{}.{tag}", Uuid::from_u128(session))
}

#[test]
fn who_lives_where_and_whose_it_is() {
    let mut index = Index::new(10);
    assert!(index.apply(&event(Connected, 1, HERE, 1, None)));
    assert!(index.apply(&event(Connected, 2, HERE, 1, Some("ada"))));
    assert!(index.apply(&event(Authenticated, 1, HERE, 1, Some("ada"))));
    assert!(index.apply(&event(Connected, 3, THERE, 1, Some("bob"))));
    assert_eq!(index.home(Uuid::from_u128(3)), Some((THERE, 1)));
    assert_eq!(of(&index, "ada"), [client(1, HERE, 1), client(2, HERE, 1)]);
    assert_eq!(index.of_subject("https://other", "ada"), [""; 0], "a subject is issuer and subject together");
    let bob = Presence {
        session: Uuid::from_u128(3),
        tag: 1,
        issuer: Some("https://id".to_owned()),
        subject: Some("bob".to_owned()),
    };
    assert_eq!(index.in_slot(THERE), [bob]);
    index.apply(&event(Moved, 2, THERE, 2, Some("ada")));
    assert_eq!(of(&index, "ada"), [client(1, HERE, 1), client(2, THERE, 2)]);
    assert_eq!((index.forget(THERE), index.len(), index.subjects()), (2, 1, 1));
    index.apply(&event(Authenticated, 1, HERE, 1, None));
    assert_eq!(
        (of(&index, "ada").len(), index.len(), index.subjects()),
        (0, 1, 0),
        "the token is gone, the session not"
    );
}

#[test]
fn repeats_and_what_is_out_of_date_change_nothing() {
    let mut index = Index::new(10);
    index.apply(&event(Connected, 1, HERE, 1, Some("ada")));
    index.apply(&event(Moved, 1, THERE, 2, Some("ada")));
    index.apply(&event(Connected, 1, HERE, 1, Some("ada")));
    index.apply(&event(Authenticated, 1, HERE, 1, Some("bob")));
    index.apply(&event(Disconnected, 1, HERE, 1, None));
    assert_eq!(index.home(Uuid::from_u128(1)), Some((THERE, 2)), "the old home has no say");
    index.apply(&event(Disconnected, 1, THERE, 2, None));
    index.apply(&event(Moved, 1, THERE, 2, Some("ada")));
    index.apply(&event(Authenticated, 1, THERE, 2, Some("ada")));
    assert_eq!((index.len(), of(&index, "ada").len()), (0, 0), "an end is an end");
}

#[test]
fn who_is_said_to_be_there_still_is_there_unless_more_is_known() {
    let mut index = Index::new(10);
    let there = |session| Presence {
        session: Uuid::from_u128(session),
        tag: 1,
        issuer: Some("https://id".into()),
        subject: Some("ada".into()),
    };
    index.apply(&event(Moved, 2, THERE, 2, None));
    index.apply(&event(Disconnected, 3, HERE, 1, None));
    index.apply(&event(Connected, 4, HERE, 1, Some("bob")));
    assert!(index.present(HERE, &[1, 2, 3, 4].map(there)));
    assert_eq!(of(&index, "ada"), [client(1, HERE, 1)]);
    assert_eq!((of(&index, "bob").len(), index.len()), (1, 3));
    assert!(!Index::new(1).present(HERE, &[1, 2].map(there)));
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let mut index = Index::new(10);
    let good = event(Connected, 1, HERE, 1, None);
    for client_id in ["", "all", &client(2, HERE, 1), &client(1, HERE, 2)] {
        index.apply(&SessionEvent { client_id: client_id.to_owned(), ..good.clone() });
    }
    assert_eq!(index.len(), 0);
}

#[test]
fn it_is_bounded() {
    let mut index = Index::new(2);
    let connect = |index: &mut Index, n| index.apply(&event(Connected, n, HERE, 1, Some("ada")));
    assert_eq!([1, 2, 3].map(|n| connect(&mut index, n)), [true, true, false]);
    for n in 10..10 + 2 * MOST_ENDED as u128 {
        index.apply(&event(Disconnected, n, HERE, 1, None));
    }
    assert_eq!((index.ended.len(), index.ended_in_order.len(), index.len()), (MOST_ENDED, MOST_ENDED, 2));
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<Option<Session>>() <= 36, "{}", size_of::<Option<Session>>());
    // Beside its subject's name: place, two tables, links.
    assert!(size_of::<Option<((u32, Box<str>), u32)>>() <= 32);
}

proptest! {
    /// Against the plainest form of the same: a list.
    #[test]
    fn the_same_as_a_list(ops in proptest::collection::vec((0u8..4, 0u128..6, 0u64..3, 1u8..4, 0usize..4), 0..60)) {
        let subjects = [None, Some("ada"), Some("bob"), Some("eve")];
        let mut index = Index::new(100);
        let mut list: Vec<(u128, Slot, u8, Option<&str>)> = Vec::new();
        let mut ended: HashMap<u128, u8> = HashMap::new();
        for (op, session, slot, tag, subject) in ops {
            let (slot, subject) = (Slot(slot), subjects[subject]);
            let kind = [Connected, Authenticated, Moved, Disconnected][op as usize];
            index.apply(&event(kind, session, slot, tag, subject));
            let known = list.iter().position(|s| s.0 == session);
            if kind == Disconnected {
                if let Some(at) = known.filter(|at| list[*at].2 <= tag) { list.remove(at); }
                let last = ended.entry(session).or_default();
                *last = (*last).max(tag);
            } else if ended.get(&session).is_none_or(|e| *e < tag) {
                let newer = known.is_none_or(|at| tag > list[at].2 || (tag == list[at].2 && kind == Authenticated));
                if newer {
                    list.retain(|s| s.0 != session);
                    list.push((session, slot, tag, subject));
                }
            }
            prop_assert_eq!(index.len(), list.len());
            for subject in subjects.into_iter().flatten() {
                let mut expected: Vec<String> =
                    list.iter().filter(|s| s.3 == Some(subject)).map(|s| client(s.0, s.1, s.2)).collect();
                expected.sort_unstable();
                prop_assert_eq!(of(&index, subject), expected);
            }
            for slot in (0..3).map(Slot) {
                prop_assert_eq!(index.in_slot(slot).len(), list.iter().filter(|s| s.1 == slot).count());
            }
        }
        let _: usize = (0..3).map(|slot| index.forget(Slot(slot))).sum();
        prop_assert_eq!((index.len(), index.subjects(), index.issuers.len(), index.slots.len()), (0, 0, 0, 0));
    }
}
