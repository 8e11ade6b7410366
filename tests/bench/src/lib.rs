//! The parts of `make bench`; the test of the gateway's heap uses its catalog, tokens and client too.

mod backend;
pub mod broker;
pub mod catalog;
pub mod client;
mod connects;
mod edits;
pub mod fixture;
pub mod frames;
mod lane;
mod options;
pub mod plain_copy;
mod process;
mod relay;
mod report;
pub mod tungstenite;

pub use options::Options;

/// What ends a measurement: always with a sentence for a person.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Measures everything that the options ask for, prints it and writes it down.
///
/// # Errors
/// A message was lost or changed, or a server ended.
pub fn measure(options: &Options) -> Result<()> {
    let fixture = fixture::Fixture::new()?;
    let _backend = backend::start()?;
    let relay = if options.wants("relay") { relay::measure(options, &fixture)? } else { Vec::new() };
    let connects = if options.wants("connect") { connects::measure(options, &fixture)? } else { Vec::new() };
    let edits = if options.wants("edit") { Some(edits::measure(options)?) } else { None };
    let broker = if options.wants("broker") { Some(broker::measure(options, &fixture)?) } else { None };
    let catalog = if options.wants("catalog") { Some(catalog::measure(options)?) } else { None };
    report::write(options, &relay, &connects, edits.as_ref(), broker.as_ref(), catalog.as_ref())
}
