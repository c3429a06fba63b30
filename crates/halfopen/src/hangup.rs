//! Owns waiting for the peer to hang up without reading (Linux): pipelined data stays where it is, and
//! nobody wakes for it. Read: epoll_ctl(2) on EPOLLRDHUP; `halfopen_sys::own`.

use std::{io, os::fd::AsFd, sync::Arc, time::Duration};

use halfopen_core::{Span, detection::silent_for};
use halfopen_sys::own::{Hangup, HangupWatch, Surroundings, Until, observe};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    death::{Dead, Evidence},
    watched::{ASKED_PER_LIMIT, Answer, Watched},
};

/// How a connection came to its end, or its peer's direction did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The peer has sent FIN: it sends nothing more. Whether it still reads cannot be told, since
    /// close(2) and shutdown(2) look alike until something is written to it.
    Finished,
    /// The connection is over: the peer reset it or the kernel gave up. Which of the two, the next
    /// read or write says; that error is not taken.
    Broken,
    /// It was declared dead.
    Dead(Dead),
    /// Our own side dropped the stream.
    Dropped,
}

/// Waits until the peer of `stream` has hung up, reset the connection, or been given up by the kernel;
/// **without reading**: data that the peer has sent before stays unread, and does not wake the caller.
///
/// So a server can stop working for a client that is gone. Takes one descriptor while it waits.
/// Cancel-safe.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use halfopen::{Ended, closed};
/// use tokio::{io::AsyncWriteExt as _, net::{TcpListener, TcpStream}};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let mut client = TcpStream::connect(listener.local_addr()?).await?;
/// let (server, _) = listener.accept().await?;
/// client.write_all(b"a request that is never read").await?;
/// drop(client);
/// assert_eq!(closed(&server).await?, Ended::Finished);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// What epoll answers, EMFILE among it.
pub async fn closed(stream: &impl AsFd) -> io::Result<Ended> {
    wait(HangupWatch::new(stream.as_fd(), Until::Finished)?).await
}

/// As [`closed`], but a half-closed connection is not at its end: waits until nothing can be sent to
/// the peer any more.
///
/// # Errors
/// As [`closed`].
pub async fn broken(stream: &impl AsFd) -> io::Result<Ended> {
    wait(HangupWatch::new(stream.as_fd(), Until::Broken)?).await
}

async fn wait(watch: HangupWatch) -> io::Result<Ended> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for types whose descriptor may change; this one's cannot"
    )]
    let watch = AsyncFd::with_interest(watch, Interest::READABLE)?;
    loop {
        let mut ready = watch.readable().await?;
        match ready.get_inner().seen()? {
            Some(Hangup::Finished) => return Ok(Ended::Finished),
            Some(Hangup::Broken) => return Ok(Ended::Broken),
            None => ready.clear_ready(),
        }
    }
}

impl<S: AsFd> Watched<S> {
    /// Waits for the first of: the peer hangs up (see [`closed`]), the connection is declared dead, the
    /// stream is dropped. Does not borrow the stream, so that it can be read and written meanwhile.
    ///
    /// # Errors
    /// As [`closed`].
    pub fn closed(&self) -> impl Future<Output = io::Result<Ended>> + use<S> {
        let watch = HangupWatch::new(self.get_ref().as_fd(), Until::Finished);
        let shared = Arc::clone(self.shared());
        async move {
            tokio::select! {
                dead = shared.ended() => Ok(dead.map_or(Ended::Dropped, Ended::Dead)),
                ended = wait(watch?) => ended,
            }
        }
    }

    /// Declares the connection dead once the peer has left retransmissions or probes unanswered for
    /// `limit`: what bounds a *busy* connection without the harm of TCP_USER_TIMEOUT, since a peer
    /// that acknowledges anything, a probe of its full window too, is alive. While somebody is parked
    /// in a read or write, TCP_INFO is asked four times in `limit`; nobody else is disturbed.
    ///
    /// The count begins with the first retransmission (about the round-trip time and 200 ms after the
    /// write) and needs two. Idle connections need keepalive:
    /// [`detect_within`](crate::DetectWithin::detect_within).
    #[must_use]
    pub fn dead_after(self, limit: Duration) -> Self {
        self.sweep_with(limit, |stream, limit| ask(stream, limit))
    }
}

fn ask(stream: &impl AsFd, limit: Duration) -> Answer {
    let again = Answer::AskAgainIn(limit / ASKED_PER_LIMIT);
    // Where the kernel does not answer, reads and writes will say why.
    let Ok(seen) = observe(stream.as_fd(), Surroundings::once()) else { return again };
    match silent_for(&seen) {
        Some(silent_for) if silent_for >= limit => {
            Answer::Dead(Evidence::Unanswered { silent_for })
        }
        Some(silent_for) => Answer::AskAgainIn(limit.saturating_sub(silent_for)),
        None => again,
    }
}

/// What a check of a connection has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Liveness {
    /// The peer's kernel was heard this long ago.
    Alive {
        /// When.
        heard: Duration,
        /// It was asked by a probe.
        probed: bool,
    },
    /// The peer has sent FIN.
    Finished,
    /// The connection is over: reset, or given up.
    Broken,
    /// A probe, or what was in flight already, has not been answered in time. One lost probe proves no
    /// death; but nobody should be handed this connection.
    Unanswered {
        /// The time that was given.
        waited: Duration,
    },
}

impl Liveness {
    /// Whether the connection can be used.
    pub const fn is_alive(&self) -> bool {
        matches!(self, Self::Alive { .. })
    }
}

impl std::fmt::Display for Liveness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Alive { heard, .. } => write!(f, "the peer was heard {} ago", Span(*heard)),
            Self::Finished => f.write_str("the peer has closed"),
            Self::Broken => f.write_str("the connection is over"),
            Self::Unanswered { waited } => write!(f, "no answer within {}", Span(*waited)),
        }
    }
}

/// How a connection is checked before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// A peer heard within this time is taken to be alive without asking.
    pub fresh: Duration,
    /// A peer that is asked has this much time to answer.
    pub within: Duration,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            // The kernel does not probe a connection on which something was heard within a second.
            fresh: Duration::from_secs(1),
            // Far above the round trip of any path that a pool is used over, far below what a caller waits.
            within: Duration::from_secs(1),
        }
    }
}

impl Check {
    /// Whether the peer of `stream` is there: from what the kernel knows, and where that is old, by one
    /// keepalive probe, which the peer's *kernel* answers. No byte is written, no protocol is needed, and
    /// it takes `self.within` at the most. It proves a kernel, or a proxy in between, not the program.
    ///
    /// Cancel-safe: the options that a probe touches are given back also if the future is dropped.
    ///
    /// # Errors
    /// What the kernel answers where the socket is none of TCP.
    pub async fn is_alive(&self, stream: &impl AsFd) -> io::Result<Liveness> {
        let socket = stream.as_fd();
        if let Some(over) = over(stream)? {
            return Ok(over);
        }
        let before = observe(socket, Surroundings::once())?.sample;
        if let Some(heard) = before.last_heard().filter(|heard| *heard <= self.fresh) {
            return Ok(Liveness::Alive { heard, probed: false });
        }
        let began = tokio::time::Instant::now();
        let is_busy = before.in_flight() == Some(true) || before.send_queue > 0;
        // What is in flight is a question already, and keeps the kernel from probing.
        let _nudged = if is_busy { None } else { Some(Nudged::new(stream)?) };
        let segments = before.info.and_then(|info| info.segments_received);
        let mut pause = PAUSE_MIN;
        while began.elapsed() < self.within {
            tokio::time::sleep(pause.min(self.within.saturating_sub(began.elapsed()))).await;
            pause = (pause * 2).min(PAUSE_MAX);
            if let Some(over) = over(stream)? {
                return Ok(over);
            }
            let now = observe(socket, Surroundings::once())?.sample;
            let heard = now.last_heard().unwrap_or(Duration::MAX);
            let more = now.info.and_then(|info| info.segments_received) != segments;
            if more && heard <= began.elapsed() + TICK_MAX {
                return Ok(Liveness::Alive { heard, probed: !is_busy });
            }
        }
        Ok(Liveness::Unanswered { waited: self.within })
    }
}

fn over(stream: &impl AsFd) -> io::Result<Option<Liveness>> {
    let found = halfopen_sys::own::hangup(stream.as_fd(), Duration::ZERO)?;
    Ok(found.map(|hangup| match hangup {
        Hangup::Finished => Liveness::Finished,
        Hangup::Broken => Liveness::Broken,
    }))
}

/// Gives the options back when it goes.
struct Nudged<'a, S: AsFd> {
    stream: &'a S,
    nudge: Option<halfopen_sys::own::Nudge>,
}

impl<'a, S: AsFd> Nudged<'a, S> {
    fn new(stream: &'a S) -> io::Result<Self> {
        let nudge = Some(halfopen_sys::own::nudge(stream.as_fd())?);
        Ok(Self { stream, nudge })
    }
}

impl<S: AsFd> Drop for Nudged<'_, S> {
    fn drop(&mut self) {
        if let Some(nudge) = self.nudge.take() {
            // A socket that does not take its options back is over, which its user learns by itself.
            let _ = nudge.give_back(self.stream.as_fd());
        }
    }
}

/// A peer on the same network answers in less.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Ten looks in the time of a careful caller.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// Ages are counted in ticks, of 10 ms at the most.
const TICK_MAX: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
