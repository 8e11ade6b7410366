//! How a gateway leaves whose sessions are all over.

use crate::bus::alive::Alive;
use crate::bus::records::{ControlRecord, message};
use crate::bus::{Bus, Log, To, Unpublished};

/// Called when every session of this gateway is closed, nobody can come back to one, and no more beacons are sent. Where
/// sessions may still come back, nothing is said: the others see the silence and wait for the resume window.
///
/// A living gateway takes over from here and answers what arrives last; without one the log goes at once.
///
/// # Errors
/// The bus does not take it: then the silence says the same, later.
pub async fn leave(bus: &dyn Bus, alive: &Alive) -> Result<(), Unpublished> {
    let slot = bus.slot();
    let others = alive.live().iter().any(|(other, _)| *other != slot);
    let record = if others {
        ControlRecord::Left { slot }
    } else {
        bus.delete(slot).await?;
        ControlRecord::Deleted { slot }
    };
    bus.publish(To::Log(Log::Control), message(&record))?.await
}
