use serde_json::json;
use tokio::time::advance;

use super::*;
use crate::catalog::ConditionType;
use crate::index::decode;
use crate::publish::Version;

const FORGIVING: Duration = Duration::from_secs(60);

/// A fleet with one exposure of the second generation, on which this was written before.
async fn state(programmed: &str, reason: &str, generation: i64) -> State {
    let options = Options { forgiving: FORGIVING, ..Options::default() };
    let mut state = State::new(&options, Holding::new(2, Instant::now() + Duration::from_secs(3600)));
    let metadata = |name: &str| json!({"name": name, "namespace": "sys", "uid": name, "generation": 2});
    let status = json!({"gateways": 3, "conditions": [{"type": "Programmed", "status": programmed, "reason": reason, "message": "as before",
                        "observedGeneration": generation}]});
    for kind in ObjectKind::ALL {
        let object = match kind {
            ObjectKind::Fleet => json!({"metadata": metadata("default"), "spec": {}}),
            ObjectKind::AccessTier => {
                json!({"metadata": metadata("anonymous"), "spec": {"admission": {"principal": "Anonymous"}}})
            }
            ObjectKind::ServiceExposure => json!({"metadata": metadata("one"), "spec": {
                "serviceName": "one", "backend": {"dapr": {"appId": "one"}}, "fleetRef": {"namespace": "sys"},
                "endpoints": [{"name": "call", "path": "/1", "tiers": ["anonymous"]}]}}),
            _ => {
                state.hear(Seen::Reset(kind, Vec::new()));
                continue;
            }
        };
        let mut object = object;
        object["apiVersion"] = "bannou.dev/v1alpha1".into();
        object["kind"] = kind.as_str().into();
        let written = Written { status: status.clone(), resource_version: None };
        state.hear(Seen::Reset(kind, vec![(decode(kind, object).unwrap(), written)]));
    }
    state.compile().await;
    state
}

fn told(state: &mut State) -> (Status, Reason) {
    state.conclude();
    let object = ObjectRef { kind: ObjectKind::ServiceExposure, key: Key::new("sys", "one") };
    let told = state.conditions[&object].condition(ConditionType::Programmed).unwrap();
    (told.status, told.reason)
}

fn count(state: &State) -> Option<u32> {
    state.conditions[&ObjectRef { kind: ObjectKind::Fleet, key: Key::new("sys", "default") }].gateways
}

fn gateways(state: &mut State, acked: Option<Version>) {
    let gateway = Gateway { name: "gateway-0".into(), acked, ..Gateway::default() };
    state.gateways = BTreeMap::from([(Key::new("sys", "default"), vec![gateway])]);
}

/// Killed or stopped, a holder is followed by one that no gateway has found yet: that is no news about what they obey.
#[tokio::test(start_paused = true)]
async fn a_new_holder_tells_what_was_told_until_gateways_had_their_time() {
    let mut state = state("True", "Programmed", 2).await;
    assert_eq!((told(&mut state), count(&state)), ((Status::True, Reason::Programmed), Some(3)));
    advance(FORGIVING / 2).await;
    gateways(&mut state, None);
    assert_eq!(told(&mut state), (Status::True, Reason::Programmed), "it has come, and has not answered yet");
    gateways(&mut state, Some(Version { term: 1, number: 9 }));
    assert_eq!(told(&mut state), (Status::True, Reason::Programmed), "it answered to the holder before");
    let version = state.catalogs[&Key::new("sys", "default")].version;
    gateways(&mut state, Some(version));
    assert_eq!((told(&mut state), count(&state)), ((Status::True, Reason::Programmed), Some(1)));
    assert_eq!(state.forgiven_until, None);

    // Its link breaks: again it has its time, and no more.
    advance(Duration::from_secs(3600)).await;
    told(&mut state);
    state.gateways.clear();
    assert_eq!(told(&mut state), (Status::True, Reason::Programmed));
    assert_eq!(state.forgiven_until, Some(Instant::now() + FORGIVING));
    advance(FORGIVING).await;
    assert_eq!((told(&mut state), count(&state)), ((Status::False, Reason::NoGatewaysConnected), Some(0)));
    assert_eq!(state.forgiven_until, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_of_something_else_counts_for_nothing() {
    let mut other = state("True", "Programmed", 1).await;
    assert_eq!(told(&mut other), (Status::False, Reason::NoGatewaysConnected), "another generation");
    let mut withdrawn = state("False", "Pending", 2).await;
    assert_eq!(told(&mut withdrawn), (Status::False, Reason::NoGatewaysConnected), "it was in no catalog");
    let mut refused = state("False", "Rejected", 2).await;
    assert_eq!(told(&mut refused), (Status::False, Reason::Rejected));
}
