//! Owns the listing by BPF, while which connections are taken up already: the kernel needs one core to
//! list them, and the others would wait for it. Does not know what is done with what is
//! taken. Read: `bpf::listing`.

use std::thread;

use halfopen_core::{Contact, Sample, Sysctls};

use super::{Connections, Noted, Sockets, make_no_sense};
use crate::{
    bpf::{
        Bpf, BpfError,
        listing::{self, Listing, Malformed},
        record::{self, Beyond, Record},
        records::Records,
    },
    met::Met,
    options::SharedOptions,
    sources::tcp_sockets_expected,
    tick,
    wire::WireError,
};

/// Takes up connections while others of their namespace are still being listed.
pub(crate) trait TakeEarly: Sync {
    /// One thread's part in it.
    type Taker;

    /// A part of a namespace with these listeners, which are all that it has; `None` where nothing can be
    /// taken up before everything has been listed.
    fn hire(&self, listening: &[(Sample, Beyond)]) -> Option<Self::Taker>;

    /// Whether this connection has to wait until all are known.
    fn has_to_wait(&self, connection: &Sample) -> bool;

    /// Takes up connections and what is known beyond of each.
    fn take(&self, taker: &mut Self::Taker, connections: Vec<Sample>, beyond: Vec<Beyond>);

    /// Takes back the part.
    fn done(&self, taker: Self::Taker);
}

/// What a listing by BPF gave.
pub(super) struct Listed {
    pub(super) sockets: Sockets,
    pub(super) met: Met,
    /// It may have broken off.
    pub(super) outcome: Result<(), BpfError>,
}

/// Lists the sockets of the calling thread's namespace, and lets `early` take up what it can.
pub(super) fn list(bpf: &Bpf, sysctls: &Sysctls, early: &impl TakeEarly) -> Listed {
    let expected = tcp_sockets_expected();
    let (reading, listing) = listing::begin(tick(), sysctls);
    // While this thread reads, others work on what was read; then it does as they do.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let others = cores.saturating_sub(1).min(expected / WORTH_A_THREAD);
    let sort = || Part::of(&listing, expected / (others + 1), early);
    let (outcome, parts) =
        thread::scope(|scope| {
            let others: Vec<_> = (0..others)
                // Where no more threads may be started, those that there are do the work.
                .map_while(|_| thread::Builder::new().spawn_scoped(scope, sort).ok())
                .collect();
            let outcome = bpf.sockets(|records| reading.pass_on(records));
            drop(reading);
            let mut parts = vec![sort()];
            parts.extend(others.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }));
            (outcome, parts)
        });
    let mut whole = Part::new(&listing);
    parts.into_iter().for_each(|part| whole.add(part));
    let (listening, met, malformed) = listing.end();
    let Part { waiting, mut noted, taken, malformed: mut others } = whole;
    others.add(malformed);
    noted.addresses |= listening.iter().any(|(_, beyond)| beyond.socket.is_some());
    let missed = others.0.map(|(first, count)| make_no_sense(count, &first));
    let (connections, missed) = (Connections::Records(waiting), missed.into_iter().collect());
    Listed { sockets: Sockets { listening, connections, taken, noted, missed }, met, outcome }
}

/// One thread's part of the connections of a namespace.
struct Part {
    waiting: Records,
    noted: Noted,
    taken: Vec<Contact>,
    malformed: Malformed,
}

impl Part {
    fn new(listing: &Listing<'_>) -> Self {
        let waiting = listing.no_records();
        Self {
            waiting,
            noted: Noted::default(),
            taken: Vec::new(),
            malformed: Malformed::default(),
        }
    }

    /// Sorts connections out as they are listed: those that have to wait, and those that `early` takes.
    /// Where all have to wait, as many as `expected` may be this part.
    fn of(listing: &Listing<'_>, expected: usize, early: &impl TakeEarly) -> Self {
        let mut part = Self::new(listing);
        let mut shared = SharedOptions::default();
        let Some(first) = listing.next() else { return part };
        let mut taker = early.hire(&listing.listening());
        if taker.is_none() {
            part.waiting.reserve(expected);
        }
        let mut next = Some(first);
        while let Some(records) = next {
            for piece in records.chunks(PIECE * record::LENGTH) {
                let (connections, beyond) = part.sort_out(piece, |bytes| {
                    let record = listing.decode(bytes, &mut shared)?;
                    let waits = taker.is_none() || early.has_to_wait(&record.sample);
                    Ok((record, waits))
                });
                if let Some(taker) = &mut taker {
                    early.take(taker, connections, beyond);
                }
            }
            listing.give_back(records);
            next = listing.next();
        }
        if let Some(taker) = taker {
            early.done(taker);
        }
        part
    }

    /// Keeps those of some connections that have to wait, and returns the others.
    fn sort_out(
        &mut self,
        records: &[u8],
        mut decode: impl FnMut(&[u8]) -> Result<(Record, bool), WireError>,
    ) -> (Vec<Sample>, Vec<Beyond>) {
        let (mut connections, mut beyond) = (Vec::new(), Vec::new());
        for bytes in records.chunks_exact(record::LENGTH) {
            match decode(bytes) {
                Ok((Record { sample, beyond: beyond_it }, waits)) => {
                    self.noted.note(&sample, &beyond_it);
                    if waits {
                        self.waiting.push(bytes);
                    } else {
                        self.taken.push(Contact::from(&sample));
                        connections.push(sample);
                        beyond.push(beyond_it);
                    }
                }
                Err(error) => self.malformed.add(Malformed(Some((error, 1)))),
            }
        }
        (connections, beyond)
    }

    fn add(&mut self, other: Self) {
        self.waiting.append(other.waiting);
        self.noted |= other.noted;
        self.taken.extend(other.taken);
        self.malformed.add(other.malformed);
    }
}

/// So many are taken up at a time: they fit the cache of a core.
const PIECE: usize = 128;

/// A thread is started for so many sockets, which take longer to judge than it to start.
const WORTH_A_THREAD: usize = 2_048;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use halfopen_core::{TcpState, detection::Tick};

    use super::*;

    /// Takes all but those in TIME-WAIT, from listeners that there are.
    struct Taker {
        hires: bool,
        done: Mutex<Vec<Vec<u64>>>,
    }

    impl TakeEarly for Taker {
        type Taker = Vec<u64>;

        fn hire(&self, listening: &[(Sample, Beyond)]) -> Option<Vec<u64>> {
            assert_eq!(listening.len(), 1);
            self.hires.then(Vec::new)
        }

        fn has_to_wait(&self, connection: &Sample) -> bool {
            connection.state == TcpState::TimeWait
        }

        fn take(&self, taken: &mut Vec<u64>, connections: Vec<Sample>, beyond: Vec<Beyond>) {
            assert_eq!(connections.len(), beyond.len());
            taken.extend(connections.iter().map(|one| one.id.cookie.0));
        }

        fn done(&self, taken: Vec<u64>) {
            self.done.lock().unwrap().push(taken);
        }
    }

    /// Sorts out a listener, ten connections in two states, and something that is none.
    fn sorted(hires: bool) -> (Part, Vec<u64>) {
        let sysctls = Sysctls::default();
        let (reading, listing) = listing::begin(Tick::from_hz(250), &sysctls);
        reading.pass_on(&mut record::of_cookie(1, TcpState::Listen));
        for cookie in 2..12 {
            let states = [TcpState::Established, TcpState::TimeWait];
            reading.pass_on(&mut record::of_cookie(cookie, states[cookie as usize % 2]));
        }
        reading.pass_on(&mut vec![0xff; record::LENGTH]);
        drop(reading);
        let taker = Taker { hires, done: Mutex::default() };
        let part = Part::of(&listing, 3, &taker);
        assert_eq!(listing.end().0.len(), 1);
        (part, taker.done.into_inner().unwrap().concat())
    }

    fn waiting(part: &Part) -> Vec<u64> {
        let mut shared = SharedOptions::default();
        part.waiting.decoded(&mut shared).map(|(one, _)| one.id.cookie.0).collect()
    }

    #[test]
    fn who_need_not_wait_is_taken_and_the_others_are_kept() {
        let (part, taken) = sorted(true);
        assert_eq!((taken, waiting(&part)), (vec![2, 4, 6, 8, 10], vec![3, 5, 7, 9, 11]));
        assert_eq!((part.taken.len(), part.malformed.0.map(|(_, count)| count)), (5, Some(1)));
    }

    #[test]
    fn all_are_kept_where_none_can_be_taken() {
        let (part, taken) = sorted(false);
        assert_eq!((taken, waiting(&part)), (vec![], (2..12).collect()));
        assert_eq!((part.taken.len(), part.malformed.0.map(|(_, count)| count)), (0, Some(1)));
    }

    #[test]
    fn parts_make_one_whole() {
        let ((mut one, _), (other, _)) = (sorted(true), sorted(false));
        one.add(other);
        assert_eq!((waiting(&one).len(), one.taken.len()), (15, 5));
        assert_eq!(one.malformed.0.map(|(_, count)| count), Some(2));
    }
}
