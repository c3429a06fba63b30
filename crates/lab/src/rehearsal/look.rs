//! Owns one look at a victim: its socket, its options, and what core makes of them. Changes nothing.

use halfopen_core::{
    Cookie, Diagnosis, KernelTimer, Moment, OptionsSeen, Sample, Span, Thresholds,
    detection::{DetectionTime, Learns},
};
use halfopen_sys::{Scope, survey};

use super::{RehearsalError, stage::Stage};
use crate::{
    fault::{Fault, Side},
    forecast::{Foreseen, Known, forecast},
    trial::take_turn,
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
    /// Looks at the socket with this cookie; `None` where it is gone.
    pub(super) fn at(
        stage: &Stage<'_>,
        side: Side,
        cookie: Cookie,
        regime: Regime,
    ) -> Result<Option<Self>, RehearsalError> {
        let pid = stage.lab.host(side.word())?.pid()?;
        let turn = take_turn();
        let survey = survey(&Scope::Named(pid.to_string()))
            .map_err(|error| RehearsalError::Look { side, why: error.to_string() })?;
        drop(turn);
        let seen = survey.observations.into_iter().find(|seen| seen.sample.id.cookie == cookie);
        Ok(seen.map(|seen| {
            let (at, in_flight) = (seen.sample.taken_at, seen.sample.in_flight() == Some(true));
            let state = seen.sample.state.to_string();
            let words = format!("{state}, {}", options_in_words(&seen.options));
            let learns = Diagnosis::of(seen, &Thresholds::default()).learns;
            Self { at, cookie, regime, learns, words, in_flight }
        }))
    }

    pub(super) fn foresee(
        &self,
        fault: &Fault,
        side: Side,
        writes: bool,
        since: std::time::Duration,
    ) -> Foreseen {
        let busy = self.in_flight || self.regime != Regime::Idle || writes;
        forecast(fault, side, Known { learns: Some(&self.learns), busy, since })
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
