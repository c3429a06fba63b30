//! A TCP relay that is true to half-close and reset, and that notices dead peers on both sides.
//!
//! FIN becomes FIN after all bytes before it, direction by direction; a reset, or a peer that has
//! vanished, becomes a reset; a stream that was cut never looks complete. What that means for two
//! connections is decided by [`pair`], which is pure; [`Relay`] carries it out on Linux with epoll
//! and splice.
//!
//! # What this crate does not do
//! It writes no log and serves no metrics: it tells [`Notice`]s, from which `halfopen relay` makes
//! both. It has no `unsafe` and no async runtime.

#![forbid(unsafe_code)]

mod hand;
mod health;
pub mod liveness;
mod mailbox;
mod notice;
pub mod pair;
pub mod proxy_header;
mod relay;
mod reporter;
mod route;
mod service;
mod socket;
mod tls;
mod totals;
mod transfer;
mod upstream;
mod worker;

pub use health::{Balance, UPSTREAMS_MAX, UpstreamStanding};
pub use liveness::{Liveness, TooShort};
pub use notice::{Notice, Record};
pub use pair::{Both, Cause, Ending, Lost, Mistrust, Side};
pub use relay::{Gauges, Inherited, Relay, StartError};
pub use service::{Listen, Plan, Service};
pub use tls::{CertificateError, Termination};
pub use totals::Totals;
