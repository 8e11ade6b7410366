//! From the operator's name to an upgraded stream: TLS with the operator's own CA, and the token of this Pod.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use bannou_crds::push::PATH;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, http as upgrade};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{Config, MOST};

/// Names the Pod that dials; the token must be that Pod's.
const POD: &str = "x-bannou-pod";
/// A token or a certificate is not longer.
const LONGEST_FILE: u64 = 256 * 1024;
/// Of an answer that is no upgrade, in characters.
const QUOTED: usize = 200;

pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// `wss://HOST:PORT`: the operator's Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    host: String,
    port: u16,
    name: ServerName<'static>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no operator: write for example wss://bannou-operator.bannou-system:9443")]
pub struct NotAnOperator(String);

impl FromStr for Operator {
    type Err = NotAnOperator;

    fn from_str(text: &str) -> Result<Operator, NotAnOperator> {
        let wrong = || NotAnOperator(text.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(wrong)?;
        if uri.scheme_str() != Some("wss") || uri.path() != "/" || uri.query().is_some() {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
        let port = authority.port_u16().unwrap_or(443);
        Ok(Operator { host, port, name })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Whom to dial.
#[derive(Clone, Debug)]
pub enum Place {
    Service,
    /// One replica; its certificate is the Service's.
    Replica(SocketAddr),
}

/// Why there is no link. Never says the token.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("the certificates in {path} cannot be used: {error}", path = path.display())]
    Ca { path: PathBuf, error: String },
    #[error("the token in {path} cannot be used: {error}", path = path.display())]
    Token { path: PathBuf, error: String },
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error("it did not answer in time")]
    Slow,
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The token is not one that it takes from this Pod.
    #[error("it turns this gateway away (401): {0}. Look for the reason in the operator's log")]
    Refused(String),
    #[error("it cannot say now (503): {0}")]
    Unavailable(String),
    #[error("no upgrade: {0}")]
    Protocol(String),
}

impl DialError {
    /// For metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            DialError::Ca { .. } => "ca",
            DialError::Token { .. } => "token",
            DialError::Unreachable(_) | DialError::Slow => "unreachable",
            DialError::Tls(_) => "tls",
            DialError::Refused(_) => "refused",
            DialError::Unavailable(_) => "unavailable",
            DialError::Protocol(_) => "protocol",
        }
    }
}

pub struct Dialer {
    config: Config,
}

impl Dialer {
    pub fn new(config: Config) -> Dialer {
        Dialer { config }
    }

    /// For people.
    pub fn name(&self, place: &Place) -> String {
        match place {
            Place::Service => self.config.operator.to_string(),
            Place::Replica(address) => format!("{} at {address}", self.config.operator),
        }
    }

    /// # Errors
    /// After `timing.dial` at the latest.
    pub async fn dial(&self, place: &Place) -> Result<Socket, DialError> {
        timeout(self.config.timing.dial, self.connect(place)).await.unwrap_or(Err(DialError::Slow))
    }

    async fn connect(&self, place: &Place) -> Result<Socket, DialError> {
        // Mounted files that are swapped: always as they are now.
        let tls = client(&self.config.ca).await?;
        let token = token(&self.config.token_file).await?;
        let Operator { host, port, name } = &self.config.operator;
        let stream = match place {
            Place::Service => TcpStream::connect((host.as_str(), *port)).await,
            Place::Replica(address) => TcpStream::connect(address).await,
        };
        let stream = stream.map_err(DialError::Unreachable)?;
        // Words are small and each is wanted now.
        let _ = stream.set_nodelay(true);
        let stream = TlsConnector::from(tls).connect(name.clone(), stream).await.map_err(DialError::Tls)?;
        let failed = |error: Error| match error {
            Error::Http(response) => not_an_upgrade(&response),
            other => DialError::Protocol(other.to_string()),
        };
        let mut request = format!("wss://{}{PATH}", self.config.operator).into_client_request().map_err(failed)?;
        request.headers_mut().insert(AUTHORIZATION, token);
        let pod = HeaderValue::from_str(&self.config.pod);
        request.headers_mut().insert(POD, pod.map_err(|_| DialError::Protocol("the Pod's name is none".to_owned()))?);
        let limits = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
        let (socket, _) = client_async_with_config(request, stream, Some(limits)).await.map_err(failed)?;
        Ok(socket)
    }
}

fn not_an_upgrade(response: &upgrade::Response<Option<Vec<u8>>>) -> DialError {
    let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned();
    let body = body.chars().filter(|c| !c.is_control()).take(QUOTED).collect();
    match response.status().as_u16() {
        401 => DialError::Refused(body),
        503 => DialError::Unavailable(body),
        other => DialError::Protocol(format!("status {other}: {body}")),
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let meta = tokio::fs::metadata(path).await.map_err(|e| e.to_string())?;
    if meta.len() > LONGEST_FILE {
        return Err(format!("{} bytes are too many", meta.len()));
    }
    tokio::fs::read(path).await.map_err(|e| e.to_string())
}

async fn token(path: &Path) -> Result<HeaderValue, DialError> {
    let wrong = |error: String| DialError::Token { path: path.to_owned(), error };
    let bytes = read(path).await.map_err(wrong)?;
    let token = bytes.trim_ascii();
    if token.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", token].concat())
        .map_err(|_| wrong("it has bytes that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Trusts what is in that file and nothing else.
async fn client(ca: &Path) -> Result<Arc<ClientConfig>, DialError> {
    let wrong = |error: String| DialError::Ca { path: ca.to_owned(), error };
    let pem = read(ca).await.map_err(wrong)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
        roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is none".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_a_host_behind_tls() {
        for (text, shown) in [
            ("wss://bannou-operator.bannou-system:9443", "bannou-operator.bannou-system:9443"),
            ("wss://operator/", "operator:443"),
            ("wss://127.0.0.1:9", "127.0.0.1:9"),
            ("wss://[::1]:9443", "[::1]:9443"),
        ] {
            assert_eq!(text.parse::<Operator>().unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "operator:9443",
            "ws://operator:9443",
            "https://operator",
            "wss://",
            "wss://operator/v1/config",
            "wss://operator?x",
            "wss://user@operator",
        ] {
            let error = wrong.parse::<Operator>().unwrap_err();
            assert!(error.to_string().contains("wss://bannou-operator"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_token_is_read_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "abc.def\n").unwrap();
        let value = token(&path).await.unwrap();
        assert_eq!(value, "Bearer abc.def");
        assert!(!format!("{value:?}").contains("abc"));
        for wrong in ["", " \n", "abc\ndef", "abc\u{7f}"] {
            std::fs::write(&path, wrong).unwrap();
            let error = token(&path).await.unwrap_err();
            assert_eq!(error.outcome(), "token");
            assert!(!error.to_string().contains("abc"), "{error}");
        }
        assert_eq!(token(&folder.path().join("none")).await.unwrap_err().outcome(), "token");
    }

    #[tokio::test]
    async fn certificates_are_there_or_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        for wrong in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, wrong).unwrap();
            let error = client(&path).await.unwrap_err();
            assert_eq!(error.outcome(), "ca");
            assert!(error.to_string().contains("ca.crt"), "{error}");
        }
        let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert;
        let pem = |der: &[u8]| {
            use base64::Engine;
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        // The current one and the next.
        std::fs::write(&path, pem(made("a").der()) + &pem(made("b").der())).unwrap();
        client(&path).await.unwrap();
    }
}
