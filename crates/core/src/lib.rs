//! The pure model of halfopen: samples become evidence, evidence becomes verdicts, and every
//! connection gets its *detection time*: how long until its owner would learn that the peer is gone.
//!
//! # What this crate does not do
//! No I/O, no clock, no randomness, no environment, no `unsafe`, no async. Time is an argument.

mod connection;
pub mod detection;
mod diagnosis;
mod evidence;
mod listener;
mod observation;
mod options;
mod owner;
mod remedy;
mod rules;
mod sample;
mod siblings;
mod span;
mod state;
mod tcp_info;
#[cfg(test)]
mod trace;
mod tracking;
mod verdict;

pub use connection::{ConnectionId, Cookie, Endpoints, Family, NetnsId, NotAnId};
pub use diagnosis::Diagnosis;
pub use evidence::Evidence;
pub use listener::Listener;
pub use observation::{Observation, Proof, Siblings, Thresholds};
pub use options::{OptionsSeen, SocketOptions, Sysctls};
pub use owner::{Owner, Owners};
pub use sample::{KernelTimer, Moment, Sample, Shutdown, Source};
pub use siblings::siblings;
pub use span::Span;
pub use state::TcpState;
pub use tcp_info::{CongestionState, TcpInfo};
pub use tracking::{
    Route, TrackedEntry, TrackedFlow, TrackedState, Tracking, TrackingJoin, Translation,
};
pub use verdict::{Remedy, Severity, Verdict, VerdictKind};
