//! Owns one direction of a link in force: what of a [`Link`] a frame meets, in which order, and when it
//! leaves. Pure: time is an argument.

use std::time::Duration;

use halfopen_core::Moment;

use super::{
    Link, Loss, Marks,
    luck::{Luck, Ports},
};
use crate::topology::End;

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Path {
    from: End,
    link: Link,
    luck: Luck,
    /// When the last frame has left a link of limited rate.
    busy_until: Moment,
    /// When the last frame that is not to be overtaken leaves.
    last_out: Moment,
}

/// How a frame passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// When it leaves.
    pub(super) at: Moment,
    /// The bit of the frame that is turned over.
    pub(super) corrupted_bit: Option<usize>,
    pub(super) marks: Marks,
}

impl Path {
    pub(super) fn new(from: End, link: Link) -> Self {
        let luck = Luck::default();
        Self { from, link, luck, busy_until: Moment::default(), last_out: Moment::default() }
    }

    pub(super) const fn link(&self) -> &Link {
        &self.link
    }

    /// Puts `link` in force, with its dice thrown from the beginning. Frames that are on their way keep
    /// their times, and none overtakes them.
    pub(super) fn set(&mut self, link: Link, now: Moment) {
        self.luck = Luck::default();
        if link.rate != self.link.rate {
            self.busy_until = now;
        }
        self.link = link;
    }

    /// Cuts the link, or mends the cut; its other faults stay as they are.
    pub(super) const fn set_cut(&mut self, cut: bool) {
        self.link.cut = cut;
    }

    /// Forgets what is on its way.
    pub(super) fn clear(&mut self, now: Moment) {
        (self.busy_until, self.last_out) = (now, now);
    }

    /// How a frame of `length` bytes passes that comes now, or why it does not.
    pub(super) fn take(&mut self, now: Moment, ports: Ports, length: usize) -> Result<Plan, Loss> {
        let link = self.link;
        if link.cut {
            return Err(Loss::Cut);
        }
        if link.mtu.is_some_and(|mtu| length > ETHERNET + mtu as usize) {
            return Err(Loss::TooLong);
        }
        if !has_chances(&link) {
            let sent = self.queue(now, length)?;
            return Ok(self.plan(now, later(sent, link.delay)));
        }
        let dice = self.luck.of(link.seed, self.from, ports);
        if dice.loses(&link) {
            return Err(Loss::Chance);
        }
        let bits = length.saturating_sub(HEADERS) * 8;
        let corrupted_bit = dice.corrupts(&link, bits).map(|bit| HEADERS * 8 + bit);
        let (delay, reordered) = (dice.delay(&link), dice.reorders(&link));
        let duplicated = dice.duplicates(&link);
        let at = later(self.queue(now, length)?, delay);
        let mut plan = if reordered {
            let at = later(at.max(self.last_out), link.reorder_by);
            Plan {
                at,
                corrupted_bit: None,
                marks: Marks { held: at.since(now), ..Marks::default() },
            }
        } else {
            self.plan(now, at)
        };
        plan.corrupted_bit = corrupted_bit;
        plan.marks =
            Marks { reordered, duplicated, corrupted: corrupted_bit.is_some(), ..plan.marks };
        Ok(plan)
    }

    /// How a frame passes that the wire itself made: chance spares it.
    pub(super) fn take_forged(&mut self, now: Moment, length: usize) -> Result<Plan, Loss> {
        if self.link.cut {
            return Err(Loss::Cut);
        }
        let sent = self.queue(now, length)?;
        Ok(self.plan(now, later(sent, self.link.delay)))
    }

    fn plan(&mut self, now: Moment, at: Moment) -> Plan {
        self.last_out = at.max(self.last_out);
        let held = self.last_out.since(now);
        Plan { at: self.last_out, corrupted_bit: None, marks: Marks { held, ..Marks::default() } }
    }

    /// When a frame of `length` bytes has left the queue.
    fn queue(&mut self, now: Moment, length: usize) -> Result<Moment, Loss> {
        let Some(rate) = self.link.rate else { return Ok(now) };
        let begins = self.busy_until.max(now);
        let waiting = bits_in(begins.since(now), rate.bits_per_second) / 8;
        if rate.bits_per_second == 0 || waiting + length as u128 > u128::from(rate.queue) {
            return Err(Loss::QueueFull);
        }
        let nanoseconds = length as u128 * 8 * NANOSECONDS / u128::from(rate.bits_per_second);
        let takes = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.busy_until = later(begins, takes);
        Ok(self.busy_until)
    }
}

/// The header of Ethernet without a tag.
const ETHERNET: usize = 14;

/// Ethernet and IPv4 without options: a bit that is turned over behind them is found by the checksum of TCP,
/// which covers the addresses as well, of which IPv6 has the rest here.
const HEADERS: usize = ETHERNET + 20;

const NANOSECONDS: u128 = 1_000_000_000;

fn bits_in(time: Duration, bits_per_second: u64) -> u128 {
    time.as_nanos() * u128::from(bits_per_second) / NANOSECONDS
}

pub(super) const fn later(moment: Moment, by: Duration) -> Moment {
    Moment(moment.0.saturating_add(by))
}

/// Chance has a say.
fn has_chances(link: &Link) -> bool {
    link.loss > 0.0
        || link.corrupt > 0.0
        || link.reorder > 0.0
        || link.duplicate > 0.0
        || !link.jitter.is_zero()
}

#[cfg(test)]
mod tests;
