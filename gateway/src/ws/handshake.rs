//! The HTTP side of the upgrade: what a request must say, what is answered, and how the raw transport comes out of hyper.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::Transport;

/// Appended to the client's key before hashing (RFC 6455 section 1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request is not a WebSocket handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("only GET can be upgraded")]
    Method,
    #[error("this is a WebSocket endpoint: HTTP/1.1 with `Connection: Upgrade` and `Upgrade: websocket` is needed")]
    NotUpgrade,
    #[error("WebSocket version 13 is needed")]
    Version,
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
}

impl Refusal {
    /// A word for logs and metric labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Method => "method",
            Refusal::NotUpgrade => "not_upgrade",
            Refusal::Version => "version",
            Refusal::Key => "key",
        }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::NotUpgrade | Refusal::Version => StatusCode::UPGRADE_REQUIRED,
            Refusal::Key => StatusCode::BAD_REQUEST,
        }
    }

    /// The answer: status, what to do instead in its headers, and the message as text.
    pub fn response<B: From<String>>(&self) -> Response<B> {
        let mut response = Response::new(B::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        match self {
            Refusal::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            Refusal::NotUpgrade | Refusal::Version => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Refusal::Key => {}
        }
        response
    }
}

/// A request that may be upgraded.
#[derive(Clone, Debug)]
pub struct Offer {
    accept: HeaderValue,
}

/// Checks the headers of an upgrade request.
pub fn check(request: &Parts) -> Result<Offer, Refusal> {
    if request.method != Method::GET {
        return Err(Refusal::Method);
    }
    let headers = &request.headers;
    if request.version != Version::HTTP_11
        || !has_token(headers, CONNECTION, "upgrade")
        || !has_token(headers, UPGRADE, "websocket")
    {
        return Err(Refusal::NotUpgrade);
    }
    if only(headers, SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
        return Err(Refusal::Version);
    }
    let key = only(headers, SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?.as_bytes();
    match STANDARD.decode(key) {
        Ok(nonce) if nonce.len() == 16 => Ok(Offer { accept: accept_key(key)? }),
        _ => Err(Refusal::Key),
    }
}

impl Offer {
    /// The 101 answer. `protocol` is the one chosen of [`protocols`], if any; it must be a token.
    pub fn response<B: Default>(self, protocol: Option<&'static str>) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        response
    }
}

/// The subprotocols a client offers, in its order, over all header lines.
pub fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    tokens(headers, SEC_WEBSOCKET_PROTOCOL)
}

/// Takes the raw transport out of hyper, with what hyper had read past the request. Gives `upgraded` back when it is
/// neither `TokioIo<TcpStream>` nor `TokioIo<TlsStream<TcpStream>>` (hyper's `http1::Builder` keeps these types;
/// hyper-util's `auto` wraps them).
pub fn transport(upgraded: Upgraded) -> Result<(Transport, Bytes), Upgraded> {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return Ok((Transport::Tcp(parts.io.into_inner()), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    let parts = upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>()?;
    let (stream, connection) = parts.io.into_inner().into_inner();
    Ok((Transport::Tls(stream, Box::new(connection)), parts.read_buf))
}

fn accept_key(key: &[u8]) -> Result<HeaderValue, Refusal> {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    HeaderValue::try_from(STANDARD.encode(digest)).map_err(|_| Refusal::Key)
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn good() -> Vec<(&'static str, &'static str)> {
        vec![
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
    }

    fn request(method: Method, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/connect");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_example_of_the_rfc() {
        let offer = check(&request(Method::GET, &good())).unwrap();
        let response: Response<String> = offer.response(Some("bannou.v1"));
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()["sec-websocket-protocol"], "bannou.v1");
        let plain: Response<String> = check(&request(Method::GET, &good())).unwrap().response(None);
        assert!(!plain.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn what_is_refused_and_how() {
        let without = |name: &str| good().into_iter().filter(|(n, _)| *n != name).collect::<Vec<_>>();
        let with = |name: &'static str, value: &'static str| {
            let mut headers = without(name);
            headers.push((name, value));
            headers
        };
        let mut twice = good();
        twice.push(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="));
        let cases = [
            (without("connection"), Refusal::NotUpgrade, 426),
            (with("connection", "close"), Refusal::NotUpgrade, 426),
            (without("upgrade"), Refusal::NotUpgrade, 426),
            (with("upgrade", "h2c"), Refusal::NotUpgrade, 426),
            (without("sec-websocket-version"), Refusal::Version, 426),
            (with("sec-websocket-version", "8"), Refusal::Version, 426),
            (without("sec-websocket-key"), Refusal::Key, 400),
            (with("sec-websocket-key", "c2hvcnQ="), Refusal::Key, 400),
            (with("sec-websocket-key", "not base64 at all!!!!!=="), Refusal::Key, 400),
            (twice, Refusal::Key, 400),
        ];
        for (headers, refusal, status) in cases {
            assert_eq!(check(&request(Method::GET, &headers)).unwrap_err(), refusal, "{headers:?}");
            let response: Response<String> = refusal.response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key("upgrade"), status == 426);
        }
        assert_eq!(check(&request(Method::POST, &good())).unwrap_err(), Refusal::Method);
        let mut old = request(Method::GET, &good());
        old.version = Version::HTTP_10;
        assert_eq!(check(&old).unwrap_err(), Refusal::NotUpgrade);
    }

    #[test]
    fn subprotocols_over_all_lines() {
        let parts = request(
            Method::GET,
            &[
                ("sec-websocket-protocol", "bannou.v1, bannou.resume"),
                ("sec-websocket-protocol", " bannou.bearer.x.y.z,"),
            ],
        );
        let offered: Vec<&str> = protocols(&parts.headers).collect();
        assert_eq!(offered, ["bannou.v1", "bannou.resume", "bannou.bearer.x.y.z"]);
    }
}
