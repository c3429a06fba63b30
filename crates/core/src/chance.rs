//! Owns chance: a seeded generator, so that whatever was drawn can be drawn again.
//! Read: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), SplitMix64.

use std::time::Duration;

/// A generator of SplitMix64: 8 bytes of state, the same numbers on every machine. Not for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number of 64 bits.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, each as likely as the others to one in 2^32; 0 where `limit` is 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        let product = (self.number() >> 32) * u64::from(limit);
        u32::try_from(product >> 32).unwrap_or(0)
    }

    /// From 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        // 53 bits are what a double holds exactly.
        let bits = u32::try_from(self.number() >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    /// Comes true with this probability.
    pub fn is(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// From nothing up to, not including, `most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.unit())
    }

    /// A wait for what happens once in `mean`, whenever it likes.
    pub fn wait(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }

    /// A generator of its own, for a part that must not disturb the numbers of the others.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence() {
        let draw = |seed| {
            std::iter::repeat_with({
                let mut chance = Chance::new(seed);
                move || chance.number()
            })
            .take(3)
            .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        // The first number of the reference implementation for this seed.
        assert_eq!(draw(1_234_567)[0], 6_457_827_717_110_365_317);
    }

    #[test]
    fn draws_stay_within_their_limits_and_reach_into_all_of_them() {
        let mut chance = Chance::new(1);
        let mut seen = [0; 10];
        for _ in 0..10_000 {
            seen[chance.below(10) as usize] += 1;
            assert!(chance.up_to(Duration::from_secs(3)) < Duration::from_secs(3));
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert_eq!(chance.below(0), 0);
        let mean =
            (0..10_000).map(|_| chance.wait(Duration::from_secs(1)).as_secs_f64()).sum::<f64>();
        assert!((9_500.0..10_500.0).contains(&mean), "{mean}");
    }
}
