//! Owns many attempts at once: whose probe or look is due, in batches, on one thread of a run.
//! What an attempt does next and what it has proved is decided in `halfopen_core::proving::Attempt`.

mod look;
mod send;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    time::Duration,
};

use halfopen_core::{
    Moment, NetnsId,
    proving::{Attempt, Method, Next, Outcome, Unprovable, testable},
};
use halfopen_sys::{JournalError, now, probe::Prober};

use super::{
    Case, Plan, Proved,
    space::{Space, Witnesses},
};
use crate::exit::Failure;

/// What is due when, soonest first; each by its attempt's place.
type Due = BinaryHeap<Reverse<(Moment, usize)>>;

/// Attempts that run at the same time.
pub(super) struct Driver {
    prober: Prober,
    spaces: HashMap<NetnsId, Result<Space, String>>,
    witnesses: Witnesses,
    /// How many attempts each namespace has, which says when a dump is cheaper than look-ups.
    crowds: HashMap<NetnsId, usize>,
    runs: Vec<Option<Run>>,
    sends: Due,
    looks: Due,
    known: Vec<Proved>,
    left: usize,
    ran: Ran,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    /// Every answer is there.
    ToItsEnd,
    /// A signal came first.
    Interrupted,
}

/// One attempt.
struct Run {
    case: Case,
    method: Method,
    attempt: Attempt,
    /// Whether it could still be tested when it was last looked at.
    fits: Result<(), Unprovable>,
    /// How often the kernel did not send what it was asked to.
    failures: u32,
}

/// Who is told of each answer, and how many are left.
pub(super) type Tell<'a> = &'a mut dyn FnMut(Proved, usize) -> Result<(), Failure>;

impl Driver {
    /// Plans `cases`.
    ///
    /// # Errors
    /// [`JournalError`] where nothing could be written down before it is touched.
    pub(super) fn new(cases: Vec<Case>, witnesses: Witnesses) -> Result<Self, JournalError> {
        let mut driver = Self {
            prober: Prober::new()?,
            spaces: HashMap::new(),
            witnesses,
            crowds: HashMap::new(),
            runs: Vec::new(),
            sends: Due::new(),
            looks: Due::new(),
            known: Vec::new(),
            left: cases.len(),
            ran: Ran::ToItsEnd,
        };
        let start = now();
        for case in cases {
            match case.plan {
                Plan::Heard => driver.known.push(Proved::heard(case)),
                Plan::Leave(why) => driver.known.push(Proved::unprovable(case, why)),
                Plan::Probe(method, patience) => {
                    let sample = &case.before.observation.sample;
                    *driver.crowds.entry(sample.id.netns).or_default() += 1;
                    let attempt = Attempt::new(sample, patience);
                    driver.sends.push(Reverse((start, driver.runs.len())));
                    let run = Run { case, method, attempt, fits: Ok(()), failures: 0 };
                    driver.runs.push(Some(run));
                }
            }
        }
        Ok(driver)
    }

    /// Runs all attempts to their end, or until a signal comes; those that are not decided by then
    /// are told as such.
    ///
    /// # Errors
    /// What `tell` returns.
    pub(super) fn run(&mut self, ends: &Receiver<i32>, tell: Tell<'_>) -> Result<Ran, Failure> {
        loop {
            for proved in std::mem::take(&mut self.known) {
                self.left = self.left.saturating_sub(1);
                tell(proved, self.left)?;
            }
            if self.left == 0 {
                return Ok(self.ran);
            }
            // A batch puts back what it touches before it returns, so here nothing is touched.
            if ends.try_recv() != Err(TryRecvError::Empty) {
                self.interrupt();
                continue;
            }
            let sends = due(&mut self.sends, now(), BATCH);
            self.send(&sends);
            let looks = due(&mut self.looks, now(), usize::MAX);
            self.look(&looks);
            if sends.is_empty() && looks.is_empty() && self.wait(ends) {
                self.interrupt();
            }
        }
    }

    /// Waits until something is due; says whether a signal came first.
    fn wait(&self, ends: &Receiver<i32>) -> bool {
        let next = [self.sends.peek(), self.looks.peek()];
        let next = next.into_iter().flatten().map(|Reverse((due, _))| *due).min();
        let pause = next.map_or(Duration::ZERO, |due| due.since(now()));
        ends.recv_timeout(pause) != Err(RecvTimeoutError::Timeout)
    }

    fn interrupt(&mut self) {
        self.ran = Ran::Interrupted;
        for run in self.runs.iter_mut().filter_map(Option::take) {
            let Run { case, method, attempt, .. } = run;
            self.known.push(Proved::interrupted(case, Some(method), attempt.probes_sent()));
        }
    }

    /// Does what the attempt wants next.
    fn go_on(&mut self, at: usize) {
        let now = now();
        let Some(Some(run)) = self.runs.get(at) else { return };
        match (run.attempt.poll(now), run.fits) {
            (Next::LookAt(due), _) => self.looks.push(Reverse((due, at))),
            (Next::Done(outcome), _) => self.finish(at, outcome),
            (Next::Send, Ok(())) => self.sends.push(Reverse((now, at))),
            // It has begun to say something itself, or has changed its state.
            (Next::Send, Err(why)) => self.close(at, |case| Proved::unprovable(case, why)),
        }
    }

    fn finish(&mut self, at: usize, outcome: Outcome) {
        let Some(run) = self.runs.get_mut(at).and_then(Option::take) else { return };
        let Run { case, method, attempt, .. } = run;
        self.known.push(Proved::tested(case, method, attempt.probes_sent(), outcome));
    }

    fn close(&mut self, at: usize, answer: impl FnOnce(Case) -> Proved) {
        if let Some(run) = self.runs.get_mut(at).and_then(Option::take) {
            self.known.push(answer(run.case));
        }
    }

    fn run_at(&mut self, at: usize) -> Option<&mut Run> {
        self.runs.get_mut(at)?.as_mut()
    }

    /// The attempts at these places, by namespace and method, in order.
    fn grouped(&self, places: &[usize]) -> Vec<((NetnsId, Method), Vec<usize>)> {
        let mut groups: Vec<((NetnsId, Method), Vec<usize>)> = Vec::new();
        for at in places {
            let Some(Some(run)) = self.runs.get(*at) else { continue };
            let key = (run.case.before.observation.sample.id.netns, run.method);
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.push(*at),
                None => groups.push((key, vec![*at])),
            }
        }
        groups
    }

    /// Makes sure that the namespace is open; `None`, with all of `places` told why, if it cannot be.
    fn space(&mut self, id: NetnsId, places: &[usize]) -> Option<&mut Space> {
        let raw = places.iter().any(
            |at| matches!(self.runs.get(*at), Some(Some(run)) if run.method == Method::CraftedAck),
        );
        let space = self.spaces.entry(id).or_insert_with(|| open(id, raw, &self.witnesses));
        if raw && matches!(space, Ok(space) if space.crafted().is_none()) {
            *space = open(id, raw, &self.witnesses);
        }
        if let Err(why) = space {
            let why = why.clone();
            for at in places {
                self.close(*at, |case| Proved::refused(case, &why, false));
            }
            return None;
        }
        self.spaces.get_mut(&id)?.as_mut().ok()
    }
}

fn open(id: NetnsId, with_raw_sockets: bool, witnesses: &Witnesses) -> Result<Space, String> {
    Space::open(id, with_raw_sockets, witnesses).map_err(|error| format!("cannot {error}"))
}

/// Takes what is due by `now`, no more than `most`.
fn due(heap: &mut Due, now: Moment, most: usize) -> Vec<usize> {
    let mut taken = Vec::new();
    while taken.len() < most && heap.peek().is_some_and(|Reverse((due, _))| *due <= now) {
        if let Some(Reverse((_, at))) = heap.pop() {
            taken.push(at);
        }
    }
    taken
}

/// Some 20 ms of probing: between batches answers are seen and told, and signals heeded.
const BATCH: usize = 512;
