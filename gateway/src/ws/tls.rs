//! rustls driven by hand: the connection sits under the writer's lock, ciphertext moves between it and the socket here.

use std::io::{self, Read, Write};

use rustls::ServerConnection;
use tokio::net::tcp::OwnedWriteHalf;

/// The record layer of one connection.
#[derive(Debug)]
pub struct Tls {
    connection: Box<ServerConnection>,
    /// Plaintext that went in and whose ciphertext has not all reached the kernel.
    absorbed: usize,
}

/// What [`Tls::decrypt`] found besides plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// This many bytes; more may follow without another read.
    Some(usize),
    /// The peer ended its side in good order.
    Closed,
}

impl Tls {
    pub fn new(connection: Box<ServerConnection>) -> Self {
        Tls { connection, absorbed: 0 }
    }

    /// Bytes that count as queued although they left the out-buffer.
    pub fn pending(&self) -> usize {
        // Records of rustls' own (tickets, key updates, alerts) have no plaintext, yet must be flushed.
        self.absorbed.max(usize::from(self.connection.wants_write()))
    }

    /// Encrypts and writes as much of `plain` as buffers and socket take: how much is gone from `plain`.
    pub fn write(&mut self, plain: &[u8], socket: &OwnedWriteHalf) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            while self.connection.wants_write() {
                match self.connection.write_tls(&mut TryWrite(socket)) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(taken),
                    Err(error) => return Err(error),
                }
            }
            self.absorbed = 0;
            if taken == plain.len() {
                return Ok(taken);
            }
            // rustls takes as much as its buffer limit (64 KiB) allows.
            let now = self.connection.writer().write(&plain[taken..])?;
            if now == 0 {
                return Ok(taken);
            }
            taken += now;
            self.absorbed = now;
        }
    }

    /// Decrypts from the front of `cipher` until it is used up or `plain` is full.
    pub fn decrypt(&mut self, cipher: &mut &[u8], plain: &mut [u8]) -> io::Result<Plain> {
        let mut filled = 0;
        loop {
            match self.connection.reader().read(&mut plain[filled..]) {
                Ok(0) if filled < plain.len() => {
                    return Ok(if filled > 0 { Plain::Some(filled) } else { Plain::Closed });
                }
                Ok(now) => filled += now,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if filled == plain.len() || (cipher.is_empty() && !self.has_plaintext()?) {
                return Ok(Plain::Some(filled));
            }
            if !cipher.is_empty() {
                self.connection.read_tls(cipher)?;
                self.process()?;
            }
        }
    }

    /// Queues the alert that says nothing more will follow.
    pub fn close_notify(&mut self) {
        self.connection.send_close_notify();
    }

    fn has_plaintext(&mut self) -> io::Result<bool> {
        Ok(self.process()?.plaintext_bytes_to_read() > 0)
    }

    fn process(&mut self) -> io::Result<rustls::IoState> {
        self.connection.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// The socket as a writer that says `WouldBlock`.
struct TryWrite<'a>(&'a OwnedWriteHalf);

impl Write for TryWrite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
