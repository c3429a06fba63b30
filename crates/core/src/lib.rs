//! The pure model of halfopen: samples become evidence, evidence becomes verdicts, and every
//! connection gets its *detection time*: how long until its owner would learn that the peer is gone.
//!
//! The way through the crate: a [`Sample`] is what the kernel said of one socket; an
//! [`Observation`] adds its options, owners and surroundings; [`Diagnosis::of`] judges it.
//!
//! ```
//! use halfopen_core::{ConnectionId, VerdictKind, detection::Tick};
//! use std::time::Duration;
//!
//! // A connection keeps its name for as long as the host is up.
//! let id: ConnectionId = "1f3a@4026531840".parse()?;
//! assert_eq!(id.to_string(), "1f3a@4026531840");
//!
//! // Verdicts are ordered, worst first, and have one word everywhere.
//! assert!(VerdictKind::HalfOpen < VerdictKind::Quiet);
//! assert_eq!(VerdictKind::from_word("half-open"), Some(VerdictKind::HalfOpen));
//!
//! // Why a prediction is an interval: a two-hour timer fires up to 131 s late at 250 Hz.
//! let late = Tick::from_hz(250).lateness(Duration::from_secs(7200));
//! assert_eq!(late.as_secs(), 131);
//! # Ok::<(), halfopen_core::NotAnId>(())
//! ```
//!
//! # What this crate does not do
//! No I/O, no clock, no randomness, no environment, no `unsafe`, no async. Time is an argument.

mod age;
mod chance;
mod connection;
pub mod detection;
mod diagnosis;
mod evidence;
pub mod eyeballs;
pub mod heartbeat;
mod keepalive_count;
pub mod keeping;
mod listener;
pub mod middlebox;
mod observation;
mod options;
mod owner;
pub mod proving;
pub mod reaping;
pub mod reconnect;
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
pub mod world;

pub use chance::Chance;
pub use connection::{ConnectionId, Cookie, Endpoints, Family, NetnsId, NotAnId};
pub use diagnosis::{Diagnosis, Judge};
pub use evidence::{Evidence, NotSpaced, Unavailable, WrappedAge};
pub use listener::Listener;
pub use observation::{Observation, Proof, Siblings, Thresholds};
pub use options::{OptionsSeen, SocketOptions, Sysctls};
pub use owner::{Owner, OwnerList, Owners, Process};
pub use remedy::Remedy;
pub use sample::{Inside, KernelTimer, Moment, PendingTimer, Sample, Sequence, Shutdown, Source};
pub use siblings::{Contact, PeerTallies};
pub use span::{NotASpan, Span};
pub use state::TcpState;
pub use tcp_info::{CongestionState, TcpInfo};
pub use tracking::{
    Route, TrackedEntry, TrackedFlow, TrackedState, Tracking, TrackingJoin, Translation,
};
pub use verdict::{Severity, Verdict, VerdictKind};
