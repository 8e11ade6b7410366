//! What happens, whatever way it is said.

use std::collections::HashSet;

use super::{Door, Said, Say, Way, Whom, client, handle, inbound};
use crate::support::client::{Client, ERROR, Frame, INBOUND, LOGGED, ONE_WAY};

/// Makes a test of each case, for a way in: `ways!(f)` where `f()` gives a future of a [`Way`].
macro_rules! ways {
    ($way:path) => {
        ways! { $way:
            a_push_arrives_unchanged_under_its_events_handle
            a_receipt_says_that_the_frame_is_on_the_socket
            a_push_without_receipt_arrives_alike
            an_answer_goes_back_to_who_asked
            a_client_that_fails_to_answer_says_so_in_its_own_words
            a_client_that_is_gone_or_never_was_is_404
            a_client_that_does_not_answer_is_408_and_its_late_answer_404
            who_may_not_is_403_and_nothing_arrives
            a_tier_is_told_on_every_gateway
            everybody_is_told_who_may_hear_it
            a_subject_is_told_wherever_it_is_connected
        }
    };
    ($way:path: $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let way = $way().await;
            $crate::ways::cases::$case(&way).await;
        }
    )*};
}

const PUSH: u64 = INBOUND | ONE_WAY | LOGGED;
const ASKED: u64 = INBOUND | LOGGED;
const FLAGS: u64 = 0xff << 56;

fn delivered(n: u64) -> Said {
    Said { delivered: n, ..Said::status(200) }
}

async fn three(doors: &[Door; 2]) -> [(Client, String); 3] {
    [client(&doors[0], Some("ada")).await, client(&doors[1], Some("bob")).await, client(&doors[1], None).await]
}

/// Sends something that everybody may hear, and gives what came before it: all that was to come.
async fn until_now(way: &impl Way, client: &mut Client, id: &str) -> Vec<Frame> {
    way.say(Say::new(Whom::Client(id), "note", b"the end")).await;
    let mut before = Vec::new();
    loop {
        let frame = inbound(client).await;
        if frame.payload == b"the end" {
            return before;
        }
        before.push(frame);
    }
}

pub async fn a_push_arrives_unchanged_under_its_events_handle(way: &impl Way) {
    for door in way.doors() {
        let (mut client, id) = client(door, None).await;
        let all: Vec<u8> = (0..=255).collect();
        let mut numbers = HashSet::new();
        for body in [&b""[..], &all, b"{\"a\": 1}"] {
            way.say(Say::new(Whom::Client(&id), "note", body)).await;
            let frame = inbound(&mut client).await;
            assert_eq!((frame.handle, frame.id & FLAGS), (handle(&client, "game.note"), PUSH));
            assert_eq!(frame.payload, body);
            assert!(numbers.insert(frame.id), "each its own number");
        }
    }
}

pub async fn a_receipt_says_that_the_frame_is_on_the_socket(way: &impl Way) {
    for door in way.doors() {
        let (mut client, id) = client(door, Some("ada")).await;
        let said = way.say(Say::new(Whom::Client(&id), "found", b"x")).await;
        assert_eq!(said.status, 200);
        assert_eq!(inbound(&mut client).await.payload, b"x");
    }
}

pub async fn a_push_without_receipt_arrives_alike(way: &impl Way) {
    let (mut client, id) = client(&way.doors()[1], None).await;
    way.say(Say { receipt: false, ..Say::new(Whom::Client(&id), "note", b"x") }).await;
    let frame = inbound(&mut client).await;
    assert_eq!((frame.id & FLAGS, frame.payload.as_slice()), (PUSH, &b"x"[..]));
}

pub async fn an_answer_goes_back_to_who_asked(way: &impl Way) {
    for door in way.doors() {
        let (mut client, id) = client(door, Some("ada")).await;
        let answer: Vec<u8> = (0..=255).rev().collect();
        let asking = way.say(Say::new(Whom::Client(&id), "check", b"ready?"));
        let answering = async {
            let frame = inbound(&mut client).await;
            assert_eq!((frame.handle, frame.id & FLAGS), (handle(&client, "game.check"), ASKED));
            assert_eq!(frame.payload, b"ready?");
            client.reply(&frame, &answer).await;
        };
        let (said, ()) = tokio::join!(asking, answering);
        assert_eq!(said, Said { body: answer.clone(), ..Said::status(200) });
    }
}

pub async fn a_client_that_fails_to_answer_says_so_in_its_own_words(way: &impl Way) {
    let (mut client, id) = client(&way.doors()[1], Some("ada")).await;
    for (status, words) in [(418u16, &b"a teapot"[..]), (404, b"no such thing here"), (503, b"\x00\xff")] {
        let asking = way.say(Say::new(Whom::Client(&id), "check", b"?"));
        let answering = async {
            let frame = inbound(&mut client).await;
            let payload = [&status.to_be_bytes(), words].concat();
            client.send_frame(frame.handle, frame.id | ERROR, &payload).await;
        };
        let (said, ()) = tokio::join!(asking, answering);
        assert_eq!(said, Said { body: words.to_vec(), ..Said::status(status) });
    }
}

pub async fn a_client_that_is_gone_or_never_was_is_404(way: &impl Way) {
    let (living, id) = client(&way.doors()[0], Some("ada")).await;
    let slot = id.split('.').next().unwrap();
    let never = format!("{slot}.{}.1", uuid::Uuid::new_v4());
    // As of a gateway of which nothing is left.
    let nowhere = format!("0123456789abcdef.{}.1", uuid::Uuid::new_v4());
    for unknown in [never, nowhere] {
        for event in ["note", "check"] {
            let said = way.say(Say::new(Whom::Client(&unknown), event, b"x")).await;
            assert_eq!(said.status, 404, "{event} to {unknown}");
        }
    }
    drop(living);
}

pub async fn a_client_that_does_not_answer_is_408_and_its_late_answer_404(way: &impl Way) {
    let (mut client, id) = client(&way.doors()[1], Some("ada")).await;
    let asking = Say { timeout_ms: Some(200), ..Say::new(Whom::Client(&id), "check", b"?") };
    assert_eq!(way.say(asking).await.status, 408);
    let asked = inbound(&mut client).await;
    let over = inbound(&mut client).await;
    assert_eq!((over.handle, over.id), (asked.handle, asked.id | ERROR));
    assert_eq!(over.payload[..2], 408u16.to_be_bytes());
    client.reply(&asked, b"late").await;
    let late = inbound(&mut client).await;
    assert_eq!((late.id, &late.payload[..2]), (asked.id | ERROR, &404u16.to_be_bytes()[..]));
}

pub async fn who_may_not_is_403_and_nothing_arrives(way: &impl Way) {
    let (mut anonymous, of_anonymous) = client(&way.doors()[0], None).await;
    let (mut player, of_player) = client(&way.doors()[1], Some("ada")).await;
    let to_player = |event| Say::new(Whom::Client(&of_player), event, b"x");
    for (what, say) in [
        ("an event of a tier that the client does not hold", Say::new(Whom::Client(&of_anonymous), "found", b"x")),
        ("a request of such a tier", Say::new(Whom::Client(&of_anonymous), "check", b"x")),
        ("an event that is not declared", to_player("unknown")),
        ("an endpoint", to_player("play")),
        ("an event of a service that this one does not speak for", Say { service: "chat", ..to_player("notice") }),
        ("a service that is not there", Say { service: "nothing", ..to_player("note") }),
        ("a sender that is not named", Say { stranger: true, ..to_player("note") }),
        ("a request by such a sender", Say { stranger: true, ..to_player("check") }),
    ] {
        assert_eq!(way.say(say).await.status, 403, "{what}");
    }
    let stranger = Say { stranger: true, ..Say::new(Whom::All, "note", b"x") };
    assert_eq!(way.say(stranger).await, Said::status(403));
    for (client, id) in [(&mut anonymous, &of_anonymous), (&mut player, &of_player)] {
        assert!(until_now(way, client, id).await.is_empty(), "something arrived");
    }
}

pub async fn a_tier_is_told_on_every_gateway(way: &impl Way) {
    let mut all = three(way.doors()).await;
    assert_eq!(way.say(Say::new(Whom::Tier("player"), "found", b"p")).await, delivered(2));
    // Who holds a tier that includes another holds both.
    assert_eq!(way.say(Say::new(Whom::Tier("anonymous"), "note", b"n")).await, delivered(3));
    // Of those only who may hear the event.
    assert_eq!(way.say(Say::new(Whom::Tier("anonymous"), "found", b"q")).await, delivered(2));
    let expected: [&[&[u8]]; 3] = [&[b"p", b"n", b"q"], &[b"p", b"n", b"q"], &[b"n"]];
    for ((client, _), expected) in all.iter_mut().zip(expected) {
        for body in expected {
            let frame = inbound(client).await;
            assert_eq!((frame.id & FLAGS, frame.payload.as_slice()), (PUSH, *body));
        }
    }
}

pub async fn everybody_is_told_who_may_hear_it(way: &impl Way) {
    let mut all = three(way.doors()).await;
    assert_eq!(way.say(Say::new(Whom::All, "note", b"n")).await, delivered(3));
    assert_eq!(way.say(Say::new(Whom::All, "found", b"p")).await, delivered(2));
    assert_eq!(way.say(Say::new(Whom::All, "check", b"?")).await.status, 400, "a request has one addressee");
    for (client, _) in &mut all {
        assert_eq!(inbound(client).await.payload, b"n");
    }
}

pub async fn a_subject_is_told_wherever_it_is_connected(way: &impl Way) {
    let doors = way.doors();
    let mut of_ada = [client(&doors[0], Some("ada")).await, client(&doors[1], Some("ada")).await];
    let (mut bob, of_bob) = client(&doors[0], Some("bob")).await;
    for door in doors {
        door.metric_is("directory_sessions", "3").await;
    }
    assert_eq!(way.say(Say::new(Whom::Subject("ada"), "found", b"x")).await, delivered(2));
    for (client, _) in &mut of_ada {
        assert_eq!(inbound(client).await.payload, b"x");
    }
    assert_eq!(way.say(Say::new(Whom::Subject("nobody"), "found", b"x")).await.delivered, 0);
    assert!(until_now(way, &mut bob, &of_bob).await.is_empty());
}
