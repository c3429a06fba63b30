//! Owns how an objective is met where socket2 has to do: keepalive on macOS, Windows and the BSDs.
//! How late their timers fire is documented nowhere, so half a second is taken for their tick, which
//! is what BSD's slow timer was.

#[cfg(unix)]
use std::os::fd::BorrowedFd as Borrowed;
#[cfg(windows)]
use std::os::windows::io::BorrowedSocket as Borrowed;
use std::time::Duration;

use halfopen_core::{
    detection::{KeepaliveTimes, Tick},
    keeping::{Refusal, keepalive_for},
};
use socket2::{SockRef, TcpKeepalive};

use super::{DetectError, Detection, Learns, Objective};

pub(super) fn detection(socket: Borrowed<'_>) -> Result<Detection, DetectError> {
    let socket = SockRef::from(&socket);
    let idle = if socket.keepalive()? { idle(&socket)? } else { Learns::Never };
    Ok(Detection { idle, busy: busy() })
}

#[cfg(not(windows))]
fn idle(socket: &SockRef<'_>) -> std::io::Result<Learns> {
    Ok(promise(KeepaliveTimes {
        idle: socket.tcp_keepalive_time()?,
        interval: socket.tcp_keepalive_interval()?,
        probes: socket.tcp_keepalive_retries()?,
    }))
}

#[cfg(windows)]
fn idle(_: &SockRef<'_>) -> std::io::Result<Learns> {
    Ok(Learns::Unknown("keepalive is on, and Windows does not tell its times".to_owned()))
}

fn busy() -> Learns {
    Learns::Unknown("this system does not tell when it gives up on data".to_owned())
}

fn promise(times: KeepaliveTimes) -> Learns {
    let KeepaliveTimes { idle, interval, probes } = times;
    let earliest = idle.saturating_add(interval.saturating_mul(probes));
    Learns::Within { earliest, latest: earliest.saturating_add(late(idle, interval, probes)) }
}

fn late(idle: Duration, interval: Duration, probes: u32) -> Duration {
    let tick = tick();
    tick.lateness(idle)
        .saturating_add((tick.lateness(interval) + tick.length()).saturating_mul(probes + 1))
}

pub(super) fn detect_within(
    socket: Borrowed<'_>,
    objective: Objective,
) -> Result<Detection, DetectError> {
    if objective.user_timeout {
        return Err(DetectError::NoUserTimeout);
    }
    let times = keepalive_for(tick(), &objective.planned()).map_err(|refusal| match refusal {
        Refusal::TooShort { least } => DetectError::TooShort { wanted: objective.within, least },
        refusal => DetectError::System { cause: std::io::Error::other(refusal.to_string()) },
    })?;
    let keepalive = TcpKeepalive::new()
        .with_time(times.idle)
        .with_interval(times.interval)
        .with_retries(times.probes);
    let found = Detection { idle: promise(times), busy: busy() };
    if !found.idle.is_within(objective.within) {
        return Err(DetectError::NotMet { wanted: objective.within, found });
    }
    SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    Ok(found)
}

fn tick() -> Tick {
    Tick::from_length(Duration::from_millis(500))
}
