//! Owns one look at a victim: its socket, its options, and what core makes of them. Changes nothing.

use std::{sync::Arc, time::Duration};

use halfopen_core::{
    Cookie, Diagnosis, KernelTimer, Moment, Observation, OptionsSeen, Owners, Sample, Siblings,
    Span, Thresholds, Tracking,
    detection::{DetectionTime, KeepaliveTimes, Learns, keepalive_is_on},
    keeping::KeepOptions,
};

use super::{RehearsalError, stage::Stage, traffic};
use crate::{
    fault::Side,
    forecast::{Known, Seen},
};

/// What was seen of a victim's socket right after the fault.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) at: Moment,
    pub(super) cookie: Cookie,
    pub(super) regime: Regime,
    pub(super) learns: DetectionTime,
    /// State and options, in words.
    pub(super) words: String,
    /// What was in flight and what went last, in words.
    pub(super) traffic: String,
    /// The options that keep it, and the process and descriptor that hold it, where they were read.
    pub(super) kept: Option<(KeepOptions, u32, u32)>,
    keepalive: Option<KeepaliveTimes>,
    in_flight: bool,
}

/// Which of the kernel's timers decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Regime {
    Idle,
    InFlight,
    Window,
}

/// By the timer that sock_diag shows. A first transmission that waits for its acknowledgement is
/// everyday life; only what was sent again tells.
pub(super) const fn regime(sample: &Sample) -> Regime {
    match sample.timer {
        KernelTimer::Retransmit { retransmits: 1.., .. } => Regime::InFlight,
        KernelTimer::WindowProbe { .. } => Regime::Window,
        _ => Regime::Idle,
    }
}

impl Look {
    /// Looks at the socket with this cookie, as the last dump has it; `None` where it is gone.
    pub(super) fn at(
        stage: &mut Stage<'_>,
        side: Side,
        cookie: Cookie,
        regime: Regime,
    ) -> Result<Option<Self>, RehearsalError> {
        let host = stage.lab.host(side.word())?;
        let sysctls = host.enter(halfopen_sys::sysctls)?;
        let track = stage.watch.focus(side).filter(|track| track.gone.is_none());
        let Some(sample) = track.map(|track| track.last.clone()) else { return Ok(None) };
        let holder = stage.holder(side, &sample);
        // What a process held when the table was read, and none holds now, has just ended.
        if holder.is_none() && sample.inode.is_some() {
            return Ok(None);
        }
        let options = match holder {
            Some((pid, fd)) => halfopen_sys::options::of_process(pid, fd, cookie).map_or_else(
                |error| unread(&error.to_string()),
                |options| OptionsSeen::Read(Arc::new(options)),
            ),
            None => unread("no process holds it"),
        };
        let state = sample.state;
        let (at, in_flight) = (sample.taken_at, sample.in_flight() == Some(true));
        let owners = if sample.inode.is_some() {
            Owners::Unseen("they are the programs of the host".into())
        } else {
            Owners::None
        };
        let traffic = traffic::words(side, &sample);
        let words = format!("{state}, {}", options_in_words(&options));
        let kept = holder.zip(options.read().and_then(KeepOptions::of));
        let kept = kept.map(|((pid, fd), options)| (options, pid, fd));
        let seen = Observation {
            sample,
            options,
            sysctls: Arc::new(sysctls),
            tick: halfopen_sys::tick(),
            owners,
            listener: None,
            siblings: Siblings::default(),
            tracking: Tracking::NotTracked,
            proof: None,
        };
        let keepalive =
            keepalive_is_on(&seen).filter(|is_on| *is_on).and_then(|_| KeepaliveTimes::of(&seen));
        let learns = Diagnosis::of(seen, &Thresholds::default()).learns;
        Ok(Some(Self { at, cookie, regime, learns, words, traffic, kept, keepalive, in_flight }))
    }

    /// Something was heard since, such as the answer to a probe that was on its way.
    pub(super) fn is_outdated_by(&self, sample: &Sample) -> bool {
        sample
            .last_heard()
            .is_some_and(|ago| sample.taken_at.since(self.at) > ago.saturating_add(AT_THE_TIME))
    }

    /// What a forecast wants to know of the socket, at `now`.
    pub(super) fn seen(&self, now: Moment) -> Seen<'_> {
        Seen {
            learns: &self.learns,
            keepalive: self.keepalive,
            tick: halfopen_sys::tick(),
            ago: now.since(self.at),
        }
    }

    /// The same of the side as a whole; `known` says the rest.
    pub(super) fn known<'a>(&'a self, known: Known<'a>) -> Known<'a> {
        Known {
            own: Some(self.seen(self.at)),
            busy: self.in_flight || self.regime != Regime::Idle || known.busy,
            unanswered: self.regime == Regime::InFlight,
            ..known
        }
    }

    /// What would be if its application wrote, where nothing is in flight.
    pub(super) fn if_writing(&self) -> Option<String> {
        if self.in_flight || self.regime != Regime::Idle {
            return None;
        }
        match &self.learns.busy {
            Learns::Within(one) => Some(format!("{}: {}", one.within, one.cause)),
            _ => None,
        }
    }
}

/// The kernel counts what it heard in milliseconds, and the look itself takes one.
const AT_THE_TIME: Duration = Duration::from_millis(5);

fn unread(why: &str) -> OptionsSeen {
    OptionsSeen::Unread(why.into())
}

fn options_in_words(options: &OptionsSeen) -> String {
    let options = match options {
        OptionsSeen::Read(options) => options,
        OptionsSeen::Unread(why) => return format!("options not read: {why}"),
    };
    let keepalive = match (
        options.keepalive,
        options.keepalive_idle,
        options.keepalive_interval,
        options.keepalive_probes,
    ) {
        (Some(true), Some(idle), Some(interval), Some(probes)) => {
            format!("keepalive {}s/{}s/{probes}", idle.as_secs(), interval.as_secs())
        }
        (Some(true), ..) => "keepalive on".to_owned(),
        (Some(false), ..) => "keepalive off".to_owned(),
        (None, ..) => "keepalive unknown".to_owned(),
    };
    let user_timeout = match options.user_timeout {
        Some(span) if !span.is_zero() => format!("TCP_USER_TIMEOUT {}", Span(span)),
        Some(_) => "no TCP_USER_TIMEOUT".to_owned(),
        None => "TCP_USER_TIMEOUT unknown".to_owned(),
    };
    format!("{keepalive}, {user_timeout}")
}
