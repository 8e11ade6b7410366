//! A client that comes back: its session goes on here, on a new connection, where the log says so.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::events::{Logged, Progress, Replay, Stands};
use super::peers::Peers;
use super::{Close, Identity, Session, State, rights};
use crate::auth::Principal;
use crate::bus::alive::CutOff;
use crate::bus::records::SessionEventKind;
use crate::control::{self, Reconnect, Resume, to_json};
use crate::deliver::{Takeover, position};
use crate::metrics::Refusal;
use crate::resume::Claim;
use crate::view::View;

/// For the takeover to come back out of the log.
const DECIDED_WITHIN: Duration = Duration::from_secs(5);
/// Others may win a tag meanwhile; then the next one is tried.
const ATTEMPTS: u32 = 8;

const CUT_OFF: Close =
    Close::new(4503, "this gateway is cut off from the broker: resume later", Reconnect::Resume).later(1_000);

/// Why a session is not taken over.
enum No {
    /// The token is void, or its session is over: a fresh one begins.
    Impossible(&'static str),
    /// Not now.
    CutOff,
}

/// A session as its last connection left it.
struct Kept {
    principal: Option<Box<Principal>>,
    token: Option<Box<str>>,
    peers: Option<Box<Peers>>,
    logged: Box<Logged>,
    view: Arc<View>,
    revision: u64,
    rights: u64,
    session_age: u64,
}

impl Session {
    pub(super) async fn resume(self: &Arc<Self>, ask: Resume, id: Option<control::Id>) {
        let (word, done) = match self.take_over(&ask).await {
            Ok((holder, claim)) => {
                self.adopt(&holder, &ask, &claim, id.as_deref());
                ("resumed", true)
            }
            Err(No::Impossible(why)) => {
                self.resume_impossible(id.as_deref());
                (why, false)
            }
            Err(No::CutOff) => {
                self.close(CUT_OFF);
                ("cut off from the broker", false)
            }
        };
        tracing::debug!(session = %self.id(), done, word, "resume");
        self.shared.metrics.resumes.get_or_create(&Refusal { reason: word }).inc();
    }

    async fn take_over(&self, ask: &Resume) -> Result<(Arc<Session>, Claim), No> {
        let shared = &self.shared;
        let claim = shared.keyring.open(&ask.token).ok_or(No::Impossible("token not of this fleet"))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if claim.until < now {
            return Err(No::Impossible("token too old"));
        }
        for _ in 0..ATTEMPTS {
            let holder = shared.table.find(claim.session).or_else(|| shared.desk.away(claim.session));
            let holder = holder.filter(|h| h.nonce() == claim.nonce).ok_or(No::Impossible("session over"))?;
            let (tag, settled) = holder.home();
            if claim.tag > tag || claim.tag < tag && settled {
                return Err(No::Impossible("a newer token is in use"));
            }
            let next = tag.checked_add(1).ok_or(No::Impossible("no tags left"))?;
            let max_age = shared.snapshot.load().catalog.fleet.max_control_age_ms;
            if shared.alive.cut_off(max_age) >= CutOff::Resumes {
                return Err(No::CutOff);
            }
            let decided = shared.desk.take_over(claim.session, next).map_err(|_| No::CutOff)?;
            match tokio::time::timeout(DECIDED_WITHIN, decided).await {
                Ok(Ok(Takeover::Won { holder, .. })) => return Ok((holder, claim)),
                Ok(Ok(Takeover::Lost)) => {}
                Ok(Err(_)) | Err(_) => return Err(No::CutOff),
            }
        }
        Err(No::Impossible("others were faster"))
    }

    /// The session goes on here.
    fn adopt(
        self: &Arc<Self>,
        holder: &Arc<Session>,
        ask: &Resume,
        claim: &Claim,
        id: Option<&serde_json::value::RawValue>,
    ) {
        let shared = self.shared.clone();
        let _ = self.identity.set(holder.same_identity());
        let kept = holder.hand_over();
        // Beyond what was written nobody can have read.
        let homes = &kept.logged.homes;
        let head = shared.desk.heads().0.map_or(position::before(homes.current()), |head| homes.number(head));
        let cursor = ask.cursor.max(claim.cursor).min(head);
        // Positions in a log that is no more say nothing of the one that took its place.
        let same_groups = claim.groups_epoch == shared.desk.groups_epoch();
        let group_next = if same_groups { position::offset(ask.group_cursor.max(claim.group_cursor)) + 1 } else { 0 };
        let (log_in, missed, next);
        {
            let mut state = self.state.lock();
            log_in = state.principal.take().zip(Some(state.token.take()));
            self.take_in(&mut state, kept);
            let logged = state.logged.get_or_insert_default();
            let (from, lost) = logged.homes.after(cursor);
            (next, missed) = (from, lost || !same_groups);
            logged.settled = false;
            // Until it is known how far they reach, nothing that comes out of the logs overtakes them.
            let all = |next| Some(Progress { next, until: u64::MAX });
            logged.replay = Some(Replay { home: all(next), groups: all(group_next) });
            state.greeted = true;
        }
        // From here on the logs' readers find this session; what they were at before that is the replay's.
        shared.table.identified(self);
        shared.desk.back(self.id());
        self.reach(shared.desk.begun());
        self.count_own_subject();
        {
            let mut state = self.state.lock();
            self.say_resumed(&mut state, ask.set.as_deref());
            self.tell_all_peers(&mut state);
            if missed {
                self.say_gap(&state, None);
            }
            self.announce(&state, SessionEventKind::Moved, None);
        }
        // Not before: `resumed` is the first thing that is said on this connection.
        self.rewire_peers(holder);
        if let Some((principal, token)) = log_in {
            self.log_in(*principal, token.as_deref().unwrap_or_default(), "authenticated");
        }
        self.say(&control::ok(id, &serde_json::json!({"resumed": true})));
        // Its pong says that the client has the new token.
        self.writer.ping(b"");
        crate::ws::Writer::flush(self);
        shared.desk.received(self.id(), |number| position::tag(number) > 0 && number <= cursor);
        shared.desk.replay(self, Stands::Home, next);
        shared.desk.replay(self, Stands::Groups, group_next);
        self.catalog_changed();
    }

    fn hand_over(&self) -> Kept {
        let mut state = self.state.lock();
        Kept {
            principal: state.principal.take(),
            token: state.token.take(),
            peers: state.peers.take(),
            logged: {
                let logged = state.logged.take().unwrap_or_default();
                // Until the new connection is found in its place, numbers are still asked for here.
                state.logged = Some(Box::new(Logged::at(logged.homes.clone())));
                logged
            },
            view: state.view.clone(),
            revision: state.revision,
            rights: state.rights,
            session_age: state.timers.session_age(),
        }
    }

    fn take_in(self: &Arc<Self>, state: &mut State, kept: Kept) {
        let Kept { principal, token, peers, logged, view, revision, rights, session_age } = kept;
        let snapshot = self.shared.snapshot.load_full();
        // An issuer that is none of the fleet's any more gives nothing.
        state.principal = principal.filter(|p| snapshot.verifier.knows(p));
        state.token = token;
        state.peers = peers;
        state.logged = Some(logged);
        if let Some(logged) = &mut state.logged {
            // What was held back is in the log.
            logged.forget_held();
        }
        (state.revision, state.rights) = (revision, rights);
        state.view = view;
        state.greeted = true;
        let now = snapshot.view(self.shared.admitted(&snapshot, state.principal.as_deref()));
        self.note_gains(state, &now);
        state.rights += u64::from(now.set != state.view.set);
        state.view = now.clone();
        state.told = now;
        self.writer.set_queue_limit(state.view.limits.send_queue_bytes as usize);
        state.timers.resumed(session_age, &state.view);
        let principal = state.principal.as_deref();
        state.timers.token(self.shared.now_ms(), &self.shared.timing, principal, SystemTime::now());
        self.reschedule(state);
        self.changed();
    }

    /// How far the replays go: all that the logs' readers had begun with.
    fn reach(&self, begun: (Option<u64>, Option<u64>)) {
        let mut state = self.state.lock();
        let Some(replay) = state.logged.as_mut().and_then(|l| l.replay.as_mut()) else { return };
        for (progress, until) in [(&mut replay.home, begun.0), (&mut replay.groups, begun.1)] {
            match (until, progress.as_mut()) {
                (Some(until), Some(progress)) => progress.until = until,
                // Nothing was ever read: nothing was missed.
                (None, _) => *progress = None,
                (Some(_), None) => {}
            }
        }
        if replay.home.is_none() && replay.groups.is_none() {
            state.logged.iter_mut().for_each(|l| l.replay = None);
        }
    }

    /// A session that cannot be taken over: what was missed is unknown, and a fresh one begins.
    fn resume_impossible(self: &Arc<Self>, id: Option<&serde_json::value::RawValue>) {
        let _ = self.identity.set(Identity::random(self.shared.keyring.current()));
        self.shared.table.identified(self);
        self.count_own_subject();
        self.say(&to_json(&serde_json::json!({
            "type": "gap", "unknown": true, "cursor": "0", "group_cursor": "0",
        })));
        {
            let mut state = self.state.lock();
            let view = state.view.clone();
            state.timers.hello_came(&view);
            self.reschedule(&state);
        }
        self.greet();
        self.say(&control::ok(id, &serde_json::json!({"resumed": false})));
        self.catalog_changed();
    }

    /// A replay that can bring nothing more.
    pub fn replay_lost(self: &Arc<Self>, stands: Stands) {
        let mut state = self.state.lock();
        let Some(replay) = state.logged.as_mut().and_then(|l| l.replay.as_mut()) else { return };
        let progress = match stands {
            Stands::Home => replay.home.take(),
            Stands::Groups => replay.groups.take(),
        };
        if replay.home.is_none() && replay.groups.is_none() {
            state.logged.iter_mut().for_each(|l| l.replay = None);
        }
        let lost = progress.filter(|p| p.next <= p.until);
        if let Some(Progress { next, until }) = lost {
            let numbers = (state.number(stands, next), state.number(stands, until));
            self.say_gap(&state, Some(numbers));
        }
        self.tell_resume(&state);
    }

    /// A pong: the client has read what was sent before the ping.
    pub(super) fn note_pong(&self, state: &mut State) {
        let tag = state.tag();
        if let Some(logged) = state.logged.as_mut().filter(|l| !l.settled) {
            logged.settled = true;
            self.shared.desk.settled(self.id(), tag);
        }
    }

    pub(super) fn count_own_subject(self: &Arc<Self>) {
        let (key, at_most) = {
            let state = self.state.lock();
            let key = state.principal.as_deref().map(rights::subject_key);
            (key, state.view.limits.max_connections_per_subject as usize)
        };
        if let Some(key) = key {
            self.count_subject(key, at_most);
        }
    }
}
