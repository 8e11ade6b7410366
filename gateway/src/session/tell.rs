//! What a client is told of its rights and peers: discovery, then what changed, in order, paced by the socket.

use std::sync::Arc;

use super::{Session, State};
use crate::bus::records::SessionEventKind;
use crate::control::to_json;
use crate::handle::{self, TEXT_LEN};
use crate::resume::Contents;
use crate::view::{Change, View, changes};
use crate::ws::Refused;

/// A set larger than this goes out in parts.
const PART: usize = 64 * 1024;

/// An update that is being told.
pub struct Telling {
    changes: Arc<[Change]>,
    at: usize,
    to: Arc<View>,
    reason: &'static str,
}

impl Session {
    /// The first message of a session. What does not fit into it follows in updates.
    pub(super) fn greet(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.greeted = true;
        self.announce(&state, SessionEventKind::Connected, None);
        self.say_whole(&mut state, "service_discovery", true);
        self.tell(&mut state);
    }

    /// The first message after a resume; the set only where the client has another one.
    pub(super) fn say_resumed(self: &Arc<Self>, state: &mut State, has: Option<&str>) {
        let with_set = has != Some(state.view.set.as_str());
        self.say_whole(state, "resumed", with_set);
        self.tell(state);
    }

    fn say_whole(self: &Arc<Self>, state: &mut State, kind: &'static str, with_set: bool) {
        let view = state.view.clone();
        let resume = self.resume_token(state);
        let all = || {
            let endpoints = view.entries().filter(|e| view.snapshot.endpoint(e).is_some());
            let events = view.entries().filter(|e| view.snapshot.event(e).is_some());
            endpoints.map(|e| (false, e)).chain(events.map(|e| (true, e)))
        };
        let mut room = PART;
        let fit = all()
            .take_while(|(_, entry)| {
                let size = entry.name.len() + TEXT_LEN + 6;
                let fits = size <= room;
                room = room.saturating_sub(size);
                fits
            })
            .count();
        let fit = if with_set { fit } else { 0 };
        let rest: Vec<Change> = all()
            .skip(fit)
            .filter(|_| with_set)
            .map(|(event, e)| Change { name: e.name.clone(), target: e.target, event, added: true })
            .collect();
        let handles = self.handles_of(all().take(fit).map(|(_, e)| e.target));
        let written = self.writer.text_with(1024 + PART - room, |out| {
            out.extend_from_slice(br#"{"type":""#);
            out.extend_from_slice(kind.as_bytes());
            if with_set {
                out.extend_from_slice(br#"","services":{"#);
                let mut handles = handles.iter();
                let endpoints = all().take(fit).filter(|(event, _)| !event);
                write_names(out, endpoints.map(|(_, e)| &*e.name).zip(&mut handles));
                out.extend_from_slice(br#"},"events":{"#);
                write_names(out, all().take(fit).filter(|(event, _)| *event).map(|(_, e)| &*e.name).zip(&mut handles));
                out.extend_from_slice(b"},");
            } else {
                out.extend_from_slice(br#"","#);
            }
            let fleet = &view.snapshot.catalog.fleet;
            let mut rest_of_it = serde_json::json!({
                "client_id": self.client_id(state),
                "session_id": self.id(),
                "revision": state.revision,
                "set": view.set,
                "limits": {
                    "message_bytes": view.limits.max_message_bytes,
                    "requests_per_second": view.limits.requests_per_second,
                },
                "ping_s": self.shared.timing.ping_every_ms / 1000,
            });
            if let Some(token) = resume {
                rest_of_it["resume"] = serde_json::json!({"token": token, "window_s": fleet.resume_window_ms / 1000});
            }
            if !rest.is_empty() {
                rest_of_it["more"] = true.into();
            }
            out.extend_from_slice(&to_json(&rest_of_it)[1..]);
        });
        debug_assert!(written != Err(Refused::Full), "an empty queue takes a message of any size");
        state.told = view.clone();
        if !rest.is_empty() {
            let reason = "catalog";
            state.telling = Some(Box::new(Telling { changes: rest.into(), at: 0, to: view, reason }));
        }
    }

    /// Tells what is not told yet, as far as there is room; the rest follows when there is.
    ///
    /// Whoever changes rights or peers calls this under the same lock, so an update always precedes the answer that
    /// caused it.
    pub(super) fn tell(self: &Arc<Self>, state: &mut State) {
        if !state.greeted || state.stuck || state.left || state.closing.is_some() {
            return;
        }
        if state.peers.as_ref().is_some_and(|p| p.untold()) {
            self.tell_resume(state);
        }
        let all = self.tell_peers(state) && self.tell_rights(state);
        crate::ws::Writer::flush(self);
        if !all {
            state.stuck = true;
            let session = self.clone();
            // Only under backpressure, and no longer than the write timeout lets the connection live.
            tokio::spawn(async move {
                session.writer.room(PART).await;
                let mut state = session.state.lock();
                state.stuck = false;
                session.tell(&mut state);
            });
        }
    }

    /// `false`: no room.
    fn tell_rights(self: &Arc<Self>, state: &mut State) -> bool {
        loop {
            if state.telling.is_none() {
                if Arc::ptr_eq(&state.told, &state.view) {
                    return true;
                }
                let to = state.view.clone();
                let changes = changes(&state.told, &to);
                if changes.is_empty() {
                    state.told = to;
                    return true;
                }
                let reason = state.reason;
                state.telling = Some(Box::new(Telling { changes, at: 0, to, reason }));
            }
            let Some(telling) = &mut state.telling else { return true };
            let mut room = PART;
            let mut end = telling.at;
            while let Some(change) = telling.changes.get(end) {
                let size = change.name.len() + TEXT_LEN + 6;
                if size > room {
                    break;
                }
                room -= size;
                end += 1;
            }
            let part = &telling.changes[telling.at..end];
            let more = end < telling.changes.len();
            let message = self.update(part, state.revision + 1, &telling.to.set, telling.reason, more);
            if self.writer.text(&message).is_err() {
                return false;
            }
            state.revision += 1;
            telling.at = end;
            if !more {
                state.told = telling.to.clone();
                state.telling = None;
            }
        }
    }

    fn update(&self, part: &[Change], revision: u64, set: &str, reason: &str, more: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + part.len() * 64);
        let handles = self.handles_of(part.iter().map(|c| c.target));
        let added = |event: bool| {
            let pairs = part.iter().zip(&handles).filter(move |(c, _)| c.added && c.event == event);
            pairs.map(|(c, h)| (&*c.name, h))
        };
        let removed = |event: bool| -> Vec<&str> {
            part.iter().filter(|c| !c.added && c.event == event).map(|c| &*c.name).collect()
        };
        out.extend_from_slice(br#"{"type":"service_update","added":{"#);
        write_names(&mut out, added(false));
        out.extend_from_slice(br#"},"events_added":{"#);
        write_names(&mut out, added(true));
        out.extend_from_slice(b"},");
        let mut rest = serde_json::json!({
            "revision": revision,
            "removed": removed(false),
            "events_removed": removed(true),
            "set": set,
            "reason": reason,
        });
        if more {
            rest["more"] = true.into();
        }
        out.extend_from_slice(&to_json(&rest)[1..]);
        out
    }

    /// A fresh resume token as a message of its own.
    pub(super) fn tell_resume(self: &Arc<Self>, state: &State) {
        if !state.greeted || state.left || state.closing.is_some() {
            return;
        }
        if let Some(token) = self.resume_token(state) {
            let (cursor, group_cursor) = self.positions(state);
            self.say(&to_json(&serde_json::json!({
                "type": "resume",
                "token": token,
                "cursor": cursor.to_string(),
                "group_cursor": group_cursor.to_string(),
            })));
        }
    }

    fn resume_token(&self, state: &State) -> Option<String> {
        let fleet = &state.view.snapshot.catalog.fleet;
        let unix = |t: std::time::SystemTime| t.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let principal = state.principal.as_deref();
        let (cursor, group_cursor) = self.positions(state);
        self.shared.keyring.seal(&Contents {
            session: self.id(),
            nonce: self.nonce(),
            key: self.key_id(),
            rights: state.rights,
            tag: state.tag(),
            cursor,
            group_cursor,
            groups_epoch: self.shared.desk.groups_epoch(),
            until: unix(std::time::SystemTime::now()) + fleet.resume_window_ms / 1000 + 90,
            issuer: principal.map(|p| &*p.issuer),
            subject: principal.map(|p| &*p.subject),
            token_id: principal.and_then(|p| p.token_id.as_deref()),
            expires: principal.map(|p| unix(p.expires_at)),
            peers: state.peers.as_ref().map(|p| p.session_ids()).unwrap_or_default(),
        })
    }
}

/// Members of an object of names and handles, without its braces.
fn write_names<'a>(out: &mut Vec<u8>, names: impl Iterator<Item = (&'a str, &'a handle::Handle)>) {
    for (i, (name, handle)) in names.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        // Names of a catalog are `[a-z0-9.-]`: nothing in them needs escaping.
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":\"");
        let mut text = [0u8; TEXT_LEN];
        handle::write_text(handle, &mut text);
        out.extend_from_slice(&text);
        out.push(b'"');
    }
}
