//! Owns the matrix of `rehearse all`: every fault of the catalogue in every state of the built-in pair,
//! with short timers, many at once, and its table. Read: `rehearsal`, `forecast`.

use std::{
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    card::{Card, SideCard},
    fault::{CATALOGUE, Fault, Icmp},
    rehearsal::{self, Options, RehearsalError},
    scenario::{Keepalive, Plan, Scenario, State},
    wire::Link,
};

/// A scenario and what came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario.
    pub scenario: Scenario,
    /// Its card, or why there is none.
    pub result: Result<Card, RehearsalError>,
}

/// Every fault in every state that makes a difference to it, for the built-in pair, with timers of
/// seconds: keepalive 1 s/1 s/3 at the client, tcp_retries2 at 3.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for entry in CATALOGUE {
        let Ok(fault) = Fault::plain(entry.name) else { continue };
        for state in states(&fault) {
            let mut scenario = Scenario::of_fault(short(fault.clone()), state, plan(&fault), LIMIT);
            scenario.summary = entry.what.to_owned();
            let keepalive = Keepalive {
                idle: Duration::from_secs(1),
                interval: Duration::from_secs(1),
                probes: 3,
            };
            scenario.pair.keepalive = Some(keepalive);
            for party in [&mut scenario.client, &mut scenario.server] {
                let sysctls =
                    [("tcp_retries2", "3"), ("tcp_syn_retries", "2"), ("tcp_synack_retries", "1")];
                let named =
                    |(name, value): (&str, &str)| (format!("net.ipv4.{name}"), value.to_owned());
                party.sysctls = sysctls.map(named).into();
            }
            all.push(scenario);
        }
    }
    all
}

/// Where timers of seconds have all run out.
const LIMIT: Duration = Duration::from_secs(14);

/// A fault of birth knows no state, and one that needs unread data needs a writer.
fn states(fault: &Fault) -> Vec<State> {
    match fault {
        Fault::ZeroWindow { .. } => vec![State::Writing],
        // Nothing is to be noticed of a link that is bad and not broken.
        Fault::Link { .. } | Fault::Middlebox { .. } => vec![State::Writing],
        fault if fault.is_of_birth() => vec![State::Idle],
        _ => State::ALL.to_vec(),
    }
}

const fn plan(fault: &Fault) -> Plan {
    match fault {
        Fault::Forget => Plan::Nat,
        _ => Plan::Routed,
    }
}

/// As the catalogue has it, but no longer than has to be.
fn short(fault: Fault) -> Fault {
    match fault {
        Fault::Link { place, direction, link, lasts } => {
            let link = Box::new(Link { loss: 10.0, delay: Duration::from_millis(20), ..*link });
            Fault::Link { place, direction, link, lasts }
        }
        Fault::Suspend { side, .. } => Fault::Suspend { side, lasts: Duration::from_secs(2) },
        Fault::Refused { side, lasts, .. } => {
            Fault::Refused { side, answer: Icmp::Prohibited, lasts }
        }
        other => other,
    }
}

/// Does all scenarios, some at a time, each in a lab of its own. `done` is told of each.
pub fn run(
    scenarios: &[Scenario],
    options: &Options<'_>,
    done: &(dyn Fn(&Outcome) + Sync),
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = scenarios.get(number) else { return };
            let result = rehearsal::run(scenario, options);
            let was_interrupted = matches!(result, Err(RehearsalError::Interrupted));
            let outcome = Outcome { scenario: scenario.clone(), result };
            done(&outcome);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((number, outcome));
            if was_interrupted {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(scenarios.len()) {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Ten labs are fifty processes that sleep; more of them at once come too late on two cores.
const AT_ONCE: usize = 10;

impl Outcome {
    /// It was done, no kernel did anything else than was predicted, and every expectation was met.
    pub fn is_good(&self) -> bool {
        self.result.as_ref().is_ok_and(|card| card.is_as_predicted() && card.is_met())
    }
}

/// One line for each side of each scenario: predicted beside measured.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = row(["fault", "state", "side", "predicted", "kernel", "application", ""]);
    let mut failures = String::new();
    for outcome in outcomes {
        let fault = outcome.scenario.steps.first().map_or("", |step| step.fault.name());
        let state = outcome.scenario.pair.state.word();
        match &outcome.result {
            Ok(card) => {
                for side in &card.sides {
                    text += &row_of(fault, state, side);
                }
            }
            Err(error) => {
                text += &row([fault, state, "", "", "", "", "FAILED"]);
                // Writing into a String cannot fail.
                let _ = writeln!(failures, "{fault}, {state}: failed to {error}");
            }
        }
    }
    let good = outcomes.iter().filter(|outcome| outcome.is_good()).count();
    let _ = writeln!(text, "\n{good} of {} as predicted.", outcomes.len());
    text + &failures
}

fn row_of(fault: &str, state: &str, side: &SideCard) -> String {
    let predicted = match (side.predicted.min, side.predicted.max) {
        (Some(min), Some(max)) => format!("{:.1}..{:.1}", min.as_secs_f64(), max.as_secs_f64()),
        _ => side.predicted.kind.to_owned(),
    };
    let at = |what: &Option<crate::card::Happened>| {
        what.as_ref().map_or_else(
            || "-".to_owned(),
            |what| {
                let first = what.what.split([' ', ',']).next().unwrap_or_default();
                let word = if first == "gave" { "timers" } else { first.trim_end_matches(':') };
                format!("{:.1} {word}", what.at.as_secs_f64())
            },
        )
    };
    let fits = match side.as_predicted {
        Some(true) => "hit",
        Some(false) => "MISS",
        None => "",
    };
    let application = side.application.as_ref().map_or_else(
        || "-".to_owned(),
        |what| {
            let told = what.what.strip_prefix("was told: ").unwrap_or(&what.what);
            format!("{:.1} {told}", what.at.as_secs_f64())
        },
    );
    row([fault, state, side.side.word(), &predicted, &at(&side.kernel), &application, fits])
}

fn row([fault, state, side, predicted, kernel, application, fits]: [&str; 7]) -> String {
    let row = format!(
        "{fault:<15} {state:<8} {side:<7} {predicted:>11}  {kernel:<11} {application:<26} {fits}"
    );
    row.trim_end().to_owned() + "\n"
}
