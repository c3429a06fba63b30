//! A soak: mixed lives and faults through one relay for as long as wanted. What it looks for are bytes that
//! are wrong or missing behind a clean end, lives that fail while nothing is broken, and what is left at the end.
//!
//! Owns the order of a soak and its report; `soak/life.rs` has the lives, `soak/fault.rs` the faults. It
//! needs a lab, whose cables it cuts.

mod fault;
mod life;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use self::life::{End as LifeEnd, Kind};
use crate::{
    outcome::Miss,
    stage::{Limits, Place, Stage, StageError},
};

/// How a soak is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How long it lasts; some seconds come on top for what is left to be counted.
    pub span: Duration,
    /// From which lives and faults are drawn; with the same seed each worker draws the same ones.
    pub seed: u64,
    /// How many lives there are at a time.
    pub workers: usize,
    /// How long the relay may take to tell of a peer that vanished.
    pub notice: Duration,
}

/// What came of a soak.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Connections that lived and ended as they were meant to.
    pub whole: u64,
    /// Connections that a fault broke, and that looked broken.
    pub broken: u64,
    /// Connections that could not be made during a fault.
    pub unmade: u64,
    /// How many faults there were.
    pub faults: u64,
    /// How many lives there were at a time.
    pub workers: usize,
    /// What no fault excuses, the first twenty of it, in sentences.
    pub misses: Vec<String>,
    /// What the relay's processes held after the first third, when all lives had ended.
    pub before: Holdings,
    /// The same at the end, when nobody holds a connection any more.
    pub after: Holdings,
}

/// What the relay's processes hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Descriptors.
    pub descriptors: usize,
    /// Memory, each shared page divided among its sharers (Pss of proc_pid_smaps(5)), in KiB.
    pub memory_kib: u64,
    /// Sockets of TCP on the relay's host that are neither listening nor in TIME-WAIT.
    pub connections: usize,
}

/// More would say nothing new, and an hour could bring a million.
const MISSES_MAX: usize = 20;

impl Report {
    /// Nothing is wrong: no miss, nothing left, and no more memory and descriptors than are allowed.
    pub fn is_good(&self) -> bool {
        self.misses.is_empty() && self.left().is_none()
    }

    /// What is left at the end that was not there after the first lives, in words.
    pub fn left(&self) -> Option<String> {
        let Self { before, after, .. } = self;
        let kept = [
            (after.descriptors > self.descriptors_allowed())
                .then(|| format!("{} descriptors more", after.descriptors - before.descriptors)),
            (after.connections > 0).then(|| format!("{} connections", after.connections)),
            (after.memory_kib > self.memory_allowed())
                .then(|| format!("{} KiB of memory more", after.memory_kib - before.memory_kib)),
        ];
        let kept: Vec<_> = kept.into_iter().flatten().collect();
        (!kept.is_empty()).then(|| kept.join(", "))
    }

    /// Two more for each life at a time than after the first third: pools may still have grown to what the
    /// busiest moment needed. A leak grows with the number of lives instead.
    pub const fn descriptors_allowed(&self) -> usize {
        self.before.descriptors + 2 * self.workers
    }

    /// A quarter more than after the first lives, and 4 MiB: buffers that faults made the relay use are
    /// kept for later by every allocator.
    pub const fn memory_allowed(&self) -> u64 {
        self.before.memory_kib + self.before.memory_kib / 4 + 4 * 1024
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whole, broken, unmade, faults, before, after, .. } = self;
        writeln!(
            f,
            "{whole} connections whole, {broken} broken by {faults} faults and told so, \
             {unmade} could not be made meanwhile"
        )?;
        for (when, held) in [("after a third", before), ("at the end", after)] {
            let Holdings { descriptors, memory_kib, connections } = held;
            writeln!(
                f,
                "{when}: {descriptors} descriptors, {memory_kib} KiB, {connections} connections"
            )?;
        }
        for miss in &self.misses {
            writeln!(f, "miss: {miss}")?;
        }
        match self.left() {
            None => writeln!(f, "nothing is left behind"),
            Some(left) => writeln!(f, "left behind: {left}"),
        }
    }
}

/// Soaks the relay that `command` starts in a lab.
///
/// # Errors
/// [`StageError`] where the lab or the relay could not be started, or not be looked at.
pub fn run(command: &str, plan: Plan) -> Result<Report, StageError> {
    let limits = Limits { notice: plan.notice, ..Limits::default() };
    let stage = Stage::set(&Place::Lab { command: command.to_owned() }, limits)?;
    let report = Report { workers: plan.workers, ..Report::default() };
    let soak = Soak { stage, plan, report: Mutex::new(report), weather: fault::Weather::default() };
    // The first lives and faults fill what the relay keeps for later: pools of buffers and pipes.
    soak.live(plan.span / 3, 0);
    soak.lock().before = soak.settled(None)?;
    soak.live(plan.span - plan.span / 3, 1);
    let goal = soak.lock().descriptors_allowed();
    let after = soak.settled(Some(goal))?;
    let mut report = soak.report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.after = after;
    Ok(report)
}

struct Soak {
    stage: Stage,
    plan: Plan,
    report: Mutex<Report>,
    weather: fault::Weather,
}

impl Soak {
    /// All workers live one life after the other for so long, and faults come.
    fn live(&self, span: Duration, part: u64) {
        let deadline = Instant::now() + span;
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.plan.workers as u64)
                .map(|number| scope.spawn(move || self.work(part << 32 | number, deadline)))
                .collect();
            let mut chance = fastrand::Rng::with_seed(self.plan.seed ^ (part << 32));
            while Instant::now() < deadline {
                match self.weather.storm(&self.stage, &mut chance, deadline) {
                    Ok(came) => self.lock().faults += u64::from(came),
                    Err(miss) => self.miss(format!("a fault: {miss}")),
                }
            }
            for worker in workers {
                if worker.join().is_err() {
                    self.miss("a worker panicked".to_owned());
                }
            }
        });
    }

    fn work(&self, number: u64, deadline: Instant) {
        let mut chance = fastrand::Rng::with_seed(self.plan.seed ^ (number + 1));
        while Instant::now() < deadline {
            let kind = Kind::draw(&mut chance);
            let before = self.weather.reading();
            let ended = life::live(&self.stage, kind, &mut chance);
            let is_excused = !self.weather.was_fair_since(before);
            let mut report = self.lock();
            match ended {
                LifeEnd::Whole => report.whole += 1,
                LifeEnd::Broken(_) if is_excused => report.broken += 1,
                LifeEnd::Unmade(_) if is_excused => report.unmade += 1,
                LifeEnd::Broken(said) | LifeEnd::Unmade(said) | LifeEnd::Lie(said) => {
                    drop(report);
                    self.miss(format!("{kind:?}: {said}"));
                }
            }
        }
    }

    fn miss(&self, said: String) {
        let mut report = self.lock();
        if report.misses.len() < MISSES_MAX {
            report.misses.push(said);
        }
    }

    /// What the relay holds when it holds no more connections, or no more than the goal, or after the
    /// longest that it may take to notice.
    fn settled(&self, goal: Option<usize>) -> Result<Holdings, StageError> {
        let patience = self.plan.notice + self.stage.limits.soon;
        let settled = halfopen_lab::wait::until(patience, || {
            let now = self.stage.relay_holdings()?;
            let is_low = goal.is_none_or(|goal| now.descriptors <= goal);
            (now.connections == 0 && is_low).then_some(now)
        });
        settled.or_else(|| self.stage.relay_holdings()).ok_or(StageError::Unseen)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stage that could not be set for one life is a miss like any other.
fn said(miss: &Miss) -> String {
    miss.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(before: (usize, u64), after: (usize, u64, usize)) -> Report {
        Report {
            before: Holdings { descriptors: before.0, memory_kib: before.1, connections: 0 },
            after: Holdings { descriptors: after.0, memory_kib: after.1, connections: after.2 },
            workers: 16,
            ..Report::default()
        }
    }

    #[test]
    fn a_connection_or_too_much_of_anything_is_something_left_behind() {
        let bound = 10_000 + 2_500 + 4_096;
        assert!(report((20, 10_000), (20, bound, 0)).is_good());
        assert!(report((20, 10_000), (20 + 2 * 16, 10_000, 0)).is_good());
        let left = report((20, 10_000), (21 + 2 * 16, 10_000, 0)).left();
        assert_eq!(left.unwrap(), "33 descriptors more");
        assert_eq!(report((20, 10_000), (20, 10_000, 1)).left().unwrap(), "1 connections");
        assert!(!report((20, 10_000), (20, bound + 1, 0)).is_good());
    }

    #[test]
    fn a_miss_spoils_a_soak() {
        let misses = vec!["wrong bytes".to_owned()];
        assert!(!Report { misses, ..report((1, 1), (1, 1, 0)) }.is_good());
    }
}
