//! The session's own task: reads frames, looks at timers, and ends the session.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use super::frames::Frames;
use super::timers::Due;
use super::{Close, Session};
use crate::control::{Reconnect, to_json};
use crate::table::{Seat, Table};
use crate::ws::{Ended, Reader};

/// How long a close handshake may take.
const FAREWELL: Duration = Duration::from_secs(2);

const SILENT: Close = Close::new(4408, "no pong came", Reconnect::Resume);
const NO_FIRST_FRAME: Close = Close::new(4408, "no first frame came", Reconnect::Resume);
const CONNECTION_OLD: Close = Close::new(1012, "this connection is older than its tiers allow", Reconnect::Resume);
const SESSION_OLD: Close = Close::new(4410, "this session is older than the fleet allows", Reconnect::Fresh);

/// How a connection begins.
pub enum Hello {
    /// The gateway speaks first.
    Greet,
    /// `bannou.resume`: the client does.
    AwaitResume,
    /// The token that came by subprotocol is refused: say so and close, since browsers cannot read a 401.
    Refuse,
}

/// Runs a session from upgrade to close; `ended` is given the WebSocket close code that ended it, 1006 where there was none.
///
/// An idle connection is made of this future: what is used in place counts once and what is rare is boxed.
#[expect(clippy::manual_async_fn, reason = "an async fn would hold its reader twice: once as argument, once as local")]
pub fn run(
    session: Arc<Session>,
    mut reader: Reader,
    hello: Hello,
    ended: impl FnOnce(&Session, u16) + Send,
) -> impl Future<Output = ()> + Send {
    async move {
        let seat = begin(&session, hello);
        let why = serve(&session, &mut reader).await;
        let code = session.close_code(why);
        session.state.lock().ended = code;
        drop(seat);
        Box::pin(reader.finish(&session, FAREWELL)).await;
        ended(&session, code);
    }
}

fn begin(session: &Arc<Session>, hello: Hello) -> Seat {
    let seat = Table::enter(session);
    // The catalog may have changed between choosing the view and entering the table.
    session.catalog_changed();
    if session.is_known() {
        // Before the client hears anything: whoever then connects once more is the newer one for certain.
        session.count_own_subject();
    }
    match hello {
        Hello::Greet => session.greet(),
        Hello::AwaitResume => session.await_resume(),
        Hello::Refuse => {
            session.close(Close::new(4401, "the token is refused", Reconnect::No));
        }
    }
    seat
}

async fn serve(session: &Arc<Session>, reader: &mut Reader) -> Ended {
    let awaiting_resume = !session.state.lock().greeted && !session.is_closing();
    let mut frames = Frames::new(session.clone(), awaiting_resume);
    loop {
        let batch = std::future::poll_fn(|cx| {
            session.waker.register(cx.waker());
            if session.called.load(Ordering::Acquire) {
                return Poll::Ready(None);
            }
            reader.poll_batch(cx, session, &mut frames).map(Some)
        })
        .await;
        frames.flush();
        match batch {
            Some(Err(ended)) => return ended,
            Some(Ok(_)) => {
                if let Some(decided) = frames.resume_asked() {
                    decided.await;
                    frames.refresh();
                    frames.go_on();
                }
                if std::mem::take(&mut frames.pong) {
                    let mut state = session.state.lock();
                    state.timers.pong_came();
                    session.note_pong(&mut state);
                    session.reschedule(&state);
                }
                session.wait_for_room(frames.view().limits.send_queue_bytes as usize).await;
            }
            None => {
                session.called.store(false, Ordering::Release);
                session.follow_catalog();
                session.look_at_timers();
                frames.refresh();
                reader.set_binary_limit(Session::ws_limits(frames.view()).binary_bytes);
                if session.is_closing() {
                    // The rest of the close handshake is the reader's.
                    return Ended::Aborted;
                }
            }
        }
    }
}

impl Session {
    fn await_resume(&self) {
        let mut state = self.state.lock();
        state.timers.await_hello(self.shared.now_ms(), &self.shared.timing);
        self.reschedule(&state);
    }

    /// A client that does not read what it is sent is not read from either.
    async fn wait_for_room(&self, queue: usize) {
        if self.writer.queued() > queue / 2 {
            // Boxed, since the future of every connection would have to hold it.
            Box::pin(self.writer.room(queue - queue / 2)).await;
        }
    }

    fn look_at_timers(self: &Arc<Self>) {
        let now = self.shared.now_ms();
        if self.next_timer.load(Ordering::Relaxed) > now {
            return;
        }
        loop {
            let due = {
                let mut state = self.state.lock();
                let window = state.view.snapshot.catalog.fleet.resume_window_ms;
                let due = state.timers.due(now, &self.shared.timing, window);
                self.reschedule(&state);
                due
            };
            match due {
                None => return,
                Some(Due::Ping) => {
                    self.writer.ping(b"");
                    crate::ws::Writer::flush(self);
                }
                Some(Due::Silent) => self.close(SILENT),
                Some(Due::RenewResume) => self.tell_resume(&self.state.lock()),
                Some(Due::TokenExpiring) => self.say_expiring(),
                Some(Due::TokenExpired) => self.token_expired(),
                Some(Due::ConnectionAge) => self.close(CONNECTION_OLD),
                Some(Due::SessionAge) => self.close(SESSION_OLD),
                Some(Due::NoHello) => {
                    let greeted = self.state.lock().greeted;
                    if greeted { self.no_token_came() } else { self.close(NO_FIRST_FRAME) }
                }
            }
        }
    }

    fn say_expiring(self: &Arc<Self>) {
        let left = {
            let state = self.state.lock();
            let expires = state.principal.as_ref().map(|p| p.expires_at);
            expires.and_then(|e| e.duration_since(std::time::SystemTime::now()).ok()).map_or(0, |d| d.as_secs())
        };
        self.say(&to_json(&serde_json::json!({"type": "token_expiring", "expires_in_s": left})));
    }

    fn close_code(&self, ended: Ended) -> u16 {
        let own = self.state.lock().closing;
        match (own, ended) {
            (Some(code), _) | (None, Ended::Protocol { code, .. }) => code,
            (None, Ended::PeerClosed { code }) => code.unwrap_or(1005),
            (None, Ended::Eof | Ended::Io(_) | Ended::Aborted) => 1006,
        }
    }
}
