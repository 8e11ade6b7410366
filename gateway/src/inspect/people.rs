//! Who is connected: found by client or subject, listed page by page.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use uuid::Uuid;

use super::report::{Connection, Connections, Kick, Kicked, Limits, Token, Why, WhyConnection};
use super::standing::{self, Values};
use crate::session::{Seen, Session};
use crate::shared::Shared;
use crate::table::SHARDS;

/// Of one page.
pub const MOST: usize = 1_000;
const PAGE: usize = 100;
/// Connections that `why` tells of: a subject rarely has more.
const EXPLAINED: usize = 20;
/// Clients that an answer names.
pub const NAMED: usize = 100;

/// Of `/v1/connections` and `/v1/why`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query {
    client: Option<String>,
    subject: Option<String>,
    issuer: Option<String>,
    tier: Option<String>,
    /// `<service>.<endpoint or event>`, for `why`.
    name: Option<String>,
    limit: Option<usize>,
    after: Option<Uuid>,
}

/// Whom an answer is about; what is absent is all the same.
#[derive(Default)]
struct Whom<'q> {
    session: Option<Uuid>,
    subject: Option<&'q str>,
    issuer: Option<&'q str>,
    tier: Option<&'q str>,
}

impl Whom<'_> {
    fn is(&self, id: Uuid, seen: &Seen<'_>) -> bool {
        let of = |p: &crate::auth::Principal| {
            self.subject.is_none_or(|s| *s == *p.subject)
                && self.issuer.is_none_or(|i| *i == *p.issuer_name || *i == *p.issuer)
        };
        self.session.is_none_or(|s| s == id)
            && ((self.subject.is_none() && self.issuer.is_none()) || seen.principal.is_some_and(of))
            && self.tier.is_none_or(|t| seen.view.held_tiers().any(|held| held == t))
    }

    /// Everybody it is about, in order of session; those whose session is not decided yet are nobody.
    fn all(&self, shared: &Shared) -> Vec<(Uuid, Arc<Session>)> {
        let fits = |session: &Arc<Session>| session.see(|seen| self.is(session.id(), &seen));
        let found = match self.session {
            Some(id) => shared.table.find(id).into_iter().filter(fits).collect(),
            None => {
                let parts = (0..SHARDS).flat_map(|part| shared.table.part(part));
                parts.filter(fits).collect::<Vec<_>>()
            }
        };
        let mut all: Vec<(Uuid, Arc<Session>)> = found.into_iter().map(|s| (s.id(), s)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

/// The session's id in a `client_id`, or one that stands alone. A client that moved is found by any past one.
fn session_of(client: &str) -> Result<Uuid, String> {
    let id = client.split('.').nth(1).unwrap_or(client);
    id.parse().map_err(|_| format!("{client:?} is neither a client_id nor the id of a session"))
}

pub fn connection(shared: &Shared, id: Uuid, seen: &Seen<'_>) -> Connection {
    Connection {
        client_id: seen.client_id(),
        session_id: id,
        issuer: seen.principal.map(|p| p.issuer_name.to_string()),
        subject: seen.principal.map(|p| p.subject.to_string()),
        tiers: seen.view.held_tiers().map(str::to_owned).collect(),
        address: seen.address,
        connected_s: shared.now_ms().saturating_sub(seen.connected_ms) / 1000,
        revision: seen.revision,
        in_flight: seen.in_flight,
        queued_bytes: seen.queued_bytes,
        closing: seen.closing,
    }
}

/// One page.
///
/// # Errors
/// What is wrong with the question.
pub fn page(shared: &Shared, query: &Query) -> Result<Connections, String> {
    let session = query.client.as_deref().map(session_of).transpose()?;
    let whom = Whom {
        session,
        subject: query.subject.as_deref(),
        issuer: query.issuer.as_deref(),
        tier: query.tier.as_deref(),
    };
    let limit = query.limit.unwrap_or(PAGE).clamp(1, MOST);
    // Never more than a page of them is held, and one to know whether there is another page.
    let mut first: BinaryHeap<Row> = BinaryHeap::new();
    let mut total = 0;
    for part in 0..SHARDS {
        for session in shared.table.part(part) {
            let id = session.id();
            let row = session.see(|seen| whom.is(id, &seen).then(|| connection(shared, id, &seen)));
            let Some(row) = row else { continue };
            total += 1;
            if query.after.is_none_or(|after| id > after) {
                first.push(Row(row));
                if first.len() > limit + 1 {
                    first.pop();
                }
            }
        }
    }
    let mut connections: Vec<Connection> = first.into_sorted_vec().into_iter().map(|row| row.0).collect();
    let more = connections.len() > limit;
    connections.truncate(limit);
    let next = connections.last().filter(|_| more).map(|c| c.session_id);
    Ok(Connections { total, connections, next })
}

/// Ordered by session.
struct Row(Connection);

impl Ord for Row {
    fn cmp(&self, other: &Row) -> std::cmp::Ordering {
        self.0.session_id.cmp(&other.0.session_id)
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Row) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.0.session_id == other.0.session_id
    }
}

impl Eq for Row {}

/// What the connections of one client or subject hold, and why.
///
/// # Errors
/// What is wrong with the question.
pub fn why(shared: &Shared, query: &Query, now: SystemTime) -> Result<Why, String> {
    if query.client.is_none() && query.subject.is_none() {
        return Err("name whom you mean: client or subject".to_owned());
    }
    let whom = Whom {
        session: query.client.as_deref().map(session_of).transpose()?,
        subject: query.subject.as_deref(),
        issuer: query.issuer.as_deref(),
        tier: query.tier.as_deref(),
    };
    let all = whom.all(shared);
    let more = all.len().saturating_sub(EXPLAINED);
    let name = query.name.as_deref();
    let connections = all.iter().take(EXPLAINED).map(|(id, session)| {
        // What follows is too much for a session's lock.
        let (connection, view, principal, told) =
            session.see(|seen| (connection(shared, *id, &seen), seen.view.clone(), seen.principal.cloned(), seen.told));
        let principal = principal.as_ref();
        WhyConnection {
            connection,
            token: principal.map(|p| Token {
                issuer: p.issuer.to_string(),
                expires_in_s: match p.expires_at.duration_since(now) {
                    Ok(left) => left.as_secs().try_into().unwrap_or(i64::MAX),
                    Err(past) => -past.duration().as_secs().try_into().unwrap_or(i64::MAX),
                },
            }),
            tiers: standing::tiers(&view.snapshot, principal, &view.tiers, Values::Hidden),
            limits: Limits::from(&view.limits),
            name: name.and_then(|name| standing::name(&view.snapshot, view.tiers, name)),
            told,
        }
    });
    let connections = connections.collect();
    let known = name.map(|name| shared.snapshot.load().entries.iter().any(|entry| *entry.name == *name));
    Ok(Why { connections, more, known })
}

/// Puts a client, or everybody of a subject, out; also those who have lost their connection and may come back.
///
/// # Errors
/// What is wrong with the wish.
pub fn kick(shared: &Shared, wish: &Kick) -> Result<Kicked, String> {
    let Kick { client, subject, issuer, reason } = wish;
    if client.is_some() == subject.is_some() {
        return Err("name whom you mean: either client or subject".to_owned());
    }
    let reason = reason.as_deref().unwrap_or("put out by an administrator");
    if reason.len() > crate::session::MAX_REASON || reason.chars().any(char::is_control) {
        return Err(format!("a reason has at most {} bytes, and no control characters", crate::session::MAX_REASON));
    }
    let session = client.as_deref().map(session_of).transpose()?;
    let whom = Whom { session, subject: subject.as_deref(), issuer: issuer.as_deref(), tier: None };
    let mut kicked = Kicked::default();
    let mut count = |id: Uuid, session: &Session| {
        tracing::info!(session = %id, reason, "kicked by the command line");
        kicked.kicked += 1;
        if kicked.clients.len() < NAMED {
            kicked.clients.push(session.see(|seen| seen.client_id()));
        }
    };
    let away = shared.desk.all_away().into_iter().map(|session| (session.id(), session));
    for (id, session) in away.filter(|(id, session)| session.see(|seen| whom.is(*id, &seen))) {
        shared.desk.put_out(id, crate::session::KICKED);
        count(id, &session);
    }
    for (id, session) in whom.all(shared) {
        session.kick(reason);
        count(id, &session);
    }
    Ok(kicked)
}
