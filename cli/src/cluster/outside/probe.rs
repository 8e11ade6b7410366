//! One connection, made as a client makes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderValue, Uri};
use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::super::findings::Finding;
use super::{AREA, Asked};
use crate::trouble::Trouble;

/// Of one step.
const WITHIN: Duration = Duration::from_secs(10);
/// A set of services is told in pieces of 64 KiB.
const MOST: usize = 1 << 20;
const PROTOCOL: &str = "bannou.v1";

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub type Socket = WebSocketStream<Box<dyn Stream>>;

pub struct Probe {
    url: String,
    /// What is dialled.
    pub host: String,
    pub port: u16,
    /// What the certificate must be good for.
    name: String,
    pub tls: bool,
    trust: Option<Arc<ClientConfig>>,
}

fn error(what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding::error(AREA, what, fix)
}

impl Probe {
    /// # Errors
    /// The URL is not ws:// or wss://, or the CA cannot be read.
    pub fn new(asked: &Asked) -> Result<Probe, Trouble> {
        let wrong = || {
            Trouble::one(format!(
                "--url {:?} is not wss://HOST/PATH, such as wss://play.example.com/connect",
                asked.url
            ))
        };
        let uri: Uri = asked.url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => return Err(wrong()),
        };
        let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = bare(uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let (host, port) = match &asked.via {
            None => (name.clone(), port),
            Some(via) => {
                let parts = via.rsplit_once(':').and_then(|(host, port)| Some((bare(host), port.parse().ok()?)));
                let known = parts.filter(|(host, _): &(String, u16)| !host.is_empty());
                known.ok_or_else(|| Trouble::one(format!("--via {via:?} is not HOST:PORT, such as 192.0.2.7:443")))?
            }
        };
        let trust = if tls { Some(Arc::new(trust(asked.ca.as_deref())?)) } else { None };
        Ok(Probe { url: asked.url.clone(), host, port, name, tls, trust })
    }

    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, Finding> {
        let fix = "make a DNS record for the load balancer or Ingress, or correct the URL";
        match timeout(WITHIN, lookup_host((self.host.as_str(), self.port))).await {
            Ok(Ok(found)) => {
                let addresses: Vec<SocketAddr> = found.take(16).collect();
                if addresses.is_empty() {
                    Err(error(format!("{} has no address", self.host), fix))
                } else {
                    Ok(addresses)
                }
            }
            Ok(Err(why)) => Err(error(format!("{} has no address: {why}", self.host), fix)),
            Err(_) => Err(error(format!("no name server answers for {}", self.host), fix)),
        }
    }

    /// The first address that answers.
    pub async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Finding> {
        let mut last = String::new();
        for address in addresses {
            match timeout(WITHIN, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(why)) => last = format!("{address}: {why}"),
                Err(_) => last = format!("{address}: no answer within {} s", WITHIN.as_secs()),
            }
        }
        let fix = "is the Service, Ingress or HTTPRoute there, and does a firewall let the port through?";
        Err(error(format!("port {} cannot be reached: {last}", self.port), fix))
    }

    pub async fn secure(&self, stream: TcpStream) -> Result<Box<dyn Stream>, Finding> {
        let Some(trust) = &self.trust else { return Ok(Box::new(stream)) };
        let fix = "serve a certificate for this name from a CA that clients know (or name yours with --ca FILE)";
        let name = ServerName::try_from(self.name.clone())
            .map_err(|_| error(format!("{:?} is no name that a certificate can have", self.name), fix))?;
        match timeout(WITHIN, tokio_rustls::TlsConnector::from(trust.clone()).connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(why)) => Err(error(format!("TLS fails: {why}"), fix)),
            Err(_) => Err(error("TLS is not answered: does that port speak it?", fix)),
        }
    }

    pub async fn upgrade(&self, stream: Box<dyn Stream>, origin: Option<&str>) -> Result<Socket, Finding> {
        let request = self.url.as_str().into_client_request();
        let mut request = request.map_err(|why| error(format!("the URL cannot be asked: {why}"), "correct --url"))?;
        let headers = request.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        if let Some(origin) = origin {
            let value = HeaderValue::from_str(origin)
                .map_err(|_| error(format!("{origin:?} is no origin"), "write --origin https://play.example.com"))?;
            headers.insert(ORIGIN, value);
        }
        let config = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
        let upgraded = timeout(WITHIN, client_async_with_config(request, stream, Some(config))).await;
        match upgraded {
            Ok(Ok((socket, response))) => {
                let echoed = response.headers().get(SEC_WEBSOCKET_PROTOCOL).and_then(|v| v.to_str().ok());
                if echoed == Some(PROTOCOL) { Ok(socket) } else { Err(no_protocol()) }
            }
            Ok(Err(Error::Http(response))) => {
                Err(refused(response.status().as_u16(), response.body().as_deref(), origin))
            }
            // The client's own check of what comes back.
            Ok(Err(Error::Protocol(why))) if why.to_string().to_lowercase().contains("subprotocol") => {
                Err(no_protocol())
            }
            Ok(Err(why)) => Err(error(
                format!("it does not upgrade to a WebSocket: {why}"),
                "what stands between must speak HTTP/1.1 and pass Upgrade and Connection on",
            )),
            Err(_) => Err(error("the upgrade is not answered", "is that port a gateway's?")),
        }
    }

    /// What the gateway says first.
    pub async fn greeting(&self, socket: &mut Socket) -> Result<Finding, Finding> {
        let first = async {
            loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                    Some(Ok(Message::Close(frame))) => return Err(format!("it closes: {frame:?}")),
                    Some(Ok(_)) => {}
                    Some(Err(why)) => return Err(why.to_string()),
                    None => return Err("it ends".to_owned()),
                }
            }
        };
        let fix = "does the path lead to a gateway's --connect-path [/connect]?";
        let text = match timeout(WITHIN, first).await {
            Ok(Ok(text)) => text,
            Ok(Err(why)) => return Err(error(format!("nothing is said on it: {why}"), fix)),
            Err(_) => return Err(error("nothing is said on it: a gateway speaks first", fix)),
        };
        let said: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let services = said["services"].as_object().map(serde_json::Map::len);
        match (said["type"].as_str(), services) {
            (Some("service_discovery"), Some(services)) => Ok(Finding::ok(
                AREA,
                format!("a gateway greets, with {services} endpoints for a client without a token"),
            )),
            (Some("closing"), _) => Err(error(format!("the gateway closes: {}", said["reason"]), fix)),
            _ => Err(error("something else than a gateway of bannou.v1 speaks there", fix)),
        }
    }

    /// Says nothing for so long, but for the pongs that every client gives, and then asks whether it is still heard.
    pub async fn idle(&self, socket: &mut Socket, idle: Duration) -> Result<Finding, Finding> {
        let seconds = idle.as_secs();
        let fix = format!(
            "raise the idle time of what stands between above 25 s, the gateway's pings, or shorten those (--ping-seconds) below it; {seconds} s were tried"
        );
        let (began, until) = (Instant::now(), Instant::now() + idle);
        let mut pings = 0u32;
        loop {
            match timeout_at(until, socket.next()).await {
                Err(_) => break,
                Ok(Some(Ok(Message::Ping(_)))) => pings += 1,
                Ok(Some(Ok(Message::Close(frame)))) => {
                    let code = frame.map(|f| u16::from(f.code));
                    return Err(error(
                        format!("it is closed after {} s of silence, with code {code:?}", began.elapsed().as_secs()),
                        fix,
                    ));
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(_)) | None) => {
                    return Err(error(format!("it is cut after {} s of silence", began.elapsed().as_secs()), fix));
                }
            }
        }
        let asked = async {
            socket.send(Message::text(r#"{"type":"ping","id":1}"#)).await.ok()?;
            loop {
                match socket.next().await?.ok()? {
                    Message::Text(text) if text.contains("\"ok\"") => return Some(()),
                    Message::Close(_) => return None,
                    _ => {}
                }
            }
        };
        match timeout(WITHIN, asked).await {
            Ok(Some(())) => {
                Ok(Finding::ok(AREA, format!("after {seconds} s without a word it still answers ({pings} pings came)")))
            }
            _ => Err(error(format!("after {seconds} s of silence nothing passes any more"), fix)),
        }
    }
}

fn no_protocol() -> Finding {
    error(
        "it upgrades, but the subprotocol bannou.v1 does not come back",
        "what stands between must pass Sec-WebSocket-Protocol on, both ways",
    )
}

fn refused(status: u16, body: Option<&[u8]>, origin: Option<&str>) -> Finding {
    let problem: serde_json::Value = body.and_then(|b| serde_json::from_slice(b).ok()).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("without a word of a gateway").to_owned();
    let fix = match (status, origin) {
        (403, Some(origin)) => format!("add {origin} to the Fleet's spec.origins"),
        (404, _) => {
            "correct the path: a gateway's is --connect-path [/connect], and what stands between must pass it on"
                .to_owned()
        }
        (426 | 400 | 405, _) => "what stands between must speak HTTP/1.1 and pass Upgrade and Connection on".to_owned(),
        (502..=504, _) => "is a gateway ready behind it? bannou status".to_owned(),
        _ => "see the log of what answers there".to_owned(),
    };
    error(format!("the upgrade is refused with {status}: {detail}"), fix)
}

fn trust(ca: Option<&[u8]>) -> Result<ClientConfig, Trouble> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = ClientConfig::builder();
    let Some(pem) = ca else {
        let system = builder.with_platform_verifier();
        return Ok(system
            .map_err(|e| Trouble::one(format!("the system's certificates cannot be read: {e}")))?
            .with_no_client_auth());
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| Trouble::one(format!("--ca: not a PEM of certificates: {e}")))?;
        roots.add(certificate).map_err(|e| Trouble::one(format!("--ca: {e}")))?;
    }
    if roots.is_empty() {
        return Err(Trouble::one("--ca: there is no certificate in it"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
