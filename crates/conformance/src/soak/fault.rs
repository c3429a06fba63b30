//! Owns the faults of a soak, and when one was at work: what broke meanwhile is excused.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{case::Side, outcome::Miss, stage::Stage};

/// Faults are at work now, or were until a moment ago; and how many there have been.
#[derive(Debug, Default)]
pub(super) struct Weather {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    storms: u64,
    is_fair: bool,
    fair_since: Option<Instant>,
}

/// What the weather was at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    storms: u64,
    was_fair: bool,
}

/// What can be done to a cable.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Silence both ways, short: connections outlive it.
    Cut,
    /// Silence both ways, for longer than the relay may take to notice.
    LongCut,
    /// One in so many frames is lost.
    Loss(u8),
    /// The host's plug is out: the relay's kernel is told.
    CarrierOff,
}

impl Weather {
    pub(super) fn reading(&self) -> Reading {
        let state = self.lock();
        Reading { storms: state.storms, was_fair: is_fair(&state) }
    }

    /// No fault was at work at any moment since then, nor shortly before.
    pub(super) fn was_fair_since(&self, then: Reading) -> bool {
        let now = self.reading();
        then.was_fair && now.was_fair && now.storms == then.storms
    }

    /// Fair for some seconds, then one fault at one cable, until it is mended.
    /// `false` where the time was too short for one.
    pub(super) fn storm(
        &self,
        stage: &Stage,
        chance: &mut fastrand::Rng,
        deadline: Instant,
    ) -> Result<bool, Miss> {
        let side = if chance.bool() { Side::Client } else { Side::Server };
        let fault = match chance.u8(0..8) {
            0..3 => Fault::Cut,
            3 => Fault::LongCut,
            4..7 => Fault::Loss(chance.u8(1..=10)),
            _ => Fault::CarrierOff,
        };
        let span = match fault {
            Fault::LongCut => stage.limits.notice + Duration::from_secs(2),
            _ => Duration::from_millis(chance.u64(500..3_000)),
        };
        pause(Duration::from_millis(chance.u64(2_000..6_000)), deadline);
        if Instant::now() + span > deadline {
            pause(span, deadline);
            return Ok(false);
        }
        {
            let mut state = self.lock();
            state.storms += 1;
            state.is_fair = false;
        }
        let seed = chance.u64(..);
        let cables = stage.cables()?;
        let done = match fault {
            Fault::Cut | Fault::LongCut => cables.cut(side),
            Fault::Loss(percent) => cables.lose(side, percent, seed),
            Fault::CarrierOff => cables.carrier(side, false),
        };
        pause(span, deadline);
        let mended = match fault {
            Fault::CarrierOff => cables.carrier(side, true),
            _ => cables.mend(side),
        };
        let mut state = self.lock();
        state.is_fair = true;
        state.fair_since = Some(Instant::now());
        done.and(mended).map(|()| true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault is felt for a while after it: retransmissions have backed off (RFC 6298 5.5).
fn is_fair(state: &State) -> bool {
    state.storms == 0
        || (state.is_fair && state.fair_since.is_none_or(|since| since.elapsed() > AFTERMATH))
}

/// As long as the fault's longest short kind, doubled, and some more.
const AFTERMATH: Duration = Duration::from_secs(8);

/// Waits so long, or until the deadline.
fn pause(span: Duration, deadline: Instant) {
    thread::sleep(span.min(deadline.saturating_duration_since(Instant::now())));
}
