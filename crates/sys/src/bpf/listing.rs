//! Owns the sockets of a listing that goes on: one thread reads them from the kernel, others take them
//! up meanwhile. Judges none, and waits for nobody but the reader. Read: `record`, which decodes them.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SendError, Sender, channel},
    },
};

use halfopen_core::{Sample, Sysctls, TcpState, detection::Tick};

use super::{
    record::{self, Beyond, Record},
    records::Records,
};
use crate::{
    met::Met, options::SharedOptions, progress, syscall::memory::give_back, wire::WireError,
};

/// Where the reader puts what it reads, until it ends.
pub(crate) struct Reading {
    read: Sender<Vec<u8>>,
    spent: Receiver<Vec<u8>>,
}

/// The sockets of one namespace, for any number of threads.
pub(crate) struct Listing<'s> {
    tick: Tick,
    sysctls: &'s Sysctls,
    arriving: Mutex<Arriving>,
    spent: Sender<Vec<u8>>,
}

struct Arriving {
    read: Receiver<Vec<u8>>,
    met: Met,
    listening: Vec<(Sample, Beyond)>,
    malformed: Malformed,
    shared: SharedOptions,
}

/// What could not be decoded: the first such error, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Malformed(pub(crate) Option<(WireError, usize)>);

impl Malformed {
    pub(crate) fn add(&mut self, other: Self) {
        let Some((error, more)) = other.0 else { return };
        let (first, count) = self.0.take().unwrap_or((error, 0));
        self.0 = Some((first, count + more));
    }
}

/// Begins to take up the sockets of the namespace with these sysctls.
pub(crate) fn begin(tick: Tick, sysctls: &Sysctls) -> (Reading, Listing<'_>) {
    let (to_listing, read) = channel();
    let (to_reading, spent) = channel();
    let (met, listening) = (Met::default(), Vec::new());
    let (malformed, shared) = (Malformed::default(), SharedOptions::default());
    let arriving = Mutex::new(Arriving { read, met, listening, malformed, shared });
    let listing = Listing { tick, sysctls, arriving, spent: to_reading };
    (Reading { read: to_listing, spent }, listing)
}

impl Reading {
    /// Passes on the records in `buffer`, and leaves an empty one there. What nobody has taken up yet
    /// waits: there are no more records than sockets.
    pub(crate) fn pass_on(&self, buffer: &mut Vec<u8>) {
        progress::count(buffer.len() / record::LENGTH);
        let empty = self.spent.try_recv().unwrap_or_default();
        // Those who take up may have ended, in a panic that will be told.
        let _ = self.read.send(mem::replace(buffer, empty));
    }
}

impl Listing<'_> {
    /// The records of some connections that were not met before; waits for the reader, and is `None`
    /// once it has ended. The kernel lists listeners first, so that all are known by then.
    pub(crate) fn next(&self) -> Option<Vec<u8>> {
        let mut arriving = self.arriving();
        loop {
            let mut records = arriving.read.recv().ok()?;
            arriving.sort_out(&mut records, self.tick, self.sysctls);
            if !records.is_empty() {
                return Some(records);
            }
        }
    }

    /// Takes back the bytes of records, to be written over.
    pub(crate) fn give_back(&self, records: Vec<u8>) {
        let unwanted = self.spent.send(records);
        // Once the reader has ended, what has waited gives its memory to what is made of it: freed in
        // small pieces it would stay with the process.
        if let Err(SendError(mut records)) = unwanted {
            records.clear();
            give_back(records.spare_capacity_mut());
        }
    }

    /// What one record says. Options that are alike are one.
    pub(crate) fn decode(
        &self,
        bytes: &[u8],
        shared: &mut SharedOptions,
    ) -> Result<Record, WireError> {
        record::decode(bytes, self.tick, self.sysctls, shared)
    }

    /// Where records of this listing can be kept.
    pub(crate) fn no_records(&self) -> Records {
        Records::new(self.tick, self.sysctls)
    }

    /// The listeners that were met so far.
    pub(crate) fn listening(&self) -> Vec<(Sample, Beyond)> {
        self.arriving().listening.clone()
    }

    /// The listeners, what was met at all, and what of the listeners could not be decoded.
    pub(crate) fn end(self) -> (Vec<(Sample, Beyond)>, Met, Malformed) {
        let arriving = self.arriving.into_inner().unwrap_or_else(PoisonError::into_inner);
        (arriving.listening, arriving.met, arriving.malformed)
    }

    fn arriving(&self) -> MutexGuard<'_, Arriving> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arriving {
    /// Leaves only connections that are new: listings resume by place in a hash table, so a socket
    /// that moves meanwhile is met again.
    fn sort_out(&mut self, records: &mut Vec<u8>, tick: Tick, sysctls: &Sysctls) {
        let mut kept = 0;
        for first in (0..records.len()).step_by(record::LENGTH) {
            let Some(bytes) = records.get(first..first + record::LENGTH) else { continue };
            let glance = record::glance(bytes);
            if glance.is_some_and(|(cookie, _)| !self.met.is_new(cookie)) {
                continue;
            }
            if glance.is_some_and(|(_, state)| state == TcpState::Listen) {
                match record::decode(bytes, tick, sysctls, &mut self.shared) {
                    Ok(Record { sample, beyond }) => self.listening.push((sample, beyond)),
                    Err(error) => self.malformed.add(Malformed(Some((error, 1)))),
                }
                continue;
            }
            if kept != first {
                records.copy_within(first..first + record::LENGTH, kept);
            }
            kept += record::LENGTH;
        }
        records.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(sockets: &[(u64, TcpState)]) -> Vec<u8> {
        sockets.iter().flat_map(|(cookie, state)| record::of_cookie(*cookie, *state)).collect()
    }

    fn cookies(records: &[u8]) -> Vec<u64> {
        let glance = |bytes| record::glance(bytes).unwrap().0.0;
        records.chunks_exact(record::LENGTH).map(glance).collect()
    }

    #[test]
    fn listeners_are_set_aside_and_who_is_met_again_is_left_out() {
        use TcpState::{Established, Listen};
        let sysctls = Sysctls::default();
        let (reading, listing) = begin(Tick::from_hz(250), &sysctls);
        reading.pass_on(&mut records(&[(1, Listen), (2, Listen)]));
        reading.pass_on(&mut records(&[(1, Listen), (3, Established), (4, Established)]));
        reading.pass_on(&mut records(&[(4, Established), (3, Established), (5, Established)]));
        reading.pass_on(&mut records(&[(5, Established)]));
        assert_eq!(listing.next().map(|some| cookies(&some)), Some(vec![3, 4]));
        let listening: Vec<_> =
            listing.listening().iter().map(|(one, _)| one.id.cookie.0).collect();
        assert_eq!(listening, [1, 2]);
        assert_eq!(listing.next().map(|some| cookies(&some)), Some(vec![5]));
        drop(reading);
        assert_eq!(listing.next(), None);
        let (listening, mut met, malformed) = listing.end();
        assert_eq!((listening.len(), malformed.0), (2, None));
        assert!(!met.is_new(halfopen_core::Cookie(5)) && met.is_new(halfopen_core::Cookie(6)));
    }

    #[test]
    fn the_reader_writes_over_what_was_given_back_as_long_as_it_reads() {
        let sysctls = Sysctls::default();
        let (reading, listing) = begin(Tick::from_hz(250), &sysctls);
        let mut buffer = records(&[(1, TcpState::Established)]);
        let place = buffer.as_ptr();
        reading.pass_on(&mut buffer);
        assert!(buffer.is_empty() && buffer.capacity() == 0);
        listing.give_back(listing.next().unwrap());
        buffer = records(&[(2, TcpState::Established)]);
        reading.pass_on(&mut buffer);
        assert_eq!(buffer.as_ptr(), place);
        drop(reading);
        listing.give_back(listing.next().unwrap());
        assert_eq!(listing.next(), None);
    }
}
