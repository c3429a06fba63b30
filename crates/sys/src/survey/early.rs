//! Owns the judging of connections while others are still being listed: when it can be done, and by
//! what. Lists nothing (see `samples`).

use std::sync::{Mutex, OnceLock, PoisonError};

use halfopen_core::{Observation, PeerTallies, Sample, Sysctls, TcpState};

use super::{Place, Worker, searching::Searching, unjudged::Columns};
use crate::{bpf::record::Beyond, samples::TakeEarly};

/// Takes up observations of all namespaces, on any number of threads.
pub(super) struct Early<'a, T, S, E> {
    searching: &'a Searching,
    /// All connections have to be known before any of them is judged.
    waits: bool,
    start: &'a S,
    each: &'a E,
    taken: Mutex<Vec<T>>,
}

/// The same in one namespace.
pub(super) struct Here<'a, T, S, E> {
    early: &'a Early<'a, T, S, E>,
    sysctls: Sysctls,
    waits: bool,
    place: OnceLock<Option<Place<'a>>>,
}

impl<'a, T, S, E> Early<'a, T, S, E> {
    pub(super) fn new(searching: &'a Searching, waits: bool, start: &'a S, each: &'a E) -> Self {
        Self { searching, waits, start, each, taken: Mutex::default() }
    }

    /// In the namespace with these sysctls, which may be one where everything `waits`.
    pub(super) fn here(&'a self, sysctls: &Sysctls, waits: bool) -> Here<'a, T, S, E> {
        let (sysctls, waits) = (sysctls.clone(), waits || self.waits);
        Here { early: self, sysctls, waits, place: OnceLock::new() }
    }

    /// What has been taken up.
    pub(super) fn into_taken(self) -> Vec<T> {
        self.taken.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a, T, S, E> Here<'a, T, S, E> {
    /// What the connections have around them, if any of them was judged early.
    pub(super) fn into_place(self) -> Option<Place<'a>> {
        self.place.into_inner().flatten()
    }

    fn place(&self, listening: &[(Sample, Beyond)]) -> Option<&Place<'a>> {
        let new = || {
            let holders = self.early.searching.before_all_is_listed()?;
            Some(Place::new(holders, listening, self.sysctls.clone()))
        };
        self.place.get_or_init(new).as_ref()
    }
}

impl<'h, T, S, E> TakeEarly for &'h Here<'_, T, S, E>
where
    T: Send,
    S: Fn() -> T + Sync,
    E: Fn(&mut T, Vec<Observation>) + Sync,
{
    type Taker = (Worker<'h>, T);

    fn hire(&self, listening: &[(Sample, Beyond)]) -> Option<Self::Taker> {
        let here: &'h Here<'_, T, S, E> = self;
        if here.waits {
            return None;
        }
        Some((here.place(listening)?.worker(), (here.early.start)()))
    }

    fn has_to_wait(&self, connection: &Sample) -> bool {
        // Others to the same peer are counted, and those that wait for a listener.
        PeerTallies::may_matter_to(connection) || connection.state == TcpState::SynReceived
    }

    fn take(&self, (worker, taken): &mut Self::Taker, found: Vec<Sample>, beyond: Vec<Beyond>) {
        let piece = Columns::new(found, beyond, Vec::new());
        (self.early.each)(taken, worker.observations(piece, |_| true));
    }

    fn done(&self, (_, taken): Self::Taker) {
        self.early.taken.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
    }
}
