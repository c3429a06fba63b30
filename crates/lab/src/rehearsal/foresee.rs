//! Owns when the forecast is asked: once a fault is there, before a later one, and again when what runs has
//! changed. Looks at sockets, and changes nothing. Read: `forecast` for what is foreseen.

use std::time::Duration;

use halfopen_core::Moment;

use super::{
    Play, RehearsalError, findings,
    look::{self, Look},
    stage::Stage,
};
use crate::{
    fault::Side,
    forecast::{Foreseen, Known, forecast},
    scenario::State,
};

impl Play<'_> {
    /// Looks at each victim once the fault is there, and again when what runs has changed, or when
    /// something was heard after all: the timers count from there.
    pub(super) fn foresee(&mut self, stage: &mut Stage<'_>) -> Result<(), RehearsalError> {
        let Some(first_fault) = self.record.first_fault else { return Ok(()) };
        for side in Side::BOTH {
            if !stage.is_on(side) || stage.has_lost_power(side) {
                continue;
            }
            let Some(track) = stage.watch.focus(side) else { continue };
            let (cookie, regime) = (track.last.id.cookie, look::regime(&track.last));
            let is_new = match (self.record.looks.get(side), self.record.foreseen.get(side)) {
                // What was foreseen of a socket that is gone stays as it is.
                (None, foreseen) => foreseen.is_none(),
                (Some(look), _) => {
                    let is_same = look.cookie == cookie && track.gone.is_none();
                    let is_told_more = self.is_told_more(side, look);
                    let has_changed = look.regime != regime || look.is_outdated_by(&track.last);
                    let is_another_fault =
                        self.steps_by(look.at) < self.steps_by(halfopen_sys::now());
                    is_same && (is_told_more || has_changed || is_another_fault)
                }
            };
            let count = self.record.looked.get(side).copied().unwrap_or(0);
            if !is_new || count >= LOOKS_MAX {
                continue;
            }
            stage.watch.dump(&stage.lab)?;
            let look = Look::at(stage, side, cookie, regime)?;
            let seen = look.as_ref().or(self.record.before.get(side));
            // Of what is gone already, the look right before has to do.
            let at = seen.map_or_else(halfopen_sys::now, |look| look.at);
            let since = at.since(first_fault);
            let fault = self.record.fault_at(self.scenario, self.from, at.max(first_fault));
            let Some(fault) = fault else { continue };
            let known = self.known(stage, side, at, since);
            let known = seen.map_or(known, |look| look.known(known));
            let foreseen = forecast(fault, side, known);
            self.record.looked.set(side, count + 1);
            // A later look counts only for one that is still there.
            if look.is_some() || self.record.foreseen.get(side).is_none() {
                self.record.foreseen.set(side, (foreseen, since));
            }
            if let Some(look) = look {
                self.record.looks.set(side, look);
            }
        }
        Ok(())
    }

    /// Before another step: what is foreseen of it by what was last seen, for those whose socket is gone
    /// before it can be looked at again.
    pub(super) fn foresee_step(&mut self, stage: &Stage<'_>) {
        let Some((cue, first_fault)) = self.cues.get(self.next).zip(self.record.first_fault) else {
            return;
        };
        let step = cue.step.and_then(|number| self.scenario.steps.get(number));
        let Some(step) = step.filter(|step| step.when == cue.when) else { return };
        let now = halfopen_sys::now();
        let since = now.since(first_fault);
        for side in Side::BOTH {
            let is_there = stage.watch.focus(side).is_some_and(|track| track.gone.is_none());
            let look = self.record.looks.get(side).or(self.record.before.get(side));
            let Some(look) = look.filter(|_| is_there && !stage.has_lost_power(side)) else {
                continue;
            };
            let known = look.known(self.known(stage, side, now, since));
            let foreseen = forecast(&step.fault, side, known);
            self.record.foreseen.set(side, (foreseen, since));
        }
    }

    /// How many steps have come by then.
    fn steps_by(&self, at: Moment) -> usize {
        findings::steps_until(self.scenario, at.since(self.from)).count()
    }

    /// What was open may be known now that the other side was looked at again.
    fn is_told_more(&self, side: Side, look: &Look) -> bool {
        let is_open = matches!(self.record.foreseen.get(side), Some((Foreseen::Open { .. }, _)));
        is_open && self.record.looks.get(side.other()).is_some_and(|other| other.at > look.at)
    }

    /// What is known of a side beside its own socket.
    pub(super) fn known(
        &self,
        stage: &Stage<'_>,
        side: Side,
        at: Moment,
        since: Duration,
    ) -> Known<'_> {
        let other = side.other();
        let peer = self.record.looks.get(other).or(self.record.before.get(other));
        let pause = self.writes(Side::Client).then_some(self.scenario.pair.every);
        Known {
            own: None,
            peer: peer.map(|look| look.seen(at)),
            busy: self.writes(side),
            unanswered: false,
            pause,
            since,
            peer_has_forgotten: stage.has_lost_power(other),
            middlebox: self.record.middlebox_at(self.scenario, self.from, at),
            router: self.scenario.router,
        }
    }

    /// The built-in client writes all the time, whether or not something is in flight just now; one that
    /// writes seldom is idle in between.
    fn writes(&self, side: Side) -> bool {
        side == Side::Client
            && self.scenario.client.command.is_none()
            && self.scenario.pair.state == State::Writing
            && self.scenario.pair.every <= ALL_THE_TIME
    }
}

/// Idle, in flight and window shut, of each of two faults: each look reads all of /proc.
const LOOKS_MAX: u8 = 6;

/// A second: as long as the shortest keepalive time, and longer than the measurement adds.
const ALL_THE_TIME: Duration = Duration::from_secs(1);
