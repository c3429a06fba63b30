//! Owns watching the sockets of both hosts: a dump every so often, and what has changed since the last.
//! Reads tables and nothing else. Read: sock_diag(7).

use std::time::Duration;

use halfopen_core::{Cookie, Moment, Sample, TcpState};
use halfopen_sys::SocketDiag;

use super::{BySide, RehearsalError};
use crate::{fault::Side, lab::Lab};

/// Every connection that was seen, side by side.
#[derive(Debug, Default)]
pub(super) struct Watch {
    diags: BySide<SocketDiag>,
    tracks: [Vec<Track>; 2],
    focus: BySide<Cookie>,
    takes_any: bool,
    listening: [Vec<u16>; 2],
    last: Option<Moment>,
    /// The longest from one reading of the tables to the next since the fault.
    longest_gap: Duration,
}

/// One connection over time.
#[derive(Debug, Clone)]
pub(super) struct Track {
    /// The last that was seen of it.
    pub(super) last: Sample,
    pub(super) first_seen: Moment,
    pub(super) established: Option<Moment>,
    /// Its states, and when each was seen first.
    pub(super) states: Vec<(Moment, TcpState)>,
    /// When it was not there any more.
    pub(super) gone: Option<Moment>,
    /// It was there when the first fault came.
    pub(super) of_before: bool,
}

impl Watch {
    /// Begins to watch a host that has just been switched on.
    pub(super) fn begin(&mut self, lab: &Lab, side: Side) -> Result<(), RehearsalError> {
        let failed = |why: String| RehearsalError::Look { side, why };
        let diag = lab.host(side.word())?.enter(SocketDiag::open)?;
        self.diags.set(side, diag.map_err(|error| failed(error.to_string()))?);
        Ok(())
    }

    /// Lets go of a host whose power is about to be cut: a socket of ours would keep its namespace.
    /// What it held is not gone by the kernel's doing, and counts as not seen.
    pub(super) fn end(&mut self, side: Side) {
        let [client, server] = &mut self.diags.0;
        *match side {
            Side::Client => client,
            Side::Server => server,
        } = None;
    }

    /// Reads the tables if that was not done `within` this time.
    pub(super) fn dump_if_due(
        &mut self,
        lab: &Lab,
        within: Duration,
    ) -> Result<(), RehearsalError> {
        let now = halfopen_sys::now();
        if self.last.is_none_or(|last| now.since(last) >= within) {
            self.dump(lab)?;
        }
        Ok(())
    }

    pub(super) fn dump(&mut self, lab: &Lab) -> Result<(), RehearsalError> {
        let now = halfopen_sys::now();
        let gap = self.last.map_or(Duration::ZERO, |last| now.since(last));
        self.longest_gap = self.longest_gap.max(gap);
        self.last = Some(now);
        for side in Side::BOTH {
            let [client, server] = &mut self.diags.0;
            let diag = match side {
                Side::Client => client,
                Side::Server => server,
            };
            let Some(diag) = diag else { continue };
            if !lab.host(side.word()).is_ok_and(crate::Host::is_on) {
                continue;
            }
            let dump = diag
                .dump()
                .map_err(|error| RehearsalError::Look { side, why: error.to_string() })?;
            let at = halfopen_sys::now();
            // An interrupted dump may lack sockets that are there.
            let is_whole = !dump.interrupted;
            self.take(side, dump.samples, at, is_whole);
        }
        Ok(())
    }

    fn take(&mut self, side: Side, samples: Vec<Sample>, at: Moment, is_whole: bool) {
        let listening = samples.iter().filter(|sample| sample.state == TcpState::Listen);
        *self.listening_mut(side) = listening.map(|sample| sample.endpoints.local.port()).collect();
        let tracks = self.tracks_mut(side);
        let connections: Vec<_> = samples
            .into_iter()
            .filter(|sample| sample.state != TcpState::Listen && !sample.endpoints.is_loopback())
            .collect();
        if is_whole {
            for track in tracks.iter_mut().filter(|track| track.gone.is_none()) {
                if !connections.iter().any(|sample| track.is_of(sample)) {
                    track.gone = Some(at);
                }
            }
        }
        for sample in connections {
            let known = tracks.iter().position(|track| track.is_of(&sample));
            if let Some(track) = known.and_then(|place| tracks.get_mut(place)) {
                track.take(sample, at);
            } else if tracks.len() < TRACKS_MAX {
                tracks.push(Track::new(sample, at));
            }
        }
    }

    /// The connections of before the fault are those that are there now.
    pub(super) fn note_fault(&mut self) {
        self.longest_gap = Duration::ZERO;
        for track in self.tracks.iter_mut().flatten() {
            track.of_before = track.gone.is_none();
        }
    }

    /// The connection that the rehearsal is about: chosen when both ends were established.
    pub(super) fn choose(&mut self) -> bool {
        let open = |tracks: &[Track]| {
            let established =
                |track: &&Track| track.gone.is_none() && track.last.state == TcpState::Established;
            tracks.iter().filter(established).map(|track| track.last.clone()).collect::<Vec<_>>()
        };
        let [clients, servers] = [Side::Client, Side::Server].map(|side| open(self.tracks(side)));
        for client in &clients {
            let port = client.endpoints.peer.port();
            let server = servers.iter().find(|server| server.endpoints.local.port() == port);
            if let Some(server) = server {
                self.focus.set(Side::Client, client.id.cookie);
                self.focus.set(Side::Server, server.id.cookie);
                return true;
            }
        }
        false
    }

    /// The longest from one reading of the tables to the next since the fault.
    pub(super) const fn longest_gap(&self) -> Duration {
        self.longest_gap
    }

    /// The first connection of each side is the one, whatever becomes of it.
    pub(super) fn choose_any(&mut self) {
        self.takes_any = true;
    }

    /// The connection that the rehearsal is about.
    pub(super) fn focus(&self, side: Side) -> Option<&Track> {
        match self.focus.get(side) {
            Some(cookie) => self.tracks(side).iter().find(|track| track.last.id.cookie == *cookie),
            // A flood is not what it is about: its senders do not exist.
            None if self.takes_any => self.tracks(side).iter().find(|track| !track.is_of_flood()),
            None => None,
        }
    }

    /// When a connection was established that was not there at the first fault.
    pub(super) fn established_again(&self, side: Side, first_fault: Moment) -> Option<Moment> {
        let focus = self.focus(side).map(|track| track.last.id.cookie);
        self.tracks(side)
            .iter()
            .filter(|track| Some(track.last.id.cookie) != focus && track.first_seen > first_fault)
            .find_map(|track| track.established)
    }

    pub(super) fn tracks(&self, side: Side) -> &[Track] {
        let [client, server] = &self.tracks;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// Ports that something listens on.
    pub(super) fn listening(&self, side: Side) -> &[u16] {
        let [client, server] = &self.listening;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// How many connection requests of senders that do not exist are there now.
    pub(super) fn flooded(&self, side: Side) -> usize {
        let is_there = |track: &&Track| track.gone.is_none() && track.is_of_flood();
        self.tracks(side).iter().filter(is_there).count()
    }

    const fn tracks_mut(&mut self, side: Side) -> &mut Vec<Track> {
        let [client, server] = &mut self.tracks;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    const fn listening_mut(&mut self, side: Side) -> &mut Vec<u16> {
        let [client, server] = &mut self.listening;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }
}

impl Track {
    fn new(sample: Sample, at: Moment) -> Self {
        let established = (sample.state == TcpState::Established).then_some(at);
        let states = vec![(at, sample.state)];
        Self { last: sample, first_seen: at, established, states, gone: None, of_before: false }
    }

    /// Mini sockets have a cookie of their own; the addresses tell.
    fn is_of(&self, sample: &Sample) -> bool {
        self.gone.is_none() && self.last.endpoints == sample.endpoints
            || self.last.id.cookie == sample.id.cookie
    }

    fn take(&mut self, sample: Sample, at: Moment) {
        if self.states.last().is_none_or(|(_, state)| *state != sample.state) {
            self.states.push((at, sample.state));
        }
        if sample.state == TcpState::Established && self.established.is_none() {
            self.established = Some(at);
        }
        // The cookie of the full socket stays: it is what was chosen.
        let id = self.last.id;
        self.last = Sample { id, ..sample };
        self.gone = None;
    }

    /// When a state was seen first, after `from`.
    pub(super) fn reached(&self, wanted: &[TcpState], from: Moment) -> Option<Moment> {
        let reached = |(at, state): &&(Moment, TcpState)| *at > from && wanted.contains(state);
        self.states.iter().find(reached).map(|(at, _)| *at)
    }

    fn is_of_flood(&self) -> bool {
        super::flood::is_of_flood(self.last.endpoints.peer.ip())
    }
}

/// 4,096: what a flood leaves in a queue is part of it.
const TRACKS_MAX: usize = 4_096;
