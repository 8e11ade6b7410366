//! Frame headers, both ways, and close codes. Pure.

use super::decode::Violation;

/// The longest header of a client's frame: two bytes, eight of length, four of mask.
pub const MAX_HEADER: usize = 14;
/// The longest payload of a control frame.
pub const MAX_CONTROL: usize = 125;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The header of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub fin: bool,
    pub opcode: Opcode,
    pub mask: [u8; 4],
    pub len: u64,
}

/// Reads a client's frame header from the front of `bytes`: the header and its size, or `None` when more bytes are
/// needed. What can be refused by the bytes at hand is refused at once.
#[inline]
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(Violation::protocol("reserved bits set"));
    }
    let fin = first & 0x80 != 0;
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(Violation::protocol("reserved opcode")),
    };
    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return Err(Violation::protocol("frame without a mask"));
    }
    let short = second & 0x7f;
    if opcode.is_control() {
        if !fin {
            return Err(Violation::protocol("fragmented control frame"));
        }
        if short as usize > MAX_CONTROL {
            return Err(Violation::protocol("control frame too long"));
        }
    }
    let (len, at) = match short {
        126 => {
            let Some(long) = bytes.get(2..4).and_then(|b| b.try_into().ok()) else {
                return Ok(None);
            };
            let len = u16::from_be_bytes(long);
            if len < 126 {
                return Err(Violation::protocol("length not minimal"));
            }
            (u64::from(len), 4)
        }
        127 => {
            let Some(long) = bytes.get(2..10).and_then(|b| b.try_into().ok()) else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(long);
            if len >> 63 != 0 {
                return Err(Violation::protocol("length with its top bit set"));
            }
            if len <= u64::from(u16::MAX) {
                return Err(Violation::protocol("length not minimal"));
            }
            (len, 10)
        }
        short => (u64::from(short), 2),
    };
    match bytes.get(at..at + 4).and_then(|b| b.try_into().ok()) {
        Some(mask) => Ok(Some((Header { fin, opcode, mask, len }, at + 4))),
        None => Ok(None),
    }
}

/// The size of the header of a server's frame with `len` bytes of payload.
#[inline]
pub fn header_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Appends the header of a server's unfragmented frame.
#[inline]
pub fn put_header(out: &mut Vec<u8>, opcode: Opcode, len: usize) {
    let first = 0x80 | opcode as u8;
    match len {
        0..=125 => out.extend_from_slice(&[first, len as u8]),
        126..=0xffff => {
            let [a, b] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, a, b]);
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// Whether a close frame may carry this code on the wire (RFC 6455 section 7.4 and the IANA registry).
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// As much of `reason` as fits a close frame beside its code.
pub fn close_reason(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client_header(first: u8, len: u64, width: u8) -> Vec<u8> {
        let mut bytes = vec![first];
        match width {
            0 => bytes.push(0x80 | len as u8),
            2 => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&len.to_be_bytes());
            }
        }
        bytes.extend_from_slice(&[1, 2, 3, 4]);
        bytes
    }

    fn refused(bytes: &[u8]) -> &'static str {
        parse(bytes).expect_err("must be refused").reason
    }

    #[test]
    fn lengths_at_their_borders() {
        for (len, width) in [(0, 0), (125, 0), (126, 2), (0xffff, 2), (0x1_0000, 8), (u64::MAX >> 1, 8)] {
            let bytes = client_header(0x82, len, width);
            let (header, size) = parse(&bytes).unwrap().unwrap();
            assert_eq!(header, Header { fin: true, opcode: Opcode::Binary, mask: [1, 2, 3, 4], len });
            assert_eq!(size, bytes.len());
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(refused(&client_header(0x82, 125, 2)), "length not minimal");
        assert_eq!(refused(&client_header(0x82, 0xffff, 8)), "length not minimal");
        assert_eq!(refused(&client_header(0x82, 1 << 63, 8)), "length with its top bit set");
        assert_eq!(refused(&[0x82, 0x05]), "frame without a mask");
        for rsv in [0x40, 0x20, 0x10] {
            assert_eq!(refused(&[0x82 | rsv]), "reserved bits set");
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            assert_eq!(refused(&[0x80 | opcode]), "reserved opcode");
        }
        for opcode in [8, 9, 10] {
            assert_eq!(refused(&[opcode, 0x80]), "fragmented control frame");
            assert_eq!(refused(&[0x80 | opcode, 0x80 | 126]), "control frame too long");
            assert_eq!(refused(&[0x80 | opcode, 0x80 | 127]), "control frame too long");
        }
    }

    #[test]
    fn close_codes() {
        let allowed: Vec<u16> = (0..=u16::MAX).filter(|code| is_close_code(*code)).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(allowed, expected);
        assert_eq!(close_reason("short"), "short");
        assert_eq!(close_reason(&"ä".repeat(100)), "ä".repeat(61));
    }

    proptest! {
        #[test]
        fn server_headers_are_minimal(len in prop_oneof![0usize..200, 65_000usize..66_000, any::<u32>().prop_map(|n| n as usize)]) {
            let mut out = Vec::new();
            put_header(&mut out, Opcode::Binary, len);
            prop_assert_eq!(out.len(), header_len(len));
            // As a client would read it: the same bytes with a mask put in are accepted, so they are minimal and right.
            out[1] |= 0x80;
            out.extend_from_slice(&[0; 4]);
            let (header, size) = parse(&out).unwrap().unwrap();
            prop_assert_eq!((header.len, size), (len as u64, out.len()));
        }
    }
}
