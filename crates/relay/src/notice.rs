//! Owns what a relay tells about itself: one type from which logs and metrics are made.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    health::UpstreamStanding,
    pair::{Both, Cause, Ending},
};

/// Something happened that an operator wants to know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// A pair of connections has ended.
    Ended(Record),
    /// A client was turned away with RST.
    TurnedAway {
        /// The listener's name.
        service: Arc<str>,
        /// The client.
        client: SocketAddr,
        /// Why.
        cause: Cause,
    },
    /// An upstream stands otherwise than before.
    Upstream {
        /// The upstream.
        upstream: SocketAddr,
        /// How it stands now.
        standing: UpstreamStanding,
    },
    /// A connection could not be accepted.
    NotAccepted {
        /// The listener's name.
        service: Arc<str>,
        /// What the kernel said, as a number of errno(3).
        errno: i32,
    },
}

/// One pair of connections, from its beginning to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The listener's name.
    pub service: Arc<str>,
    /// The client.
    pub client: SocketAddr,
    /// The upstream it was relayed to; `None`: none accepted.
    pub upstream: Option<SocketAddr>,
    /// How it ended.
    pub ending: Ending,
    /// Bytes from each side that were given on.
    pub relayed: Both<u64>,
    /// From the accepting to the end.
    pub lasted: Duration,
    /// The objective: within which time either side would have been found gone.
    pub detect_within: Both<Duration>,
}
