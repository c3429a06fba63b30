//! Owns the choice of a clock: whether a rehearsal is to wait, to shorten the kernel's timers, or to
//! leap over idle time in an emulated machine. Pure: what is foreseen in, a choice with its reason out.
//! Read: docs/rehearse.md; `forecast` for what is foreseen, `warp` for the machine.

use std::time::Duration;

use halfopen_core::Span;

use crate::{
    forecast::Foreseen,
    scenario::{Scenario, When},
};

/// How time passes in a rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Clock {
    /// As it does.
    #[default]
    Real,
    /// The same number of probes and retries, with shorter pauses between them.
    Rescale,
    /// In an emulated machine, whose clock leaps over idle time.
    Warp,
}

impl Clock {
    /// The word on the command line and on cards.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Rescale => "rescale",
            Self::Warp => "warp",
        }
    }
}

/// A clock, and why this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The clock.
    pub clock: Clock,
    /// Why, in a clause.
    pub why: String,
    /// How long is to be watched after the first fault, where the scenario's limit is too short for
    /// what is foreseen and nobody has asked for that limit.
    pub limit: Option<Duration>,
}

/// Chooses by the scenario alone, as far as that decides; `None`: the sockets have to be looked at
/// first. `no_machine` says why there is no emulated machine, where there is none.
pub fn by_scenario(scenario: &Scenario, no_machine: Option<&str>) -> Option<Choice> {
    let last = last_step(scenario);
    let watched = last + scenario.stop.limit;
    if scenario.steps.iter().any(|step| step.fault.is_of_birth()) && watched <= PATIENCE {
        return Some(real(format!("connecting is watched for {} at the most", Span(watched))));
    }
    if scenario.stop.is_given && watched <= PATIENCE {
        return Some(real(format!("the scenario takes {} at the most", Span(watched))));
    }
    // What the sockets say can make it no shorter.
    let least = if scenario.stop.when_both_noticed { last } else { watched };
    (least > PATIENCE).then(|| {
        let what = format!("its timeline takes {}", Span(least));
        match no_machine {
            None => Choice { clock: Clock::Warp, why: what, limit: None },
            Some(why) => real(format!("{what}, and {why}; nothing else shortens a timeline")),
        }
    })
}

/// Chooses by what is foreseen of both sides, right before the first fault. Of programs that are
/// not ours (`of_pair` false) nobody knows when they would notice by themselves.
pub fn by_forecast(
    scenario: &Scenario,
    foreseen: [Option<&Foreseen>; 2],
    of_pair: bool,
    no_machine: Option<&str>,
) -> Choice {
    let stop = scenario.stop;
    let within = |foreseen: &Foreseen| match foreseen {
        Foreseen::Within { within, .. } => Some(within.max()),
        _ => None,
    };
    let timers = foreseen.into_iter().flatten().filter_map(within).max();
    let timers = timers.map(|timers| if stop.is_given { timers.min(stop.limit) } else { timers });
    if let Some(timers) = timers.filter(|timers| *timers > PATIENCE) {
        let what = format!("the kernel's own timers take {}", Span(timers));
        // An eighth is how late they may be; the forecast has that, and programs take theirs.
        let limit = (!stop.is_given).then(|| timers + timers / 8).filter(|it| *it > stop.limit);
        return match no_machine {
            None => Choice { clock: Clock::Warp, why: what, limit },
            Some(why) => {
                Choice { clock: Clock::Rescale, why: format!("{what}, and {why}"), limit: None }
            }
        };
    }
    let is_bounded = of_pair || !foreseen.into_iter().flatten().any(is_open);
    if is_bounded || stop.limit <= PATIENCE {
        return real("nothing that is foreseen takes longer than two minutes".to_owned());
    }
    let what = format!("only the programs' own timers are left, for {}", Span(stop.limit));
    match no_machine {
        None => Choice { clock: Clock::Warp, why: what, limit: None },
        Some(why) => real(format!("{what}, and {why}; nothing else shortens those")),
    }
}

/// Two minutes: longer than settings that are meant to notice anything, and short enough to wait for.
const PATIENCE: Duration = Duration::from_secs(120);

const fn real(why: String) -> Choice {
    Choice { clock: Clock::Real, why, limit: None }
}

/// It may go on until the limit.
const fn is_open(foreseen: &Foreseen) -> bool {
    matches!(foreseen, Foreseen::Never { .. } | Foreseen::Open { .. } | Foreseen::Unknown { .. })
}

/// From the first step to the last; what a fault does later is part of the watch.
fn last_step(scenario: &Scenario) -> Duration {
    let times = scenario.steps.iter().filter_map(|step| match step.when {
        When::AfterEstablished(at) => Some(at),
        When::BeforeClient => None,
    });
    times.max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
