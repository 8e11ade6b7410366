//! Token → principal.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bannou_crds::catalog::{AudienceClaim, FileKey, Fleet, InlineKey, Issuer as IssuerSpec, Keys};
use jsonwebtoken::Algorithm;

use super::Principal;
use super::claims::{Claims, Value};
use super::error::{AuthError, ConfigError};
use super::jwks::{JwksCache, JwksSource};
use super::keys::{KeySet, Origin, Verdict};
use super::token::{Header, Json, Parts, Payload, Wanted};

pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How far the clocks of issuer and gateway may be apart, for `exp` and `nbf`.
pub const LEEWAY: Duration = Duration::from_secs(5);
/// `iat` decides nothing by itself: only a clock that is plainly broken is refused.
const MAX_IAT_AHEAD: Duration = Duration::from_secs(60);
const MAX_SUBJECT_BYTES: usize = 256;
const MAX_KEY_FILE_BYTES: u64 = 256 * 1024;
/// The end of the year 9999; a date past it is no date, and would overflow.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// Verifies tokens for one catalog. Immutable; cheap to ask from everywhere at once.
#[derive(Debug)]
pub struct Verifier {
    issuers: Vec<Issuer>,
    max_token_life: Duration,
    /// Kept paths first, in order, then those that only the checks read.
    wanted: Wanted,
    kept: Arc<[Vec<String>]>,
}

/// Whether the dates in a token count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Checked,
    Ignored,
}

/// What keys are read from.
type KeySources<'a> = Option<(&'a Secrets, &'a Arc<JwksCache>)>;

/// Where the files of [`Keys::Files`] are read.
pub enum Secrets {
    /// The catalog's folder, which the paths are relative to.
    Dir(PathBuf),
    /// By path.
    Memory(BTreeMap<String, Vec<u8>>),
    /// Asked by path whenever a catalog is taken over: for who embeds a gateway and has keys that change.
    Live(LiveKeys),
}

/// The bytes at a path, at this moment.
pub type LiveKeys = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

#[derive(Debug)]
struct Issuer {
    name: Arc<str>,
    issuer: Arc<str>,
    algorithms: Vec<Algorithm>,
    keys: Source,
    audience: Audience,
    /// Names and the indexes under which [`Wanted`] finds them.
    required: Vec<(Box<str>, u32)>,
}

#[derive(Debug)]
enum Source {
    Fixed(KeySet),
    Url(Arc<JwksSource>),
}

#[derive(Debug)]
enum Audience {
    Aud(Vec<String>),
    Claim { name: Box<str>, index: u32, values: Vec<String> },
}

/// Why an attempt brought no principal.
enum Refusal<'v> {
    Final(AuthError),
    /// Newer keys might change it.
    Until(&'v Arc<JwksSource>, AuthError),
}

impl From<AuthError> for Refusal<'_> {
    fn from(error: AuthError) -> Self {
        Self::Final(error)
    }
}

impl Verifier {
    /// Reads and parses every key; JWKS come in the background. `claim_paths` are `Catalog::claim_paths`.
    ///
    /// # Errors
    /// The first thing that is wrong with the issuers: which one, and what to do.
    pub fn new(
        fleet: &Fleet,
        claim_paths: &[Vec<String>],
        secrets: &Secrets,
        jwks: &Arc<JwksCache>,
    ) -> Result<Self, ConfigError> {
        Self::with(fleet, claim_paths, Some((secrets, jwks)))
    }

    /// One that has no keys, and so refuses every token: for [`Verifier::claimed`] alone.
    ///
    /// # Errors
    /// As [`Verifier::new`], but for keys.
    pub fn without_keys(fleet: &Fleet, claim_paths: &[Vec<String>]) -> Result<Self, ConfigError> {
        Self::with(fleet, claim_paths, None)
    }

    fn with(fleet: &Fleet, claim_paths: &[Vec<String>], keys: KeySources<'_>) -> Result<Self, ConfigError> {
        let mut paths = Paths::new(claim_paths);
        let mut issuers: Vec<Issuer> = Vec::with_capacity(fleet.issuers.len());
        for spec in &fleet.issuers {
            if issuers.iter().any(|other| *other.issuer == *spec.issuer) {
                return Err(problem(spec, format!("another issuer has the same `issuer` {:?}", spec.issuer)));
            }
            issuers.push(Issuer::new(spec, &mut paths, keys)?);
        }
        Ok(Self {
            issuers,
            max_token_life: Duration::from_millis(fleet.max_token_life_ms),
            wanted: paths.wanted,
            kept: paths.kept,
        })
    }

    /// Whom this token speaks for at `now`.
    ///
    /// Never waits when the issuer's keys are at hand. Otherwise it waits once, for at most a JWKS fetch (5 s).
    ///
    /// # Errors
    /// Why the token is refused.
    pub async fn verify(&self, token: &str, now: SystemTime) -> Result<Principal, AuthError> {
        let (source, error) = match self.attempt(token, now) {
            Ok(principal) => return Ok(principal),
            Err(Refusal::Final(error)) => return Err(error),
            Err(Refusal::Until(source, error)) => (source, error),
        };
        let error = if source.refresh(now).await {
            match self.attempt(token, now) {
                Ok(principal) => return Ok(principal),
                Err(Refusal::Final(error) | Refusal::Until(_, error)) => error,
            }
        } else {
            error
        };
        Err(if source.is_known() { error } else { AuthError::KeysUnavailable })
    }

    /// Whether the principal's issuer is still one of the fleet's. If not, its holder is as good as without a token.
    pub fn knows(&self, principal: &Principal) -> bool {
        self.issuers.iter().any(|i| i.name == principal.issuer_name && i.issuer == principal.issuer)
    }

    /// Whom a token with these claims would speak for if its signature were good: for who asks what rules say, never to admit
    /// anybody. With `times` ignored, `exp`, `nbf` and `iat` count as good, also where they are missing.
    ///
    /// # Errors
    /// Why such a token would be refused.
    pub fn claimed(&self, claims: &[u8], now: SystemTime, times: Times) -> Result<Principal, AuthError> {
        let payload = Payload::read(claims, &self.wanted)?;
        self.principal(self.issuer_of(&payload)?, &payload, now, times)
    }

    fn attempt(&self, token: &str, now: SystemTime) -> Result<Principal, Refusal<'_>> {
        let parts = Parts::cut(token)?;
        let header = Header::read(&parts.header)?;
        let payload = Payload::read(&parts.payload, &self.wanted)?;
        let issuer = self.issuer_of(&payload)?;
        issuer.check_signature(&parts, &header)?;
        Ok(self.principal(issuer, &payload, now, Times::Checked)?)
    }

    /// Unverified until the signature is: it only says whose keys can make it true.
    fn issuer_of(&self, payload: &Payload<'_>) -> Result<&Issuer, AuthError> {
        let iss = text("iss", payload.iss.as_ref())?;
        self.issuers.iter().find(|i| *i.issuer == **iss).ok_or(AuthError::UnknownIssuer)
    }

    /// All that is asked of a payload whose signature is good.
    fn principal(
        &self,
        issuer: &Issuer,
        payload: &Payload<'_>,
        now: SystemTime,
        times: Times,
    ) -> Result<Principal, AuthError> {
        issuer.check_audience(payload)?;
        issuer.check_required(payload)?;
        let (expires_at, not_before) = match times {
            Times::Checked => self.check_times(payload, now)?,
            Times::Ignored => (now + self.max_token_life, None),
        };
        let subject = text("sub", payload.sub.as_ref())?;
        if !is_name(subject) {
            return Err(AuthError::ClaimForm("sub"));
        }
        let token_id = payload.jti.as_ref().map(|jti| text("jti", Some(jti))).transpose()?;
        if token_id.is_some_and(|id| !is_name(id)) {
            return Err(AuthError::ClaimForm("jti"));
        }
        let kept = payload.found.iter().filter(|(index, _)| (*index as usize) < self.kept.len());
        let claims = kept.filter_map(|(index, json)| Some((*index, Value::of(json)?)));
        Ok(Principal {
            issuer_name: Arc::clone(&issuer.name),
            issuer: Arc::clone(&issuer.issuer),
            subject: subject.as_ref().into(),
            token_id: token_id.map(|id| id.as_ref().into()),
            expires_at,
            not_before,
            claims: Claims::new(Arc::clone(&self.kept), claims),
        })
    }

    /// `exp` and `nbf` as points in time.
    fn check_times(
        &self,
        payload: &Payload<'_>,
        now: SystemTime,
    ) -> Result<(SystemTime, Option<SystemTime>), AuthError> {
        let exp = date("exp", payload.exp.as_ref())?.ok_or_else(|| AuthError::MissingClaim("exp".into()))?;
        let nbf = date("nbf", payload.nbf.as_ref())?;
        let iat = date("iat", payload.iat.as_ref())?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if now >= exp + LEEWAY {
            return Err(AuthError::Expired);
        }
        if nbf.is_some_and(|nbf| nbf > now + LEEWAY) {
            return Err(AuthError::NotYetValid);
        }
        if iat.is_some_and(|iat| iat > now + MAX_IAT_AHEAD) {
            return Err(AuthError::IssuedInFuture);
        }
        // An `iat` ahead of our clock must not make a life look shorter than what is left of it.
        let born = iat.map_or(now, |iat| iat.min(now));
        if exp.saturating_sub(born) > self.max_token_life {
            return Err(AuthError::LifeTooLong);
        }
        Ok((UNIX_EPOCH + exp, nbf.map(|nbf| UNIX_EPOCH + nbf)))
    }
}

impl Source {
    fn new(
        spec: &IssuerSpec,
        algorithms: &[Algorithm],
        secrets: &Secrets,
        jwks: &Arc<JwksCache>,
    ) -> Result<Self, ConfigError> {
        Ok(match &spec.keys {
            Keys::JwksUri(url) => {
                if algorithms.iter().all(|a| a.family() == jsonwebtoken::AlgorithmFamily::Hmac) {
                    return Err(problem(spec, "a JWKS URL has public keys alone, and `algorithms` none that uses one"));
                }
                Self::Url(jwks.source(url).map_err(|p| problem(spec, p))?)
            }
            Keys::Inline(keys) => Self::Fixed(collect(spec, keys, |key, index| {
                let name = key.kid.clone().unwrap_or_else(|| index.to_string());
                (name, inline_key(key, algorithms))
            })?),
            Keys::Files(files) => {
                Self::Fixed(collect(spec, files, |file, _| (file.path.clone(), file_key(file, secrets, algorithms)))?)
            }
        })
    }
}

impl Issuer {
    fn new(spec: &IssuerSpec, paths: &mut Paths, keys: KeySources<'_>) -> Result<Self, ConfigError> {
        if spec.issuer.is_empty() {
            return Err(problem(spec, "`issuer` must be the exact value of the tokens' `iss`"));
        }
        if spec.algorithms.is_empty() {
            return Err(problem(spec, "`algorithms` must name at least one, for example ES256"));
        }
        let algorithms = spec.algorithms.iter().map(|name| {
            name.parse().map_err(|_| {
                problem(
                    spec,
                    format!(
                        "algorithm {name:?} is not one of HS256/384/512, RS256/384/512, PS256/384/512, ES256/384, EdDSA"
                    ),
                )
            })
        });
        let algorithms = algorithms.collect::<Result<Vec<Algorithm>, _>>()?;
        let audience = match &spec.audience_claim {
            Some(AudienceClaim { name, values }) if !name.is_empty() && !values.is_empty() => {
                Audience::Claim { name: name.as_str().into(), index: paths.index(name), values: values.clone() }
            }
            None if !spec.audiences.is_empty() => Audience::Aud(spec.audiences.clone()),
            _ => {
                return Err(problem(
                    spec,
                    "`audiences` (or `audienceClaim`, with a name and values) must not be empty",
                ));
            }
        };
        let required =
            spec.extra_required_claims.iter().map(|name| (name.as_str().into(), paths.index(name))).collect();
        let keys = match keys {
            Some((secrets, jwks)) => Source::new(spec, &algorithms, secrets, jwks)?,
            None => Source::Fixed(KeySet::default()),
        };
        Ok(Self {
            name: spec.name.as_str().into(),
            issuer: spec.issuer.as_str().into(),
            algorithms,
            keys,
            audience,
            required,
        })
    }

    fn check_signature(&self, parts: &Parts<'_>, header: &Header<'_>) -> Result<(), Refusal<'_>> {
        if !self.algorithms.contains(&header.algorithm) {
            return Err(AuthError::Algorithm.into());
        }
        let ask = |keys: &KeySet| {
            keys.verify(header.algorithm, header.key_id.as_deref(), parts.message.as_bytes(), &parts.signature)
        };
        let (verdict, source) = match &self.keys {
            Source::Fixed(keys) => (ask(keys), None),
            Source::Url(source) => (ask(&source.keys()), Some(source)),
        };
        let error = match verdict {
            Verdict::Valid => return Ok(()),
            // The named key is here: no newer set makes a forgery true.
            Verdict::Forged => return Err(AuthError::Signature.into()),
            Verdict::NotByThese => AuthError::Signature,
            Verdict::TooMany => AuthError::AmbiguousKey,
            Verdict::NoKey => AuthError::UnknownKey,
        };
        Err(source.map_or(Refusal::Final(error.clone()), |source| Refusal::Until(source, error)))
    }

    fn check_audience(&self, payload: &Payload<'_>) -> Result<(), AuthError> {
        let (name, form, value, allowed) = match &self.audience {
            Audience::Aud(allowed) => ("aud", "aud", payload.aud.as_ref(), allowed),
            Audience::Claim { name, index, values } => (&**name, "audience", payload.at(*index), values),
        };
        let allowed = |text: &str| allowed.iter().any(|a| a == text);
        let matches = match value {
            None | Some(Json::Null) => return Err(AuthError::MissingClaim(name.into())),
            Some(Json::Text(text)) => allowed(text),
            Some(Json::List(items)) => {
                let texts = items.iter().map(|item| if let Json::Text(text) = item { Some(text) } else { None });
                let texts: Option<Vec<_>> = texts.collect();
                texts.ok_or(AuthError::ClaimForm(form))?.into_iter().any(|text| allowed(text))
            }
            Some(_) => return Err(AuthError::ClaimForm(form)),
        };
        if matches { Ok(()) } else { Err(AuthError::Audience) }
    }

    fn check_required(&self, payload: &Payload<'_>) -> Result<(), AuthError> {
        let missing = self.required.iter().find(|(_, index)| payload.at(*index).is_none_or(|v| *v == Json::Null));
        missing.map_or(Ok(()), |(name, _)| Err(AuthError::MissingClaim(name.clone())))
    }
}

/// Gives each claim path that anybody reads its index.
struct Paths {
    wanted: Wanted,
    kept: Arc<[Vec<String>]>,
    extra: Vec<String>,
}

impl Paths {
    fn new(claim_paths: &[Vec<String>]) -> Self {
        let mut kept = claim_paths.to_vec();
        kept.sort_unstable();
        kept.dedup();
        let mut wanted = Wanted::default();
        for (index, path) in (0..).zip(&kept) {
            wanted.insert(path, index);
        }
        Self { wanted, kept: kept.into(), extra: Vec::new() }
    }

    /// Of a member of the root.
    fn index(&mut self, name: &str) -> u32 {
        let at = self.kept.iter().position(|path| path.as_slice() == [name]).unwrap_or_else(|| {
            let at = self.extra.iter().position(|extra| extra == name).unwrap_or_else(|| {
                self.extra.push(name.to_owned());
                self.extra.len() - 1
            });
            self.kept.len() + at
        });
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        self.wanted.insert(&[name], index);
        index
    }
}

impl Secrets {
    fn read(&self, path: &str) -> Result<Cow<'_, [u8]>, String> {
        let missing = || "there is no such file".to_owned();
        let folder = match self {
            Self::Memory(files) => return files.get(path).map(|f| f.as_slice().into()).ok_or_else(missing),
            Self::Live(ask) => return ask(path).map(Cow::from).ok_or_else(missing),
            Self::Dir(folder) => folder,
        };
        // The catalog comes from another process: it must not name any file of the machine.
        if Path::new(path).components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Err("the path must be relative to the catalog's folder, without `..`".to_owned());
        }
        let file = std::fs::File::open(folder.join(path)).map_err(|e| format!("it cannot be read: {e}"))?;
        let mut bytes = Vec::new();
        file.take(MAX_KEY_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| format!("it cannot be read: {e}"))?;
        if bytes.len() as u64 > MAX_KEY_FILE_BYTES {
            return Err("it is larger than 256 KiB: that is no key".to_owned());
        }
        Ok(bytes.into())
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dir(folder) => f.debug_tuple("Dir").field(folder).finish(),
            Self::Memory(files) => f.debug_tuple("Memory").field(&files.keys()).finish(),
            Self::Live(_) => f.write_str("Live(…)"),
        }
    }
}

fn collect<T>(
    spec: &IssuerSpec,
    specs: &[T],
    parse: impl Fn(&T, usize) -> (String, Result<KeySet, String>),
) -> Result<KeySet, ConfigError> {
    let mut keys = KeySet::default();
    for (index, key) in specs.iter().enumerate() {
        let (name, parsed) = parse(key, index);
        keys.extend(parsed.map_err(|problem| ConfigError::Key { issuer: spec.name.clone(), key: name, problem })?);
    }
    if keys.is_empty() { Err(problem(spec, "it has no keys")) } else { Ok(keys) }
}

fn inline_key(key: &InlineKey, algorithms: &[Algorithm]) -> Result<KeySet, String> {
    match (&key.pem, &key.jwk) {
        (Some(pem), None) => KeySet::from_pem(pem, key.kid.as_deref(), algorithms),
        (None, Some(jwk)) => KeySet::from_jwk(jwk, key.kid.as_deref(), algorithms, Origin::Resource),
        _ => Err("it needs exactly one of `pem` and `jwk`".to_owned()),
    }
}

fn file_key(file: &FileKey, secrets: &Secrets, algorithms: &[Algorithm]) -> Result<KeySet, String> {
    KeySet::from_file(&secrets.read(&file.path)?, file.kid.as_deref(), algorithms)
}

fn problem(spec: &IssuerSpec, problem: impl Into<String>) -> ConfigError {
    ConfigError::Issuer { issuer: spec.name.clone(), problem: problem.into() }
}

fn text<'a, 'p>(name: &'static str, claim: Option<&'a Json<'p>>) -> Result<&'a Cow<'p, str>, AuthError> {
    match claim {
        Some(Json::Text(text)) => Ok(text),
        None | Some(Json::Null) => Err(AuthError::MissingClaim(name.into())),
        Some(_) => Err(AuthError::ClaimForm(name)),
    }
}

/// Seconds since 1970, a fraction allowed; before that counts as then.
fn date(name: &'static str, claim: Option<&Json<'_>>) -> Result<Option<Duration>, AuthError> {
    match claim {
        None => Ok(None),
        Some(Json::Number(number)) => match number.as_f64() {
            Some(seconds) if seconds <= LAST_SECOND => Ok(Some(Duration::from_secs_f64(seconds.max(0.0)))),
            _ => Err(AuthError::ClaimForm(name)),
        },
        Some(_) => Err(AuthError::ClaimForm(name)),
    }
}

/// Subjects and token ids end up in logs, headers and keys of maps.
fn is_name(text: &str) -> bool {
    (1..=MAX_SUBJECT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}
