//! Owns by which clock a rehearsal goes: the one that was asked for, else what `halfopen-lab` chooses,
//! and what happens where there is no machine for it. Read: halfopen_lab::clock.

use halfopen_lab::{
    clock::{self, Choice, Clock},
    scenario::Scenario,
    warp::{self, WarpError},
};

use crate::args::ClockKey;

/// What is known of the clock before the sockets have been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// That one was asked for.
    Asked(Clock),
    /// It follows from the scenario, or from what was foreseen.
    Chosen(Choice),
    /// It is chosen right before the first fault.
    Open,
}

/// What follows from the command line and the scenario.
pub(super) fn plan(asked: ClockKey, scenario: &Scenario, no_machine: Option<&str>) -> Plan {
    match asked {
        ClockKey::Real => Plan::Asked(Clock::Real),
        ClockKey::Rescale => Plan::Asked(Clock::Rescale),
        ClockKey::Warp => Plan::Asked(Clock::Warp),
        ClockKey::Auto => clock::by_scenario(scenario, no_machine).map_or(Plan::Open, Plan::Chosen),
    }
}

impl Plan {
    /// The clock to begin with.
    pub(super) const fn clock(&self) -> Clock {
        match self {
            Self::Asked(clock) | Self::Chosen(Choice { clock, .. }) => *clock,
            Self::Open => Clock::Real,
        }
    }

    /// Why it is this one, where it was chosen.
    pub(super) fn why(&self) -> Option<String> {
        match self {
            Self::Chosen(choice) => Some(choice.why.clone()),
            Self::Asked(_) | Self::Open => None,
        }
    }

    /// As `--dry-run` says it.
    pub(super) fn in_words(&self, no_machine: Option<&str>) -> String {
        let clock = self.clock().word();
        match self {
            Self::Asked(_) => format!("clock {clock}: it was asked for"),
            Self::Chosen(choice) => format!("clock {clock}: {}", choice.why),
            Self::Open => {
                let other = no_machine.map_or_else(
                    || "warp".to_owned(),
                    |why| format!("{}, since {why}", Clock::Rescale.word()),
                );
                format!(
                    "clock {clock}, unless what is foreseen right before the first fault takes \
                     longer than two minutes; then {other}"
                )
            }
        }
    }
}

/// Why there is no machine whose clock could leap, if there is none.
pub(super) fn no_machine() -> Option<String> {
    warp::check().err().map(|error| match error {
        WarpError::Packages { packages } => format!(
            "the emulated machine is missing (`apt-get install --no-install-recommends {packages}` \
             brings it)"
        ),
        other => format!("this is no host to {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(limit: &str) -> Scenario {
        let set = [format!("stop.limit={limit}")];
        halfopen_lab::scenario::builtin("cable-pulled", &set).unwrap().unwrap()
    }

    #[test]
    fn a_clock_that_was_asked_for_is_not_discussed() {
        for (asked, clock) in [(ClockKey::Real, Clock::Real), (ClockKey::Warp, Clock::Warp)] {
            let plan = plan(asked, &scenario("7d"), Some("there is none"));
            assert_eq!((plan.clock(), plan.why()), (clock, None));
        }
    }

    #[test]
    fn a_dry_run_says_which_clock_or_what_it_depends_on() {
        let words = |limit, no_machine| {
            plan(ClockKey::Auto, &scenario(limit), no_machine).in_words(no_machine)
        };
        assert_eq!(words("30s", None), "clock real: the scenario takes 31s at the most");
        assert!(words("1h", None).ends_with("then warp"));
        let words = words("1h", Some("there is none"));
        assert!(words.ends_with("then rescale, since there is none"), "{words}");
    }
}
