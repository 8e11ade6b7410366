//! One connection to one node: made within a time, ended for certain.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::{AsyncTcpStream, RustlsConnector};
use lapin::types::LongString;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::config::{AmqpConfig, NotAConfig};
use super::fault::{Fault, within};
use crate::bus::Slot;

/// An open connection. Dropping it closes it, also when nobody answers any more.
pub struct Conn {
    inner: Connection,
    /// Which of the configured nodes.
    pub node: usize,
    call: Duration,
    health: Arc<watch::Sender<Health>>,
    plug: Plug,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why it is of no use any more.
    pub ended: Option<Fault>,
    /// Why the broker takes no publishes.
    pub blocked: Option<String>,
}

/// A second handle on the socket. lapin's thread goes on for as long as its socket does, which is for ever where the other side
/// is silent before it has shaken hands, and a quarter of an hour where it is silent after.
#[derive(Clone, Default)]
struct Plug(Arc<Mutex<Socket>>);

#[derive(Default)]
struct Socket {
    stream: Option<std::net::TcpStream>,
    pulled: bool,
}

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often a connection is looked at that says nothing.
const LOOK: Duration = Duration::from_millis(500);

/// Makes connections.
pub struct Dialer {
    pub config: AmqpConfig,
    slot: Slot,
    tls: Option<RustlsConnector>,
}

impl Dialer {
    /// # Errors
    /// Of what TLS needs.
    pub fn new(config: AmqpConfig, slot: Slot) -> Result<Dialer, NotAConfig> {
        let tls = config.connector()?;
        Ok(Dialer { config, slot, tls })
    }

    /// Connects to a node; the broker shows what `use_` it is for.
    ///
    /// # Errors
    /// After `timeouts.connect` at the latest.
    pub async fn dial(&self, node: usize, use_: &str) -> Result<Arc<Conn>, Fault> {
        let (plug, timeouts) = (Plug::default(), &self.config.timeouts);
        let name = format!("bannou-gateway {} {use_}", self.slot);
        let connecting = connect(&self.config, self.tls.as_ref(), node, name, plug.clone());
        match within(timeouts.connect, "the connection", connecting).await {
            Ok(inner) => {
                let health = watch_over(&inner);
                Ok(Arc::new(Conn { inner, node, call: timeouts.call, health, plug }))
            }
            Err(fault) => {
                plug.pull();
                Err(fault)
            }
        }
    }
}

async fn connect(
    config: &AmqpConfig,
    tls: Option<&RustlsConnector>,
    node: usize,
    name: String,
    plug: Plug,
) -> Result<Connection, Fault> {
    let at = &config.nodes[node];
    let addresses: Vec<_> = tokio::net::lookup_host((at.host.as_str(), at.port))
        .await
        .map_err(|e| Fault::Broken(format!("no address: {}", e.kind())))?
        .collect();
    let heartbeat = u16::try_from(config.timeouts.heartbeat.as_secs()).unwrap_or(u16::MAX).max(1);
    let uri = AMQPUri {
        scheme: AMQPScheme::AMQP, // TLS is put below it here
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: config.login.user.clone(), password: config.login.password.clone() },
            host: at.host.clone(),
            port: at.port,
        },
        vhost: config.vhost.clone(),
        query: AMQPQueryString { heartbeat: Some(heartbeat), ..AMQPQueryString::default() },
    };
    let connector = match (at.tls, tls) {
        (false, _) => None,
        (true, Some(tls)) => Some(tls.clone()),
        (true, None) => return Err(Fault::Broken("TLS is not set up".to_owned())),
    };
    let (host, limit) = (at.host.clone(), config.timeouts.connect);
    let runtime = lapin::runtime::default_runtime()?;
    let reactor = runtime.clone();
    let open = async move |_: AMQPUri, _| {
        let stream = tokio::time::timeout(limit, AsyncTcpStream::connect(&reactor, addresses.clone()))
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        if let AsyncTcpStream::Plain(plain) = &stream {
            plug.insert(plain.get_ref())?;
        }
        match &connector {
            None => Ok(stream),
            Some(connector) => Ok(stream.into_rustls(connector, &host).await?),
        }
    };
    let properties = ConnectionProperties::default().with_connection_name(LongString::from(name));
    Ok(Connection::connector(uri, runtime, open, properties).await?)
}

impl Plug {
    fn insert(&self, socket: &tokio::net::TcpStream) -> std::io::Result<()> {
        let mut held = self.0.lock();
        let socket = socket2::SockRef::from(socket);
        if held.pulled {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        socket.set_tcp_nodelay(true)?;
        held.stream = Some(socket.try_clone()?.into());
        Ok(())
    }

    fn pull(&self) {
        let mut held = self.0.lock();
        held.pulled = true;
        if let Some(stream) = held.stream.take() {
            // Gone already: just as well.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let plug = self.plug.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(GOODBYE).await;
                plug.pull();
            })),
            Err(_) => plug.pull(),
        }
    }
}

impl Conn {
    /// # Errors
    /// Also when the broker is silent.
    pub async fn channel(&self) -> Result<Channel, Fault> {
        self.call("channel.open", self.inner.create_channel()).await
    }

    /// A call on one of its channels, for at most `timeouts.call`.
    pub async fn call<T>(&self, what: &'static str, call: impl Future<Output = lapin::Result<T>>) -> Result<T, Fault> {
        within(self.call, what, call).await
    }

    /// Follows how it is.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Others shall not use it any more.
    pub fn condemn(&self, why: Fault) {
        self.health.send_modify(|health| {
            health.ended.get_or_insert(why);
        });
    }

    /// Ready when it is of no use any more.
    pub async fn ended(&self) -> Fault {
        let mut health = self.health();
        let ended = match health.wait_for(|health| health.ended.is_some()).await {
            Ok(health) => health.ended.clone(),
            Err(_) => None,
        };
        ended.unwrap_or_else(|| Fault::Broken("closed".to_owned()))
    }
}

/// Follows a connection until it ends or is dropped.
fn watch_over(connection: &Connection) -> Arc<watch::Sender<Health>> {
    let sender = Arc::new(watch::Sender::new(Health::default()));
    let mut events = Box::pin(connection.events_listener());
    let (status, watched) = (connection.status().clone(), Arc::downgrade(&sender));
    tokio::spawn(async move {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = look.tick() => if status.connected() { Some(Event::Connected) } else { None },
            };
            let Some(health) = watched.upgrade() else { return };
            let ended = match event {
                Some(Event::ConnectionBlocked(why)) => {
                    health.send_modify(|health| health.blocked = Some(why));
                    continue;
                }
                Some(Event::ConnectionUnblocked) => {
                    health.send_modify(|health| health.blocked = None);
                    continue;
                }
                Some(Event::Error(error)) => Fault::from(error),
                Some(_) => continue,
                None => Fault::Broken("closed".to_owned()),
            };
            // What ends one channel alone is the business of those who use it.
            if !ended.of_the_channel() || !status.connected() {
                health.send_modify(|health| {
                    health.ended.get_or_insert(ended);
                });
                return;
            }
        }
    });
    sender
}
