//! Owns the choice of how options are set on many sockets: through duplicates of descriptors, or by
//! BPF where that is faster or reaches what has no descriptor. Read: `bpf::keep`.

use std::{cell::OnceCell, collections::HashMap};

use halfopen_core::{NetnsId, Owner};

use super::{NotSet, Setting, set_through};
use crate::{Netns, NetnsError, bpf::keep::Keeper, holder::Holders, pieces::on_all_cores};

/// A setting, and who holds the socket.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// What is to be set.
    pub setting: Setting,
    /// The processes that hold it, for where BPF is not used. BPF reaches what nobody holds, too.
    pub owners: &'a [Owner],
}

/// Sets options, batch by batch.
#[derive(Debug)]
pub struct Setter {
    sockets: usize,
    /// Opened when it is first of use; `None` where it cannot be had, for whatever reason.
    keeper: OnceCell<Option<Keeper>>,
}

impl Setter {
    /// Gets ready for `sockets` settings in all, `at_once` of them in one batch.
    pub fn open(sockets: usize, at_once: usize) -> Self {
        let setter = Self { sockets, keeper: OnceCell::new() };
        if at_once >= BPF_PAYS_FROM {
            setter.keeper();
        }
        setter
    }

    /// Sets a batch, and says of each what came of it, in their order.
    pub fn set(&self, targets: &[Target<'_>]) -> Vec<Result<(), NotSet>> {
        let is_crowd = targets.len() >= BPF_PAYS_FROM;
        let mut outcomes = vec![Err(NotSet::Gone); targets.len()];
        let mut by_netns: HashMap<NetnsId, Vec<usize>> = HashMap::new();
        let mut by_descriptor = Vec::new();
        for (index, target) in targets.iter().enumerate() {
            if is_crowd || target.owners.is_empty() {
                by_netns.entry(target.setting.id.netns).or_default().push(index);
            } else {
                by_descriptor.push((index, target));
            }
        }
        let mut done = Vec::with_capacity(targets.len());
        for (netns, indices) in by_netns {
            let batch: Vec<_> =
                indices.iter().filter_map(|index| Some((*index, targets.get(*index)?))).collect();
            match self.keeper().and_then(|keeper| inside(keeper, netns, &batch)) {
                Some(by_bpf) => done.extend(indices.into_iter().zip(by_bpf)),
                // The other way does the same, more slowly, for those who have an owner.
                None => by_descriptor.extend(batch),
            }
        }
        done.extend(through_descriptors(by_descriptor));
        for (index, outcome) in done {
            if let Some(slot) = outcomes.get_mut(index) {
                *slot = outcome;
            }
        }
        outcomes
    }

    fn keeper(&self) -> Option<&Keeper> {
        self.keeper.get_or_init(|| Keeper::open(self.sockets).ok()).as_ref()
    }
}

/// By BPF; `None` where the namespace cannot be entered or the iterator broke off.
fn inside(
    keeper: &Keeper,
    netns: NetnsId,
    batch: &[(usize, &Target<'_>)],
) -> Option<Vec<Result<(), NotSet>>> {
    let settings: Vec<_> = batch.iter().map(|(_, target)| target.setting).collect();
    namespace(netns).ok()?.enter(|| keeper.set(&settings)).ok()?.ok()
}

/// Through duplicates of their descriptors, on all cores; in no order.
fn through_descriptors(
    batch: Vec<(usize, &Target<'_>)>,
) -> impl Iterator<Item = (usize, Result<(), NotSet>)> {
    let hire = || (Holders::default(), Vec::new());
    let workers = on_all_cores(batch, hire, |(holders, done), piece| {
        done.extend(piece.into_iter().map(|(index, target)| (index, one(holders, target))));
    });
    workers.into_iter().flat_map(|(_, done)| done)
}

fn namespace(id: NetnsId) -> Result<Netns, NetnsError> {
    let own = Netns::current()?;
    if own.id() == id { Ok(own) } else { Netns::named(&id.to_string()) }
}

/// Through the first descriptor that lets us.
fn one(holders: &mut Holders, target: &Target<'_>) -> Result<(), NotSet> {
    let mut outcome = Err(NotSet::Unreachable(
        "no process that we can see holds it, and without BPF there is no other way".to_owned(),
    ));
    for owner in target.owners {
        outcome = set_through(holders, owner.process.pid, owner.fd, &target.setting);
        if !matches!(outcome, Err(NotSet::Gone | NotSet::Unreachable(_))) {
            break;
        }
    }
    outcome
}

/// Loading takes some 20 ms, and a pass over all sockets of the host some 60; a duplicate 20 µs.
const BPF_PAYS_FROM: usize = 4_000;
