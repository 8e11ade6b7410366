//! The data plane: each client holds one WebSocket; frames are routed by their header alone.

pub mod auth;
pub mod forward;
pub mod ws;
