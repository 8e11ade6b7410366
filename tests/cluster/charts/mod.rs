//! The charts, by the real helm: what they render, and what a real API server makes of it.

mod foreign;
mod install;
mod life;
mod mistakes;
mod releases;
mod render;
mod rendered;
mod rights;
mod upgrade;
