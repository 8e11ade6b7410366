//! The compact form of a JWT, read without trusting it: bounded, strict, and blind to what nobody asked for.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::AuthError;
use super::verifier::MAX_TOKEN_BYTES;

/// A token, cut and decoded.
pub(super) struct Parts<'t> {
    /// What the signature is over.
    pub message: &'t str,
    pub header: Vec<u8>,
    pub payload: Vec<u8>,
    pub signature: Vec<u8>,
}

/// What counts of a header. Keys that a token brings along (`jwk`, `jku`, `x5u`, `x5c`) are not even read.
pub(super) struct Header<'h> {
    pub algorithm: Algorithm,
    pub key_id: Option<Cow<'h, str>>,
}

/// A JSON value, borrowed from the payload. Objects are walked by [`Wanted`], not kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json<'p> {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(Cow<'p, str>),
    List(Vec<Json<'p>>),
    Object,
}

/// The claims that the rules of RFC 7519 speak of, and those asked for by path.
#[derive(Debug, Default)]
pub(super) struct Payload<'p> {
    pub iss: Option<Json<'p>>,
    pub sub: Option<Json<'p>>,
    pub aud: Option<Json<'p>>,
    pub exp: Option<Json<'p>>,
    pub nbf: Option<Json<'p>>,
    pub iat: Option<Json<'p>>,
    pub jti: Option<Json<'p>>,
    /// By the index that [`Wanted::insert`] was given.
    pub found: Vec<(u32, Json<'p>)>,
}

/// A tree of claim paths.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    index: Option<u32>,
    members: Vec<(Box<str>, Wanted)>,
}

impl<'t> Parts<'t> {
    /// # Errors
    /// `TooLong`, `Encrypted` for five parts, `Malformed` for what is not three parts of strict base64url.
    pub fn cut(token: &'t str) -> Result<Self, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        let mut dots = token.bytes().enumerate().filter_map(|(i, b)| (b == b'.').then_some(i));
        let (first, second, third) = (dots.next(), dots.next(), dots.next());
        let (Some(first), Some(second), None) = (first, second, third) else {
            let jwe = third.is_some() && dots.next().is_some() && dots.next().is_none();
            return Err(if jwe { AuthError::Encrypted } else { AuthError::Malformed("it does not have three parts") });
        };
        let decode = |part: &str, what| URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed(what));
        Ok(Self {
            message: &token[..second],
            header: decode(&token[..first], "its header is not base64url")?,
            payload: decode(&token[first + 1..second], "its payload is not base64url")?,
            signature: decode(&token[second + 1..], "its signature is not base64url")?,
        })
    }
}

impl<'h> Header<'h> {
    /// # Errors
    /// `Critical`, `Encrypted`, `Purpose`, `Algorithm` for one that nobody can have, `Malformed`.
    pub fn read(json: &'h [u8]) -> Result<Self, AuthError> {
        let fields: HeaderFields<'h> =
            serde_json::from_slice(json).map_err(|_| AuthError::Malformed("its header is not as it should be"))?;
        if fields.crit {
            return Err(AuthError::Critical);
        }
        if fields.enc {
            return Err(AuthError::Encrypted);
        }
        if fields.typ.is_some_and(|typ| !is_access_token(&typ.0)) {
            return Err(AuthError::Purpose);
        }
        let algorithm = fields.alg.0.parse().map_err(|_| AuthError::Algorithm)?;
        Ok(Self { algorithm, key_id: fields.kid.map(|kid| kid.0) })
    }
}

/// Explicitly typed tokens (RFC 8725, 3.11) are only taken when typed for access: a logout token or a DPoP proof of the
/// same issuer is no login. Untyped and plain `JWT` ones are what most issuers write.
fn is_access_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    typ == "at+jwt" || !typ.ends_with("+jwt")
}

#[derive(Deserialize)]
struct HeaderFields<'h> {
    #[serde(borrow)]
    alg: Text<'h>,
    #[serde(borrow, default)]
    kid: Option<Text<'h>>,
    #[serde(borrow, default)]
    typ: Option<Text<'h>>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
    #[serde(default, deserialize_with = "is_there")]
    enc: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'p> Payload<'p> {
    /// # Errors
    /// `Malformed`, also for a member that an object which is read has twice: what its issuer meant is then anybody's
    /// guess, and parsers guess differently.
    pub fn read(json: &'p [u8], wanted: &Wanted) -> Result<Self, AuthError> {
        let mut payload = Self::default();
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        deserializer
            .deserialize_map(Root { wanted, payload: &mut payload })
            .and_then(|()| deserializer.end())
            .map_err(|_| AuthError::Malformed("its payload is not a JSON object, or has a member twice"))?;
        Ok(payload)
    }

    /// What was found under this index.
    pub fn at(&self, index: u32) -> Option<&Json<'p>> {
        self.found.iter().find_map(|(i, json)| (*i == index).then_some(json))
    }

    fn standard(&mut self, name: &str) -> Option<&mut Option<Json<'p>>> {
        Some(match name {
            "iss" => &mut self.iss,
            "sub" => &mut self.sub,
            "aud" => &mut self.aud,
            "exp" => &mut self.exp,
            "nbf" => &mut self.nbf,
            "iat" => &mut self.iat,
            "jti" => &mut self.jti,
            _ => return None,
        })
    }
}

impl Wanted {
    /// Asks for the value at `path` under this index. The same path again replaces the index.
    pub fn insert(&mut self, path: &[impl AsRef<str>], index: u32) {
        let Some((first, rest)) = path.split_first() else {
            self.index = Some(index);
            return;
        };
        let name = first.as_ref();
        let at = self.members.iter().position(|(n, _)| &**n == name).unwrap_or_else(|| {
            self.members.push((name.into(), Self::default()));
            self.members.len() - 1
        });
        self.members[at].1.insert(rest, index);
    }

    fn member(&self, name: &str) -> Option<&Self> {
        self.members.iter().find_map(|(n, wanted)| (**n == *name).then_some(wanted))
    }
}

/// The payload's outermost object.
struct Root<'a, 'p> {
    wanted: &'a Wanted,
    payload: &'a mut Payload<'p>,
}

impl<'p> Visitor<'p> for Root<'_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            let wanted = self.wanted.member(&name);
            if let Some(slot) = self.payload.standard(&name) {
                let value = map.next_value::<Json<'p>>()?;
                *slot = Some(value.clone());
                if let Some(index) = wanted.and_then(|w| w.index) {
                    self.payload.found.push((index, value));
                }
            } else if let Some(wanted) = wanted {
                map.next_value_seed(Walk { wanted, found: &mut self.payload.found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            names.0.push(name);
        }
        names.check()
    }
}

/// A value on the way to a wanted one, or that one itself.
struct Walk<'a, 'p> {
    wanted: &'a Wanted,
    found: &'a mut Vec<(u32, Json<'p>)>,
}

impl<'p> DeserializeSeed<'p> for Walk<'_, 'p> {
    type Value = ();

    fn deserialize<D: Deserializer<'p>>(self, deserializer: D) -> Result<(), D::Error> {
        let index = self.wanted.index;
        let members = if self.wanted.members.is_empty() { None } else { Some((self.wanted, &mut *self.found)) };
        let value = deserializer.deserialize_any(JsonVisitor { members })?;
        if let Some(index) = index {
            self.found.push((index, value));
        }
        Ok(())
    }
}

impl<'p> Deserialize<'p> for Json<'p> {
    fn deserialize<D: Deserializer<'p>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor { members: None })
    }
}

struct JsonVisitor<'a, 'p> {
    members: Option<(&'a Wanted, &'a mut Vec<(u32, Json<'p>)>)>,
}

impl<'p> Visitor<'p> for JsonVisitor<'_, 'p> {
    type Value = Json<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Json<'p>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'p>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'p>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'p>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json<'p>, E> {
        serde_json::Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_borrowed_str<E>(self, value: &'p str) -> Result<Json<'p>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'p>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'p>>(self, mut seq: A) -> Result<Json<'p>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<Json<'p>, A::Error> {
        let mut names = Names::default();
        let Some((wanted, found)) = self.members else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Json::Object);
        };
        while let Some(Text(name)) = map.next_key()? {
            match wanted.member(&name) {
                Some(wanted) => map.next_value_seed(Walk { wanted, found: &mut *found })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
            names.0.push(name);
        }
        names.check()?;
        Ok(Json::Object)
    }
}

/// The member names of one object.
#[derive(Default)]
struct Names<'p>(Vec<Cow<'p, str>>);

impl Names<'_> {
    fn check<E: de::Error>(mut self) -> Result<(), E> {
        self.0.sort_unstable();
        if self.0.windows(2).any(|pair| pair[0] == pair[1]) { Err(E::custom("a member twice")) } else { Ok(()) }
    }
}

/// A string, borrowed where it has no escapes; serde's own `Cow` inside `Option` always copies.
struct Text<'p>(Cow<'p, str>);

impl<'de: 'p, 'p> Deserialize<'de> for Text<'p> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(value.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}
