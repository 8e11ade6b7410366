//! The custom resources as kubectl takes them.
