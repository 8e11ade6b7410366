//! Path templates: text and variables, cut once here so that a gateway only fills them in.

use bannou_crds::catalog::PathPart;

const MAX_BYTES: usize = 1024;
const MAX_VARIABLES: usize = 8;
const MAX_CLAIM_DEPTH: usize = 8;

/// Cuts a path at its variables.
///
/// # Errors
/// What is wrong with it, as the end of a sentence that begins with the field.
pub(super) fn parse(text: &str) -> Result<Vec<PathPart>, String> {
    if !text.starts_with('/') {
        return Err(format!("{text:?} must start with \"/\""));
    }
    if text.len() > MAX_BYTES {
        return Err(format!("{} bytes are more than the {MAX_BYTES} that are allowed", text.len()));
    }
    if let Some(bad) = text.chars().find(|c| matches!(c, '?' | '#')) {
        return Err(format!("must not hold \"{bad}\": a query comes from the payload, by `payload: Query`"));
    }
    let mut parts = Vec::new();
    let mut variables = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, variable, tail) = match rest.split_once('{') {
            None => (rest, None, ""),
            Some((plain, behind)) => {
                let (name, tail) = behind.split_once('}').ok_or("a \"{\" has no \"}\"")?;
                (plain, Some(name), tail)
            }
        };
        check_text(plain)?;
        if !plain.is_empty() {
            parts.push(PathPart::Text(plain.to_owned()));
        }
        if let Some(name) = variable {
            variables += 1;
            parts.push(parse_variable(name)?);
        }
        rest = tail;
    }
    if variables > MAX_VARIABLES {
        return Err(format!("{variables} variables are more than the {MAX_VARIABLES} that are allowed"));
    }
    check_segments(text)?;
    Ok(parts)
}

fn check_text(text: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
    if let Some(bad) = text.chars().find(|c| !c.is_ascii() || !allowed(*c as u8)) {
        return Err(match bad {
            '}' => "a \"}\" has no \"{\"".to_owned(),
            _ => format!("must not hold {bad:?}; percent-encode it"),
        });
    }
    for (at, _) in text.match_indices('%') {
        let digits = text.as_bytes().get(at + 1..at + 3).unwrap_or_default();
        if digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err("a \"%\" needs two hexadecimal digits behind it".to_owned());
        }
        // Whoever decodes twice, or late, would find another path than the one that was allowed here.
        let control = digits[0] < b'2' || digits.eq_ignore_ascii_case(b"7F");
        if control || matches!(digits.to_ascii_uppercase().as_slice(), b"2E" | b"2F" | b"5C" | b"25") {
            return Err(format!("must not hold \"%{}\"", String::from_utf8_lossy(digits)));
        }
    }
    Ok(())
}

fn check_segments(text: &str) -> Result<(), String> {
    for segment in text[1..].split('/') {
        if matches!(segment, "." | "..") {
            return Err(format!("must not hold the segment {segment:?}"));
        }
    }
    // "/.{claims.x}" with the value "." would be such a segment at the gateway.
    if [".{", "}."].iter().any(|beside| text.contains(beside)) {
        return Err("must not hold a \".\" directly beside a variable".to_owned());
    }
    if text.contains("//") {
        return Err("must not hold \"//\"".to_owned());
    }
    Ok(())
}

fn parse_variable(name: &str) -> Result<PathPart, String> {
    if let Some(claim) = name.strip_prefix("claims.") {
        let path: Vec<String> = claim.split('.').map(str::to_owned).collect();
        let good = |part: &String| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b"{}/?#\"\\%".contains(&b))
        };
        if path.len() <= MAX_CLAIM_DEPTH && path.iter().all(good) {
            return Ok(PathPart::Claim(path));
        }
        return Err(format!("{{{name}}} is not a claim's path: {{claims.a.b}} is the member b of the claim a"));
    }
    match name {
        "subject" => Ok(PathPart::Subject),
        "session" => Ok(PathPart::Session),
        _ => Err(format!("{{{name}}} is not known: use {{subject}}, {{session}} or {{claims.<name>}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(t: &str) -> PathPart {
        PathPart::Text(t.to_owned())
    }

    #[test]
    fn paths_are_cut_at_their_variables() {
        assert_eq!(parse("/v1/accounts"), Ok(vec![text("/v1/accounts")]));
        assert_eq!(parse("/"), Ok(vec![text("/")]));
        assert_eq!(
            parse("/a/{subject}/b/{session}/{claims.org.id}"),
            Ok(vec![
                text("/a/"),
                PathPart::Subject,
                text("/b/"),
                PathPart::Session,
                text("/"),
                PathPart::Claim(vec!["org".into(), "id".into()])
            ])
        );
        assert_eq!(parse("/a%20b/").map(|p| p.len()), Ok(1));
        assert!(parse("/files/a..b").is_ok(), "dots inside a segment are harmless");
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for (path, says) in [
            ("", "must start with"),
            ("v1", "must start with"),
            ("/../admin", "segment \"..\""),
            ("/a/..", "segment \"..\""),
            ("/a/./b", "segment \".\""),
            ("/a//b", "\"//\""),
            ("/a?b=c", "\"?\""),
            ("/a#b", "\"#\""),
            ("/%2e%2e/admin", "%2e"),
            ("/a%2Fb", "%2F"),
            ("/a%252e", "%25"),
            ("/a%5cb", "%5c"),
            ("/a%2", "two hexadecimal digits"),
            ("/a b", "percent-encode"),
            ("/ä", "percent-encode"),
            ("/a\\b", "percent-encode"),
            ("/{user}", "{user} is not known"),
            ("/{claims.}", "not a claim's path"),
            ("/{claims.a..b}", "not a claim's path"),
            ("/{claims}", "{claims} is not known"),
            ("/{subject", "has no \"}\""),
            ("/subject}", "has no \"{\""),
            ("/.{subject}", "directly beside"),
            ("/{subject}.json", "directly beside"),
            ("/a%0a", "%0a"),
            ("/a%7F", "%7F"),
            ("/{subject}{subject}{subject}{subject}{subject}{subject}{subject}{subject}{subject}", "9 variables"),
        ] {
            let refused = parse(path).expect_err(path);
            assert!(refused.contains(says), "{path}: {refused}");
        }
        assert!(parse(&format!("/{}", "a".repeat(1024))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(/|\\.|%|[0-9a-f]|[{}]|subject|claims|\\PC){0,20}") {
            if let Ok(parts) = parse(&text) {
                let mut whole = String::new();
                for part in parts {
                    match part {
                        PathPart::Text(text) => whole.push_str(&text),
                        PathPart::Subject => whole.push_str("{subject}"),
                        PathPart::Session => whole.push_str("{session}"),
                        PathPart::Claim(path) => whole.push_str(&format!("{{claims.{}}}", path.join("."))),
                    }
                }
                proptest::prop_assert_eq!(&whole, &text, "nothing is lost");
                proptest::prop_assert!(text.split('/').all(|segment| segment != ".." && segment != "."));
            }
        }
    }
}
