//! Requests through real sidecars to real services, as a client of the real gateway sees them, and the same to a plain HTTP
//! service without a sidecar.

mod exchanges;
mod faults;
mod headers;
mod limits;
mod once;
mod paths;
mod statuses;
mod world;
