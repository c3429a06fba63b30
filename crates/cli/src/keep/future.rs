//! Owns what `keep --future` covers: the cgroups of the programs whose connections are chosen, what
//! connections that are opened there later are given, and the act. Decides no options (see
//! `halfopen_core::keeping::Future`). Read: `halfopen_sys::bpf::future`.

mod document;
mod ending;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use halfopen_core::keeping::{Future, KeepOptions};
use halfopen_sys::{
    bpf::future::{self, Attached, FutureError},
    cgroup::Cgroup,
    tick,
};

pub(super) use self::{
    document::LaterDocument,
    ending::{EndedCgroup, end},
    text::{options, write},
};
use super::{proposal::Proposal, record::Options};
use crate::{
    audit::{ActResult, Audit},
    exit::Failure,
};

/// Connections that are yet to come.
#[derive(Debug)]
pub(crate) struct Later {
    /// What they are given, in each of these cgroups; or why none can be covered.
    plan: Result<Plan, String>,
}

#[derive(Debug)]
struct Plan {
    future: Future,
    loopback: bool,
    cgroups: Vec<Covered>,
    left_alone: BTreeSet<String>,
}

/// One cgroup.
#[derive(Debug)]
struct Covered {
    cgroup: Cgroup,
    /// The processes that hold chosen connections: command and number.
    chosen: BTreeSet<(String, u32)>,
    /// How many processes there are in all.
    processes: usize,
    /// What connections are given there already.
    before: Option<KeepOptions>,
    /// What came of the act, with the reason if it failed; `None`: nothing was done.
    outcome: Option<Result<(), String>>,
}

impl Later {
    /// What is to be covered. Looks at processes and cgroups; changes nothing.
    pub(super) fn of(proposal: &Proposal, loopback: bool) -> Self {
        Self { plan: plan(proposal, loopback) }
    }

    /// It was asked for, and cannot be done, or was tried and failed.
    pub(super) fn covers_nothing(&self) -> bool {
        self.plan.as_ref().map_or(true, |plan| {
            let failed = |one: &Covered| matches!(one.outcome, Some(Err(_)));
            plan.cgroups.is_empty() || plan.cgroups.iter().any(failed)
        })
    }

    /// Attaches the program to each cgroup, with what is about to be done and what was on record.
    ///
    /// # Errors
    /// [`Failure`] where that cannot be put on record.
    pub(super) fn attach(&mut self, audit: &Audit) -> Result<(), Failure> {
        let Ok(plan) = &mut self.plan else { return Ok(()) };
        if plan.cgroups.is_empty() {
            return Ok(());
        }
        let names = plan.cgroups.iter().map(|one| one.cgroup.name().to_owned()).collect();
        let entries = audit.begin_cgroups("keep --future", names)?;
        let after = Options::from(plan.future.options);
        for one in &mut plan.cgroups {
            let done = future::attach(&one.cgroup, &plan.future, plan.loopback)
                .map_err(|error| format!("cannot {error}"));
            let before = one.before.map(Options::from);
            let (after, result) = match &done {
                Ok(()) => (Some(&after), ActResult::Done),
                Err(why) => (None, ActResult::Failed(why)),
            };
            entries.record_cgroup(one.cgroup.name(), before.as_ref(), after, result)?;
            one.outcome = Some(done);
        }
        Ok(())
    }
}

fn plan(proposal: &Proposal, loopback: bool) -> Result<Plan, String> {
    let Some(spread) = &proposal.spread else {
        return Err("more connections are chosen than can be kept without harm".to_owned());
    };
    let future = Future::new(tick(), &proposal.objective, spread).map_err(|it| it.to_string())?;
    future::check().map_err(|error| format!("cannot {error}"))?;
    let attached = attached().map_err(|error| format!("cannot {error}"))?;
    let mut cgroups: BTreeMap<String, Covered> = BTreeMap::new();
    let mut left_alone = BTreeSet::new();
    for (command, pid) in holders(proposal) {
        match Cgroup::of_process(pid) {
            Err(error) => drop(left_alone.insert(format!("{command}/{pid}: cannot {error}"))),
            Ok(cgroup) if cgroup.is_root() => {
                left_alone.insert(format!(
                    "{command}/{pid} is in the root cgroup, with every other program of the host; \
                     start it in one of its own (`systemd-run --scope`, or as a service)"
                ));
            }
            Ok(cgroup) => {
                let before = attached.iter().find(|one| one.cgroup().name() == cgroup.name());
                let name = cgroup.name().to_owned();
                let covered = cgroups.entry(name).or_insert_with(|| Covered {
                    chosen: BTreeSet::new(),
                    processes: cgroup.processes().len(),
                    before: before.and_then(|one| one.options().ok()),
                    outcome: None,
                    cgroup,
                });
                covered.chosen.insert((command, pid));
            }
        }
    }
    Ok(Plan { future, loopback, cgroups: cgroups.into_values().collect(), left_alone })
}

/// The processes that hold chosen connections.
fn holders(proposal: &Proposal) -> BTreeSet<(String, u32)> {
    let owners = proposal.picture.connections.iter().flat_map(|one| one.observation.owners.seen());
    owners.map(|owner| (owner.process.command.clone(), owner.process.pid)).collect()
}

/// Where the program is attached. This build may have no BPF, and this user no right to ask; then
/// nothing of this user's can be attached.
pub(super) fn attached() -> Result<Vec<Attached>, FutureError> {
    use halfopen_sys::{bpf::BpfError, cgroup::CgroupError};
    match future::attached() {
        Err(
            FutureError::Bpf(BpfError::NotBuilt | BpfError::Refused { .. })
            | FutureError::Cgroup(CgroupError::NotMounted),
        ) => Ok(Vec::new()),
        found => found,
    }
}
