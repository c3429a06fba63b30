//! Owns the place of one pair in a worker: its sockets, what is in hand, and the key that epoll
//! reports. Decides nothing.

use std::{
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{event::epoll::EventData, io::Errno};

use crate::{
    hand::{Hand, Pools},
    pair::{Action, Both, Cause, Event, Mistrust, Pair, Side, Taking},
    route::Route,
    socket,
    tls::{Records, Wire},
    transfer::{self, Leg},
    upstream::Upstream,
};

/// One pair with all that belongs to it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: Key,
    pub(super) pair: Pair,
    pub(super) sockets: Both<Option<OwnedFd>>,
    /// By the side from which the bytes come.
    pub(super) hands: Both<Hand>,
    pub(super) route: Arc<Route>,
    /// The number of the client.
    pub(super) turn: usize,
    pub(super) client: SocketAddr,
    /// The place of the one that is connected to, or is being.
    pub(super) upstream: Option<u8>,
    /// A bit for each upstream that was tried.
    pub(super) tried: u64,
    /// What has to come from the client before it is relayed.
    pub(super) awaits: Awaits,
    /// The client's record layer, if its TLS ends here. Boxed, since most pairs have none.
    pub(super) records: Option<Box<Records>>,
    pub(super) since: Instant,
    /// The timer that counts.
    pub(super) armed: Option<Instant>,
    pub(super) is_looked_at: bool,
    /// The upstream's socket has the options by which a vanished peer is found.
    is_watched: bool,
    /// More is to be done when the others have had their turn.
    pub(super) is_unfinished: bool,
}

impl Slot {
    pub(super) fn new(
        key: Key,
        route: &Arc<Route>,
        socket: OwnedFd,
        client: SocketAddr,
        now: Instant,
    ) -> Self {
        Self {
            key,
            pair: Pair::new(route.service.half_closed_idle, now),
            sockets: Both { client: Some(socket), upstream: None },
            hands: Both::default(),
            turn: route.turn(),
            awaits: if route.service.header_in { Awaits::Header } else { Awaits::Nothing },
            records: None,
            route: Arc::clone(route),
            client,
            upstream: None,
            tried: 0,
            since: now,
            armed: None,
            is_looked_at: false,
            is_watched: false,
            is_unfinished: false,
        }
    }

    /// The upstream that is connected to, or is being.
    pub(super) fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.route.upstreams.get(usize::from(self.upstream?))
    }

    /// Does one thing that the pair wants done.
    pub(super) fn carry_out(&mut self, action: Action, pools: &mut Pools) -> Event {
        let side = match action {
            Action::Take(side, _)
            | Action::Give(side, _)
            | Action::Finish(side)
            | Action::FetchError(side)
            | Action::Measure(side) => side,
            Action::Reset(_) | Action::Close(_) | Action::Wait => return Event::Tick,
        };
        let Some(socket) = &self.sockets[side] else { return Event::NoError(side) };
        let has_records = self.records.is_some();
        let records = self.records.as_deref_mut().filter(|_| side == Side::Client);
        let leg = Leg { socket: socket.as_fd(), records };
        match action {
            // What becomes records, or comes out of them, has to pass through memory.
            Action::Take(_, Taking::Splice) if has_records => Event::NoPipe(side),
            Action::Take(_, taking) => {
                transfer::take(side, taking, leg, &mut self.hands[side], pools)
            }
            Action::Give(_, giving) => {
                let from = side.other();
                let held = self.pair.held(from);
                transfer::give(side, giving, leg, &mut self.hands[from], held, pools)
            }
            Action::Finish(_) => transfer::finish(side, leg),
            Action::FetchError(_) => transfer::fetch_error(side, leg.socket),
            _ => transfer::measure(side, &leg),
        }
    }

    /// Sees to it that the upstream is found if it vanishes, once it is connected.
    pub(super) fn watch_upstream(&mut self) {
        if self.is_watched || self.pair.is_connecting() {
            return;
        }
        self.is_watched = true;
        if let Some(socket) = &self.sockets.upstream {
            // The kernel refuses none of it to a connection that stands; one that is over has its error pending.
            let _ = socket::watch(socket.as_fd(), &self.route.service.upstream);
        }
    }

    /// Sends records that waited for room at the client's socket.
    pub(super) fn flush(&mut self) -> Option<Event> {
        let (socket, records) = (self.sockets.client.as_ref()?, self.records.as_deref_mut()?);
        match records.flush(&mut Wire(socket.as_fd())) {
            Ok(()) | Err(Errno::AGAIN) => None,
            Err(errno) => Some(Event::Failed(Side::Client, socket::cause(errno))),
        }
    }

    pub(super) fn look_every(&self) -> Duration {
        let service = &self.route.service;
        service.client.look_every.min(service.upstream.look_every)
    }
}

/// What has to come from a client before it is relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaits {
    Nothing,
    /// Its PROXY header.
    Header,
    /// Its part of the TLS handshake.
    Handshake,
}

impl Awaits {
    /// What it means if that does not come in time.
    pub(super) const fn too_late(self) -> Option<Cause> {
        match self {
            Self::Nothing => None,
            Self::Header => Some(Cause::NoHeader),
            Self::Handshake => Some(Cause::Handshake(Mistrust::Late)),
        }
    }
}

/// Which pair: its place, and which of those that were in that place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// `None` beyond 2^30 pairs.
    pub(super) fn new(index: usize, generation: u32) -> Option<Self> {
        let index = u32::try_from(index).ok().filter(|index| *index < SPECIAL >> 1)?;
        Some(Self { index, generation })
    }

    pub(super) fn index(self) -> usize {
        self.index as usize
    }
}

/// What epoll reports on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Mailbox,
    Listener(u32),
    Socket(Key, Side),
}

impl Token {
    /// Generation in the upper half; place and side in the lower.
    pub(super) fn data(self) -> EventData {
        let (low, high) = match self {
            Self::Mailbox => (SPECIAL, 0),
            Self::Listener(number) => (SPECIAL + 1, number),
            Self::Socket(key, side) => {
                ((key.index << 1) | u32::from(side == Side::Upstream), key.generation)
            }
        };
        EventData::new_u64((u64::from(high) << 32) | u64::from(low))
    }
}

impl From<EventData> for Token {
    fn from(reported: EventData) -> Self {
        let number = reported.u64();
        let half = |half: u64| u32::try_from(half & u64::from(u32::MAX)).unwrap_or(0);
        let (low, high) = (half(number), half(number >> 32));
        match low {
            SPECIAL => Self::Mailbox,
            low if low > SPECIAL => Self::Listener(high),
            low => {
                let side = if low & 1 == 0 { Side::Client } else { Side::Upstream };
                Self::Socket(Key { index: low >> 1, generation: high }, side)
            }
        }
    }
}

/// Above every place shifted by one.
const SPECIAL: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a KiB for an idle pair, of which this is the most.
    #[test]
    fn a_pair_with_all_that_belongs_to_it_is_small() {
        assert!(size_of::<Slot>() <= 352, "{}", size_of::<Slot>());
    }

    #[test]
    fn what_epoll_reports_is_what_it_was_told() {
        let key = |index, generation| Key { index, generation };
        for token in [
            Token::Mailbox,
            Token::Listener(0),
            Token::Listener(u32::MAX),
            Token::Socket(key(0, 0), Side::Client),
            Token::Socket(key(7, u32::MAX), Side::Upstream),
            Token::Socket(key((SPECIAL >> 1) - 1, 3), Side::Upstream),
        ] {
            assert_eq!(Token::from(token.data()), token);
        }
        assert_eq!(Key::new(1 << 30, 0), None);
    }
}
