//! A binary message as the handler sees it.

use bytes::Bytes;

use super::HEADER;
use super::mask::{extend_unmasked, rotate, unmask};

/// Below this, a copy is cheaper than giving a pooled buffer away.
const WORTH_GIVING: usize = 16 * 1024;

/// The payload of one binary message: mostly a view on the still masked bytes in the reader's scratch buffer, so that
/// unmasking and copying are one pass. Valid only during [`super::Handler::binary`].
#[derive(Debug)]
pub struct Payload<'a>(Form<'a>);

#[derive(Debug)]
enum Form<'a> {
    Masked(&'a [u8], [u8; 4]),
    /// Put together from fragments or from several reads, unmasked as it arrived.
    Assembled(&'a mut Vec<u8>),
}

impl<'a> Payload<'a> {
    pub(super) fn masked(bytes: &'a [u8], mask: [u8; 4]) -> Self {
        Payload(Form::Masked(bytes, mask))
    }

    pub(crate) fn assembled(bytes: &'a mut Vec<u8>) -> Self {
        Payload(Form::Assembled(bytes))
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Masked(bytes, _) => bytes.len(),
            Form::Assembled(bytes) => bytes.len(),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first [`HEADER`] bytes, unmasked; `None` when the message is shorter.
    #[inline]
    pub fn head(&self) -> Option<[u8; HEADER]> {
        match &self.0 {
            Form::Masked(bytes, mask) => {
                let mut head = *bytes.first_chunk::<HEADER>()?;
                unmask(&mut head, *mask);
                Some(head)
            }
            Form::Assembled(bytes) => bytes.first_chunk::<HEADER>().copied(),
        }
    }

    /// The two bytes after the header, unmasked: the status of an `ERROR` frame. `None` when the message is shorter.
    pub fn status(&self) -> Option<u16> {
        let mut both = [0; 2];
        match &self.0 {
            Form::Masked(bytes, mask) => {
                both = *bytes.get(HEADER..)?.first_chunk()?;
                unmask(&mut both, rotate(*mask, HEADER));
            }
            Form::Assembled(bytes) => both.copy_from_slice(bytes.get(HEADER..HEADER + 2)?),
        }
        Some(u16::from_be_bytes(both))
    }

    /// Appends what follows the first `from` bytes (nothing when there are fewer), unmasked.
    #[inline]
    pub fn append_to(&self, from: usize, out: &mut Vec<u8>) {
        match &self.0 {
            Form::Masked(bytes, mask) => {
                extend_unmasked(out, bytes.get(from..).unwrap_or_default(), rotate(*mask, from));
            }
            Form::Assembled(bytes) => out.extend_from_slice(bytes.get(from..).unwrap_or_default()),
        }
    }

    /// What follows the first `from` bytes, unmasked, as a buffer of its own.
    pub fn to_bytes(&self, from: usize) -> Bytes {
        let mut out = Vec::with_capacity(self.len().saturating_sub(from));
        self.append_to(from, &mut out);
        out.into()
    }

    /// Like [`Payload::to_bytes`], but takes the buffer of a large assembled message over instead of copying it.
    pub fn into_bytes(self, from: usize) -> Bytes {
        match self.0 {
            Form::Assembled(bytes) if bytes.len() >= WORTH_GIVING => {
                let whole = Bytes::from(std::mem::take(bytes));
                whole.slice(from.min(whole.len())..)
            }
            form => Payload(form).to_bytes(from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let mask = [9, 8, 7, 6];
        for len in [0, 1, 23, 24, 25, 300, 20_000] {
            let plain: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let mut masked = plain.clone();
            unmask(&mut masked, mask);
            for from in [0, 1, 2, 3, 24, 30] {
                let rest = plain.get(from..).unwrap_or_default();
                let mut whole = plain.clone();
                let forms = [Payload::masked(&masked, mask), Payload::assembled(&mut whole)];
                for form in forms {
                    assert_eq!(form.len(), len);
                    assert_eq!(form.is_empty(), len == 0);
                    assert_eq!(form.head().as_ref().map(|head| &head[..]), plain.get(..HEADER));
                    let mut out = vec![1];
                    form.append_to(from, &mut out);
                    assert_eq!(out[1..], *rest);
                    assert_eq!(form.to_bytes(from), rest);
                    assert_eq!(form.into_bytes(from), rest);
                }
            }
        }
    }
}
