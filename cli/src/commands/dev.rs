//! (room to come)

#[derive(clap::Args)]
pub struct Args {}

#[derive(Debug, thiserror::Error)]
pub enum DevError {}

pub async fn run(_: Args) -> Result<(), DevError> {
    Ok(())
}
