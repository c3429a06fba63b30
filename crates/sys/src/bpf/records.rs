//! Owns the records of very many sockets from when they were read until they are judged. They take
//! half the memory of what they become, and so half the time to be put down; what they become then
//! never leaves a processor's cache. Reads none from the kernel. Read: `record`, which decodes them.

use std::{mem, sync::Arc};

use halfopen_core::{Sample, Sysctls, detection::Tick};

use super::record::{self, Beyond, Record};
use crate::options::SharedOptions;

/// Records of one namespace that can be decoded.
#[derive(Debug)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    tick: Tick,
    sysctls: Arc<Sysctls>,
}

impl Records {
    /// None yet.
    pub(crate) fn new(tick: Tick, sysctls: &Sysctls) -> Self {
        Self { bytes: Vec::new(), tick, sysctls: Arc::new(sysctls.clone()) }
    }

    /// Makes room for so many more: moving what has been gathered while it grows would take as long as
    /// gathering it, and leave holes.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.bytes.reserve(more.saturating_mul(record::LENGTH));
    }

    /// Adds one, which has been decoded before.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds those of `other`.
    pub(crate) fn append(&mut self, mut other: Self) {
        if self.bytes.len() < other.bytes.len() {
            mem::swap(&mut self.bytes, &mut other.bytes);
        }
        self.bytes.append(&mut other.bytes);
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len() / record::LENGTH
    }

    /// Takes those from the one numbered `first` on.
    pub(crate) fn split_off(&mut self, first: usize) -> Self {
        let bytes = self.bytes.split_off(first.saturating_mul(record::LENGTH));
        Self { bytes, tick: self.tick, sysctls: Arc::clone(&self.sysctls) }
    }

    /// Gives back the memory of those that were taken.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// What each says, in order. Options that are alike are one, also with those in `shared`.
    pub(crate) fn decoded<'r>(
        &'r self,
        shared: &'r mut SharedOptions,
    ) -> impl Iterator<Item = (Sample, Beyond)> + 'r {
        let records = self.bytes.chunks_exact(record::LENGTH);
        records.filter_map(|bytes| {
            let decoded = record::decode(bytes, self.tick, &self.sysctls, shared);
            decoded.ok().map(|Record { sample, beyond }| (sample, beyond))
        })
    }

    /// What all of them say, in two lists in their order.
    pub(crate) fn columns(&self, shared: &mut SharedOptions) -> (Vec<Sample>, Vec<Beyond>) {
        let mut samples = Vec::with_capacity(self.len());
        let mut beyond = Vec::with_capacity(self.len());
        for (sample, beyond_it) in self.decoded(shared) {
            samples.push(sample);
            beyond.push(beyond_it);
        }
        (samples, beyond)
    }
}

#[cfg(test)]
mod tests {
    use halfopen_core::TcpState;

    use super::*;

    #[test]
    fn records_are_taken_from_the_end_and_say_what_they_said() {
        let tick = Tick::from_hz(250);
        let mut records = Records::new(tick, &Sysctls::default());
        let push = |records: &mut Records, cookie| {
            records.push(&record::of_cookie(cookie, TcpState::Established));
        };
        (1..=5).for_each(|cookie| push(&mut records, cookie));
        let last = records.split_off(3);
        records.shrink_to_fit();
        assert_eq!((records.len(), last.len()), (3, 2));
        let cookies = |records: &Records| {
            let (samples, beyond) = records.columns(&mut SharedOptions::default());
            assert_eq!(samples.len(), beyond.len());
            samples.iter().map(|sample| sample.id.cookie.0).collect::<Vec<_>>()
        };
        assert_eq!((cookies(&records), cookies(&last)), (vec![1, 2, 3], vec![4, 5]));
        push(&mut records, 6);
        records.append(last);
        assert_eq!(cookies(&records), [1, 2, 3, 6, 4, 5]);
    }
}
