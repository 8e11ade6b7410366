//! The settings about services that speak first: the broker, and who may call the internal port.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ConfigError, read};
use crate::bus::amqp::{AmqpConfig, NotAConfig};
use crate::bus::url::BrokerUrl;
use crate::internal::access::{Access, Digest, Services, digest};

/// Shorter tokens can be guessed.
const TOKEN_MIN: usize = 16;

/// What is needed to reach a broker.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Nodes of one cluster: the same user and virtual host in each.
    pub nodes: Vec<BrokerUrl>,
    /// PEM certificates that a node's must lead to; `None`: those of the system.
    pub ca: Option<Vec<u8>>,
}

impl Broker {
    /// For the broker's client.
    ///
    /// # Errors
    /// What no broker can be reached by.
    pub fn amqp(self) -> Result<AmqpConfig, NotAConfig> {
        let urls: Vec<String> = self.nodes.iter().map(|node| node.expose().to_owned()).collect();
        let mut config = AmqpConfig::parse(&urls)?;
        config.tls.ca = self.ca;
        Ok(config)
    }
}

/// `None`: no broker is named, and gateways of one process are all there are.
pub fn broker(
    urls: &[String],
    ca: Option<PathBuf>,
    password_file: Option<PathBuf>,
) -> Result<Option<Broker>, ConfigError> {
    if urls.is_empty() {
        return match (ca, password_file) {
            (None, None) => Ok(None),
            (Some(_), _) => Err(ConfigError::WithoutBroker("--broker-ca")),
            (_, Some(_)) => Err(ConfigError::WithoutBroker("--broker-password-file")),
        };
    }
    let password = password_file.map(|path| token("--broker-password-file", &path)).transpose()?;
    let mut nodes = Vec::new();
    for text in urls {
        let url: BrokerUrl = text.parse().map_err(ConfigError::Broker)?;
        nodes.push(match &password {
            Some(password) => url.with_password(password),
            None => url,
        });
    }
    let differs = |url: &&BrokerUrl| url.user() != nodes[0].user() || url.vhost() != nodes[0].vhost();
    if let Some(other) = nodes.iter().find(differs) {
        return Err(ConfigError::TwoBrokers { one: nodes[0].to_string(), other: other.to_string() });
    }
    let ca = ca.map(|path| read("--broker-ca", &path)).transpose()?;
    if let (Some(_), Some(plain)) = (&ca, nodes.iter().find(|n| !n.tls())) {
        return Err(ConfigError::CaWithoutTls(plain.to_string()));
    }
    Ok(Some(Broker { nodes, ca }))
}

/// An entry of `--internal-tokens`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    token_file: Option<PathBuf>,
    sha256: Option<String>,
    services: Vec<String>,
}

/// Who may call the internal port.
pub fn access(tokens: Option<PathBuf>, app_token: Option<PathBuf>) -> Result<Access, ConfigError> {
    let mut access = Access::default();
    if let Some(path) = app_token {
        access = access.with_app_token(digest(token("--dapr-app-token-file", &path)?.as_bytes()));
    }
    let Some(path) = tokens else { return Ok(access) };
    let failed = |error: String| ConfigError::File { what: "--internal-tokens", path: path.clone(), error };
    let text = String::from_utf8(read("--internal-tokens", &path)?).map_err(|e| failed(e.to_string()))?;
    let entries: Vec<Entry> = serde_saphyr::from_str(&text).map_err(|e| failed(e.to_string()))?;
    for (at, entry) in entries.into_iter().enumerate() {
        let wrong = |error: &str| failed(format!("entry {}: {error}", at + 1));
        let token = match (&entry.token_file, &entry.sha256) {
            (Some(file), None) => {
                let file = path.parent().unwrap_or(Path::new(".")).join(file);
                digest(token("--internal-tokens", &file)?.as_bytes())
            }
            (None, Some(hex)) => parse_hex(hex).ok_or_else(|| wrong("sha256 must be 64 hex digits"))?,
            _ => return Err(wrong("exactly one of tokenFile and sha256 is wanted")),
        };
        let services = match entry.services.as_slice() {
            [] => return Err(wrong("services is empty: name some, or [\"*\"] for all")),
            [all] if all == "*" => Services::All,
            names if names.iter().any(|n| n == "*") => return Err(wrong("\"*\" stands alone")),
            names => Services::These(names.into()),
        };
        access = access.with_token(token, services);
    }
    Ok(access)
}

fn token(what: &'static str, path: &Path) -> Result<String, ConfigError> {
    let failed = |error: String| ConfigError::File { what, path: path.to_owned(), error };
    let text = String::from_utf8(read(what, path)?).map_err(|_| failed("not UTF-8".to_owned()))?;
    let text = text.trim();
    // A broker's password is somebody else's choice.
    let least = if what == "--broker-password-file" { 1 } else { TOKEN_MIN };
    if text.len() < least {
        return Err(failed(format!("a token has at least {least} characters, this one {}", text.len())));
    }
    Ok(text.to_owned())
}

fn parse_hex(hex: &str) -> Option<Digest> {
    let mut bytes = Digest::default();
    if hex.len() != 2 * bytes.len() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::HeaderMap;

    use super::*;
    use crate::internal::access::Caller;

    fn urls(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn a_password_comes_from_a_file_and_shows_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "hunter2\n").unwrap();
        let nodes = urls(&["amqp://gw@a:1/v", "amqp://gw@b:1/v"]);
        let broker = broker(&nodes, None, Some(file)).unwrap().unwrap();
        assert!(broker.nodes.iter().all(|n| n.expose().contains("hunter2")));
        assert!(!format!("{broker:?}").contains("hunter2"));
    }

    #[test]
    fn nodes_are_of_one_cluster_and_one_user() {
        for other in ["amqp://other@b/v", "amqp://gw@b/w"] {
            let error = broker(&urls(&["amqp://gw:s3cret@a/v", other]), None, None).unwrap_err().to_string();
            assert!(error.contains("amqp://gw@a/v") && !error.contains("s3cret"), "{error}");
        }
        assert!(broker(&[], None, None).unwrap().is_none());
        assert!(broker(&[], Some("ca.pem".into()), None).unwrap_err().to_string().contains("--broker-ca"));
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, "").unwrap();
        let plain = broker(&urls(&["amqp://gw@a"]), Some(ca), None).unwrap_err();
        assert!(matches!(plain, ConfigError::CaWithoutTls(_)));
    }

    #[test]
    fn tokens_are_bound_to_services() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("game.token"), "0123456789abcdef\n").unwrap();
        let hex = digest(b"fedcba9876543210").map(|b| format!("{b:02x}")).concat();
        let yaml = format!("- {{tokenFile: game.token, services: [game]}}\n- {{sha256: {hex:?}, services: [\"*\"]}}\n");
        std::fs::write(at("tokens.yaml"), yaml).unwrap();
        let access = access(Some(at("tokens.yaml")), None).unwrap();
        let caller = |token: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
            access.caller(&headers, Ipv4Addr::LOCALHOST.into()).ok()
        };
        assert_eq!(caller("0123456789abcdef"), Some(Caller::Token(Services::These(["game".to_owned()].into()))));
        assert_eq!(caller("fedcba9876543210"), Some(Caller::Token(Services::All)));
        assert_eq!(caller("0123456789abcdeF"), None);
    }

    #[test]
    fn a_wrong_entry_is_named_and_no_token_shows() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("short"), "s3cret").unwrap();
        for (yaml, says) in [
            ("- {services: [a]}", "exactly one of"),
            ("- {sha256: abc, services: [a]}", "64 hex digits"),
            ("- {tokenFile: short, services: [a]}", "at least 16"),
            ("- {tokenFile: none, services: [a]}", "none"),
            (
                "- {sha256: \"0000000000000000000000000000000000000000000000000000000000000000\", services: []}",
                "entry 1",
            ),
            ("- {token: s3cret, services: [a]}", "token"),
        ] {
            std::fs::write(at("tokens.yaml"), yaml).unwrap();
            let error = access(Some(at("tokens.yaml")), None).err().unwrap().to_string();
            assert!(error.contains(says) && error.contains(&*folder.path().to_string_lossy()), "{yaml}: {error}");
        }
        assert!(access(None, Some(at("short"))).err().unwrap().to_string().contains("--dapr-app-token-file"));
    }
}
