//! Owns the looks at connections that were probed, and the question how those that are gone ended.

use std::cmp::Reverse;
use std::time::Duration;

use halfopen_core::{
    KernelTimer, Moment, NetnsId, OptionsSeen, Sample, TcpState,
    proving::{Next, Sight},
};
use halfopen_sys::{SocketDiagError, now, probe::Ending};

use super::{Driver, Proved, Run, testable};

impl Driver {
    /// Looks at each of `places`.
    pub(super) fn look(&mut self, places: &[usize]) {
        let mut by_space: Vec<(NetnsId, Vec<usize>)> = Vec::new();
        for ((netns, _), group) in self.grouped(places) {
            match by_space.iter_mut().find(|(known, _)| *known == netns) {
                Some((_, all)) => all.extend(group),
                None => by_space.push((netns, group)),
            }
        }
        for (netns, group) in by_space {
            let gone = match self.sights(netns, &group) {
                Ok(gone) => gone,
                Err(error) => {
                    let why = format!("cannot {error}");
                    for at in group {
                        self.close(at, |case| Proved::refused(case, &why, false));
                    }
                    continue;
                }
            };
            self.bury(netns, &gone);
        }
    }

    /// Hands each attempt what is there, and returns those of which nothing is.
    fn sights(&mut self, netns: NetnsId, places: &[usize]) -> Result<Vec<usize>, SocketDiagError> {
        let crowd = self.crowds.get(&netns).copied().unwrap_or(0);
        let by_dump = places.len() >= DUMP_FROM && places.len() >= crowd / 4;
        let Some(space) = self.space(netns, places) else { return Ok(Vec::new()) };
        let mut dump = if by_dump { Some(space.dump()?) } else { None };
        let mut gone = Vec::new();
        for at in places {
            let Some(Some(run)) = self.runs.get(*at) else { continue };
            let before = &run.case.before.observation.sample;
            let dumped = dump.as_mut().and_then(|dump| dump.remove(&before.id));
            let seen = match (dumped, self.spaces.get_mut(&netns)) {
                (Some(sample), _) => Some(sample),
                // A dump of tables that change may miss one that is there.
                (None, Some(Ok(space))) => space.look_up(before)?,
                (None, _) => None,
            };
            match seen {
                Some(sample) => self.handle_sight(*at, Sight::There(&sample), Some(&sample)),
                None => gone.push(*at),
            }
        }
        Ok(gone)
    }

    fn handle_sight(&mut self, at: usize, sight: Sight<'_>, sample: Option<&Sample>) {
        let Some(run) = self.run_at(at) else { return };
        run.attempt.handle_sight(sight, now());
        if let Some(sample) = sample {
            run.fits = testable(sample);
        }
        self.go_on(at);
    }

    /// How those that are in no table any more have ended. An error that waits for the application
    /// is the best witness; the namespace's counter is heard where there is no descriptor to ask.
    pub(super) fn bury(&mut self, netns: NetnsId, gone: &[usize]) {
        let mut with_error = Vec::new();
        let mut without_word = Vec::new();
        for at in gone {
            let Some(Some(run)) = self.runs.get(*at) else { continue };
            let target = run.case.target;
            match target.map_or(Ending::NoDescriptor, |target| self.prober.ending(&target)) {
                Ending::WithError => with_error.push(*at),
                Ending::Told | Ending::NoDescriptor => without_word.push(*at),
                Ending::Lives => self.look_again(*at),
            }
        }
        if with_error.is_empty() && without_word.is_empty() {
            return;
        }
        let counted =
            |at: &&usize| matches!(self.runs.get(**at), Some(Some(run)) if is_counted(run));
        let errors_counted = with_error.iter().filter(counted).count() as u64;
        let hints: Vec<usize> = without_word.iter().filter(counted).copied().collect();
        let Some(Ok(space)) = self.spaces.get_mut(&netns) else { return };
        let mut resets = space.resets();
        resets.explain(errors_counted);
        let covered = resets.cover(hints.len() as u64);
        if covered {
            resets.explain(hints.len() as u64);
        }
        let timed_out = resets.timed_out;
        drop(resets);
        for at in with_error {
            let by_timer =
                timed_out && matches!(self.runs.get(at), Some(Some(run)) if may_time_out(run));
            self.handle_sight(at, Sight::Gone { by_reset: !by_timer }, None);
        }
        for at in without_word {
            let by_reset = covered && hints.contains(&at);
            self.handle_sight(at, Sight::Gone { by_reset }, None);
        }
    }

    /// The table did not show it and its descriptor says that it lives: it was being moved.
    fn look_again(&mut self, at: usize) {
        let Some(run) = self.run_at(at) else { return };
        match run.attempt.poll(now()) {
            Next::LookAt(_) => {
                let soon = Moment(now().0.saturating_add(SOON));
                self.looks.push(Reverse((soon, at)));
            }
            Next::Send | Next::Done(_) => self.go_on(at),
        }
    }
}

/// EstabResets counts what goes from these states to CLOSED (linux net/ipv4/tcp.c `tcp_set_state`).
fn is_counted(run: &Run) -> bool {
    let state = run.case.before.observation.sample.state;
    matches!(state, TcpState::Established | TcpState::CloseWait)
}

/// The application's own keepalive may have ended it meanwhile.
fn may_time_out(run: &Run) -> bool {
    let seen = &run.case.before.observation;
    let on = match &seen.options {
        OptionsSeen::Read(options) => options.keepalive != Some(false),
        OptionsSeen::Unread(_) => false,
    };
    on || matches!(seen.sample.timer, KernelTimer::Keepalive { .. })
}

/// Fewer are asked for one by one, which takes some microseconds each.
const DUMP_FROM: usize = 4_000;
const SOON: Duration = Duration::from_millis(20);
