//! Owns how a copy learns of a broken connection that it is not reading, and how it breaks the other.

use std::{io, time::Duration};

use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, sleep},
};

use super::pump::dead;
use crate::{
    death::{Dead, Evidence},
    halves::reset,
};

/// Comes when `stream` has broken, also if its peer has sent FIN before and nobody reads any more:
/// epoll always reports EPOLLERR.
pub(super) async fn broken(stream: &TcpStream) -> Dead {
    loop {
        if let Err(error) = stream.ready(Interest::ERROR).await {
            return dead(&error);
        }
        match stream.take_error() {
            // What the kernel says of a reset after the peer's FIN (tcp_reset).
            Ok(Some(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Evidence::Reset.into();
            }
            Ok(Some(error)) | Err(error) => return dead(&error),
            // Whoever was copying has taken the error, and says it.
            Ok(None) => sleep(TAKEN_BY_THE_PUMP).await,
        }
        if is_over(stream) {
            return Evidence::Reset.into();
        }
        // An error that ended nothing; the next one wakes again.
        let nothing: io::Result<()> =
            stream.try_io(Interest::ERROR, || Err(io::ErrorKind::WouldBlock.into()));
        debug_assert!(nothing.is_err());
    }
}

#[cfg(target_os = "linux")]
fn is_over(stream: &TcpStream) -> bool {
    use std::os::fd::AsFd as _;
    let seen = halfopen_sys::own::tcp_info(stream.as_fd());
    seen.is_ok_and(|info| info.state == Some(halfopen_core::TcpState::Closed))
}

#[cfg(not(target_os = "linux"))]
fn is_over(_: &TcpStream) -> bool {
    false
}

/// Comes when the peer has left the kernel's questions unanswered for `limit`; never without one.
#[cfg(target_os = "linux")]
pub(super) async fn silent(stream: &TcpStream, limit: Option<Duration>) -> Dead {
    use std::os::fd::AsFd as _;

    use halfopen_core::detection::silent_for;
    use halfopen_sys::own::{Surroundings, observe};

    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let seen = observe(stream.as_fd(), Surroundings::once());
        let pause = match seen.ok().as_ref().and_then(silent_for) {
            Some(silent_for) if silent_for >= limit => {
                return Evidence::Unanswered { silent_for }.into();
            }
            Some(silent_for) => limit.saturating_sub(silent_for),
            None => limit / 4,
        };
        sleep(pause.max(Duration::from_millis(1))).await;
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) async fn silent(_: &TcpStream, _: Option<Duration>) -> Dead {
    std::future::pending().await
}

/// Resets `other`, after what was written to it has been delivered or [`DELIVERED_WITHIN`] has passed,
/// and `broken`, whose peer may live: it is `other` that is told first.
pub(super) async fn end_both(broken: &TcpStream, other: &TcpStream) {
    delivered(other).await;
    // One that refuses is over already.
    let _ = reset(other);
    let _ = reset(broken);
}

#[cfg(target_os = "linux")]
async fn delivered(stream: &TcpStream) {
    use std::os::fd::AsFd as _;

    let deadline = Instant::now() + DELIVERED_WITHIN;
    let mut pause = Duration::from_millis(1);
    while Instant::now() < deadline {
        let Ok(info) = halfopen_sys::own::tcp_info(stream.as_fd()) else { return };
        let is_over = info.state == Some(halfopen_core::TcpState::Closed);
        if is_over || (info.unacked_segments == Some(0) && info.unsent_bytes == Some(0)) {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(not(target_os = "linux"))]
async fn delivered(stream: &TcpStream) {
    // What is outstanding cannot be asked, so a moment is given to what is on its way.
    let _ = (stream, Instant::now());
    sleep(DELIVERED_WITHIN / 10).await;
}

/// Long enough for some retransmissions, short enough that a peer which does not read is not waited for.
const DELIVERED_WITHIN: Duration = Duration::from_secs(5);
/// The pump has been woken by the same event.
const TAKEN_BY_THE_PUMP: Duration = Duration::from_millis(20);
