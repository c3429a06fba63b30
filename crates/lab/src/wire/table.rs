//! Owns the flow table of a middlebox in force: which flows it knows, when it forgets each, and what
//! happens to a segment. Pure: time is an argument. Read: `middlebox.rs` for the words.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use halfopen_core::Moment;

use super::{
    Forgery, Keepalives, Loss, Middlebox, Refresh, Then,
    flow::{Flow, FlowKey, Kind},
    path::later,
};
use crate::{frame::Segment, topology::End};

/// A middlebox and what it knows.
#[derive(Debug)]
pub(super) struct Table {
    rules: Middlebox,
    /// Flows, and when each was last refreshed.
    known: HashMap<FlowKey, Entry>,
    /// When to look at a flow again: at or before it is to be forgotten.
    looks: BinaryHeap<Reverse<(Moment, FlowKey)>>,
    /// New mappings: the address that the outside sees, and the one that it stands for.
    mappings: HashMap<(SocketAddr, SocketAddr), SocketAddr>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    refreshed: Moment,
    /// How long it lives without being refreshed. `None`: for ever.
    life: Option<Duration>,
}

/// What happens to a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgment {
    /// It passes.
    Pass,
    /// It passes with these ports, its source first.
    PassAs(u16, u16),
    /// It is dropped, and nobody is told.
    Drop(Loss),
    /// It is dropped, and its sender is answered.
    Answer(Loss, Forgery),
}

impl Table {
    /// A box that knows every flow that is open, as if each had just been refreshed.
    pub(super) fn new<'a>(
        rules: Middlebox,
        flows: impl Iterator<Item = (&'a FlowKey, &'a Flow)>,
        now: Moment,
    ) -> Self {
        let (known, looks, mappings) = (HashMap::new(), BinaryHeap::new(), HashMap::new());
        let mut table = Self { rules, known, looks, mappings };
        for (key, flow) in flows.filter(|(_, flow)| !flow.reset) {
            table.refresh(*key, flow, now);
        }
        table
    }

    /// How many flows it knows.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Forgets everything, as a box that was switched off and on.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.looks.clear();
        self.mappings.clear();
    }

    /// When a flow may have to be forgotten next.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.looks.peek().map(|Reverse((at, _))| *at)
    }

    /// Forgets the flow whose time was up first, if one's is. Says which, and whether both ends are to be told.
    pub(super) fn expire(&mut self, now: Moment) -> Option<(FlowKey, bool)> {
        while let Some(Reverse((at, key))) = self.looks.peek().copied() {
            if at > now {
                return None;
            }
            self.looks.pop();
            let Some(entry) = self.known.get(&key) else { continue };
            match entry.ends() {
                Some(end) if end <= now => {
                    self.known.remove(&key);
                    return Some((key, self.rules.then == Then::RstBothNow));
                }
                Some(end) => self.looks.push(Reverse((end, key))),
                None => {}
            }
        }
        None
    }

    /// What happens to a segment of a flow, which is as it was before the segment.
    pub(super) fn judge(
        &self,
        key: &FlowKey,
        segment: &Segment,
        kind: Kind,
        from: End,
    ) -> Judgment {
        if let Some(ports) = self.mapped(key, from) {
            return Judgment::PassAs(ports.0, ports.1);
        }
        if !self.known.contains_key(key) {
            return self.judge_unknown(key, segment, kind, from);
        }
        match (kind, self.rules.keepalives) {
            (Kind::Keepalive, Keepalives::Drop) => Judgment::Drop(Loss::Keepalive),
            (Kind::Keepalive, Keepalives::Answer) => {
                Judgment::Answer(Loss::Keepalive, Forgery::KeepaliveAnswer)
            }
            _ => Judgment::Pass,
        }
    }

    fn judge_unknown(&self, key: &FlowKey, segment: &Segment, kind: Kind, from: End) -> Judgment {
        if kind == Kind::Syn {
            let is_full = self.rules.max_flows.is_some_and(|max| self.known.len() >= max);
            return if is_full { Judgment::Drop(Loss::TableFull) } else { Judgment::Pass };
        }
        // An RST is never answered (RFC 9293, section 3.5.2).
        let answer = match kind {
            Kind::Rst => Judgment::Drop(Loss::Forgotten),
            _ => Judgment::Answer(Loss::Forgotten, Forgery::ResetInAnswer),
        };
        let is_outbound = from == self.rules.inside;
        match self.rules.then {
            Then::Drop => Judgment::Drop(Loss::Forgotten),
            Then::RstOnPacket | Then::RstBothNow => answer,
            Then::PickUp | Then::RstInside if !is_outbound => Judgment::Drop(Loss::Forgotten),
            Then::Leak | Then::PickUpOrRst if !is_outbound => answer,
            Then::RstInside => answer,
            Then::Icmp => Judgment::Answer(Loss::Forgotten, Forgery::IcmpInAnswer),
            Then::PickUp | Then::PickUpOrRst => Judgment::Pass,
            Then::Leak => {
                let port = leaked(key.at(from)).port();
                Judgment::PassAs(port, segment.destination.port())
            }
        }
    }

    /// Takes note of a segment that passes, after which the flow is as given.
    pub(super) fn note(&mut self, key: FlowKey, flow: &Flow, kind: Kind, from: End, now: Moment) {
        let is_known = self.known.contains_key(&key);
        let picks_up = matches!(self.rules.then, Then::PickUp | Then::PickUpOrRst)
            && from == self.rules.inside;
        if !is_known && kind != Kind::Syn && !picks_up {
            return;
        }
        if !is_known || self.refreshes(kind, from) {
            self.refresh(key, flow, now);
        } else if let Some(entry) = self.known.get(&key) {
            // What ends a flow shortens its life whether or not it refreshes it.
            let entry = Entry { life: self.rules.life(flow), ..*entry };
            self.put(key, entry);
        }
    }

    /// Takes note of a segment that left with another port.
    pub(super) fn note_leak(&mut self, key: &FlowKey, from: End) {
        if from != self.rules.inside {
            return;
        }
        if self.mappings.len() >= MAPPINGS_MAX {
            self.mappings.clear();
        }
        let (inner, outer) = (key.at(from), key.at(from.other()));
        self.mappings.insert((leaked(inner), outer), inner);
    }

    /// The ports of an answer to a leaked segment: as the inside knows them.
    fn mapped(&self, key: &FlowKey, from: End) -> Option<(u16, u16)> {
        let (inner, outer) = (key.at(self.rules.inside), key.at(self.rules.inside.other()));
        let is_inbound = from != self.rules.inside;
        let inner = self.mappings.get(&(inner, outer)).filter(|_| is_inbound)?;
        Some((outer.port(), inner.port()))
    }

    fn refreshes(&self, kind: Kind, from: End) -> bool {
        if self.rules.keepalives == Keepalives::Ignore
            && matches!(kind, Kind::Keepalive | Kind::KeepaliveAnswer)
        {
            return false;
        }
        match self.rules.refresh {
            Refresh::Any => true,
            Refresh::Data => {
                matches!(kind, Kind::Syn | Kind::SynAck | Kind::Fin | Kind::Data | Kind::Rst)
            }
            Refresh::Outbound => from == self.rules.inside,
        }
    }

    fn refresh(&mut self, key: FlowKey, flow: &Flow, now: Moment) {
        self.put(key, Entry { refreshed: now, life: self.rules.life(flow) });
    }

    fn put(&mut self, key: FlowKey, entry: Entry) {
        let before = self.known.insert(key, entry).and_then(|before| before.ends());
        // One look at each flow is enough as long as it is not too late.
        if let Some(ends) = entry.ends().filter(|ends| before.is_none_or(|before| *ends < before)) {
            self.looks.push(Reverse((ends, key)));
        }
    }
}

impl Entry {
    fn ends(&self) -> Option<Moment> {
        self.life.map(|life| later(self.refreshed, life))
    }
}

impl Middlebox {
    /// How long a flow lives without being refreshed.
    fn life(&self, flow: &Flow) -> Option<Duration> {
        match (flow.reset, flow.closed_sides()) {
            (true, _) => Some(RESET_LIFE),
            (_, 2) => Some(CLOSED_LIFE),
            (_, 1) => self.half_closed_after.or(self.expire_after),
            _ => self.expire_after,
        }
    }
}

/// The address that the outside sees in place of `inner`: the port's upper bit is the other one, so that
/// a client's port becomes one that no client uses.
const fn leaked(inner: SocketAddr) -> SocketAddr {
    SocketAddr::new(inner.ip(), inner.port() ^ 0x8000)
}

/// `nf_conntrack_tcp_timeout_close` of Linux.
const RESET_LIFE: Duration = Duration::from_secs(10);

/// `nf_conntrack_tcp_timeout_time_wait` of Linux.
const CLOSED_LIFE: Duration = Duration::from_secs(120);

/// 65,536 mappings; then all are forgotten, as by a box that is switched off.
const MAPPINGS_MAX: usize = 65_536;
