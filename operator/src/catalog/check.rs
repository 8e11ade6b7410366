//! The checks that several kinds share. Each says which field is wrong and what would be right.

use std::collections::BTreeSet;
use std::time::Duration;

use bannou_crds::duration;

/// Mistakes of one object, each with its field, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub fn add(&mut self, field: &str, message: impl AsRef<str>) {
        self.0.push(format!("{field}: {}.", message.as_ref()));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_messages(self) -> Vec<String> {
        self.0
    }

    /// Milliseconds, between the bounds.
    pub fn duration(&mut self, field: &str, text: Option<&str>, default: u64, bounds: (u64, u64)) -> u64 {
        let Some(text) = text else { return default };
        match duration::parse(text) {
            Ok(given) => {
                let millis = u64::try_from(given.as_millis()).unwrap_or(u64::MAX);
                if !(bounds.0..=bounds.1).contains(&millis) {
                    self.add(field, format!("{text} is outside {} to {}", spell(bounds.0), spell(bounds.1)));
                }
                millis
            }
            Err(message) => {
                self.add(field, message);
                default
            }
        }
    }

    pub fn number(&mut self, field: &str, given: Option<u32>, default: u32, bounds: (u32, u32)) -> u32 {
        let given = given.unwrap_or(default);
        if !(bounds.0..=bounds.1).contains(&given) {
            self.add(field, format!("{given} is outside {} to {}", bounds.0, bounds.1));
        }
        given
    }

    pub fn optional_number(&mut self, field: &str, given: Option<u32>, bounds: (u32, u32)) -> Option<u32> {
        given.map(|n| self.number(field, Some(n), n, bounds))
    }

    pub fn at_most<T>(&mut self, field: &str, list: &[T], max: usize) {
        if list.len() > max {
            self.add(field, format!("{} entries are more than the {max} that are allowed", list.len()));
        }
    }

    /// A text that is not empty, not longer than `max` bytes and free of control characters.
    pub fn text(&mut self, field: &str, text: &str, max: usize) {
        if text.is_empty() {
            self.add(field, "must not be empty");
        } else if text.len() > max {
            self.add(field, format!("{} bytes are more than the {max} that are allowed", text.len()));
        } else if text.chars().any(char::is_control) {
            self.add(field, "must not hold control characters");
        }
    }

    pub fn dns_label(&mut self, field: &str, text: &str) {
        if !is_dns_label(text) {
            self.add(
                field,
                format!(
                    "{text:?} is not a DNS label: up to 63 of a-z, 0-9 and \"-\", beginning with a letter and not ending with \"-\""
                ),
            );
        }
    }

    pub fn object_name(&mut self, field: &str, text: &str) {
        let good = !text.is_empty()
            && text.len() <= 253
            && text.split('.').all(|part| {
                !part.is_empty()
                    && part.len() <= 63
                    && !part.starts_with('-')
                    && !part.ends_with('-')
                    && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            });
        if !good {
            self.add(field, format!("{text:?} is not the name of an object: a-z, 0-9, \"-\" and \".\", up to 253"));
        }
    }

    /// What stands behind the dot in "account.create".
    pub fn member_name(&mut self, field: &str, text: &str) {
        let mut bytes = text.bytes();
        let good = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && text.len() <= 63;
        if !good {
            self.add(field, format!("{text:?} is not a name: a letter, then up to 62 letters, digits, \"_\" or \"-\""));
        }
    }

    pub fn unique<'a>(&mut self, list: &str, member: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for (i, name) in names.enumerate() {
            if !seen.insert(name) {
                self.add(&format!("{list}[{i}].{member}"), format!("{name:?} is there twice; names must differ"));
            }
        }
    }
}

pub(super) fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|b| *b != b'-')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// A namespace may begin with a digit.
pub(super) fn is_namespace(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

fn spell(millis: u64) -> String {
    let time = Duration::from_millis(millis);
    match time.as_secs() {
        0 => format!("{millis}ms"),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// `"a", "b" and "c"`.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|n| format!("{n:?}")).collect();
    match names.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
