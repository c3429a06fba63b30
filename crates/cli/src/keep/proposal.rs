//! Owns the proposal: for every connection that was chosen, what is to be done about it, and how
//! all of them together are spread. Pure; draws and sets nothing.

use halfopen_core::{
    Diagnosis,
    keeping::{Crowd, KeepOptions, Objective, Plan, Planned, Refusal, Spread, plan},
};
use halfopen_sys::tick;

use crate::picture::Picture;

/// What is to be done, connection by connection, in the picture's order.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// What was seen.
    pub picture: Picture,
    /// What is wanted.
    pub objective: Objective,
    /// How the first probes are kept apart.
    pub spread: Option<Spread>,
    /// One for each connection of the picture.
    pub each: Vec<Planned>,
}

/// One connection that is to be changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proposed<'a> {
    /// Its place in the picture.
    pub index: usize,
    /// The connection.
    pub diagnosis: &'a Diagnosis,
    /// Its plan.
    pub plan: &'a Plan,
    /// The options as they were read.
    pub before: KeepOptions,
    /// The options that are to be set.
    pub after: KeepOptions,
}

impl Proposal {
    /// Plans for every connection of `picture` on a host whose backlogs are this long.
    pub(crate) fn new(picture: Picture, objective: Objective, backlog: Option<u32>) -> Self {
        let plans = |wait| -> Vec<Planned> {
            let of = |one: &Diagnosis| match plan(&one.observation, &objective, wait) {
                Planned::Change(plan) if KeepOptions::of(&plan.before).is_none() => {
                    Planned::Refused(Refusal::OptionsUnread)
                }
                Planned::Change(plan) if sets_nothing(&plan) => {
                    Planned::Refused(Refusal::NothingBetter)
                }
                planned => planned,
            };
            picture.connections.iter().map(of).collect()
        };
        let mut each = plans(None);
        let is_change = |planned: &&mut Planned| matches!(planned, Planned::Change(_));
        let crowd = Crowd {
            connections: each.iter_mut().filter(is_change).count(),
            backlog: backlog.unwrap_or(BACKLOG_DEFAULT),
            tick: tick(),
        };
        let spread = match Spread::over(&crowd, &objective) {
            Ok(spread) => {
                if spread.wait.is_some() {
                    each = plans(spread.wait);
                }
                Some(spread)
            }
            Err(refusal) => {
                let changes = each.iter_mut().filter(is_change);
                changes.for_each(|planned| *planned = Planned::Refused(refusal));
                None
            }
        };
        Self { picture, objective, spread, each }
    }

    /// The connections that are to be changed.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Proposed<'_>> {
        let pairs = self.picture.connections.iter().zip(&self.each).enumerate();
        pairs.filter_map(|(index, (diagnosis, planned))| {
            let Planned::Change(plan) = planned else { return None };
            let before = KeepOptions::of(&plan.before)?;
            let after = KeepOptions::planned(plan, before);
            Some(Proposed { index, diagnosis, plan, before, after })
        })
    }

    /// More connections than can be kept without harm.
    pub(crate) const fn is_refused_as_too_many(&self) -> bool {
        self.spread.is_none()
    }
}

fn sets_nothing(plan: &Plan) -> bool {
    KeepOptions::of(&plan.before).is_some_and(|before| KeepOptions::planned(plan, before) == before)
}

/// netdev_max_backlog of linux net/core/hotdata.c, for where the sysctl is not shown.
const BACKLOG_DEFAULT: u32 = 1000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixtures::{observation, picture_of};

    fn proposal(connections: u64, backlog: u32) -> Proposal {
        let judged = (0..connections).map(|cookie| {
            Diagnosis::of(observation(cookie), &halfopen_core::Thresholds::default())
        });
        let objective = Objective {
            detect_within: Duration::from_secs(60),
            survive_idle: None,
            user_timeout: false,
        };
        Proposal::new(picture_of(judged.collect()), objective, Some(backlog))
    }

    #[test]
    fn more_than_the_slots_hold_is_refused_as_a_whole() {
        let refused = proposal(100, 2);
        assert!(refused.is_refused_as_too_many());
        assert_eq!(refused.changes().count(), 0);
        assert_eq!(proposal(100, 1000).changes().count(), 100);
    }

    #[test]
    fn a_crowd_waits_for_a_time_whose_slots_are_fine_enough() {
        let (few, many) = (proposal(10, 20), proposal(300, 20));
        let idle = |proposal: &Proposal| proposal.changes().next().unwrap().after.idle_s;
        assert!(idle(&many) < idle(&few));
    }
}
