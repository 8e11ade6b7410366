//! `bannou dev FOLDER`: a whole fleet on one machine. No cluster, no broker, no sidecar.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use bannou_gateway::app::{self, Bound, Deposed, Options, StartError};
use bannou_gateway::auth::Secrets;
use bannou_gateway::bus::amqp::{LOG_FILTER, NotAConfig};
use bannou_gateway::forward;
use bannou_gateway::internal::access::digest;
use bannou_gateway::internal::{self, Access, Services};

use tokio::time::{sleep, timeout};

use crate::demo::{APPS, Demo, Voice};
use crate::dev::apps::{App, AppError, by_id};
use crate::dev::bus;
use crate::dev::follow::{FollowError, Follower, News};
use crate::dev::greeting::{self, Apps, Places};
use crate::dev::internal::InternalPort;
use crate::playground::{self, OwnOrigins};

/// How often it looks whether it is ready.
const LOOK: Duration = Duration::from_millis(20);

/// Run a gateway on this machine for the YAML in a folder, with a playground in the browser and demo services behind it.
///
/// Compiles Fleet, AccessTier and ServiceExposure as kubectl would take them, and compiles them again whenever a file
/// changes; what does not compile is told, and the last good state goes on. Listens on 127.0.0.1 alone.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bannou dev examples/quickstart
  bannou dev examples/quickstart --app account=http://127.0.0.1:7001")]
pub struct Args {
    /// The folder with the YAML, such as examples/quickstart
    folder: PathBuf,

    /// For clients and the playground; 0 takes a free one
    #[arg(long, default_value_t = 8080, env = "BANNOU_PORT")]
    port: u16,

    /// For liveness, readiness and metrics; 0 takes a free one
    #[arg(long, default_value_t = 9080, env = "BANNOU_ADMIN_PORT")]
    admin_port: u16,

    /// Where services push to clients and ask them, over HTTP; 0 takes a free one
    #[arg(long, default_value_t = 9081, env = "BANNOU_INTERNAL_PORT")]
    internal_port: u16,

    /// Where `bannou conns --gateway` and its like ask; 0 takes a free one. Without it there is no such port
    #[arg(long, value_name = "PORT", env = "BANNOU_INSPECT_PORT")]
    inspect_port: Option<u16>,

    /// What services show there, as Authorization: Bearer; at least 16 characters. Without it one is made up for this run
    #[arg(long, value_name = "TOKEN", env = "BANNOU_INTERNAL_TOKEN", hide_env_values = true)]
    internal_token: Option<String>,

    /// A RabbitMQ through which services push and ask, such as amqp://guest:guest@127.0.0.1:5672; several nodes of a
    /// cluster can be given. Without one, the bus is inside the process
    #[arg(long, value_name = "URL", env = "BANNOU_BROKER", value_delimiter = ',', hide_env_values = true)]
    broker: Vec<String>,

    /// Your own service for an app-id, in the place of the demo's; can be given several times
    #[arg(long = "app", value_name = "NAME=URL")]
    apps: Vec<App>,

    /// Start no demo services: only --app answers
    #[arg(long)]
    no_demo: bool,

    /// The Fleet to run, where the folder has several
    #[arg(long, value_name = "NAMESPACE/NAME")]
    fleet: Option<String>,

    /// What to log on standard error, as in RUST_LOG: warn, info, bannou_gateway=debug
    #[arg(long, value_name = "FILTER", default_value = "warn", env = "BANNOU_LOG")]
    log: String,
}

#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error("--app: {0}")]
    App(#[from] AppError),
    #[error("--internal-token has at least 16 characters: shorter ones can be guessed")]
    Token,
    #[error("--broker: {0}")]
    Broker(#[from] NotAConfig),
    #[error("--log: {0}; try warn, info or bannou_gateway=debug")]
    Log(String),
    #[error("{folder} does not compile:\n{error}", folder = .folder.display())]
    Folder { folder: PathBuf, error: FollowError },
    #[error("the demo services cannot listen on 127.0.0.1: {0}")]
    Demo(io::Error),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("{0}")]
    Deposed(#[from] Deposed),
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

pub async fn run(args: Args) -> Result<(), DevError> {
    let Args {
        folder,
        port,
        admin_port,
        internal_port,
        inspect_port,
        internal_token,
        broker,
        apps,
        no_demo,
        fleet,
        log,
    } = args;
    let own = by_id(&apps)?;
    // Every process of this machine reaches the port, so also in development nobody speaks there without it.
    let token = internal_token.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
    if token.len() < 16 {
        return Err(DevError::Token);
    }
    log_to_stderr(&log)?;
    // From the first moment on, so that an impatient Ctrl-C is a clean end, too.
    let shutdown = shutdown().map_err(DevError::Signals)?;

    let mut follower =
        Follower::start(&folder, fleet).map_err(|error| DevError::Folder { folder: folder.clone(), error })?;
    let wanted: Vec<&str> =
        if no_demo { Vec::new() } else { APPS.into_iter().filter(|a| !own.contains_key(*a)).collect() };
    let services = InternalPort::new(&token).ok_or(DevError::Token)?;
    let voice = Voice::new(services.clone());
    let demo = Demo::start(&wanted, follower.signer(), Some(voice)).await.map_err(DevError::Demo)?;
    let internal = internal::Options {
        addr: (Ipv4Addr::LOCALHOST, internal_port).into(),
        access: Access::default().with_token(digest(token.as_bytes()), Services::All),
    };
    let bus = match broker.as_slice() {
        [] => bus::local(),
        nodes => bus::over(nodes)?,
    };
    let options = || Options {
        admin_addr: (Ipv4Addr::LOCALHOST, admin_port).into(),
        internal: internal.clone(),
        inspect_port,
        forward: forward::Config { overrides: overrides(&own, &demo), ..forward::Config::default() },
        bus: bus.clone(),
        // Nobody is to wait for a browser tab to leave.
        drain: Duration::ZERO,
        ..Options::default()
    };
    let bound = bind(port, &follower, demo.game, &services, options).await?;
    services.found(format!("http://{}", bound.internal_addr()));

    let catalog = follower.catalogs().borrow().clone();
    let apps = Apps { own: &own, demo: &demo.urls };
    for line in follower.advice().iter().cloned().chain(greeting::warnings(&catalog, &apps)) {
        eprintln!("note: {line}");
    }
    let address = bound.client_addr();
    let (admin, internal, inspect) = (bound.admin_addr(), bound.internal_addr(), bound.inspect_addr());
    let places = Places { admin, internal, token: &token, inspect };
    let awaiting = bound.awaiting();
    let greeting = async {
        // Until it has begun to read, what services send to everybody is not for the clients of this gateway. A broker that
        // cannot be reached keeps nobody from the page: that is told below.
        let _ = timeout(bus::SOON, async {
            while !awaiting().is_empty() {
                sleep(LOOK).await;
            }
        })
        .await;
        say(&format!(
            "playground http://127.0.0.1:{}/\n{}",
            address.port(),
            greeting::text(&catalog, &apps, &folder.display().to_string(), &places)
        ));
        std::future::pending::<()>().await;
    };
    let telling = async {
        loop {
            tell(follower.next().await);
        }
    };
    tokio::select! {
        ended = bound.run(shutdown) => ended?,
        () = telling => {}
        () = greeting => {}
        () = bus::follow(bus.state(), bus::SOON, |news| eprintln!("note: {news}")) => {}
    }
    Ok(())
}

/// With port 0 the origins are not known before there is a port, so one is looked for first; whoever takes it in between
/// costs another try.
async fn bind(
    port: u16,
    follower: &Follower,
    game: Option<SocketAddr>,
    services: &InternalPort,
    options: impl Fn() -> Options,
) -> Result<Bound, DevError> {
    let mut tries = 5;
    loop {
        let chosen = if port == 0 { free_port() } else { port };
        let client_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, chosen));
        let origins = playground::origins_of(client_addr);
        let keyring = follower.keyring();
        let options = Options {
            client_addr,
            extra_routes: playground::router(OwnOrigins::new(origins.clone().into()), game, services.clone()),
            extra_origins: origins,
            secrets: Secrets::Live(Arc::new(move |path| keyring.get(path))),
            ..options()
        };
        match app::build(options, follower.catalogs()).await {
            Err(StartError::Listen { what: "clients", .. }) if port == 0 && tries > 0 => tries -= 1,
            outcome => return Ok(outcome?),
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).map_or(0, |a| a.port())
}

fn overrides(own: &BTreeMap<String, String>, demo: &Demo) -> BTreeMap<String, Uri> {
    let all = demo.urls.iter().chain(own);
    all.filter_map(|(name, url)| Some((name.clone(), Uri::from_str(url).ok()?))).collect()
}

fn tell(news: News) {
    match news {
        News::Applied { changes, advice } => {
            if changes.is_empty() {
                say("recompiled: nothing that clients could notice\n");
            } else {
                say(&format!("recompiled:\n  {}\n", changes.join("\n  ")));
            }
            for line in advice {
                eprintln!("note: {line}");
            }
        }
        News::Refused { problems } => {
            eprintln!("error: this does not compile, the last good state goes on:\n  {}", problems.join("\n  "));
        }
    }
}

/// On standard output, now. A reader who has gone is no reason to end.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn log_to_stderr(filter: &str) -> Result<(), DevError> {
    // What would write messages of services into the log is kept out of it; what the bus waits for is told as a note.
    let filter = format!("{filter},{LOG_FILTER},bannou_gateway::bus::amqp::status=error");
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|e| DevError::Log(e.to_string()))?;
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
    Ok(())
}

/// Ready at Ctrl-C or SIGTERM. A second one ends the process at once.
pub fn shutdown() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    })
}
