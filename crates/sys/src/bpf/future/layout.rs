//! Owns the bytes that the program of the future and this one share. Pure.
//! Read: bpf/future.bpf.c (`struct wanted`, `struct counts`, `struct remembered`).

use std::time::Duration;

use halfopen_core::keeping::{Future, KeepOptions};

/// `struct wanted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) future: Future,
    pub(super) loopback: bool,
    /// It gives nothing more, and only counts what ends.
    pub(super) is_off: bool,
}

impl Wanted {
    /// A program that gives nothing to anybody.
    pub(super) const NOTHING: Self = Self {
        future: Future {
            options: KeepOptions {
                keepalive: false,
                idle_s: 0,
                interval_s: 0,
                probes: 0,
                user_timeout_ms: 0,
            },
            slot: Duration::ZERO,
            slots: 0,
            per_slot: 0,
        },
        loopback: false,
        is_off: true,
    };

    pub(super) fn encode(&self) -> Vec<u8> {
        let Future { options, slot, slots, per_slot } = self.future;
        let KeepOptions { keepalive, idle_s, interval_s, probes, user_timeout_ms } = options;
        let slot = u64::try_from(slot.as_nanos()).unwrap_or(u64::MAX);
        let first =
            [keepalive.into(), idle_s, interval_s, probes, user_timeout_ms, self.is_off.into()];
        let last = [slots, per_slot, self.loopback.into(), 0];
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let (first, last): (Vec<u8>, Vec<u8>) = (words(&first), words(&last));
        [first, slot.to_ne_bytes().to_vec(), last].concat()
    }

    /// `None` where the bytes are not as many as there have to be.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (options, rest) = options(bytes)?;
        let (is_off, rest) = word(rest)?;
        let (slot, rest) = rest.split_first_chunk()?;
        let (slots, rest) = word(rest)?;
        let (per_slot, rest) = word(rest)?;
        let (loopback, rest) = word(rest)?;
        let slot = Duration::from_nanos(u64::from_ne_bytes(*slot));
        let future = Future { options, slot, slots, per_slot };
        (rest.len() == 4).then_some(Self { future, loopback: loopback != 0, is_off: is_off != 0 })
    }
}

/// What the program has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were given the options.
    pub covered: u64,
    /// Connections whose application had set as much by itself.
    pub met: u64,
    /// Connections that were left alone because too many came at once.
    pub crowded: u64,
    /// Connections of the host to itself, which are left alone.
    pub local: u64,
    /// Connections that the kernel did not let it change.
    pub refused: u64,
    /// How many of those that were given the options are still open.
    pub open: u64,
}

impl Counts {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (covered, rest) = long(bytes)?;
        let (met, rest) = long(rest)?;
        let (crowded, rest) = long(rest)?;
        let (local, rest) = long(rest)?;
        let (refused, rest) = long(rest)?;
        let (slots, []) = rest.as_chunks() else { return None };
        let open = slots.iter().map(|slot| u64::from(u32::from_ne_bytes(*slot))).sum();
        Some(Self { covered, met, crowded, local, refused, open })
    }
}

/// `struct remembered`: what one connection had, and what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) before: KeepOptions,
    pub(super) given: KeepOptions,
}

impl Remembered {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (before, rest) = options(bytes)?;
        let (given, _) = options(rest)?;
        Some(Self { before, given })
    }
}

fn options(bytes: &[u8]) -> Option<(KeepOptions, &[u8])> {
    let (keepalive, rest) = word(bytes)?;
    let (idle_s, rest) = word(rest)?;
    let (interval_s, rest) = word(rest)?;
    let (probes, rest) = word(rest)?;
    let (user_timeout_ms, rest) = word(rest)?;
    let keepalive = keepalive != 0;
    Some((KeepOptions { keepalive, idle_s, interval_s, probes, user_timeout_ms }, rest))
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((u32::from_ne_bytes(*word), rest))
}

fn long(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (long, rest) = bytes.split_first_chunk()?;
    Some((u64::from_ne_bytes(*long), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: KeepOptions = KeepOptions {
        keepalive: true,
        idle_s: 22,
        interval_s: 10,
        probes: 3,
        user_timeout_ms: 52_000,
    };

    #[test]
    fn what_is_wanted_is_read_back_and_half_of_it_is_nothing() {
        let slot = Duration::from_millis(2_048);
        let future = Future { options: OPTIONS, slot, slots: 10, per_slot: 250 };
        for (loopback, is_off) in [(true, false), (false, true)] {
            let wanted = Wanted { future, loopback, is_off };
            let bytes = wanted.encode();
            // `struct wanted` of the C program.
            assert_eq!(bytes.len(), 48);
            assert_eq!(Wanted::decode(&bytes), Some(wanted));
            assert_eq!(Wanted::decode(&bytes[..47]), None);
            assert_eq!(Wanted::decode(&[bytes, vec![0]].concat()), None);
        }
    }

    #[test]
    fn counts_are_five_sums_and_as_many_slots_as_there_may_be() {
        let mut bytes: Vec<u8> = (1..=5u64).flat_map(u64::to_ne_bytes).collect();
        bytes.extend([7u32, 8].into_iter().flat_map(u32::to_ne_bytes));
        let counts = Counts::decode(&bytes).unwrap();
        assert_eq!((counts.covered, counts.refused, counts.open), (1, 5, 15));
        assert_eq!(Counts::decode(&bytes[..41]), None);
    }

    #[test]
    fn what_a_socket_remembers_is_both_sides() {
        let words = [1, 22, 10, 3, 52_000u32];
        let before = [0, 7200, 75, 9, 0u32];
        let bytes: Vec<u8> = before.iter().chain(&words).flat_map(|it| it.to_ne_bytes()).collect();
        let remembered = Remembered::decode(&bytes).unwrap();
        assert_eq!(remembered.given, OPTIONS);
        assert_eq!((remembered.before.keepalive, remembered.before.idle_s), (false, 7200));
        assert_eq!(Remembered::decode(&bytes[..39]), None);
    }
}
