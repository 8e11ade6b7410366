//! What a service's answer may change about its caller: parsed, and kept only when the endpoint declares it.

use std::fmt;
use std::time::Duration;

use bannou_crds::catalog::Effect;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("bannou-request-id");

const SET_TOKEN: &str = "bannou-set-token";
const GRANT_TIER: &str = "bannou-grant-tier";
const REVOKE_TIER: &str = "bannou-revoke-tier";
const INTRODUCE: &str = "bannou-introduce";
const JOIN: &str = "bannou-join";
const LEAVE: &str = "bannou-leave";

/// At most so many effects of one answer are honoured; a room of 64 introduces 64 at once.
const MAX_EFFECTS: usize = 256;
const MAX_TOKEN: usize = 8 * 1024;
const MAX_NAME: usize = 256;
const MAX_LABEL: usize = 128;

/// Text that must not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Secret(text.into()))
    }
}

/// A list header holds several of these, apart by commas; the header may also come more than once. Labels and names are
/// percent-encoded UTF-8, so a label may hold spaces, commas and semicolons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectHeader {
    /// `bannou-set-token: <jwt>`; two of them cancel each other out.
    SetToken(Secret),
    /// `bannou-grant-tier: <name>[; for=<GEP-2257 duration>]`
    GrantTier { tier: String, lasting: Option<Duration> },
    /// `bannou-revoke-tier: <name>`
    RevokeTier { tier: String },
    /// `bannou-introduce: <client_id>[; label=<label>]…`: the first label is how the caller calls the peer, the second how
    /// the peer calls the caller; at most two.
    Introduce { client_id: String, labels: Vec<String> },
    /// `bannou-join: <group>[; send][; label=<label>]`
    Join { group: String, send: bool, label: Option<String> },
    /// `bannou-leave: <group>`
    Leave { group: String },
}

/// What became of an answer's effect headers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// In the order of the answer's headers.
    pub honoured: Vec<EffectHeader>,
    /// Why the others were dropped.
    pub dropped: Dropped,
}

/// Counts of dropped effects, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The endpoint does not declare the effect.
    pub undeclared: u32,
    /// The answer does not repeat the request's `bannou-request-id`: a cache's or another request's answer.
    pub unbound: u32,
    /// Not of the form that the protocol gives, or too many.
    pub malformed: u32,
}

impl Dropped {
    pub fn total(&self) -> u32 {
        self.undeclared + self.unbound + self.malformed
    }
}

/// Reads the effects of one answer.
pub fn read(headers: &HeaderMap, declared: &[Effect], request_id: &str) -> Effects {
    let mut effects = Effects::default();
    let mut ids = headers.get_all(REQUEST_ID).iter();
    let bound = ids.next().is_some_and(|id| id == request_id) && ids.next().is_none();
    let one_token = headers.get_all(SET_TOKEN).iter().nth(1).is_none();
    for (name, value) in headers {
        let Some(effect) = effect_of(name.as_str()) else { continue };
        for item in items(effect, value) {
            if !declared.contains(&effect) {
                effects.dropped.undeclared += 1;
            } else if !bound {
                effects.dropped.unbound += 1;
            } else if effects.honoured.len() == MAX_EFFECTS || effect == Effect::Login && !one_token {
                effects.dropped.malformed += 1;
            } else if let Some(parsed) = parse(name.as_str(), item) {
                effects.honoured.push(parsed);
            } else {
                effects.dropped.malformed += 1;
            }
        }
    }
    effects
}

fn effect_of(name: &str) -> Option<Effect> {
    match name {
        SET_TOKEN => Some(Effect::Login),
        GRANT_TIER | REVOKE_TIER => Some(Effect::Tiers),
        INTRODUCE => Some(Effect::Peers),
        JOIN | LEAVE => Some(Effect::Groups),
        _ => None,
    }
}

/// A value that is no visible ASCII is one malformed item.
fn items(effect: Effect, value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or("\u{7f}");
    let separator = if effect == Effect::Login { '\0' } else { ',' };
    text.split(separator).map(str::trim)
}

fn parse(header: &str, item: &str) -> Option<EffectHeader> {
    if header == SET_TOKEN {
        let base64url = |b: u8| b.is_ascii_alphanumeric() || b"-_.=".contains(&b);
        let jwt = !item.is_empty() && item.len() <= MAX_TOKEN && item.bytes().all(base64url);
        return jwt.then(|| EffectHeader::SetToken(Secret::new(item)));
    }
    let mut fields = item.split(';').map(str::trim);
    let name = decoded(fields.next()?, MAX_NAME)?;
    let (mut lasting, mut send, mut labels) = (None, false, Vec::new());
    for field in fields {
        match field.split_once('=') {
            Some(("for", text)) if lasting.is_none() => lasting = Some(bannou_crds::duration::parse(text).ok()?),
            Some(("label", text)) if labels.len() < 2 => labels.push(decoded(text, MAX_LABEL)?),
            None if field == "send" => send = true,
            _ => return None,
        }
    }
    // A parameter that this header does not have is a mistake, and half an effect is worse than none.
    let allowed = match header {
        GRANT_TIER => !send && labels.is_empty(),
        INTRODUCE => !send && lasting.is_none(),
        JOIN => lasting.is_none() && labels.len() < 2,
        _ => !send && lasting.is_none() && labels.is_empty(),
    };
    if !allowed {
        return None;
    }
    Some(match header {
        GRANT_TIER => EffectHeader::GrantTier { tier: name, lasting },
        REVOKE_TIER => EffectHeader::RevokeTier { tier: name },
        INTRODUCE => EffectHeader::Introduce { client_id: name, labels },
        JOIN => EffectHeader::Join { group: name, send, label: labels.pop() },
        _ => EffectHeader::Leave { group: name },
    })
}

fn decoded(text: &str, most: usize) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    let good = !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control);
    good.then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Effect; 4] = [Effect::Login, Effect::Tiers, Effect::Peers, Effect::Groups];

    fn answer(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    fn honoured(lines: &[(&'static str, &str)]) -> Vec<EffectHeader> {
        let mut headers = answer(lines);
        headers.insert(REQUEST_ID, "r1".parse().expect("id"));
        read(&headers, &ALL, "r1").honoured
    }

    #[test]
    fn every_form_of_the_protocol() {
        let introduce = |id: &str, labels: &[&str]| EffectHeader::Introduce {
            client_id: id.into(),
            labels: labels.iter().map(ToString::to_string).collect(),
        };
        for (name, value, want) in [
            (SET_TOKEN, "a.b-c_.d", vec![EffectHeader::SetToken(Secret::new("a.b-c_.d"))]),
            (GRANT_TIER, "vip", vec![EffectHeader::GrantTier { tier: "vip".into(), lasting: None }]),
            (
                GRANT_TIER,
                "vip; for=1h30m",
                vec![EffectHeader::GrantTier { tier: "vip".into(), lasting: Some(Duration::from_secs(5400)) }],
            ),
            (REVOKE_TIER, "vip", vec![EffectHeader::RevokeTier { tier: "vip".into() }]),
            (INTRODUCE, "s.1.1", vec![introduce("s.1.1", &[])]),
            (INTRODUCE, "s.1.1;label=ada", vec![introduce("s.1.1", &["ada"])]),
            (
                INTRODUCE,
                "s.1.1; label=Ada%20%3B; label=b, s.2.1",
                vec![introduce("s.1.1", &["Ada ;", "b"]), introduce("s.2.1", &[])],
            ),
            (
                JOIN,
                "game.m1; send; label=red",
                vec![EffectHeader::Join { group: "game.m1".into(), send: true, label: Some("red".into()) }],
            ),
            (JOIN, "game.m1", vec![EffectHeader::Join { group: "game.m1".into(), send: false, label: None }]),
            (LEAVE, "game.m1", vec![EffectHeader::Leave { group: "game.m1".into() }]),
        ] {
            assert_eq!(honoured(&[(name, value)]), want, "{name}: {value}");
        }
    }

    #[test]
    fn malformed_ones_are_dropped_whole() {
        let long = "x".repeat(MAX_LABEL + 1);
        for (name, value) in [
            (SET_TOKEN, ""),
            (SET_TOKEN, "a b"),
            (SET_TOKEN, "a,b"),
            (GRANT_TIER, "vip; for=soon"),
            (GRANT_TIER, "vip; label=x"),
            (GRANT_TIER, "; for=1h"),
            (REVOKE_TIER, "vip; for=1h"),
            (INTRODUCE, "x; send"),
            (INTRODUCE, "x; label=%00"),
            (INTRODUCE, "x; label=%ff"),
            (INTRODUCE, "x; label=a; label=b; label=c"),
            (INTRODUCE, "x; lable=a"),
            (INTRODUCE, &format!("x; label={long}")),
            (LEAVE, "g; send"),
        ] {
            let mut headers = answer(&[(name, value)]);
            headers.insert(REQUEST_ID, "r1".parse().expect("id"));
            let effects = read(&headers, &ALL, "r1");
            assert_eq!(effects.honoured, [], "{name}: {value}");
            assert_eq!(effects.dropped, Dropped { malformed: 1, ..Dropped::default() }, "{name}: {value}");
        }
    }

    #[test]
    fn two_tokens_are_none() {
        assert_eq!(honoured(&[(SET_TOKEN, "a"), (SET_TOKEN, "b")]), []);
    }

    #[test]
    fn only_what_the_endpoint_declares() {
        let headers = answer(&[("bannou-request-id", "r1"), (SET_TOKEN, "a"), (GRANT_TIER, "x, y"), (INTRODUCE, "c")]);
        let effects = read(&headers, &[Effect::Peers], "r1");
        assert_eq!(effects.honoured, [EffectHeader::Introduce { client_id: "c".into(), labels: vec![] }]);
        assert_eq!(effects.dropped, Dropped { undeclared: 3, ..Dropped::default() });
    }

    #[test]
    fn only_when_the_answer_repeats_the_request_id() {
        for ids in [&[][..], &["r2"], &["r1", "r1"], &["r1", "r2"], &["R1"], &["r1 "][..0]] {
            let mut headers = answer(&[(SET_TOKEN, "a")]);
            for id in ids {
                headers.append(REQUEST_ID, id.parse().expect("id"));
            }
            let effects = read(&headers, &ALL, "r1");
            assert_eq!(effects.honoured, [], "{ids:?}");
            assert_eq!(effects.dropped, Dropped { unbound: 1, ..Dropped::default() }, "{ids:?}");
        }
    }

    #[test]
    fn they_are_bounded() {
        let many = vec!["c"; MAX_EFFECTS + 10].join(",");
        let headers = answer(&[("bannou-request-id", "r1"), (INTRODUCE, &many)]);
        let effects = read(&headers, &ALL, "r1");
        assert_eq!(effects.honoured.len(), MAX_EFFECTS);
        assert_eq!(effects.dropped.malformed, 10);
    }

    #[test]
    fn secrets_do_not_show() {
        assert!(!format!("{:?}", EffectHeader::SetToken(Secret::new("abc.def"))).contains("abc"));
    }

    proptest! {
        #[test]
        fn no_answer_panics(name in 0..6usize, value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.insert([SET_TOKEN, GRANT_TIER, REVOKE_TIER, INTRODUCE, JOIN, LEAVE][name], value);
            headers.insert(REQUEST_ID, HeaderValue::from_static("r1"));
            let effects = read(&headers, &ALL, "r1");
            prop_assert!(effects.honoured.len() + effects.dropped.total() as usize > 0);
        }
    }
}
