//! Owns what a service supervisor is told of the relay, and when: that it is ready, reloads, stops, and that
//! its threads live. Read: sd_notify(3), systemd.service(5) on WatchdogSec=.

use std::time::{Duration, Instant};

use halfopen_relay::Relay;
use halfopen_sys::activation;
use rustix::time::{ClockId, clock_gettime};

/// How far the relay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Clients are let in.
    Ready,
    /// The configuration is being read again.
    Reloading,
    /// Nobody is let in any more.
    Stopping,
}

/// Tells the supervisor. Where nobody waits for it, or its socket is gone, the relay runs all the same.
pub(super) fn tell(phase: Phase) {
    let _ = match phase {
        Phase::Ready => activation::notify("READY=1"),
        Phase::Reloading => {
            let now = clock_gettime(ClockId::Monotonic);
            let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
            activation::notify(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"))
        }
        Phase::Stopping => activation::notify("STOPPING=1"),
    };
}

/// What the watchdog of the supervisor hears, if there is one.
#[derive(Debug)]
pub(super) struct Pulse {
    every: Option<Duration>,
    next: Instant,
}

impl Pulse {
    /// As the environment wants it: twice as often as the watchdog listens (sd_watchdog_enabled(3)).
    pub(super) fn wanted(now: Instant) -> Self {
        Self { every: activation::watchdog().map(|within| within / 2), next: now }
    }

    /// When it is due next, if ever.
    pub(super) fn due(&self) -> Option<Instant> {
        self.every.map(|_| self.next)
    }

    /// Tells the watchdog, if it is time to and all threads of the relay live.
    pub(super) fn beat(&mut self, relay: &Relay, now: Instant) {
        let Some(every) = self.every.filter(|_| self.next <= now) else { return };
        self.next = now + every;
        if relay.beats() {
            let _ = activation::notify("WATCHDOG=1");
        }
    }
}
