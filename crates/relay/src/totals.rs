//! Owns what is counted while the relay runs: one set of counters for each worker, which nobody else
//! writes, added up when somebody asks.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::pair::{Both, Ending, Side};

/// What has been counted since the relay started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Clients that were accepted.
    pub accepted: u64,
    /// Clients that were turned away with RST: no place, no descriptors, or no buffers.
    pub turned_away: u64,
    /// Bytes from each side that were given on.
    pub relayed: Both<u64>,
    /// Pairs that ended, by where it was decided (`client`, `upstream`, `relay`) and how (`finished`
    /// or the word of a [`Cause`](crate::Cause)).
    pub ended: BTreeMap<(&'static str, &'static str), u64>,
}

/// The counters of one worker.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    turned_away: AtomicU64,
    from_client: AtomicU64,
    from_upstream: AtomicU64,
    ended: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Counters {
    pub(crate) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_relayed(&self, from: Side, bytes: u64) {
        match from {
            Side::Client => &self.from_client,
            Side::Upstream => &self.from_upstream,
        }
        .fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_ended(&self, ending: Ending) {
        let labels = (ending.at(), ending.word());
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner).entry(labels).or_default() += 1;
    }

    pub(crate) fn add_to(&self, totals: &mut Totals) {
        totals.accepted += self.accepted.load(Ordering::Relaxed);
        totals.turned_away += self.turned_away.load(Ordering::Relaxed);
        totals.relayed.client += self.from_client.load(Ordering::Relaxed);
        totals.relayed.upstream += self.from_upstream.load(Ordering::Relaxed);
        for (labels, count) in &*self.ended.lock().unwrap_or_else(PoisonError::into_inner) {
            *totals.ended.entry(*labels).or_default() += count;
        }
    }
}
