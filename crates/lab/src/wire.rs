//! Owns the wire: what becomes of a frame between two hosts, and when. A pure pipeline: frames and moments
//! go in, fates and emissions come out. Opens no sockets, asks no clock; `cable.rs` is the thread around it.
//! Read: `wire/link.rs`, `wire/middlebox.rs` and `wire/filter.rs` for the faults.
//!
//! ```
//! use std::time::Duration;
//!
//! use halfopen_core::Moment;
//! use halfopen_lab::{End, Fate, wire::{Direction, Link, Wire}};
//!
//! let at = |ms| Moment(Duration::from_millis(ms));
//! let mut wire = Wire::default();
//! let link = Link { delay: Duration::from_millis(25), ..Link::default() };
//! wire.set_link(Direction::Both, link, at(0));
//! // A frame that is no segment has a delay too.
//! let passage = wire.take(at(10), End::Left, &[0; 60]);
//! assert_eq!(passage.fate, Fate::Delivered);
//! assert_eq!(wire.deadline(), Some(at(35)));
//! let (emission, _) = wire.due(at(35)).unwrap();
//! assert_eq!((emission.to, emission.bytes.len()), (End::Right, 60));
//! ```
//!
//! ```text
//!  frame ──> filters ──> middlebox ──> cut, MTU, loss, corruption ──> queue, delay, order ──> emission
//!               │             │                    │                        ^
//!               └──── dropped, with the reason ────┘       what the wire makes itself
//! ```

mod fate;
mod filter;
mod flow;
mod flows;
mod forge;
mod link;
mod luck;
mod middlebox;
mod path;
pub mod presets;
mod table;

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
    iter, mem,
};

use halfopen_core::Moment;

pub use fate::{Fate, Forgery, Loss, Marks};
pub use filter::{Aim, Filter, Reset};
pub(crate) use flow::Flow;
pub use flow::{FlowKey, Kind};
pub(crate) use forge::headers;
pub use link::{Direction, Link, Rate};
pub use middlebox::{Keepalives, Middlebox, Refresh, Then};

use self::{
    flows::Flows,
    forge::Refusal,
    path::{Path, Plan},
    table::{Judgment, Table},
};
use crate::{
    frame::{Frame, Segment},
    topology::End,
};

/// A wire between two ends.
#[derive(Debug)]
pub struct Wire {
    left: Path,
    right: Path,
    filters: Vec<Filter>,
    table: Option<Table>,
    flows: Flows,
    on_the_way: BinaryHeap<Emission>,
    bytes_on_the_way: usize,
    forged: VecDeque<Passage>,
    next_number: u64,
    emissions: u64,
}

/// What became of a frame at its entry into the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Counts all frames of the wire, those that it made included, from 0.
    pub number: u64,
    /// When it came, or was made.
    pub at: Moment,
    /// The end that it came from, or seems to come from.
    pub from: End,
    /// What became of it.
    pub fate: Fate,
    /// What was done to it.
    pub marks: Marks,
    /// What it carries.
    pub frame: Frame,
    /// It is to be given to the other end now, just as it came; else it comes as an [`Emission`], if at all.
    pub at_once: bool,
}

/// A frame that leaves the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emission {
    /// When.
    pub at: Moment,
    /// Which frame it was, as it came in; a duplicate has the number of its original.
    pub number: u64,
    /// The end that receives it.
    pub to: End,
    /// What the wire made, if it made it; else a host sent it.
    pub forged: Option<Forgery>,
    /// The frame.
    pub bytes: Vec<u8>,
    /// The order among those of one moment.
    order: u64,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            left: Path::new(End::Left, Link::default()),
            right: Path::new(End::Right, Link::default()),
            filters: Vec::new(),
            table: None,
            flows: Flows::default(),
            on_the_way: BinaryHeap::new(),
            bytes_on_the_way: 0,
            forged: VecDeque::new(),
            next_number: 0,
            emissions: 0,
        }
    }
}

impl Wire {
    /// Puts the faults of a link in force, in place of those that were. Dice are thrown from the beginning.
    /// Frames that are on their way keep their times, and none that comes later overtakes them.
    pub fn set_link(&mut self, direction: Direction, link: Link, now: Moment) {
        for end in End::BOTH.into_iter().filter(|end| direction.includes(*end)) {
            self.path_mut(end).set(link, now);
        }
    }

    /// Cuts the link, or mends the cut. Its other faults stay.
    pub fn set_cut(&mut self, direction: Direction, cut: bool) {
        for end in End::BOTH.into_iter().filter(|end| direction.includes(*end)) {
            self.path_mut(end).set_cut(cut);
        }
    }

    /// The faults in force for what comes from `from`.
    pub const fn link(&self, from: End) -> &Link {
        self.path(from).link()
    }

    /// Puts a middlebox into the wire, or takes it out. It knows every connection that is open.
    pub fn set_middlebox(&mut self, middlebox: Option<Middlebox>, now: Moment) {
        self.table = middlebox.map(|rules| Table::new(rules, self.flows.iter(), now));
    }

    /// Makes the middlebox forget every flow, as if it had been switched off and on. Nobody is told.
    pub fn forget_now(&mut self) {
        if let Some(table) = &mut self.table {
            table.forget();
        }
    }

    /// How many flows the middlebox knows; `None` where there is no middlebox.
    pub fn known_flows(&self) -> Option<usize> {
        self.table.as_ref().map(Table::len)
    }

    /// Puts filters in force, in place of those that were.
    pub fn set_filters(&mut self, filters: Vec<Filter>) {
        self.filters = filters;
    }

    /// Sends an RST to one end of every connection that is meant. Returns how many there were.
    pub fn inject(&mut self, order: Reset, now: Moment) -> usize {
        let forged: Vec<_> = self
            .flows
            .iter()
            .filter(|(key, flow)| !flow.reset && order.port.is_none_or(|port| key.has_port(port)))
            .filter_map(|(key, flow)| {
                let sequence = order.aim.sequence(flow.expected_by(order.to)?);
                forge::reset(key, flow, order.to, sequence)
            })
            .collect();
        let count = forged.len();
        for bytes in forged {
            self.give(bytes, order.to, Forgery::ResetOnDemand, now);
        }
        count
    }

    /// Delivers once more the SYN of every connection that `opener` has opened and no RST has ended, as a
    /// duplicate that was late. Returns how many there were.
    pub fn repeat_syn(&mut self, opener: End, now: Moment) -> usize {
        let forged: Vec<_> =
            self.flows.iter().filter_map(|(key, flow)| forge::syn(key, flow, opener)).collect();
        let count = forged.len();
        for bytes in forged {
            self.give(bytes, opener.other(), Forgery::SynAgain, now);
        }
        count
    }

    /// Takes out what is on its way from `from`: it will not arrive. Returns it, the first to leave first.
    pub fn clear(&mut self, from: End, now: Moment) -> Vec<Emission> {
        self.path_mut(from).clear(now);
        // The greatest leaves first.
        let waiting = mem::take(&mut self.on_the_way).into_sorted_vec().into_iter().rev();
        let (kept, cleared): (Vec<_>, Vec<_>) = waiting.partition(|emission| emission.to == from);
        self.bytes_on_the_way = kept.iter().map(|emission| emission.bytes.len()).sum();
        self.on_the_way = kept.into();
        cleared
    }

    /// The number that the next frame will have.
    pub const fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Takes a frame that comes from `from`, and says what becomes of it.
    pub fn take(&mut self, now: Moment, from: End, bytes: &[u8]) -> Passage {
        self.expire(now);
        let frame = Frame::parse(bytes);
        let number = self.number();
        let marks = Marks::default();
        let mut passage =
            Passage { number, at: now, from, fate: Fate::Delivered, marks, frame, at_once: false };
        let readdressed = match passage.frame.segment() {
            Some(segment) => {
                let segment = *segment;
                self.take_segment(now, from, &segment, bytes)
            }
            None => Ok(None),
        };
        let passed = readdressed.and_then(|readdressed| {
            let plan = self.plan(now, from, &passage.frame, bytes.len())?;
            Ok((readdressed, plan))
        });
        match passed {
            Ok((readdressed, plan)) => {
                passage.marks = Marks { readdressed: readdressed.is_some(), ..plan.marks };
                // What is due already goes first.
                let is_next = self.on_the_way.peek().is_none_or(|first| first.at > now);
                passage.at_once = is_next && plan.at <= now && passage.marks == Marks::default();
                if !passage.at_once {
                    let bytes = readdressed.unwrap_or_else(|| bytes.to_vec());
                    self.send_later(Emission::new(number, from.other(), None, bytes), plan);
                }
            }
            Err(loss) => {
                passage.fate = Fate::Dropped(loss);
                if loss == Loss::TooLong {
                    self.tell_mtu(now, from, &passage.frame, bytes);
                }
            }
        }
        passage
    }

    /// When [`Wire::due`] will have something to do.
    pub fn deadline(&self) -> Option<Moment> {
        let next = self.on_the_way.peek().map(|emission| emission.at);
        let expiry = self.table.as_ref().and_then(Table::deadline);
        next.into_iter().chain(expiry).min()
    }

    /// The next frame that leaves the wire by `now`, with its fate: a frame that was on its way when the
    /// cable was cut is lost.
    pub fn due(&mut self, now: Moment) -> Option<(Emission, Fate)> {
        self.expire(now);
        if self.on_the_way.peek()?.at > now {
            return None;
        }
        let emission = self.on_the_way.pop()?;
        self.bytes_on_the_way = self.bytes_on_the_way.saturating_sub(emission.bytes.len());
        let fate = match emission.forged {
            _ if self.path(emission.to.other()).link().cut => Fate::Dropped(Loss::Cut),
            Some(forgery) => Fate::Forged(forgery),
            None => Fate::Delivered,
        };
        Some((emission, fate))
    }

    /// The next frame that the wire has made, to be told once. It leaves as an [`Emission`].
    pub fn forged(&mut self) -> Option<Passage> {
        self.forged.pop_front()
    }

    /// What filters and the middlebox do to a segment; the bytes of one that passes changed.
    fn take_segment(
        &mut self,
        now: Moment,
        from: End,
        segment: &Segment,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, Loss> {
        let key = FlowKey::of(segment, from);
        let before = self.flows.get(&key);
        let kind =
            before.map_or_else(|| Flow::new().kind(segment, from), |flow| flow.kind(segment, from));
        if self.filters.iter_mut().any(|filter| filter.takes(kind, &key, from)) {
            return Err(Loss::Filtered);
        }
        let judgment = match &self.table {
            Some(table) => table.judge(&key, segment, kind, from),
            None => Judgment::Pass,
        };
        match judgment {
            Judgment::Pass => {
                // An RST is no reason to know a connection.
                if kind != Kind::Rst || before.is_some() {
                    let flow = self.flows.note(key, now);
                    flow.note(segment, from, bytes.first_chunk().copied());
                    if let Some(table) = &mut self.table {
                        table.note(key, flow, kind, from, now);
                    }
                }
                Ok(None)
            }
            Judgment::PassAs(source, destination) => {
                if let Some(table) = &mut self.table {
                    table.note_leak(&key, from);
                }
                forge::with_ports(bytes, source, destination).map(Some).ok_or(Loss::Forgotten)
            }
            Judgment::Drop(loss) => Err(loss),
            Judgment::Answer(loss, forgery) => {
                let answer = match forgery {
                    Forgery::KeepaliveAnswer => {
                        before.and_then(|flow| forge::acknowledgment(&key, flow, from))
                    }
                    Forgery::IcmpInAnswer => forge::refusal(bytes, segment, Refusal::Prohibited),
                    _ => forge::reset_in_answer(bytes, segment, from),
                };
                if let Some(answer) = answer {
                    self.give(answer, from, forgery, now);
                }
                Err(loss)
            }
        }
    }

    /// Tells the one who sent a segment that is too long, where the link does.
    fn tell_mtu(&mut self, now: Moment, from: End, frame: &Frame, bytes: &[u8]) {
        let link = self.link(from);
        let (Some(mtu), true, Some(segment)) = (link.mtu, link.tells_mtu, frame.segment()) else {
            return;
        };
        if let Some(answer) = forge::refusal(bytes, segment, Refusal::TooBig(mtu)) {
            self.give(answer, from, Forgery::TooBig, now);
        }
    }

    fn plan(&mut self, now: Moment, from: End, frame: &Frame, length: usize) -> Result<Plan, Loss> {
        if self.bytes_on_the_way + length > BYTES_ON_THE_WAY_MAX {
            return Err(Loss::QueueFull);
        }
        let ports = |segment: &Segment| (segment.source.port(), segment.destination.port());
        let ports = frame.segment().map_or((0, 0), ports);
        self.path_mut(from).take(now, ports, length)
    }

    fn send_later(&mut self, mut emission: Emission, plan: Plan) {
        emission.at = plan.at;
        if let Some(bit) = plan.corrupted_bit {
            emission.bytes = forge::with_bit_turned(&emission.bytes, bit);
        }
        let times = if plan.marks.duplicated { 2 } else { 1 };
        for mut emission in iter::repeat_n(emission, times) {
            emission.order = self.emissions;
            self.emissions += 1;
            self.bytes_on_the_way += emission.bytes.len();
            self.on_the_way.push(emission);
        }
    }

    /// Forgets every flow whose time is up.
    fn expire(&mut self, now: Moment) {
        let Some(mut table) = self.table.take() else { return };
        while let Some((key, tells_both)) = table.expire(now) {
            // A flow that has ended by itself needs no RST.
            let open = self.flows.get(&key).filter(|flow| !flow.reset && flow.closed_sides() < 2);
            let Some(flow) = open.filter(|_| tells_both) else { continue };
            let resets = End::BOTH
                .map(|end| Some((end, forge::reset(&key, flow, end, flow.expected_by(end)?)?)));
            self.flows.forget(&key);
            for (end, bytes) in resets.into_iter().flatten() {
                self.give(bytes, end, Forgery::ResetAtExpiry, now);
            }
        }
        self.table = Some(table);
    }

    /// Sends a frame of the wire's own making to `to`.
    fn give(&mut self, bytes: Vec<u8>, to: End, forgery: Forgery, now: Moment) {
        let (number, from, frame) = (self.number(), to.other(), Frame::parse(&bytes));
        let (fate, marks) = match self.path_mut(from).take_forged(now, bytes.len()) {
            Ok(plan) => {
                self.send_later(Emission::new(number, to, Some(forgery), bytes), plan);
                (Fate::Forged(forgery), plan.marks)
            }
            Err(loss) => (Fate::Dropped(loss), Marks::default()),
        };
        let marks = Marks { forged: true, ..marks };
        self.forged.push_back(Passage {
            number,
            at: now,
            from,
            fate,
            marks,
            frame,
            at_once: false,
        });
    }

    const fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    const fn path(&self, from: End) -> &Path {
        match from {
            End::Left => &self.left,
            End::Right => &self.right,
        }
    }

    const fn path_mut(&mut self, from: End) -> &mut Path {
        match from {
            End::Left => &mut self.left,
            End::Right => &mut self.right,
        }
    }
}

impl Emission {
    fn new(number: u64, to: End, forged: Option<Forgery>, bytes: Vec<u8>) -> Self {
        Self { at: Moment::default(), number, to, forged, bytes, order: 0 }
    }
}

impl Ord for Emission {
    /// The one that leaves first is the greatest, as [`BinaryHeap`] wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Emission {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// 64 MiB: a second of delay at 500 Mbit/s.
const BYTES_ON_THE_WAY_MAX: usize = 64 << 20;

#[cfg(test)]
pub(crate) mod tests;
