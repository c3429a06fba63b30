//! Owns copying between two connections so that each peer sees what it would see without us: FIN
//! becomes FIN and RST becomes RST, in each direction by itself. Opens nothing. Copies through memory;
//! who needs splice(2) has a relay. Read: RFC 9293 section 3.6, docs/library/half-close.md.

mod ending;
mod pump;

use std::time::Duration;

use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};

use self::{
    ending::{broken, end_both, silent},
    pump::{Progress, pump},
};
use crate::death::Dead;

/// How two connections are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct CopyOptions {
    buffer: usize,
    half_closed_idle: Option<Duration>,
    dead_after: Option<Duration>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        // As much as one read of a busy socket gives; larger ones leave the processor's cache.
        Self { buffer: 64 * 1024, half_closed_idle: None, dead_after: None }
    }
}

impl CopyOptions {
    /// Bytes read at once, in each direction; held only while there are bytes in hand. 64 KiB unless
    /// something else is said.
    pub const fn buffer(self, bytes: usize) -> Self {
        Self { buffer: if bytes == 0 { 1 } else { bytes }, ..self }
    }

    /// A half-closed pair on which no byte has passed for this long is ended, **with RST** on both sides:
    /// a FIN would say that the stream was complete. Off unless it is asked for: a half-closed
    /// connection whose peers live may be quiet for as long as they like.
    pub const fn half_closed_idle(self, limit: Duration) -> Self {
        Self { half_closed_idle: Some(limit), ..self }
    }

    /// Ends both if a peer has left retransmissions or probes unanswered for this long (Linux; see
    /// [`Watched::dead_after`](crate::Watched::dead_after)). For idle connections set keepalive on both
    /// first ([`detect_within`](crate::DetectWithin::detect_within)).
    pub const fn dead_after(self, limit: Duration) -> Self {
        Self { dead_after: Some(limit), ..self }
    }
}

/// One of the two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

/// What was copied, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Bytes that were read from the left and written to the right.
    pub to_right: u64,
    /// Bytes that were read from the right and written to the left.
    pub to_left: u64,
    /// How long it took.
    pub lasted: Duration,
    /// How it ended.
    pub end: CopyEnd,
}

/// How a copy ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyEnd {
    /// Both peers have sent FIN, and both have been sent the other's.
    Finished,
    /// One connection broke; the other was reset, after what had been read for it was delivered.
    Broken {
        /// Which broke.
        side: Side,
        /// What shows it.
        dead: Dead,
    },
    /// Half-closed, and no byte passed for the limit that was set; both were reset.
    HalfClosedIdle,
}

/// Copies both ways until both directions have ended, or one connection breaks.
///
/// A peer's FIN is passed on behind its bytes and the other direction goes on. If a connection breaks
/// (RST, time-out, also while nothing is copied) the other one is reset; bytes that were read for it, or
/// a FIN, are given five seconds to be delivered first, so that a finished answer is not destroyed.
///
/// Both connections are over when it returns. Dropping the future closes both as dropped streams do,
/// so that it looks like an end to their peers: reset them first if it must not.
pub async fn copy_bidirectional(
    left: TcpStream,
    right: TcpStream,
    options: &CopyOptions,
) -> Copied {
    let began = Instant::now();
    let (to_right, to_left) = (Progress::new(began), Progress::new(began));
    let both = async {
        tokio::try_join!(
            async {
                pump(&left, &right, options.buffer, &to_right)
                    .await
                    .map_err(|at| at.side(Side::Left))
            },
            async {
                pump(&right, &left, options.buffer, &to_left)
                    .await
                    .map_err(|at| at.side(Side::Right))
            },
        )
    };
    let end = tokio::select! {
        // In this order, so that an end that was reached is not taken for what came after it.
        biased;
        copied = both => match copied {
            Ok(_) => CopyEnd::Finished,
            Err((side, dead)) => CopyEnd::Broken { side, dead },
        },
        dead = broken(&left) => CopyEnd::Broken { side: Side::Left, dead },
        dead = broken(&right) => CopyEnd::Broken { side: Side::Right, dead },
        dead = silent(&left, options.dead_after) => CopyEnd::Broken { side: Side::Left, dead },
        dead = silent(&right, options.dead_after) => CopyEnd::Broken { side: Side::Right, dead },
        () = half_closed_idle(&to_right, &to_left, options.half_closed_idle) => CopyEnd::HalfClosedIdle,
    };
    match &end {
        CopyEnd::Finished => {}
        CopyEnd::Broken { side: Side::Left, .. } => end_both(&left, &right).await,
        CopyEnd::Broken { side: Side::Right, .. } => end_both(&right, &left).await,
        CopyEnd::HalfClosedIdle => tokio::join!(end_both(&left, &right), end_both(&right, &left)).0,
    }
    Copied { to_right: to_right.bytes(), to_left: to_left.bytes(), lasted: began.elapsed(), end }
}

/// Comes when exactly one direction has ended and no byte has passed for `limit`; never without one.
async fn half_closed_idle(one: &Progress, other: &Progress, limit: Option<Duration>) {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let last = one.last().max(other.last());
        let is_half = one.is_finished() != other.is_finished();
        if is_half && last.elapsed() >= limit {
            return;
        }
        // Not half-closed yet: it cannot be idle for `limit` after that before this.
        let next = if is_half { last } else { Instant::now() };
        match next.checked_add(limit) {
            Some(end) => sleep_until(end).await,
            // Longer than the clock can tell is for ever.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
