//! The limit that the gateway is measured against: tokio, the same threads, and nothing but `read` and `write`.
//!
//! A connection begins with its number (4 bytes, big-endian); from then on what it sends is copied to the connection whose number
//! differs in the last bit.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;

/// As much as one read may bring; the same as the gateway's, so that neither saves system calls by a larger buffer.
const SCRATCH: usize = 256 * 1024;
const CONNECTIONS: usize = 4096;

type Writers = Arc<Vec<OnceLock<OwnedWriteHalf>>>;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// `copy ADDRESS WORKERS`: serves until killed.
///
/// # Errors
/// Unusable arguments, or the address is taken.
pub fn serve(arguments: &[String]) -> Result<()> {
    let [address, workers] = arguments else { return Err("copy ADDRESS WORKERS".into()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers.parse()?).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address.as_str()).await?;
        let writers: Writers = Arc::new((0..CONNECTIONS).map(|_| OnceLock::new()).collect());
        // Accepting in a task, as every server here does: the thread that blocks on the runtime is none of its workers.
        tokio::spawn(accept(listener, writers)).await?
    })
}

async fn accept(listener: TcpListener, writers: Writers) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let writers = writers.clone();
        tokio::spawn(async move {
            // A connection that fails is seen by the client that counts its messages.
            let _ = copy(stream, writers).await;
        });
    }
}

async fn copy(stream: TcpStream, writers: Writers) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, writer) = stream.into_split();
    let number = reader.read_u32().await? as usize;
    let own = writers.get(number).ok_or("number too high")?;
    own.set(writer).map_err(|_| "number taken")?;
    let Some(partner) = writers.get(number ^ 1) else { return Ok(()) };
    loop {
        let Some(rest) = std::future::poll_fn(|cx| pass_on(&mut reader, partner, cx)).await? else { return Ok(()) };
        let mut rest = rest.as_slice();
        while !rest.is_empty() {
            let to = partner.get().ok_or("no partner")?;
            to.writable().await?;
            rest = &rest[write(to, rest)?..];
        }
    }
}

/// One read, one write: what could not be written, or `None` at the end.
fn pass_on(
    reader: &mut OwnedReadHalf,
    partner: &OnceLock<OwnedWriteHalf>,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Vec<u8>>>> {
    READ.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        // `poll_read`, not `try_read`: after a short read tokio then knows that the socket is empty and saves a system call.
        ready!(Pin::new(reader).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        if bytes.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let to = partner.get().ok_or("no partner")?;
        let written = write(to, bytes)?;
        Poll::Ready(Ok(Some(bytes[written..].to_vec())))
    })
}

fn write(to: &OwnedWriteHalf, bytes: &[u8]) -> Result<usize> {
    match to.try_write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        outcome => Ok(outcome?),
    }
}
