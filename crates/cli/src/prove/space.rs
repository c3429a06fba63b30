//! Owns the connections' network namespace as a run needs it: a conversation with sock_diag, raw
//! sockets, and the counters that tell a reset from another end. Judges nothing but that.

use std::collections::HashMap;

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
    before: Counters,
    /// Resets that are accounted for by connections known to have got one.
    explained: u64,
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
    pub(super) fn open(id: NetnsId, with_raw_sockets: bool) -> Result<Self, SpaceError> {
        let own = Netns::current()?;
        let netns = if own.id() == id { own } else { Netns::named(&id.to_string())? };
        let (diag, crafted, before) = netns.enter(|| {
            let crafted = if with_raw_sockets { CraftedAcks::open().ok() } else { None };
            (SocketDiag::open(), crafted, counters().unwrap_or_default())
        })?;
        Ok(Self { netns, diag: diag?, crafted, before, explained: 0 })
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
        let rise = |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before?));
        Resets {
            rise: rise(self.before.established_resets, now.established_resets).unwrap_or(0),
            timed_out: rise(self.before.aborts_on_timeout, now.aborts_on_timeout) != Some(0),
            explained: &mut self.explained,
        }
    }
}

/// How many connections of a namespace were reset since a run began.
#[derive(Debug)]
pub(super) struct Resets<'a> {
    rise: u64,
    /// Some connection ended by a timer, as far as can be told: that counts as a reset too.
    pub timed_out: bool,
    explained: &'a mut u64,
}

impl Resets<'_> {
    /// This many connections were certainly reset.
    pub(super) const fn explain(&mut self, count: u64) {
        *self.explained = self.explained.saturating_add(count);
    }

    /// Whether the counter has risen enough for `count` further connections.
    pub(super) const fn cover(&self, count: u64) -> bool {
        count > 0 && !self.timed_out && self.rise.saturating_sub(*self.explained) >= count
    }
}
