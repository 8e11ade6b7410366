//! Where a broker is, and as whom: an URL that shows its password to nobody.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// `amqp[s]://user:password@host:port/vhost`. Written and logged without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(Url);

/// Without the text itself: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotABroker {
    #[error("not a URL ({0}): write for example amqps://bannou-gateway@rabbitmq:5671/bannou")]
    Malformed(String),
    #[error("its scheme must be amqp or amqps, and a host must follow")]
    Scheme,
    #[error("its user is not UTF-8")]
    User,
    #[error("what comes after the virtual host belongs into flags of its own (--broker-ca, --broker-password-file)")]
    More,
}

impl FromStr for BrokerUrl {
    type Err = NotABroker;

    fn from_str(text: &str) -> Result<BrokerUrl, NotABroker> {
        let mut url: Url = text.trim().parse().map_err(|e| NotABroker::Malformed(format!("{e}")))?;
        if !matches!(url.scheme(), "amqp" | "amqps") || url.host_str().is_none_or(str::is_empty) {
            return Err(NotABroker::Scheme);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(NotABroker::More);
        }
        if url.username().is_empty() {
            // RabbitMQ's own, which it lets in from loopback alone.
            let _ = url.set_username("guest");
            if url.password().is_none() {
                let _ = url.set_password(Some("guest"));
            }
        }
        percent_encoding::percent_decode_str(url.username()).decode_utf8().map_err(|_| NotABroker::User)?;
        Ok(BrokerUrl(url))
    }
}

impl BrokerUrl {
    /// As whom, decoded.
    pub fn user(&self) -> String {
        percent_encoding::percent_decode_str(self.0.username()).decode_utf8_lossy().into_owned()
    }

    /// The virtual host as it stands in the URL, still encoded; empty: the broker's `/`.
    pub fn vhost(&self) -> &str {
        self.0.path().trim_start_matches('/')
    }

    pub fn tls(&self) -> bool {
        self.0.scheme() == "amqps"
    }

    #[must_use]
    pub fn with_password(mut self, password: &str) -> BrokerUrl {
        // Refused only where there is no host.
        let _ = self.0.set_password(Some(password));
        self
    }

    /// The whole of it, for the broker's client: never for a log.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        let _ = shown.set_password(None);
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_and_as_whom_but_never_the_password() {
        let url: BrokerUrl = "amqps://game%40x:s3cret@rabbit-1:5671/fleet".parse().unwrap();
        assert_eq!((url.user().as_str(), url.vhost(), url.tls()), ("game@x", "fleet", true));
        assert_eq!(format!("{url} {url:?}"), ["amqps://game%40x@rabbit-1:5671/fleet"; 2].join(" "));
        assert!(url.expose().contains("s3cret"));
        let other = url.with_password("p@ss/word");
        assert_eq!(other.expose(), "amqps://game%40x:p%40ss%2Fword@rabbit-1:5671/fleet");
        assert!(!other.to_string().contains("ss%2F"));
    }

    #[test]
    fn without_a_user_it_is_the_brokers_guest() {
        let url: BrokerUrl = "amqp://127.0.0.1".parse().unwrap();
        assert_eq!((url.user().as_str(), url.vhost(), url.tls()), ("guest", "", false));
        assert!(url.expose().contains("guest:guest@"));
    }

    #[test]
    fn what_it_is_not() {
        for text in ["", "rabbit:5672", "http://rabbit", "amqp:", "amqp:///x", "amqp://h?cacertfile=/x", "amqp://h/v#x"]
        {
            assert!(text.parse::<BrokerUrl>().is_err(), "{text}");
        }
        let error = "amqp://u:s3cret@[h/".parse::<BrokerUrl>().unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
