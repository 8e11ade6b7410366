//! What a session keeps of its token.

use std::fmt;
use std::sync::Arc;

use super::token::Json;

/// The values of the claim paths that a catalog reads (`Catalog::claim_paths`), and which paths those were.
#[derive(Clone)]
pub struct Claims {
    /// Sorted; shared by all tokens of one verifier.
    paths: Arc<[Vec<String>]>,
    /// By index into `paths`; what the token does not have is not here.
    values: Box<[(u32, Value)]>,
}

/// A claim's value, as far as rules and paths can see into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(Box<str>),
    /// A number or a boolean, by its JSON text.
    Scalar(Box<str>),
    /// The strings, numbers and booleans of an array; and whether that is all of it.
    List {
        items: Box<[Box<str>]>,
        whole: bool,
    },
    Object,
}

/// What is known of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup<'c> {
    /// The session did not keep it: nothing can be said.
    NotKept,
    /// The token does not have it, or has `null` there.
    Absent,
    Present(&'c Value),
}

impl Claims {
    /// `found` holds indexes into `paths`, each at most once.
    pub(super) fn new(paths: Arc<[Vec<String>]>, found: impl Iterator<Item = (u32, Value)>) -> Self {
        Self { paths, values: found.collect() }
    }

    pub(super) fn lookup(&self, path: &[String]) -> Lookup<'_> {
        let Ok(index) = self.paths.binary_search_by(|kept| kept.as_slice().cmp(path)) else {
            return Lookup::NotKept;
        };
        match self.values.iter().find(|(i, _)| *i as usize == index) {
            Some((_, value)) => Lookup::Present(value),
            None => Lookup::Absent,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// How a kept value reads, for whoever gave the claims: `None` where the token has nothing there, or the path was not kept.
    pub fn shown(&self, path: &[String]) -> Option<String> {
        match self.lookup(path) {
            Lookup::Present(value) => Some(value.to_string()),
            Lookup::Absent | Lookup::NotKept => None,
        }
    }

    /// Whether anything is known of that path: what a session did not keep, no rule finds.
    pub fn keeps(&self, path: &[String]) -> bool {
        !matches!(self.lookup(path), Lookup::NotKept)
    }

    /// The text of a kept string, number or boolean: what stands for `{claims.…}` in a path, not encoded.
    pub fn text(&self, path: &[String]) -> Option<&str> {
        match self.lookup(path) {
            Lookup::Present(Value::Text(text) | Value::Scalar(text)) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Debug for Claims {
    /// Paths alone: values are a person's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.iter().filter_map(|(i, _)| self.paths.get(*i as usize))).finish()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Scalar(text) => f.write_str(text),
            Self::List { items, whole } => {
                let more = if *whole { "" } else { ", …" };
                write!(f, "[{}{more}]", items.join(", "))
            }
            Self::Object => f.write_str("an object"),
        }
    }
}

impl Value {
    /// `None` for `null`, which counts as not there: serialisers write it for "nothing".
    pub(super) fn of(json: &Json<'_>) -> Option<Self> {
        Some(match json {
            Json::Null => return None,
            Json::Text(text) => Self::Text(text.as_ref().into()),
            Json::Object => Self::Object,
            Json::List(items) => {
                let texts: Box<[Box<str>]> = items.iter().filter_map(scalar).collect();
                let whole = texts.len() == items.len();
                Self::List { items: texts, whole }
            }
            other => Self::Scalar(scalar(other)?),
        })
    }
}

fn scalar(json: &Json<'_>) -> Option<Box<str>> {
    match json {
        Json::Text(text) => Some(text.as_ref().into()),
        Json::Bool(true) => Some("true".into()),
        Json::Bool(false) => Some("false".into()),
        Json::Number(number) => Some(number.to_string().into()),
        Json::Null | Json::List(_) | Json::Object => None,
    }
}
