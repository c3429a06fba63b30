//! Owns the look into connection tracking: what the calling thread's namespace remembers of given
//! connections. Loads no kernel module and refreshes no entry.
//!
//! One effect it has, as every segment that passes has it: the kernel drops entries that have
//! *expired already* when it comes across them (`nf_ct_gc_expired`), which its own collector would do
//! a little later. None that lives is touched.
//! Read: linux net/netfilter/nf_conntrack_netlink.c `ctnetlink_dump_table`, conntrack(8).

pub(crate) mod activity;
mod conversation;

use std::sync::Arc;

use halfopen_core::{Route, Sample, Tracking, TrackingJoin};

pub use activity::Activity;
pub use conversation::{Conntrack, ConntrackError};

/// What connection tracking has of some connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrackingSeen {
    /// One for each sample, in their order.
    pub each: Vec<Tracking>,
    /// Why entries could not be read, if they could not, or which could not be decoded.
    pub missed: Option<String>,
}

/// What connection tracking in the namespace of the calling thread, which has to be that of the
/// samples, has of each of them. Entries are looked up one by one where that is cheaper than a dump of
/// the table, as it is for up to some 1,600 connections, and always on a router; they are found then
/// in the default zone only.
///
/// Without CAP_NET_ADMIN nothing is seen, except that a namespace tracks nothing at all.
pub fn tracking(samples: &[Sample]) -> TrackingSeen {
    let nothing = || TrackingSeen { each: vec![Tracking::NotTracked; samples.len()], missed: None };
    if samples.is_empty() {
        return nothing();
    }
    let entries = match Activity::of_this_namespace() {
        Activity::Absent | Activity::Entries(0) => return nothing(),
        Activity::Entries(count) => count,
        Activity::Hidden(why) => return unseen(samples, why),
    };
    let mut join = TrackingJoin::new(samples, activity::established_timeout());
    let looked = Conntrack::open().and_then(|mut table| {
        if is_cheaper_one_by_one(samples.len(), entries, activity::buckets().unwrap_or(0)) {
            one_by_one(&mut table, samples, &mut join)?;
            return Ok((join.tell(), None));
        }
        let malformed = table.dump(|flow| join.add(&flow))?;
        let missed = malformed.first().map(|error| {
            format!("{} entries could not be decoded; the first: {error}", malformed.len())
        });
        Ok((confirmed(&mut table, samples, &mut join)?, missed))
    });
    match looked {
        Ok((each, missed)) => TrackingSeen { each, missed },
        Err(error) => unseen(samples, error.to_string()),
    }
}

fn unseen(samples: &[Sample], why: String) -> TrackingSeen {
    let shared: Arc<str> = why.as_str().into();
    TrackingSeen { each: vec![Tracking::Unseen(shared); samples.len()], missed: Some(why) }
}

/// Whether there is anything to see, or something that hides it.
pub(crate) fn is_at_work() -> bool {
    !matches!(Activity::of_this_namespace(), Activity::Absent | Activity::Entries(0))
}

/// A dump walks the table of the whole host, empty buckets and other namespaces' entries included.
fn is_cheaper_one_by_one(connections: usize, entries: u64, buckets: u64) -> bool {
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    let dump = buckets.saturating_mul(BUCKET_NS).saturating_add(entries.saturating_mul(ENTRY_NS));
    connections.saturating_mul(LOOK_UP_NS) < dump
}

fn one_by_one(
    table: &mut Conntrack,
    samples: &[Sample],
    join: &mut TrackingJoin<'_>,
) -> Result<(), ConntrackError> {
    for sample in samples {
        if let Some(flow) = table.look_up(&route(sample))? {
            join.add(&flow);
        }
    }
    Ok(())
}

/// A dump resumes by place in a hash table that may change meanwhile, so entries can be missed: what
/// would be called forgotten is looked up once more, by itself.
fn confirmed(
    table: &mut Conntrack,
    samples: &[Sample],
    join: &mut TrackingJoin<'_>,
) -> Result<Vec<Tracking>, ConntrackError> {
    let told = join.tell();
    let forgotten = samples
        .iter()
        .zip(&told)
        .filter(|(_, told)| matches!(told, Tracking::Forgotten { .. }))
        .take(CONFIRMED_MAX);
    let mut is_changed = false;
    for (sample, _) in forgotten {
        if let Some(flow) = table.look_up(&route(sample))? {
            join.add(&flow);
            is_changed = true;
        }
    }
    Ok(if is_changed { join.tell() } else { told })
}

fn route(sample: &Sample) -> Route {
    Route { from: sample.endpoints.local, to: sample.endpoints.peer }
}

/// What one look-up costs. These three were measured on Linux 6.18; only their ratios matter, and
/// those only for speed.
const LOOK_UP_NS: u64 = 6_500;
/// What one bucket costs a dump.
const BUCKET_NS: u64 = 40;
/// What one entry costs a dump, decoded.
const ENTRY_NS: u64 = 2_200;
/// Some 65 ms of look-ups. More connections than this are forgotten only when the table was
/// flushed, and what a dump misses is rare.
const CONFIRMED_MAX: usize = 10_000;
