//! From a path template and a caller to the bytes of a request line. No value can leave its segment.

use bannou_crds::catalog::PathPart;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::CallError;

/// The longest value of a path variable, in bytes before encoding.
const MAX_VALUE: usize = 512;
/// The longest query string, in bytes. The sidecar's limit for a whole request head is 8 KiB.
pub const MAX_QUERY: usize = 4096;

/// Everything but RFC 3986's unreserved characters.
pub const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whose hands a path goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A service that reads the path as it is.
    Direct,
    /// daprd, which decodes a path once, resolves its dots, and parses the result as a URL again. What would change its
    /// meaning on the way (`/ \ % ? #`) is therefore encoded twice.
    Dapr,
}

/// What a caller puts in the place of variables.
pub trait Values {
    fn subject(&self) -> Option<&str>;
    fn session(&self) -> &str;
    fn claim(&self, path: &[String]) -> Option<String>;
}

/// A template, checked and encoded as far as it can be before there is a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    prefix: String,
    parts: Vec<Part>,
    via: Via,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Subject,
    Session,
    Claim(Vec<String>),
}

impl Template {
    /// `prefix` is ours and goes first, as it is.
    ///
    /// # Errors
    /// What is wrong with the template, in words for the person who wrote it.
    pub fn new(prefix: String, path: &[PathPart], via: Via) -> Result<Template, String> {
        let mut parts = Vec::with_capacity(path.len());
        let mut shape = String::new();
        for part in path {
            match part {
                PathPart::Text(text) => {
                    shape.push_str(text);
                    parts.push(Part::Text(encode_text(text, via)?));
                }
                PathPart::Subject => parts.push(Part::Subject),
                PathPart::Session => parts.push(Part::Session),
                PathPart::Claim(path) => parts.push(Part::Claim(path.clone())),
            }
            if !matches!(part, PathPart::Text(_)) {
                shape.push('x');
            }
        }
        if !shape.starts_with('/') {
            return Err("a path starts with /".into());
        }
        let decoded = percent_encoding::percent_decode_str(&shape).decode_utf8_lossy();
        if has_dot_segment(&decoded) {
            return Err("a path has no . or .. segments, encoded or not".into());
        }
        // Text beside a variable could complete a dot segment: `/.{claims.x}` with the value `.`.
        for (i, part) in parts.iter().enumerate() {
            let Part::Text(text) = part else { continue };
            let before = i > 0 && starts_with_dot(text);
            let after = i + 1 < parts.len() && ends_with_dot(text);
            if before || after {
                return Err("a path has no dot directly beside a variable".into());
            }
        }
        Ok(Template { prefix, parts, via })
    }

    /// The whole path, when it has no variables.
    pub fn fixed(&self) -> Option<String> {
        let mut whole = self.prefix.clone();
        for part in &self.parts {
            let Part::Text(text) = part else { return None };
            whole.push_str(text);
        }
        Some(whole)
    }

    /// Appends the path of this caller's request to `out`.
    ///
    /// # Errors
    /// [`CallError::MissingVariable`] when the caller's token lacks the value, [`CallError::UnsafeVariable`] when it is no
    /// path segment.
    pub fn write(&self, values: &impl Values, out: &mut String) -> Result<(), CallError> {
        out.push_str(&self.prefix);
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Subject => write_value(values.subject().ok_or(CallError::MissingVariable)?, self.via, out)?,
                Part::Session => write_value(values.session(), self.via, out)?,
                Part::Claim(path) => {
                    write_value(&values.claim(path).ok_or(CallError::MissingVariable)?, self.via, out)?;
                }
            }
        }
        Ok(())
    }
}

/// RFC 3986's `query`: the characters are checked, the meaning is the service's affair.
pub fn is_query(payload: &[u8]) -> bool {
    if payload.len() > MAX_QUERY {
        return false;
    }
    let mut rest = payload;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [a, b, tail @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => tail,
            (b'%', _) => return false,
            (byte, tail) if is_pchar(*byte) || matches!(byte, b'/' | b'?') => tail,
            _ => return false,
        }
    }
    true
}

fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

fn has_dot_segment(path: &str) -> bool {
    path.split(['/', '\\']).any(|segment| segment == "." || segment == "..")
}

/// Whether some number of decodings, by whatever stands between us and the service, makes a dot segment of it.
fn may_climb(value: &str) -> bool {
    let mut value = std::borrow::Cow::Borrowed(value);
    loop {
        if has_dot_segment(&value) {
            return true;
        }
        let decoded = percent_encoding::percent_decode_str(&value).decode_utf8_lossy().into_owned();
        if decoded == value {
            return false;
        }
        value = decoded.into();
    }
}

fn starts_with_dot(text: &str) -> bool {
    text.starts_with('.') || text.get(..3).is_some_and(|t| t.eq_ignore_ascii_case("%2e"))
}

fn ends_with_dot(text: &str) -> bool {
    text.ends_with('.')
        || text.len().checked_sub(3).and_then(|i| text.get(i..)).is_some_and(|t| t.eq_ignore_ascii_case("%2e"))
}

/// The catalog's own text: what is already encoded stays so, for the service that reads it in the end.
fn encode_text(text: &str, via: Via) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '%' => {
                let code = rest.get(1..3).filter(|c| c.bytes().all(|b| b.is_ascii_hexdigit()));
                let code = code.ok_or("a % in a path is followed by two hexadecimal digits")?;
                let byte = u8::from_str_radix(code, 16).map_err(|e| e.to_string())?;
                if byte.is_ascii_control() {
                    return Err("a path has no control characters".into());
                }
                out.push_str(if via == Via::Dapr && br"/\%?#".contains(&byte) { "%25" } else { "%" });
                out.push_str(code);
                rest = &rest[3..];
                continue;
            }
            '?' | '#' => return Err("a path has no ? and no #".into()),
            c if c.is_control() => return Err("a path has no control characters".into()),
            '/' => out.push('/'),
            c if c.is_ascii() && is_pchar(c as u8) => out.push(c),
            c => write_char(c, via, &mut out),
        }
        rest = &rest[c.len_utf8()..];
    }
    Ok(out)
}

fn write_value(value: &str, via: Via, out: &mut String) -> Result<(), CallError> {
    if value.is_empty() || value.len() > MAX_VALUE || value.chars().any(char::is_control) || may_climb(value) {
        return Err(CallError::UnsafeVariable);
    }
    for c in value.chars() {
        write_char(c, via, out);
    }
    Ok(())
}

fn write_char(c: char, via: Via, out: &mut String) {
    if via == Via::Dapr && r"/\%?#".contains(c) {
        out.push_str("%25");
        out.extend(utf8_percent_encode(c.encode_utf8(&mut [0; 4]), SEGMENT).flat_map(|s| s.strip_prefix('%')));
    } else {
        out.extend(utf8_percent_encode(c.encode_utf8(&mut [0; 4]), SEGMENT));
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    struct Ada<'a>(Option<&'a str>);

    impl Values for Ada<'_> {
        fn subject(&self) -> Option<&str> {
            self.0
        }

        fn session(&self) -> &str {
            "s1"
        }

        fn claim(&self, path: &[String]) -> Option<String> {
            (path == ["org", "id"]).then(|| "acme co".into())
        }
    }

    fn text(t: &str) -> PathPart {
        PathPart::Text(t.into())
    }

    fn built(parts: &[PathPart], via: Via, subject: Option<&str>) -> Result<String, CallError> {
        let mut out = String::new();
        Template::new("/pre".into(), parts, via).expect("a good template").write(&Ada(subject), &mut out).map(|()| out)
    }

    #[test]
    fn variables_are_encoded_into_their_segment() {
        let path = [text("/v1/"), PathPart::Subject, text("/orgs/"), PathPart::Claim(vec!["org".into(), "id".into()])];
        for (subject, direct, dapr) in [
            ("ada", "ada", "ada"),
            ("auth0|7", "auth0%7C7", "auth0%7C7"),
            ("a/b", "a%2Fb", "a%252Fb"),
            (r"a\b", "a%5Cb", "a%255Cb"),
            ("50%", "50%25", "50%2525"),
            ("who?#", "who%3F%23", "who%253F%2523"),
            ("ünal", "%C3%BCnal", "%C3%BCnal"),
            ("..x", "..x", "..x"),
        ] {
            let with = |s: &str| Ok(format!("/pre/v1/{s}/orgs/acme%20co"));
            assert_eq!(built(&path, Via::Direct, Some(subject)), with(direct));
            assert_eq!(built(&path, Via::Dapr, Some(subject)), with(dapr));
        }
    }

    #[test]
    fn values_that_are_no_segment_are_refused() {
        let path = [text("/v1/"), PathPart::Subject];
        let long = "x".repeat(MAX_VALUE + 1);
        for value in [
            "", ".", "..", "../admin", "a/../b", r"..\b", "a/.", "%2e%2E", "%252e.", "a\0", "a\r\nb", "a\u{85}b", &long,
        ] {
            for via in [Via::Direct, Via::Dapr] {
                assert_eq!(built(&path, via, Some(value)), Err(CallError::UnsafeVariable), "{value:?}");
            }
        }
        assert_eq!(built(&path, Via::Direct, None), Err(CallError::MissingVariable));
        let claim = [text("/"), PathPart::Claim(vec!["nope".into()])];
        assert_eq!(built(&claim, Via::Direct, None), Err(CallError::MissingVariable));
    }

    #[test]
    fn templates_that_lead_elsewhere_are_refused() {
        for path in
            ["v1", "", "/a/../b", "/%2e%2e/b", "/a/%2E./b", "/a?b", "/a#b", "/a%zz", "/a%2", "/a\n", "/a%00b", "/a/."]
        {
            assert!(Template::new(String::new(), &[text(path)], Via::Direct).is_err(), "{path}");
        }
        for parts in [[text("/."), PathPart::Subject], [text("/a/%2e"), PathPart::Session]] {
            assert!(Template::new(String::new(), &parts, Via::Direct).is_err());
        }
        let after = [text("/"), PathPart::Subject, text("./b")];
        assert!(Template::new(String::new(), &after, Via::Direct).is_err());
    }

    #[test]
    fn text_keeps_what_it_means_to_the_service() {
        let fixed = |t: &str, via| Template::new(String::new(), &[text(t)], via).ok().and_then(|t| t.fixed());
        assert_eq!(fixed("/a b/ü", Via::Direct).as_deref(), Some("/a%20b/%C3%BC"));
        assert_eq!(fixed("/a%2Fb%20c", Via::Direct).as_deref(), Some("/a%2Fb%20c"));
        assert_eq!(fixed("/a%2Fb%20c", Via::Dapr).as_deref(), Some("/a%252Fb%20c"));
        assert_eq!(fixed("/v1/x:y@z", Via::Dapr).as_deref(), Some("/v1/x:y@z"));
    }

    #[test]
    fn queries() {
        for good in ["", "a=b&c=d", "q=%20x", "a/b?c", "x=!$&'()*+,;=:@-._~"] {
            assert!(is_query(good.as_bytes()), "{good}");
        }
        for bad in
            ["#", "a b", "a\r\nHost: x", "%", "%2", "%zz", "a\0", "ü", "a|b", "a\"", "<", "[", "\\", "^", "`", "{"]
        {
            assert!(!is_query(bad.as_bytes()), "{bad}");
        }
        assert!(is_query("x".repeat(MAX_QUERY).as_bytes()));
        assert!(!is_query("x".repeat(MAX_QUERY + 1).as_bytes()));
    }

    /// What daprd does with a path: decode, resolve dots, parse as a URL (a second decoding for whoever asks for it).
    fn through_dapr(path: &str) -> String {
        percent_decode_str(path).decode_utf8().expect("text").into_owned()
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_segment(value in "\\PC{0,40}|[./\\\\%2eE5cfF?#]{0,12}") {
            let path = [text("/v1/users/"), PathPart::Subject, text("/end")];
            if let Ok(direct) = built(&path, Via::Direct, Some(&value)) {
                let segments: Vec<_> = direct.split('/').collect();
                prop_assert_eq!(segments.len(), 6, "{}", direct);
                prop_assert_eq!(percent_decode_str(segments[4]).decode_utf8().expect("text"), value.as_str());
                prop_assert!(direct.bytes().all(|b| is_pchar(b) || b == b'/' || b == b'%'));
            }
            if let Ok(dapr) = built(&path, Via::Dapr, Some(&value)) {
                let once = through_dapr(&dapr);
                let segments: Vec<_> = once.split('/').collect();
                prop_assert_eq!(segments.len(), 6, "{}", once);
                prop_assert!(!once.contains(['?', '#', '\\']));
                prop_assert_eq!(percent_decode_str(segments[4]).decode_utf8().expect("text"), value.as_str());
                // However often a sidecar decodes: never a way up.
                let mut decoded = dapr;
                for _ in 0..4 {
                    prop_assert!(!has_dot_segment(&decoded));
                    decoded = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
                }
            }
        }

        #[test]
        fn a_query_stays_a_query(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            if is_query(&payload) {
                let text = std::str::from_utf8(&payload).expect("ascii");
                let uri: http::Uri = format!("/p?{text}").parse().expect("a request target");
                prop_assert_eq!(uri.path(), "/p");
                prop_assert_eq!(uri.query(), Some(text));
            }
        }
    }
}
