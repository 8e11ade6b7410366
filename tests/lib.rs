//! The system tests live in `system/`; this library is empty so that the package has a target of its own.
