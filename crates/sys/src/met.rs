//! Owns the memory of which sockets a listing has shown already. Lists nothing.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use halfopen_core::Cookie;

use crate::scatter::scattered;

/// The cookies that were met so far. Most are neighbours of others, so a bit stands for each, and the
/// whole stays in a processor's cache.
#[derive(Debug, Default)]
pub(crate) struct Met {
    by_sixty_four: HashMap<u64, u64, BuildHasherDefault<Scatter>>,
}

impl Met {
    /// None was met.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_sixty_four.is_empty()
    }

    /// Whether `cookie` was not met before; now it has been.
    pub(crate) fn is_new(&mut self, Cookie(cookie): Cookie) -> bool {
        let bits = self.by_sixty_four.entry(cookie / 64).or_default();
        let before = *bits;
        *bits |= 1 << (cookie % 64);
        *bits != before
    }
}

/// The kernel numbers cookies one after the other, and nobody else chooses them, so nothing has to be
/// hidden from an adversary.
#[derive(Debug, Default)]
struct Scatter(u64);

impl Hasher for Scatter {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = scattered(self.0 ^ number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_new_once() {
        let mut met = Met::default();
        let cookies = || (0..5_000).chain([u64::MAX]).map(Cookie);
        assert!(cookies().all(|cookie| met.is_new(cookie)));
        assert!(!cookies().any(|cookie| met.is_new(cookie)));
        assert!(met.is_new(Cookie(5_000)));
    }
}
