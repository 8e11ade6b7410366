//! Clients that take pushes and answer requests with what they were asked.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};

use super::clock;
use crate::Result;
use crate::client::Client;
use crate::frames;

const HEADER: usize = 24;
const ERROR: u64 = 1 << 62;
const ONE_WAY: u64 = 1 << 60;
/// As many as one run sends.
const ARRIVALS: usize = 200_000;

pub struct Clients {
    pub ids: Vec<String>,
    arrivals: Mutex<mpsc::Receiver<f64>>,
}

impl Clients {
    /// # Errors
    /// The gateway refuses.
    pub async fn connect(address: SocketAddr, count: usize) -> Result<Clients> {
        let (arrived, arrivals) = mpsc::channel(ARRIVALS);
        let mut ids = Vec::new();
        for _ in 0..count {
            let client = tokio::task::spawn_blocking(move || Client::connect(address, None)).await??;
            ids.push(client.discovery.client_id.clone());
            let stream = client.into_stream()?;
            stream.set_nonblocking(true)?;
            let serving = serve(TcpStream::from_std(stream)?, arrived.clone());
            tokio::spawn(async move {
                if let Err(error) = serving.await {
                    eprintln!("a client ended: {error}");
                }
            });
        }
        Ok(Clients { ids, arrivals: Mutex::new(arrivals) })
    }

    /// µs of so many pushes from publish to arrival.
    ///
    /// # Errors
    /// They do not come.
    pub async fn take(&self, count: u64) -> Result<Vec<f64>> {
        let mut arrivals = self.arrivals.lock().await;
        let mut all = Vec::new();
        while (all.len() as u64) < count {
            let next = tokio::time::timeout(Duration::from_secs(30), arrivals.recv()).await;
            all.push(next.map_err(|_| format!("{} of {count} pushes arrived", all.len()))?.ok_or("no clients")?);
        }
        Ok(all)
    }
}

async fn serve(mut stream: TcpStream, arrived: mpsc::Sender<f64>) -> Result<()> {
    let mut inbox = Vec::with_capacity(64 * 1024);
    loop {
        if stream.read_buf(&mut inbox).await? == 0 {
            return Ok(());
        }
        let (mut at, mut answers) = (0, Vec::new());
        while let Some((opcode, range)) = frames::first(&inbox[at..])? {
            let payload = &inbox[at..][range.clone()];
            match opcode {
                frames::BINARY if payload.len() >= HEADER => {
                    let id = payload[16..HEADER].first_chunk::<8>().map_or(0, |id| u64::from_be_bytes(*id));
                    if id & ERROR != 0 {
                        return Err(format!("an answer came too late: {}", String::from_utf8_lossy(payload)).into());
                    }
                    if id & ONE_WAY != 0 {
                        arrived.try_send(clock::since(&payload[HEADER..])?)?;
                    } else {
                        answers.extend(frames::from_client(frames::BINARY, payload));
                    }
                }
                frames::PING => answers.extend(frames::from_client(frames::PONG, payload)),
                frames::TEXT => {}
                other => return Err(format!("opcode {other}: {:?}", String::from_utf8_lossy(payload)).into()),
            }
            at += range.end;
        }
        inbox.drain(..at);
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
        }
    }
}
