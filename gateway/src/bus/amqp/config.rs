//! What the bus is told at its start. Credentials are in none of its texts.

use std::fmt;
use std::time::Duration;

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use lapin::uri::{AMQPScheme, AMQPUri, AMQPUserInfo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A broker and how to speak to it. Made by [`AmqpConfig::parse`]; the fields can be changed before [`super::Amqp::new`].
#[derive(Clone, Debug)]
pub struct AmqpConfig {
    /// Tried in turn; never empty.
    pub nodes: Vec<Node>,
    pub login: Login,
    pub vhost: String,
    pub tls: Tls,
    /// Of the logs of slots, of `bannou.groups` and of `bannou.sessions`.
    pub retention: Retention,
    /// Of `bannou.control`, which must outlive the longest token.
    pub control_retention: Retention,
    /// How many replicas a new log gets; `None`: one on each node, as the broker decides.
    pub replicas: Option<u16>,
    pub timeouts: Timeouts,
    pub limits: Limits,
}

/// A node of the broker. Its text is `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

/// The same on every node.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

/// For nodes that are spoken to by TLS; all PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whose certificates count; `None`: as the system has it.
    pub ca: Option<Vec<u8>>,
    /// Certificate and key that this process shows.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Of a log; the broker drops whole segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub age: Duration,
    pub bytes: u64,
    pub segment_bytes: u64,
}

/// How long anything may take. None of these ends a publish: that waits for the broker, or for its owner to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A connection from nothing to usable.
    pub connect: Duration,
    /// An answer to one method of AMQP.
    pub call: Duration,
    /// A confirmation; after it the connection is given up and what is unconfirmed is sent by a new one.
    pub confirm: Duration,
    /// Both sides send one twice in this time; silence for twice as long ends a connection. Whole seconds.
    pub heartbeat: Duration,
    /// Between attempts: doubles from the first to the second, with jitter.
    pub retry: (Duration, Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages that wait for a confirmation, and their bytes; beyond: `Unpublished::Full`.
    pub unconfirmed: usize,
    pub unconfirmed_bytes: usize,
    /// Of one message.
    pub body_bytes: usize,
    /// Of all headers of one message.
    pub header_bytes: usize,
    /// Deliveries on their way to one reader.
    pub prefetch: u16,
    /// What a reader's owner has not taken yet.
    pub ahead: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAConfig {
    #[error("no broker: give at least one URL, amqp://USER:PASSWORD@HOST:PORT/VHOST")]
    Empty,
    /// Counted from 1, since the text may hold a password.
    #[error("broker URL {0} is not amqp://USER:PASSWORD@HOST:PORT/VHOST (or amqps://…)")]
    Url(usize),
    #[error("broker URL {0} has options after '?': they have flags of their own")]
    Options(usize),
    #[error("broker URL {0} names another user, password or vhost than the first: all nodes are one cluster")]
    Different(usize),
    #[error("{what}: {problem}")]
    Tls { what: &'static str, problem: String },
}

impl NotAConfig {
    /// A word for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            NotAConfig::Empty => "no_broker",
            NotAConfig::Url(_) => "not_a_url",
            NotAConfig::Options(_) => "options_in_url",
            NotAConfig::Different(_) => "different_logins",
            NotAConfig::Tls { .. } => "bad_tls",
        }
    }
}

impl AmqpConfig {
    /// From one URL for each node: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, percent-encoded. Without a path, and with `/` alone,
    /// the vhost is `/`.
    ///
    /// # Errors
    /// That name the URL by its number, never by its text.
    pub fn parse(urls: &[String]) -> Result<AmqpConfig, NotAConfig> {
        let mut config: Option<AmqpConfig> = None;
        for (i, url) in urls.iter().enumerate() {
            let number = i + 1;
            let uri: AMQPUri = url.trim().parse().map_err(|_| NotAConfig::Url(number))?;
            if uri.authority.host.is_empty() {
                return Err(NotAConfig::Url(number));
            }
            if uri.query != Default::default() || url.contains('?') {
                return Err(NotAConfig::Options(number));
            }
            let AMQPUserInfo { username: user, password } = uri.authority.userinfo;
            let login = Login { user, password };
            let vhost = if uri.vhost.is_empty() { "/".to_owned() } else { uri.vhost };
            let tls = uri.scheme == AMQPScheme::AMQPS;
            let node = Node { host: uri.authority.host, port: uri.authority.port, tls };
            match &mut config {
                None => config = Some(AmqpConfig::new(node, login, vhost)),
                Some(config) if config.login == login && config.vhost == vhost => config.nodes.push(node),
                Some(_) => return Err(NotAConfig::Different(number)),
            }
        }
        config.ok_or(NotAConfig::Empty)
    }

    fn new(node: Node, login: Login, vhost: String) -> AmqpConfig {
        AmqpConfig {
            nodes: vec![node],
            login,
            vhost,
            tls: Tls::default(),
            retention: Retention::default(),
            control_retention: Retention { age: Duration::from_secs(24 * 3600), ..Retention::default() },
            replicas: None,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        }
    }

    /// For the nodes that want it; `None` where none does.
    ///
    /// # Errors
    /// Certificates or a key that are not what they should be.
    pub(super) fn connector(&self) -> Result<Option<RustlsConnector>, NotAConfig> {
        self.nodes.iter().any(|node| node.tls).then(|| self.tls.connector()).transpose()
    }
}

impl Tls {
    fn connector(&self) -> Result<RustlsConnector, NotAConfig> {
        let config = match &self.ca {
            None => RustlsConnectorConfig::new_with_platform_verifier(),
            Some(pem) => {
                let authorities = certificates("the authority of the broker", pem)?;
                RustlsConnectorConfig::default().with_parsable_certificates(authorities)
            }
        };
        let connector = match &self.client {
            None => config.connector_with_no_client_auth(),
            Some((certificate, key)) => {
                let what = "the key for the broker";
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| bad(what, e))?;
                config.connector_with_single_cert(certificates("the certificate for the broker", certificate)?, key)
            }
        };
        connector.map_err(|e| bad("TLS to the broker", e))
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, NotAConfig> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| bad(what, e))?;
    if all.is_empty() { Err(bad(what, "no certificate in it")) } else { Ok(all) }
}

fn bad(what: &'static str, problem: impl fmt::Display) -> NotAConfig {
    NotAConfig::Tls { what, problem: problem.to_string() }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Node { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ca, client) = (self.ca.is_some(), self.client.is_some());
        f.debug_struct("Tls").field("ca", &ca).field("client", &client).finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { age: Duration::from_secs(900), bytes: 1 << 30, segment_bytes: 16 << 20 }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(5),
            confirm: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            retry: (Duration::from_millis(50), Duration::from_secs(1)),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            unconfirmed: 10_000,
            unconfirmed_bytes: 64 << 20,
            body_bytes: 4 << 20,
            header_bytes: 16 << 10,
            prefetch: 500,
            ahead: 256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(urls: &[&str]) -> Result<AmqpConfig, NotAConfig> {
        AmqpConfig::parse(&urls.iter().map(|&url| url.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn urls_name_nodes_of_one_cluster() {
        let config = parse(&["amqp://gw:p%2Fw@one:5673/fleet", "amqps://gw:p%2Fw@two/fleet"]).unwrap();
        assert_eq!(config.login, Login { user: "gw".into(), password: "p/w".into() });
        assert_eq!(config.vhost, "fleet");
        let texts: Vec<_> = config.nodes.iter().map(Node::to_string).collect();
        assert_eq!(texts, ["one:5673", "two:5671"]);
        assert_eq!(config.nodes.iter().map(|n| n.tls).collect::<Vec<_>>(), [false, true]);
        for (url, vhost) in [("amqp://h", "/"), ("amqp://h/", "/"), ("amqp://h/%2f", "/"), ("amqp://h/a%20b", "a b")] {
            assert_eq!(parse(&[url]).unwrap().vhost, vhost, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_named_by_its_number() {
        assert_eq!(parse(&[]).err(), Some(NotAConfig::Empty));
        assert_eq!(parse(&["amqp://h", "http://u:secret@h"]).err(), Some(NotAConfig::Url(2)));
        assert_eq!(parse(&["amqp://u:secret@h/v?heartbeat=0"]).err(), Some(NotAConfig::Options(1)));
        assert_eq!(parse(&["amqp://u:a@h/v", "amqp://u:b@h/v"]).err(), Some(NotAConfig::Different(2)));
        let mut tls = parse(&["amqps://h"]).unwrap();
        tls.tls.ca = Some(b"not a certificate".to_vec());
        assert_eq!(tls.connector().err().map(|e| e.reason()), Some("bad_tls"));
    }

    #[test]
    fn no_text_of_it_holds_the_password() {
        let config = parse(&["amqp://gw:open-sesame@h/v"]).unwrap();
        assert!(!format!("{config:?}").contains("open-sesame"));
        let error = parse(&["amqp//gw:open-sesame@h/v"]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("open-sesame"));
    }
}
