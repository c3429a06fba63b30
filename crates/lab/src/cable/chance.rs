//! Owns the loss of frames by chance, which can be repeated: it follows from a seed, and each
//! connection and direction has its own run of luck. Pure.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::{
    frame::{Frame, Segment},
    topology::End,
};

/// Loses a part of all frames.
#[derive(Debug)]
pub(super) struct Chance {
    percent: u8,
    seed: u64,
    /// By the two ports, the sender's first; frames that are no segments share one.
    luck: HashMap<(End, u16, u16), fastrand::Rng>,
}

impl Chance {
    pub(super) fn new(percent: u8, seed: u64) -> Self {
        Self { percent, seed, luck: HashMap::new() }
    }

    /// Whether this frame, which comes from `from`, is lost.
    pub(super) fn takes(&mut self, from: End, bytes: &[u8]) -> bool {
        let ports = |segment: &Segment| (segment.source.port(), segment.destination.port());
        let (source, destination) = Frame::parse(bytes).segment().map_or((0, 0), ports);
        let key = (from, source, destination);
        let seed = self.seed;
        let luck = self.luck.entry(key).or_insert_with(|| {
            let mut hasher = DefaultHasher::new();
            (seed, key).hash(&mut hasher);
            fastrand::Rng::with_seed(hasher.finish())
        });
        luck.u8(0..100) < self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_loses_the_same_frames_and_about_as_many_as_it_should() {
        let lost = |seed| {
            let mut chance = Chance::new(30, seed);
            (0..1_000).map(|_| chance.takes(End::Left, &[])).collect::<Vec<_>>()
        };
        assert_eq!(lost(7), lost(7));
        assert_ne!(lost(7), lost(8));
        let count = lost(7).into_iter().filter(|lost| *lost).count();
        assert!((250..350).contains(&count), "{count}");
    }

    #[test]
    fn no_loss_and_all_loss_are_exact() {
        let lost = |percent| (0..100).any(|_| Chance::new(percent, 1).takes(End::Left, &[]));
        assert!(!lost(0));
        assert!((0..100).all(|seed| Chance::new(100, seed).takes(End::Right, &[])));
    }
}
