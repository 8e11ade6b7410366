//! `--app NAME=URL`: a person's own service in the place of a demo one.

use std::collections::BTreeMap;
use std::str::FromStr;

/// Dapr's own bound is 63 for the DNS label `<app-id>-dapr`.
const MAX_APP_ID: usize = 58;

/// One `--app`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub id: String,
    /// Without a slash at its end.
    pub url: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    #[error("write it as NAME=URL, such as account=http://127.0.0.1:7001")]
    Form,
    #[error(
        "{0:?} is not an app-id: 1 to {MAX_APP_ID} small letters, digits or '-', with a letter or digit at both ends"
    )]
    Id(String),
    #[error("the URL must begin with http:// and name a host, such as http://127.0.0.1:7001")]
    Url,
    #[error("the URL must have no '?', '#', '@' or space: paths and queries come from the exposure")]
    Extra,
    #[error("{0} is given twice")]
    Twice(String),
}

impl FromStr for App {
    type Err = AppError;

    fn from_str(text: &str) -> Result<Self, AppError> {
        let (id, url) = text.split_once('=').ok_or(AppError::Form)?;
        if !is_app_id(id) {
            return Err(AppError::Id(id.to_owned()));
        }
        let rest = url.strip_prefix("http://").ok_or(AppError::Url)?;
        if url.contains(['?', '#', '@']) || url.contains(char::is_whitespace) {
            return Err(AppError::Extra);
        }
        let host = rest.split('/').next().unwrap_or_default();
        let port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let port_is_none = port.is_some_and(|(_, port)| port.parse::<u16>().is_err());
        if host.is_empty() || host.starts_with(':') || port_is_none || axum::http::Uri::from_str(url).is_err() {
            return Err(AppError::Url);
        }
        Ok(App { id: id.to_owned(), url: url.trim_end_matches('/').to_owned() })
    }
}

fn is_app_id(id: &str) -> bool {
    (1..=MAX_APP_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !id.starts_with('-')
        && !id.ends_with('-')
}

/// URL by app-id.
pub fn by_id(apps: &[App]) -> Result<BTreeMap<String, String>, AppError> {
    let mut map = BTreeMap::new();
    for App { id, url } in apps {
        if map.insert(id.clone(), url.clone()).is_some() {
            return Err(AppError::Twice(id.clone()));
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_base_urls() {
        for (text, url) in [
            ("account=http://127.0.0.1:7001", "http://127.0.0.1:7001"),
            ("account=http://127.0.0.1:7001/", "http://127.0.0.1:7001"),
            ("account=http://example.com/base/", "http://example.com/base"),
            ("account=http://[::1]:7001", "http://[::1]:7001"),
        ] {
            assert_eq!(text.parse(), Ok(App { id: "account".into(), url: url.into() }), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<App>().unwrap_err();
        assert_eq!(error("account"), AppError::Form);
        assert_eq!(error("http://127.0.0.1:7001"), AppError::Form);
        for id in ["", "Account", "a_b", "-a", "a-", &"a".repeat(59)] {
            assert_eq!(error(&format!("{id}=http://h")), AppError::Id(id.into()));
        }
        for url in
            ["", "127.0.0.1:7001", "ftp://h", "https://h", "http://", "http:///path", "http://:7001", "http://h:port"]
        {
            assert_eq!(error(&format!("a={url}")), AppError::Url, "{url}");
        }
        for url in ["http://h?x=1", "http://h/#x", "http://user@h", "http://h/a b"] {
            assert_eq!(error(&format!("a={url}")), AppError::Extra, "{url}");
        }
    }

    #[test]
    fn one_url_per_name() {
        let app = |url: &str| App { id: "a".into(), url: url.into() };
        assert_eq!(by_id(&[app("http://h")]).unwrap()["a"], "http://h");
        assert_eq!(by_id(&[app("http://h"), app("http://i")]), Err(AppError::Twice("a".into())));
    }
}
