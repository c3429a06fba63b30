//! Owns the luck of each connection on one direction of a link: dice that follow from a seed and the
//! two ports, one for each fault, so that no fault and no other connection disturbs the throw of another.
//! Pure. Read: Gilbert, *Capacity of a burst-noise channel* (1960), for losses in bursts.

use std::{collections::HashMap, time::Duration};

use super::Link;
use crate::topology::End;

/// The dice of all connections.
#[derive(Debug, Default)]
pub(super) struct Luck(HashMap<Ports, Dice>);

/// The sender's port and the receiver's; zeros where the frame is no segment.
pub(super) type Ports = (u16, u16);

/// The dice of one connection in one direction.
#[derive(Debug)]
pub(super) struct Dice {
    loss: fastrand::Rng,
    /// A burst of losses is going on.
    in_burst: bool,
    corrupt: fastrand::Rng,
    jitter: fastrand::Rng,
    reorder: fastrand::Rng,
    duplicate: fastrand::Rng,
}

impl Luck {
    /// The dice of the connection, which are made at its first frame.
    pub(super) fn of(&mut self, seed: u64, from: End, ports: Ports) -> &mut Dice {
        if self.0.len() >= CONNECTIONS_MAX && !self.0.contains_key(&ports) {
            // Their luck begins anew, as that of a new connection does.
            self.0.clear();
        }
        self.0.entry(ports).or_insert_with(|| Dice::new(seed, from, ports))
    }
}

impl Dice {
    fn new(seed: u64, from: End, (source, destination): Ports) -> Self {
        let whose =
            u64::from(source) << 16 | u64::from(destination) | u64::from(from == End::Left) << 32;
        let die = |fault: u64| fastrand::Rng::with_seed(mixed(mixed(mixed(seed) ^ whose) ^ fault));
        Self {
            loss: die(0),
            in_burst: false,
            corrupt: die(1),
            jitter: die(2),
            reorder: die(3),
            duplicate: die(4),
        }
    }

    /// Whether this frame is lost.
    pub(super) fn loses(&mut self, link: &Link) -> bool {
        let share = share(link.loss);
        if link.burst.is_nan() || link.burst <= 1.0 || share >= 1.0 {
            return self.loss.f64() < share;
        }
        // The share of frames in the bad state is enter / (enter + leave), its mean length 1 / leave.
        let leave = 1.0 / link.burst;
        let enter = leave * share / (1.0 - share);
        let turn = if self.in_burst { leave } else { enter };
        self.in_burst ^= self.loss.f64() < turn;
        self.in_burst
    }

    /// Which of `count` bits is turned over, if one is.
    pub(super) fn corrupts(&mut self, link: &Link, count: usize) -> Option<usize> {
        let hit = self.corrupt.f64() < share(link.corrupt);
        (hit && count > 0).then(|| self.corrupt.usize(0..count))
    }

    /// The delay of this frame.
    pub(super) fn delay(&mut self, link: &Link) -> Duration {
        let shift = link.jitter.mul_f64(2.0 * self.jitter.f64());
        (link.delay + shift).saturating_sub(link.jitter)
    }

    /// Whether this frame is to be overtaken.
    pub(super) fn reorders(&mut self, link: &Link) -> bool {
        self.reorder.f64() < share(link.reorder)
    }

    /// Whether this frame comes twice.
    pub(super) fn duplicates(&mut self, link: &Link) -> bool {
        self.duplicate.f64() < share(link.duplicate)
    }
}

/// Percent as a share from 0 to 1. A value that is no number takes nothing.
fn share(percent: f64) -> f64 {
    if percent.is_nan() { 0.0 } else { percent.clamp(0.0, 100.0) / 100.0 }
}

/// Spreads neighbouring numbers over all of 64 bits (the finish of SplitMix64), alike in every release.
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// 65,536: more than a client has ports; some 5 MB.
const CONNECTIONS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(link: Link) -> Vec<bool> {
        let mut dice = Dice::new(link.seed, End::Left, (40_000, 111));
        (0..10_000).map(|_| dice.loses(&link)).collect()
    }

    fn count(lost: &[bool]) -> usize {
        lost.iter().filter(|lost| **lost).count()
    }

    #[test]
    fn the_same_seed_loses_the_same_frames_and_about_as_many_as_it_should() {
        let link = Link { loss: 30.0, seed: 7, ..Link::default() };
        assert_eq!(lost(link), lost(link));
        assert_ne!(lost(link), lost(Link { seed: 8, ..link }));
        assert!((2_850..3_150).contains(&count(&lost(link))), "{}", count(&lost(link)));
    }

    #[test]
    fn bursts_lose_as_many_frames_in_longer_runs() {
        for (burst, seed) in [(4.0, 1), (10.0, 2)] {
            let lost = lost(Link { loss: 10.0, burst, seed, ..Link::default() });
            assert!((700..1_300).contains(&count(&lost)), "{}", count(&lost));
            let runs = lost.chunk_by(|a, b| a == b).filter(|run| run[0]).count();
            let mean = count(&lost) as f64 / runs as f64;
            assert!((burst * 0.7..burst * 1.3).contains(&mean), "{mean} for {burst}");
        }
    }

    #[test]
    fn no_loss_and_all_loss_are_exact_and_no_number_is_no_loss() {
        for burst in [0.0, 1.0, 5.0, f64::NAN] {
            for (loss, expected) in
                [(0.0, 0), (-3.0, 0), (f64::NAN, 0), (100.0, 10_000), (250.0, 10_000)]
            {
                assert_eq!(
                    count(&lost(Link { loss, burst, ..Link::default() })),
                    expected,
                    "{loss} {burst}"
                );
            }
        }
    }

    #[test]
    fn the_luck_of_a_connection_is_its_own_in_each_direction_and_for_each_fault() {
        let throws = |from, ports, seed| {
            let mut dice = Dice::new(seed, from, ports);
            (0..64).map(|_| dice.loss.bool()).collect::<Vec<_>>()
        };
        let one = throws(End::Left, (40_000, 111), 1);
        assert_eq!(one, throws(End::Left, (40_000, 111), 1));
        assert_ne!(one, throws(End::Right, (40_000, 111), 1));
        assert_ne!(one, throws(End::Left, (40_001, 111), 1));
        let link = Link { loss: 50.0, ..Link::default() };
        let (mut alone, mut beside) =
            (Dice::new(1, End::Left, (1, 2)), Dice::new(1, End::Left, (1, 2)));
        for _ in 0..64 {
            let _ = beside.delay(&Link { jitter: Duration::from_secs(1), ..link });
            assert_eq!(alone.loses(&link), beside.loses(&link));
        }
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_below_the_delay() {
        let ms = Duration::from_millis;
        let link = Link { delay: ms(20), jitter: ms(30), ..Link::default() };
        let mut dice = Dice::new(1, End::Left, (1, 2));
        let delays: Vec<_> = (0..1_000).map(|_| dice.delay(&link)).collect();
        assert!(delays.iter().all(|delay| *delay <= ms(50)));
        assert!(delays.contains(&Duration::ZERO) && delays.iter().any(|delay| *delay > ms(45)));
    }
}
