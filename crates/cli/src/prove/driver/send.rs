//! Owns a batch of probes: which way each goes, and what follows where one was not sent.

use std::{cmp::Reverse, time::Duration};

use halfopen_core::{
    Moment, NetnsId,
    proving::{Method, Outcome, Unprovable},
};
use halfopen_sys::{
    OptionsError, now,
    probe::{ProbeError, Target},
};

use super::{Driver, Proved};

impl Driver {
    /// Sends a probe on each of `places`.
    pub(super) fn send(&mut self, places: &[usize]) {
        for ((netns, method), group) in self.grouped(places) {
            match method {
                Method::WindowProbe | Method::KeepaliveOneShot => {
                    for batch in group.chunks(SHOTS) {
                        self.send_by_descriptor(netns, method, batch);
                    }
                }
                Method::CraftedAck => self.send_crafted(netns, &group),
            }
        }
    }

    fn send_by_descriptor(&mut self, netns: NetnsId, method: Method, places: &[usize]) {
        if self.space(netns, places).is_none() {
            return;
        }
        let target = |at: &usize| -> Option<(usize, Target)> {
            Some((*at, self.runs.get(*at)?.as_ref()?.case.target?))
        };
        let (places, targets): (Vec<_>, Vec<_>) = places.iter().filter_map(target).unzip();
        let Some(Ok(space)) = self.spaces.get_mut(&netns) else { return };
        let sent = match method {
            Method::KeepaliveOneShot => self.prober.keepalive_shots(&targets, &mut space.diag),
            Method::WindowProbe | Method::CraftedAck => self.prober.window_probes(&targets),
        };
        match sent {
            Ok(sent) => {
                for (at, sent) in places.into_iter().zip(sent) {
                    self.handle_sent(at, sent);
                }
            }
            Err(error) => {
                let why = format!("cannot {error}; without that nothing is touched");
                for at in places {
                    self.close(at, |case| Proved::refused(case, &why, false));
                }
            }
        }
    }

    fn send_crafted(&mut self, netns: NetnsId, places: &[usize]) {
        if self.space(netns, places).is_none() {
            return;
        }
        for at in places {
            let Some(Ok(space)) = self.spaces.get(&netns) else { return };
            let Some(Some(run)) = self.runs.get(*at) else { continue };
            let sent = match space.crafted() {
                Some(sockets) => sockets.send(&run.case.before.observation.sample),
                None => Err(ProbeError::Refused {
                    capability: "CAP_NET_RAW",
                    cause: std::io::ErrorKind::PermissionDenied.into(),
                }),
            };
            self.handle_sent(*at, sent);
        }
    }

    fn handle_sent(&mut self, at: usize, sent: Result<Moment, ProbeError>) {
        match sent {
            Ok(moment) => {
                if let Some(run) = self.run_at(at) {
                    run.attempt.handle_sent(moment);
                }
                self.go_on(at);
            }
            Err(error @ (ProbeError::NotSent | ProbeError::InFlight)) => {
                self.try_later(at, &error);
            }
            Err(ProbeError::Reach(
                OptionsError::Gone { .. } | OptionsError::AnotherSocket { .. },
            )) => {
                self.look_for(at);
            }
            Err(ProbeError::InRepair) => {
                self.close(at, |case| Proved::unprovable(case, Unprovable::InRepair));
            }
            Err(error) => {
                let privilege = matches!(
                    error,
                    ProbeError::Refused { .. } | ProbeError::Reach(OptionsError::Refused { .. })
                );
                self.close(at, |case| Proved::refused(case, &error.to_string(), privilege));
            }
        }
    }

    /// The kernel had no occasion to send, as a rule because the connection spoke and was answered; or
    /// another run has it in flight, whose answer is ours as well.
    fn try_later(&mut self, at: usize, error: &ProbeError) {
        let Some(run) = self.run_at(at) else { return };
        run.failures += 1;
        let failures = run.failures;
        // What was read of it is out of date.
        if let Some(target) = &mut run.case.target {
            target.reuse_address = None;
        }
        if failures > FAILURES_MAX {
            let why = error.to_string();
            self.close(at, |case| Proved::refused(case, &why, false));
        } else if self.was_heard_meanwhile(at) {
            self.close(at, Proved::heard);
        } else {
            let later = Moment(now().0.saturating_add(LATER));
            self.sends.push(Reverse((later, at)));
        }
    }

    /// Its descriptor is no more: so is the connection, or somebody else holds it now.
    fn look_for(&mut self, at: usize) {
        let Some(run) = self.run_at(at) else { return };
        let (sample, probed) =
            (run.case.before.observation.sample.clone(), run.attempt.probes_sent());
        let Some(space) = self.space(sample.id.netns, &[at]) else { return };
        match space.look_up(&sample) {
            Ok(None) if probed == 0 => self.finish(at, Outcome::Ended),
            Ok(None) => self.bury(sample.id.netns, &[at]),
            Ok(Some(_)) if self.turn_to_the_next_holder(at) => self.go_on(at),
            Ok(Some(_)) => {
                let why = "its process has passed it on or closed it; look again";
                self.close(at, |case| Proved::refused(case, why, false));
            }
            Err(error) => {
                self.close(at, |case| Proved::refused(case, &error.to_string(), false));
            }
        }
    }

    /// Says whether there is one.
    fn turn_to_the_next_holder(&mut self, at: usize) -> bool {
        let Some(run) = self.run_at(at) else { return false };
        let tried = run.case.target;
        let next = tried.and_then(|target| target.next(&run.case.before.observation));
        run.case.target = next.or(tried);
        next.is_some()
    }

    /// Whether the peer was heard since the survey, and within the last second.
    fn was_heard_meanwhile(&mut self, at: usize) -> bool {
        let Some(run) = self.run_at(at) else { return false };
        let before = run.case.before.observation.sample.clone();
        let Some(space) = self.space(before.id.netns, &[at]) else { return false };
        let Ok(Some(sample)) = space.look_up(&before) else { return false };
        let segments = |info: &halfopen_core::TcpInfo| info.segments_received;
        sample.info.as_ref().map(segments) != before.info.as_ref().map(segments)
            && sample.last_heard().is_some_and(|ago| ago < super::super::JUST)
    }
}

/// One-shots go out together, with one tick of the kernel's timer. On the loopback they must not be
/// more than the backlog of one core holds (net.core.netdev_max_backlog, 1,000).
const SHOTS: usize = 256;
/// Long enough for a connection that speaks to be heard.
const LATER: Duration = Duration::from_millis(200);
/// Two seconds of trying: a connection that is never quiet for so long is answered, or is not idle.
const FAILURES_MAX: u32 = 10;
