//! TCP connections for tokio that cannot hang.
//!
//! TCP says nothing while nobody speaks: when a host loses power, a cable is pulled or a firewall forgets
//! a flow, the other end keeps a connection that looks open, and a read on it waits for ever. This crate
//! is about *detection time*: how long until the owner of a connection learns that its peer is gone.
//!
//! ```no_run
//! use futures_util::{SinkExt as _, StreamExt as _};
//! use halfopen::{
//!     Beating, Connect, DetectWithin as _, HeartbeatPolicy, LineBeats, Reconnecting, ReconnectPolicy,
//!     Watched, Why as _,
//! };
//! use std::time::Duration;
//! use tokio_util::codec::{Framed, LinesCodec};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let minute = Duration::from_secs(60);
//!     // Resolved anew each time, addresses raced, keepalive set so that an idle end is noticed in time.
//!     let connect = Connect::to("chat.example:7000").detect_within(minute);
//!     let mut client = Reconnecting::new(ReconnectPolicy::default(), move || {
//!         let connect = connect.clone();
//!         async move { connect.open().await }
//!     });
//!     loop {
//!         let stream = client.up().await?;
//!         println!("connected; its owner learns of a lost peer: {}", stream.detection()?);
//!         // Whoever is parked in a read or write wakes when the connection is known to be dead.
//!         let framed = Framed::new(Watched::new(stream), LinesCodec::new());
//!         let beats = LineBeats::new("PING", "PONG");
//!         let mut lines = Beating::new(framed, beats, HeartbeatPolicy::detecting_within(minute));
//!         lines.send("HELLO".to_owned()).await?;
//!         while let Some(Ok(line)) = lines.next().await {
//!             println!("{line}");
//!         }
//!         client.lost(halfopen::EndedBy::Silence, None);
//!         eprintln!("{}", client.diagnosis());
//!     }
//! }
//! ```
//!
//! # The parts
//! - [`Connect`] and [`DetectWithin`]: an objective ("within 60 s") becomes socket options, and what they
//!   promise can be read ([`Detection`]).
//! - [`Watched`]: a stream whose parked reads and writes end, with the [`Evidence`], when its connection is
//!   known to be dead.
//! - `closed`, `broken`: waiting for the peer to hang up, without reading (Linux).
//! - `Check`: is this connection alive? Bounded, without a round trip of the protocol (Linux).
//! - [`halves()`], [`lingering_close`], [`copy_bidirectional`]: half-close as types, closing without
//!   truncation, copying true to FIN and RST.
//! - `Beating`: heartbeats over any framed protocol (feature `heartbeat`).
//! - [`Reconnecting`]: back-off, giving up, and a [`Diagnosis`].
//!
//! Guides are in the repository below `docs/library/`.
//!
//! # Cancel safety
//! Futures may be dropped at any time: no byte that was read is lost, no wait is shortened, no option stays
//! changed. [`lingering_close`] and [`copy_bidirectional`] own their connections, which close with them.
//!
//! # What this crate does not do
//! It resumes no stream and replays no byte, proves no program by a probe of the kernel, does no TLS, and
//! starts no task that outlives the future which it is for. On macOS and Windows what needs Linux's TCP_INFO and epoll is missing.

#![forbid(unsafe_code)]

mod clock;
mod connect;
mod copy;
mod death;
mod detect;
mod halves;
#[cfg(target_os = "linux")]
mod hangup;
#[cfg(feature = "heartbeat")]
mod heartbeat;
mod reconnect;
mod watched;

pub use clock::Clock;
pub use connect::{Connect, ConnectError, Failure, Target};
pub use copy::{Copied, CopyEnd, CopyOptions, Side, copy_bidirectional};
pub use death::{Dead, Evidence};
pub use detect::{DetectError, DetectWithin, Detection, Learns, Objective};
pub use halves::{
    Lingered, ReceiveState, Receiving, SendState, Sending, StillSending, halves, lingering_close,
};
#[cfg(target_os = "linux")]
pub use hangup::{Check, Ended, Liveness, broken, closed};
#[cfg(feature = "heartbeat")]
pub use heartbeat::{
    Beat, Beating, BeatingError, FrameBeats, Heard, HeartbeatPolicy, Judgement, LineBeats, Protocol,
};
pub use reconnect::{
    Cause, Diagnosis, EndedBy, FailedBy, GaveUp, GaveUpError, Jitter, Pattern, ReconnectPolicy,
    Reconnecting, Why,
};
pub use watched::{Watch, Watched};
