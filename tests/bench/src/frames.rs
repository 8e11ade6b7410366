//! The client's half of the wire: RFC 6455 frames and the 24-byte header, written here a second time on purpose, so that the
//! measurement does not check the gateway with the gateway's own code.

use std::ops::Range;

use crate::Result;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

pub const INBOUND: u64 = 1 << 63;
pub const ONE_WAY: u64 = 1 << 60;

/// Any mask but zero makes the server work; a fixed one lets frames be built before the clock starts.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub type Handle = [u8; 16];

/// `handle ‖ message ID ‖ payload`.
pub fn message(handle: &Handle, id: u64, payload: &[u8]) -> Vec<u8> {
    [handle.as_slice(), &id.to_be_bytes(), payload].concat()
}

/// One whole frame as a client sends it.
pub fn from_client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(opcode, payload.len(), 0x80);
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// One whole frame as a server sends it.
pub fn from_server(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(opcode, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

/// The first whole frame in what a server sent: opcode, where its payload is, and where the next frame begins.
/// `None` while it is incomplete.
///
/// # Errors
/// A fragment, a reserved bit or a mask: nothing of that kind may come from the gateway.
pub fn first(bytes: &[u8]) -> Result<Option<(u8, Range<usize>)>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0xf0 != 0x80 || second & 0x80 != 0 {
        return Err(format!("the server sent a frame that begins {first:02x} {second:02x}").into());
    }
    let (start, length) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
        (126 | 127, _) => return Ok(None),
        (short, _) => (2, u64::from(short)),
    };
    let payload = start..start + usize::try_from(length)?;
    Ok((payload.end <= bytes.len()).then_some((first & 0x0f, payload)))
}

/// The request that opens a connection.
pub fn upgrade(token: Option<&str>) -> String {
    let authorization = token.map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
    format!(
        "GET /connect HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: bannou.v1\r\n{authorization}\r\n"
    )
}

/// Where the frames begin after the answer to [`upgrade`]; `None` while the answer is incomplete.
///
/// # Errors
/// The answer, when it is not 101.
pub fn upgraded(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    if bytes.starts_with(b"HTTP/1.1 101") {
        Ok(Some(end + 4))
    } else {
        Err(format!("the upgrade was refused: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(400)])).into())
    }
}

fn head(opcode: u8, length: usize, mask_bit: u8) -> Vec<u8> {
    let mut head = Vec::with_capacity(length + 14);
    head.push(0x80 | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => head.push(mask_bit | short),
        (_, Ok(medium)) => {
            head.push(mask_bit | 126);
            head.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            head.push(mask_bit | 127);
            head.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_frame_of_each_length_form_is_found_again() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![7; length];
            let frame = from_server(BINARY, &payload);
            let (opcode, range) = first(&frame).unwrap().unwrap();
            assert_eq!((opcode, &frame[range.clone()], range.end), (BINARY, payload.as_slice(), frame.len()));
            assert!(first(&frame[..frame.len() - 1]).unwrap().is_none());
        }
    }

    #[test]
    fn a_client_frame_is_masked() {
        assert_eq!(
            from_client(TEXT, b"abcde"),
            [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, b'a' ^ 0x37, b'b' ^ 0xfa, b'c' ^ 0x21, b'd' ^ 0x3d, b'e' ^ 0x37]
        );
        assert!(first(&from_client(TEXT, b"a")).is_err(), "a server may not mask");
    }
}
