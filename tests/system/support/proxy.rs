//! A way to a server that can fail: nothing passes, or everything is reset.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Open,
    /// What is sent is taken and goes nowhere; connections stay, and new ones are taken.
    BlackHole,
    /// All connections are reset, new ones right after they were accepted.
    Reset,
}

pub struct Proxy {
    pub port: u16,
    way: watch::Sender<Way>,
    accepted: watch::Sender<usize>,
}

impl Proxy {
    /// Listens on a port of its own until it is dropped; connections end with it.
    pub async fn to(target: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, accepted) = (watch::Sender::new(Way::Open), watch::Sender::new(0));
        let (follow, count) = (way.subscribe(), accepted.clone());
        tokio::spawn(async move {
            let mut end = follow.clone();
            loop {
                tokio::select! {
                    client = listener.accept() => {
                        let Ok((client, _)) = client else { return };
                        count.send_modify(|n| *n += 1);
                        tokio::spawn(carry(client, SocketAddr::from((Ipv4Addr::LOCALHOST, target)), follow.clone()));
                    }
                    changed = end.changed() => if changed.is_err() { return },
                }
            }
        });
        Proxy { port, way, accepted }
    }

    pub fn turn(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// How many connections were accepted by now.
    pub fn accepted(&self) -> usize {
        *self.accepted.borrow()
    }

    /// Until so many were accepted.
    pub async fn accepts(&self, count: usize) {
        let mut accepted = self.accepted.subscribe();
        let wait = accepted.wait_for(|&n| n >= count);
        tokio::time::timeout(super::process::PATIENCE, wait).await.expect("no more connections").unwrap();
    }
}

async fn carry(client: TcpStream, target: SocketAddr, mut way: watch::Receiver<Way>) {
    if *way.borrow() == Way::Reset {
        return reset(client);
    }
    if way.wait_for(|&way| way != Way::BlackHole).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return reset(client) };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let up = tokio::spawn(pump(from_client, to_server, way.clone()));
    let down = tokio::spawn(pump(from_server, to_client, way));
    let (up, down) = (up.await.unwrap(), down.await.unwrap());
    if let (Some((client, to_server)), Some((server, to_client))) = (up, down) {
        reset(client.reunite(to_client).unwrap());
        reset(server.reunite(to_server).unwrap());
    }
}

/// `Some` when it shall be reset.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
) -> Option<(OwnedReadHalf, OwnedWriteHalf)> {
    let mut buffer = vec![0; 65536];
    loop {
        let now = *way.borrow_and_update();
        let read = tokio::select! {
            read = from.read(&mut buffer), if now == Way::Open => read,
            changed = way.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return None,
            },
            () = std::future::ready(()), if now == Way::Reset => return Some((from, to)),
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(n) => to.write_all(&buffer[..n]).await.ok()?,
        }
    }
    let _ = to.shutdown().await;
    None
}

fn reset(stream: TcpStream) {
    // Without a linger the end of a socket is a reset.
    let _ = stream.set_zero_linger();
}
