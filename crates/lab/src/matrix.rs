//! Owns the matrix of `rehearse all`: every fault of the catalogue in every state that makes a difference to
//! it, with short timers, many at once, and what came of it in one table. Read: `rehearsal`, `forecast`.

mod rows;
mod table;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    card::{Card, Judgement},
    rehearsal::{self, Options, RehearsalError},
    scenario::{Scenario, ScenarioError, State},
};
pub use table::{Tally, table};

/// A scenario of the matrix.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The fault, and what is special about it.
    pub name: &'static str,
    /// What is done.
    pub scenario: Scenario,
}

/// A scenario and what came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What was to be done.
    pub entry: Entry,
    /// Its card, or why there is none.
    pub result: Result<Card, RehearsalError>,
}

/// Every fault in every state that makes a difference to it, for the built-in pair, with timers of
/// seconds: keepalive 1 s/1 s/3, tcp_retries2 at 3. Each of `set` is as for [`Scenario::read`].
///
/// # Errors
/// [`ScenarioError`]: something was set that the scenarios do not take.
pub fn of_pair(set: &[String]) -> Result<Vec<Entry>, ScenarioError> {
    let states =
        rows::ROWS.iter().flat_map(|row| row.states().iter().map(move |state| (row, *state)));
    let entry = |(row, state): (&rows::Row, State)| {
        Ok(Entry { name: row.name, scenario: row.scenario(state, set)? })
    };
    states.map(entry).collect()
}

/// Every fault once for two programs, whose state cannot be set: it is seen. What needs a client that
/// writes all the time is left out.
///
/// # Errors
/// As for [`of_pair`].
pub fn of_programs(
    server: &str,
    client: &str,
    set: &[String],
) -> Result<Vec<Entry>, ScenarioError> {
    let rows = rows::ROWS.iter().filter(|row| !row.needs_writer());
    rows.map(|row| {
        let mut scenario =
            row.scenario(row.states().first().copied().unwrap_or(State::Idle), set)?;
        scenario.name = row.slug();
        scenario.server.command = Some(server.to_owned());
        scenario.client.command = Some(client.to_owned());
        Ok(Entry { name: row.name, scenario })
    })
    .collect()
}

/// Does all scenarios, some at a time, each in a lab of its own. `done` is told of each. Where programs do not
/// come to a connection in the first of them, no more are begun: a slip in a command is the same in all.
pub fn run(
    entries: &[Entry],
    options: &Options<'_>,
    done: &(dyn Fn(&Outcome) + Sync),
) -> Vec<Outcome> {
    let (next, good) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(number) else { return };
            let result = rehearsal::run(&entry.scenario, options);
            good.fetch_add(usize::from(result.is_ok()), Ordering::Relaxed);
            let is_over = match &result {
                Err(RehearsalError::Interrupted) => true,
                Err(RehearsalError::Unseen { .. }) => good.load(Ordering::Relaxed) == 0,
                _ => false,
            };
            let outcome = Outcome { entry: entry.clone(), result };
            done(&outcome);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((number, outcome));
            if is_over {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(entries.len()) {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Twelve labs are sixty processes that sleep; more of them at once come too late on two cores.
const AT_ONCE: usize = 12;

impl Outcome {
    /// Whether it could be done, every kernel did what was predicted, and every expectation was met.
    pub fn judgement(&self) -> Judgement {
        self.result
            .as_ref()
            .map_or(Judgement::Bad, |card| card.as_predicted().max(card.as_expected()))
    }
}
