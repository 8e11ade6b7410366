use super::super::fake::{Fake, Mode};
use super::*;

const OTHER: Slot = Slot(2);

fn world() -> (Arc<Fake>, Arc<Alive>) {
    let bus = Fake::new(Slot(1));
    let alive = Alive::new(bus.clone(), "here:1".into(), Beat::default(), Meters::default());
    tokio::spawn(alive.clone().run());
    (bus, alive)
}

async fn epoch(alive: &Alive, at_least: u64) {
    alive.standing().wait_for(|s| s.epoch >= at_least).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_its_beacon_comes_back_and_lists_who_lives() {
    let (bus, alive) = world();
    assert!(!alive.is_ready());
    alive.ready().await;
    assert_eq!(alive.live(), [(Slot(1), "here:1".to_owned())]);
    let other = ControlRecord::Alive { slot: OTHER, address: "there:1".into(), number: 1 };
    bus.write(Log::Control, records::message(&other));
    bus.took(3).await;
    assert_eq!(alive.live()[1..], [(OTHER, "there:1".to_owned())]);
    bus.took(9).await;
    assert_eq!(alive.live().len(), 1);
    assert!(alive.is_dead(OTHER));
}

#[tokio::test(start_paused = true)]
async fn cut_off_it_may_not_speak_until_its_log_is_read_again() {
    let (bus, alive) = world();
    alive.ready().await;
    assert!(!alive.may_speak(), "the own log has not been read yet");
    alive.renewed(1);
    assert!(alive.may_speak());
    bus.set(Mode::Hold);
    for (seconds, may) in [(5, true), (6, false), (20, false)] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        assert_eq!(alive.may_speak(), may);
    }
    assert_eq!(alive.cut_off(300_000), CutOff::Newcomers);
    bus.set(Mode::Confirm);
    epoch(&alive, 2).await;
    assert!(!alive.may_speak());
    alive.renewed(1);
    assert!(!alive.may_speak(), "read before it was cut off");
    alive.renewed(2);
    assert!(alive.may_speak());
    assert_eq!(alive.cut_off(300_000), CutOff::No);
}

#[tokio::test(start_paused = true)]
async fn a_beacon_every_two_seconds_and_over_an_outage_one() {
    let (bus, alive) = world();
    alive.ready().await;
    bus.drain();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(bus.drain().len(), 30);
    bus.set(Mode::Hold);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bus.drain().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn deposed_it_is_silent_for_good() {
    let (bus, alive) = world();
    alive.ready().await;
    alive.renewed(1);
    bus.write(Log::Control, records::message(&ControlRecord::Deleted { slot: Slot(1) }));
    alive.standing().wait_for(|s| s.deposed).await.unwrap();
    assert!(!alive.may_speak());
}

#[test]
fn what_one_may_not_do_without_news() {
    let at = |age_ms| cut_off(age_ms, false, Beat::default(), 300_000);
    assert_eq!((at(0), at(5_999), at(6_000)), (CutOff::No, CutOff::No, CutOff::Resumes));
    assert_eq!((at(29_999), at(30_000)), (CutOff::Resumes, CutOff::Newcomers));
    assert_eq!((at(299_999), at(300_000)), (CutOff::Newcomers, CutOff::Privileges));
    assert_eq!(cut_off(0, true, Beat::default(), 300_000), CutOff::Resumes, "at once");
}
