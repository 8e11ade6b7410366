//! The 24 bytes before every payload, and which combinations of flags a client may send.

use crate::handle::Handle;

pub const HEADER_LEN: usize = 24;

pub const INBOUND: u64 = 1 << 63;
pub const ERROR: u64 = 1 << 62;
pub const MORE: u64 = 1 << 61;
pub const ONE_WAY: u64 = 1 << 60;
pub const LOGGED: u64 = 1 << 59;
/// The low 56 bits: the exchange number.
pub const NUMBER: u64 = (1 << 56) - 1;

/// The status that cancels.
pub const CANCELLED: u16 = 499;

/// `[handle: 16 bytes][Message ID: 8 bytes, big-endian]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub handle: Handle,
    pub id: u64,
}

impl Header {
    pub fn read(bytes: &[u8; HEADER_LEN]) -> Header {
        let (mut handle, mut id) = ([0u8; 16], [0u8; 8]);
        handle.copy_from_slice(&bytes[..16]);
        id.copy_from_slice(&bytes[16..]);
        Header { handle, id: u64::from_be_bytes(id) }
    }

    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0u8; HEADER_LEN];
        bytes[..16].copy_from_slice(&self.handle);
        bytes[16..].copy_from_slice(&self.id.to_be_bytes());
        bytes
    }

    pub fn number(self) -> u64 {
        self.id & NUMBER
    }
}

/// What a frame of a client is, by its flags alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromClient {
    Request,
    OneWay,
    /// `ERROR`, which from the starter of an exchange may only carry status 499: a cancel.
    Cancel,
    /// Part or end of an answer to an exchange that a peer started.
    Answer {
        error: bool,
    },
    /// The answer to a service's request; the handle is an event's.
    LoggedAnswer {
        error: bool,
    },
}

impl FromClient {
    /// `None`: a combination that no client may send, a reserved bit among them.
    pub fn of(id: u64) -> Option<FromClient> {
        const INBOUND_ERROR: u64 = INBOUND | ERROR;
        const INBOUND_MORE: u64 = INBOUND | MORE;
        const INBOUND_LOGGED: u64 = INBOUND | LOGGED;
        const INBOUND_LOGGED_ERROR: u64 = INBOUND | LOGGED | ERROR;
        match id & !NUMBER {
            0 => Some(FromClient::Request),
            ONE_WAY => Some(FromClient::OneWay),
            ERROR => Some(FromClient::Cancel),
            INBOUND | INBOUND_MORE => Some(FromClient::Answer { error: false }),
            INBOUND_ERROR => Some(FromClient::Answer { error: true }),
            INBOUND_LOGGED => Some(FromClient::LoggedAnswer { error: false }),
            INBOUND_LOGGED_ERROR => Some(FromClient::LoggedAnswer { error: true }),
            _ => None,
        }
    }

    /// Whether its payload must begin with a status.
    pub fn has_status(self) -> bool {
        matches!(
            self,
            FromClient::Cancel | FromClient::Answer { error: true } | FromClient::LoggedAnswer { error: true }
        )
    }

    /// The Message ID of a failure that ends this exchange for its sender; `None` where nothing may be answered.
    pub fn failure_id(self, id: u64) -> Option<u64> {
        match self {
            FromClient::Request => Some(ERROR | id & NUMBER),
            FromClient::Answer { .. } => Some(INBOUND | ERROR | id & NUMBER),
            FromClient::LoggedAnswer { .. } => Some(INBOUND | LOGGED | ERROR | id & NUMBER),
            FromClient::OneWay | FromClient::Cancel => None,
        }
    }
}

/// The names of the flags that are set, for logs and errors.
pub fn flag_names(id: u64) -> String {
    let named = [(INBOUND, "INBOUND"), (ERROR, "ERROR"), (MORE, "MORE"), (ONE_WAY, "ONE_WAY"), (LOGGED, "LOGGED")];
    let mut names: Vec<&str> = named.iter().filter(|(bit, _)| id & bit != 0).map(|(_, name)| *name).collect();
    if id & (7 << 56) != 0 {
        names.push("reserved bits");
    }
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The table of `docs/protocol.md`, written out: every one of the 256 high bytes.
    #[test]
    fn legal_flags() {
        for high in 0..=255u64 {
            let legal = [0x00, 0x10, 0x40, 0x80, 0xA0, 0xC0, 0x88, 0xC8].contains(&high);
            assert_eq!(FromClient::of(high << 56 | 7).is_some(), legal, "{high:#04x}");
        }
    }

    #[test]
    fn nothing_that_wants_no_answer_gets_one() {
        assert_eq!(FromClient::OneWay.failure_id(ONE_WAY | 3), None);
        assert_eq!(FromClient::Cancel.failure_id(ERROR | 3), None);
        assert_eq!(FromClient::Request.failure_id(3), Some(ERROR | 3));
        assert_eq!(FromClient::Answer { error: false }.failure_id(INBOUND | MORE | 3), Some(INBOUND | ERROR | 3));
    }

    proptest! {
        #[test]
        fn there_and_back(bytes in prop::array::uniform24(any::<u8>())) {
            prop_assert_eq!(Header::read(&bytes).to_bytes(), bytes);
        }
    }
}
