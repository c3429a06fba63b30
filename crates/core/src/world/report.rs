//! Owns what is written down about a world, and which promises were broken in it.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    Plan,
    calendar::{Suspicion, Tally},
    client::Client,
};
use crate::{heartbeat, sample::Moment, span::Span};

/// What killed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The server's program crashed.
    Crash,
    /// The server's host rebooted.
    Reboot,
    /// The client got another address.
    Renumbered,
    /// A box on the path forgot the flow.
    Forgotten,
    /// The server threw the client out, which nobody planned.
    Rejected,
}

/// How deaths of one kind were noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noticed {
    /// How many.
    pub times: u32,
    /// The longest time from a death to its notice, without pauses of the client's own.
    pub longest: Duration,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breach {
    /// A death was noticed too late.
    Late {
        /// By what it died.
        fault: Fault,
        /// After how long it was noticed.
        after: Duration,
    },
    /// A living server was called dead, and neither a partition nor a freeze excuses it.
    Mistaken {
        /// When.
        at: Moment,
    },
    /// A client was down at the end for longer than its policy explains.
    Stuck {
        /// How many such clients.
        clients: u32,
    },
    /// Failures that no planned fault explains.
    Unexplained(Suspicion),
}

/// What happened in a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Deaths and their notices.
    pub noticed: BTreeMap<Fault, Noticed>,
    /// Living servers called dead while a partition or a freeze kept them silent.
    pub excused: u32,
    /// Attempts to connect.
    pub attempts: u64,
    /// Time that clients were without a connection, in sum.
    pub down: Duration,
    /// Promises that were not kept.
    pub breaches: Vec<Breach>,
}

/// What is written down while the world runs.
#[derive(Default)]
pub(super) struct Ledger {
    noticed: BTreeMap<Fault, Noticed>,
    excused: u32,
    pub(super) attempts: u64,
    pub(super) down: Duration,
    breaches: Vec<Breach>,
    unexplained: Tally,
    /// The server was not itself from then to then.
    fault: (Moment, Moment),
}

impl Ledger {
    /// A planned fault of the server, from `begin` to `end`, and what clients may feel of it afterwards.
    pub(super) fn fault(&mut self, begin: Moment, end: Moment, plan: &Plan<'_>) {
        let patience = plan.heartbeat.detects_within().unwrap_or_default();
        self.fault = (begin, Moment(end.0 + patience + plan.reconnect.cap));
    }

    pub(super) fn noticed(&mut self, fault: Fault, after: Duration, policy: &heartbeat::Policy) {
        let entry = self.noticed.entry(fault).or_default();
        entry.times += 1;
        entry.longest = entry.longest.max(after);
        // A client is run late by what counts as no pause yet, once for each of its waits.
        let slack = policy.pause_after * 4;
        if let Some(promised) = policy.detects_within().filter(|promised| after > *promised + slack)
        {
            let _ = promised;
            self.breach(Breach::Late { fault, after });
        }
    }

    pub(super) fn mistaken(
        &mut self,
        now: Moment,
        partitioned_until: Moment,
        policy: &heartbeat::Policy,
    ) {
        let patience = policy.detects_within().unwrap_or_default();
        let is_recent = |until: Moment| now.0 <= until.0 + patience;
        if is_recent(partitioned_until) || (self.fault.0 <= now && now <= self.fault.1) {
            self.excused += 1;
        } else {
            self.breach(Breach::Mistaken { at: now });
        }
    }

    /// The server threw somebody out, which no fault plans.
    pub(super) fn rejected(&mut self, now: Moment, plan: &Plan<'_>) {
        self.unexplained.add(plan.calendar.day(now));
    }

    pub(super) fn close(mut self, plan: &Plan<'_>, clients: &[Client]) -> Report {
        let end = Moment(plan.length);
        let is_well = end > self.fault.1;
        let stuck = clients.iter().filter(|client| is_well && client.is_stuck(end, plan)).count();
        if stuck > 0 {
            self.breach(Breach::Stuck { clients: u32::try_from(stuck).unwrap_or(u32::MAX) });
        }
        if let Some(suspicion) = self.unexplained.suspicion() {
            self.breach(Breach::Unexplained(suspicion));
        }
        Report {
            noticed: self.noticed,
            excused: self.excused,
            attempts: self.attempts,
            down: self.down,
            breaches: self.breaches,
        }
    }

    /// One broken promise of a kind is enough to look into; a thousand would hide the others.
    fn breach(&mut self, breach: Breach) {
        if self.breaches.len() < BREACHES_MAX {
            self.breaches.push(breach);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, noticed) in &self.noticed {
            let name = match fault {
                Fault::Crash => "program crashed",
                Fault::Reboot => "host rebooted",
                Fault::Renumbered => "address changed",
                Fault::Forgotten => "flow forgotten",
                Fault::Rejected => "thrown out",
            };
            let (times, longest) = (noticed.times, Span(noticed.longest));
            writeln!(f, "{name:<16} noticed {times} times, after {longest} at the most")?;
        }
        writeln!(f, "excused          {} (silence by a partition or a freeze)", self.excused)?;
        writeln!(f, "attempts         {}", self.attempts)?;
        writeln!(f, "time down        {} in sum", Span(self.down))?;
        if self.breaches.is_empty() {
            writeln!(f, "every promise was kept")?;
        }
        self.breaches.iter().try_for_each(|breach| writeln!(f, "BROKEN: {breach}"))
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { fault, after } => {
                write!(f, "{fault:?} was noticed only after {}", Span(*after))
            }
            Self::Mistaken { at } => write!(f, "a living server was called dead at {}", Span(at.0)),
            Self::Stuck { clients } => write!(f, "{clients} clients did not come back"),
            Self::Unexplained(suspicion) => suspicion.fmt(f),
        }
    }
}

/// More than a reader looks into.
const BREACHES_MAX: usize = 20;
