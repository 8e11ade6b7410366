//! `bannou-operator` from arguments to exit.

use std::error::Error;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tracing_subscriber::EnvFilter;

use crate::app;
use crate::config::{Args, LogFormat};

/// Checks, runs until SIGTERM or SIGINT, lets go of the lease.
///
/// # Errors
/// A sentence for the person who started it.
pub fn run(args: Args) -> Result<(), Box<dyn Error>> {
    log(args.log_format, &args.log)?;
    // The one provider of the process, before anybody asks for it. Set already: it is the same one.
    let _ = aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let bound = app::bind(args).await?;
        let (gateways, operations) = (bound.push_addr(), bound.admin_addr());
        tracing::info!(%gateways, %operations, "listening");
        let (stop, stopped) = watch::channel(false);
        let told = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("told to end");
            stop.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = bound.run(stopped) => {}
            () = told => {}
        }
        Ok(())
    })
}

fn log(format: LogFormat, filter: &str) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("--log {filter:?}: {e}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
