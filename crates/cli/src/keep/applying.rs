//! Owns the act: options set step by step, each recorded first and told after; then the watch, and
//! the way back if it raises the alarm. Decides no plan. Read: `proposal`, `alarm`, `record`.

use std::{
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use halfopen_core::{Span, keeping::Change};
use halfopen_sys::set_options::{NotSet, Setter, Setting, Target};

use super::{
    alarm::{Alarm, Rise},
    proposal::{Proposal, Proposed},
    record::{Options, Record},
};
use crate::{
    audit::{Act, ActResult, Audit, Entries},
    exit::Failure,
};

/// What was done.
#[derive(Debug)]
pub(crate) struct Applied {
    /// For each change of the proposal, in order, what came of it; `None` where the alarm came first.
    pub outcomes: Vec<Option<Result<(), NotSet>>>,
    /// What the counters did, if they were watched.
    pub watched: Option<Watched>,
}

/// What the watch saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    /// For how long, from the first change on.
    pub watched_for: Duration,
    /// What rose.
    pub rise: Rise,
    /// Everything was put back.
    pub rolled_back: bool,
    /// Of how many connections the options could not be put back.
    pub stuck: usize,
}

impl Applied {
    /// How many were set.
    pub(crate) fn done(&self) -> usize {
        self.outcomes.iter().filter(|outcome| matches!(outcome, Some(Ok(())))).count()
    }

    /// How many could not be set.
    pub(crate) fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| matches!(outcome, Some(Err(_)))).count()
    }
}

/// Carries `proposal` out.
///
/// # Errors
/// [`Failure`] if what is done cannot be recorded.
pub(crate) fn apply(
    proposal: &Proposal,
    audit: &Audit,
    record: &mut Record,
    watch_for: Option<Duration>,
) -> Result<Applied, Failure> {
    let changes: Vec<_> = proposal.changes().collect();
    let Some(spread) = proposal.spread.filter(|_| !changes.is_empty()) else {
        return Ok(Applied { outcomes: Vec::new(), watched: None });
    };
    let change = |one: &Proposed<'_>| {
        (one.diagnosis.observation.sample.id, Change { before: one.before, after: one.after })
    };
    record.add(changes.iter().map(change))?;
    let watch_for = watch_for.unwrap_or_else(|| first_probe(&changes));
    let alarm = Alarm::set(&proposal.picture);
    let began = Instant::now();
    let setter = Setter::open(changes.len(), changes.len().min(spread.per_step));
    let mut outcomes = Vec::with_capacity(changes.len());
    let mut progress = Progress::new(changes.len(), spread.takes(changes.len()) + watch_for);
    let entries = audit.begin("keep", changes.iter().map(|one| change(one).0))?;
    let mut rise = Rise::default();
    for (number, step) in changes.chunks(spread.per_step).enumerate() {
        let due = began + spread.step.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            thread::sleep(left.min(LOOK_EVERY));
            progress.tell(outcomes.len());
            rise = alarm.rise();
            if rise.is_alarming {
                break;
            }
        }
        if rise.is_alarming {
            break;
        }
        let done = setter.set(&targets(step, false));
        record_acts(&entries, step, &done, false)?;
        outcomes.extend(done.into_iter().map(Some));
    }
    let until = Instant::now() + watch_for;
    while !rise.is_alarming && Instant::now() < until {
        thread::sleep(until.saturating_duration_since(Instant::now()).min(LOOK_EVERY));
        progress.tell(outcomes.len());
        rise = alarm.rise();
    }
    outcomes.resize_with(changes.len(), || None);
    let mut applied = Applied { outcomes, watched: None };
    if watch_for.is_zero() && !rise.is_alarming {
        return Ok(applied);
    }
    let mut watched = Watched { watched_for: began.elapsed(), rise, rolled_back: false, stuck: 0 };
    if rise.is_alarming {
        watched.rolled_back = true;
        watched.stuck = roll_back(&changes, &applied, audit)?;
    }
    applied.watched = Some(watched);
    Ok(applied)
}

/// Puts everything back that was set. Returns of how many that failed.
fn roll_back(changes: &[Proposed<'_>], applied: &Applied, audit: &Audit) -> Result<usize, Failure> {
    let set = changes.iter().zip(&applied.outcomes);
    let set: Vec<_> =
        set.filter(|(_, outcome)| matches!(outcome, Some(Ok(())))).map(|(one, _)| *one).collect();
    let entries =
        audit.begin("keep --undo", set.iter().map(|one| one.diagnosis.observation.sample.id))?;
    let done = Setter::open(set.len(), set.len()).set(&targets(&set, true));
    // What is gone needs no way back.
    let done: Vec<_> = done
        .into_iter()
        .map(|outcome| match outcome {
            Err(NotSet::Gone | NotSet::NotOpen) => Ok(()),
            outcome => outcome,
        })
        .collect();
    record_acts(&entries, &set, &done, true)?;
    Ok(done.iter().filter(|outcome| outcome.is_err()).count())
}

/// Puts on record what came of a batch, forward or back.
fn record_acts(
    entries: &Entries<'_>,
    batch: &[Proposed<'_>],
    done: &[Result<(), NotSet>],
    back: bool,
) -> Result<(), Failure> {
    let words: Vec<_> = batch
        .iter()
        .zip(done)
        .map(|(one, outcome)| {
            let (from, to) = if back { (one.after, one.before) } else { (one.before, one.after) };
            let why = outcome.as_ref().err().map(ToString::to_string);
            (one.diagnosis, Options::from(from), Options::from(to), why)
        })
        .collect();
    let acts = words.iter().map(|(diagnosis, before, after, why)| Act {
        diagnosis,
        before,
        after: why.is_none().then_some(after),
        result: why.as_deref().map_or(ActResult::Done, ActResult::Failed),
    });
    Ok(entries.record_all(acts)?)
}

fn targets<'a>(changes: &[Proposed<'a>], back: bool) -> Vec<Target<'a>> {
    let target = |one: &Proposed<'a>| {
        let observation = &one.diagnosis.observation;
        let (expected, wanted) =
            if back { (one.after, one.before) } else { (one.before, one.after) };
        let setting = Setting { id: observation.sample.id, expected, wanted };
        Target { setting, owners: observation.owners.seen() }
    };
    changes.iter().map(target).collect()
}

/// How long to watch if nobody says: until the first probes have gone out, where there are many.
fn first_probe(changes: &[Proposed<'_>]) -> Duration {
    if changes.len() <= MANY {
        return Duration::ZERO;
    }
    let longest = changes.iter().map(|one| one.plan.keepalive.idle).max().unwrap_or_default();
    longest.saturating_add(AFTER_PROBE).min(WATCH_MAX)
}

/// So few fit into one backlog, all of them at once.
const MANY: usize = 1_000;
/// Timers are late by an eighth at most; the drops of a probe are counted at once.
const AFTER_PROBE: Duration = Duration::from_secs(3);
const WATCH_MAX: Duration = Duration::from_secs(60);

/// Reading the counters takes well below a millisecond for each namespace.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Says now and then how far it is, for those who wait.
struct Progress {
    all: usize,
    began: Instant,
    takes: Duration,
    told: Instant,
}

impl Progress {
    fn new(all: usize, takes: Duration) -> Self {
        let now = Instant::now();
        let progress = Self { all, began: now, takes, told: now };
        if takes > TELL_EVERY {
            progress.say(&format!(
                "setting the options of {all} connections, then watching; takes {}",
                Span(takes)
            ));
        }
        progress
    }

    fn tell(&mut self, done: usize) {
        if self.told.elapsed() < TELL_EVERY {
            return;
        }
        self.told = Instant::now();
        let left = self.takes.saturating_sub(self.began.elapsed());
        self.say(&format!("{done} of {} set; {} left", self.all, Span(left)));
    }

    fn say(&self, text: &str) {
        // Where standard error cannot be written nobody waits for it.
        let _ = writeln!(std::io::stderr(), "halfopen: {text}");
    }
}

const TELL_EVERY: Duration = Duration::from_secs(5);
