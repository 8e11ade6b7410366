//! `bannou-gateway` from arguments to exit.

use std::error::Error;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::app;
use crate::bus::Slot;
use crate::bus::amqp::{Amqp, LOG_FILTER};
use crate::config::{Args, Config, LogFormat, Source};

/// Checks, serves until SIGTERM or SIGINT, leaves.
///
/// # Errors
/// A sentence for the person who started it.
pub fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let args = args.with_file()?;
    let check = args.check_config;
    let (format, filter) = args.log();
    log(format, filter)?;
    let Config { mut options, source, broker, worker_threads } = args.config()?;
    let broker = broker.map(|broker| broker.amqp()).transpose()?;
    let (source, file) = match source {
        Source::Operator(config) => (app::Source::from(config), None),
        Source::File(path) => {
            let (sender, receiver) = watch::channel(Arc::new(app::read_file(&path)?));
            (receiver.into(), Some((path, sender)))
        }
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = worker_threads {
        runtime.worker_threads(threads.max(1));
    }
    runtime.enable_all().build()?.block_on(async {
        if check {
            app::check(options, source)?;
            println!("ok");
            return Ok(());
        }
        if let Some(config) = broker {
            options.bus = Amqp::new(config, Slot::random())?;
        }
        let bound = app::build(options, source).await?;
        let (clients, operations, services) = (bound.client_addr(), bound.admin_addr(), bound.internal_addr());
        let inspect = bound.inspect_addr().map(tracing::field::display);
        tracing::info!(%clients, %operations, %services, inspect, "listening");
        if let Some((path, sender)) = file {
            tokio::spawn(app::follow_file(path, sender, bound.rejected()));
        }
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        bound
            .run(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            })
            .await?;
        Ok(())
    })
}

fn log(format: LogFormat, filter: &str) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("--log {filter:?}: {e}"))?;
    let filter = filter.add_directive(LOG_FILTER.parse()?);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
