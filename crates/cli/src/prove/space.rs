//! Owns the connections' network namespace as a run needs it: a conversation with sock_diag, raw
//! sockets, and the counters that tell a reset from another end. Judges nothing but that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use halfopen_core::{ConnectionId, NetnsId, Sample};
use halfopen_sys::{
    Counters, Netns, NetnsError, SocketDiag, SocketDiagError, counters, probe::CraftedAcks,
};

/// One namespace.
#[derive(Debug)]
pub(super) struct Space {
    netns: Netns,
    /// The conversation about its sockets.
    pub diag: SocketDiag,
    crafted: Option<CraftedAcks>,
    witness: Arc<Mutex<Witness>>,
}

/// The counters of one namespace, as all threads of a run have to hear them: a reset that one of them
/// has accounted for testifies for no other.
#[derive(Debug)]
struct Witness {
    /// Before anything was sent.
    before: Counters,
    /// Resets that are accounted for by connections known to have got one.
    explained: u64,
}

/// The witnesses of a run, for all of its threads.
#[derive(Debug, Clone, Default)]
pub(super) struct Witnesses(Arc<Mutex<HashMap<NetnsId, Arc<Mutex<Witness>>>>>);

impl Witnesses {
    /// That of the namespace, whose counters are `now` if nobody has read them before.
    fn of(&self, id: NetnsId, now: Counters) -> Arc<Mutex<Witness>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = || Arc::new(Mutex::new(Witness { before: now, explained: 0 }));
        Arc::clone(all.entry(id).or_insert_with(begin))
    }
}

/// A namespace could not be entered.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpaceError {
    #[error(transparent)]
    Netns(#[from] NetnsError),
    #[error(transparent)]
    Diag(#[from] SocketDiagError),
}

impl Space {
    /// Enters it, and reads its counters before anything is sent.
    pub(super) fn open(
        id: NetnsId,
        with_raw_sockets: bool,
        witnesses: &Witnesses,
    ) -> Result<Self, SpaceError> {
        let own = Netns::current()?;
        let netns = if own.id() == id { own } else { Netns::named(&id.to_string())? };
        let (diag, crafted, now) = netns.enter(|| {
            let crafted = if with_raw_sockets { CraftedAcks::open().ok() } else { None };
            (SocketDiag::open(), crafted, counters().unwrap_or_default())
        })?;
        Ok(Self { netns, diag: diag?, crafted, witness: witnesses.of(id, now) })
    }

    /// The raw sockets, if they were wanted and allowed.
    pub(super) const fn crafted(&self) -> Option<&CraftedAcks> {
        self.crafted.as_ref()
    }

    /// The connection as it is now; `None`: it is no more.
    pub(super) fn look_up(&mut self, sample: &Sample) -> Result<Option<Sample>, SocketDiagError> {
        self.diag.look_up(sample.family, &sample.endpoints, sample.id.cookie)
    }

    /// Every connection at once, which is cheaper than asking for many.
    pub(super) fn dump(&mut self) -> Result<HashMap<ConnectionId, Sample>, SocketDiagError> {
        let dump = self.diag.dump()?;
        Ok(dump.samples.into_iter().map(|sample| (sample.id, sample)).collect())
    }

    /// What the counters say of connections that are gone. Counters count a whole namespace, so they
    /// testify only for all of those that they could be about, or for none.
    pub(super) fn resets(&mut self) -> Resets<'_> {
        let now = self.netns.enter(counters).ok().and_then(Result::ok).unwrap_or_default();
        let witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        let rise = |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before?));
        let before = &witness.before;
        Resets {
            rise: rise(before.established_resets, now.established_resets).unwrap_or(0),
            timed_out: rise(before.aborts_on_timeout, now.aborts_on_timeout) != Some(0),
            witness,
        }
    }
}

/// How many connections of a namespace were reset since a run began. Other threads wait meanwhile.
#[derive(Debug)]
pub(super) struct Resets<'a> {
    rise: u64,
    /// Some connection ended by a timer, as far as can be told: that counts as a reset too.
    pub timed_out: bool,
    witness: MutexGuard<'a, Witness>,
}

impl Resets<'_> {
    /// This many connections were certainly reset.
    pub(super) fn explain(&mut self, count: u64) {
        self.witness.explained = self.witness.explained.saturating_add(count);
    }

    /// Whether the counter has risen enough for `count` further connections.
    pub(super) fn cover(&self, count: u64) -> bool {
        let unexplained = self.rise.saturating_sub(self.witness.explained);
        count > 0 && !self.timed_out && unexplained >= count
    }
}
