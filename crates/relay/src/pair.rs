//! Owns the life of one pair of connections: what may be done next, and what it means when something
//! has happened. Pure: touches no socket and no clock. Read: RFC 9293 sections 3.6 and 3.10.7 (close,
//! reset), linux net/ipv4/tcp.c `tcp_recvmsg_locked` (what is readable after a reset).
//!
//! ```text
//!              Connected             both FINs sent           queues empty
//! Connecting ------------> Open ------------------> Finishing --------------> Over: Close
//!     |                      |                          |
//!     | failed, timed out    | one side broke, or was   | the same
//!     |                      v  proved dead             v
//!     +----------------> Breaking: what was received is given on, and no FIN is ever sent again
//!                            |
//!                            +-- nothing left, or no longer worth waiting --> Over: Reset
//! ```

mod ending;
mod flow;
mod side;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use ending::{Cause, Ending, Lost, Mistrust};
use flow::Flow;
pub use flow::{Giving, Taking};
pub use side::{Both, Side};

/// What epoll says of one socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness {
    /// EPOLLIN: there is something to take.
    pub readable: bool,
    /// EPOLLOUT: there is room to give.
    pub writable: bool,
    /// EPOLLRDHUP or EPOLLHUP: its FIN is here, perhaps behind data.
    pub hung_up: bool,
    /// EPOLLPRI: an urgent byte is here or on its way.
    pub urgent: bool,
    /// EPOLLERR: the connection is over.
    pub failed: bool,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The connection to the upstream stands.
    Connected,
    /// The relay ends the pair: no upstream could be reached, or a limit says so.
    Evicted(Cause),
    /// epoll reported this socket.
    Ready(Side, Readiness),
    /// So many bytes were taken from this side, out of room for so many. Never 0 bytes.
    Took(Side, usize, usize),
    /// One urgent byte was taken from this side.
    TookUrgent(Side),
    /// There was nothing to take from this side (EAGAIN).
    Dry(Side),
    /// The stream of this side ended: a read gave 0 bytes.
    Ended(Side),
    /// Splicing gave 0 bytes: an end, or an urgent mark. Only a read can tell.
    Unclear(Side),
    /// There is no pipe to splice through: bytes from this side have to be copied.
    NoPipe(Side),
    /// So many bytes were given to this side.
    Gave(Side, usize),
    /// There is no more room at this side for now (EAGAIN).
    Full(Side),
    /// FIN was sent to this side.
    Finished(Side),
    /// A call on the socket of this side, or its pending error, told that the connection is over; or
    /// its peer was proved to be gone.
    Failed(Side, Cause),
    /// The socket of this side had no pending error.
    NoError(Side),
    /// So many bytes sent to this side, FIN counted as one, are not acknowledged yet.
    Unacknowledged(Side, usize),
    /// Time has passed.
    Tick,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Take bytes from this side: [`Event::Took`], `TookUrgent`, `Dry`, `Ended`, `Unclear`, `NoPipe`
    /// or `Failed`.
    Take(Side, Taking),
    /// Give what is in hand to this side: [`Event::Gave`], `Full` or `Failed`.
    Give(Side, Giving),
    /// Send FIN to this side: [`Event::Finished`], `Full` or `Failed`.
    Finish(Side),
    /// Fetch the pending error of this socket (SO_ERROR): [`Event::Failed`] or `NoError`.
    FetchError(Side),
    /// Ask how much of what was sent to this side is not acknowledged (SIOCOUTQ):
    /// [`Event::Unacknowledged`].
    Measure(Side),
    /// End both connections with RST, at once. The last action.
    Reset(Ending),
    /// Close both: all has been sent and acknowledged. The last action.
    Close(Ending),
    /// Nothing until something happens, or until [`Pair::deadline`].
    Wait,
}

/// Two connections that are one to those at their ends.
#[derive(Debug)]
pub struct Pair {
    phase: Phase,
    /// By the side from which the bytes come.
    flows: Both<Flow>,
    /// Whose pending error is to be fetched.
    unfetched: Both<bool>,
    /// What went wrong first, and at whom; nobody: the relay itself decided.
    broken: Option<(Option<Side>, Cause)>,
    /// Whose FIN came first.
    first_end: Option<Side>,
    /// Whose bytes have their turn.
    turn: Side,
    /// When a byte last moved.
    active: Instant,
    half_closed_idle: Option<Duration>,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    /// Both FINs are sent; what is in the kernel's queues is still on its way. To close now would
    /// leave it to an orphan, which the kernel gives up on although its peer lives and only reads
    /// slowly (tcp_orphan_retries).
    Finishing(Measuring),
    /// Ends with RST as soon as the survivor has what was received for it, or takes too long.
    /// Boxed, since it is rare and every pair has room for it otherwise.
    Breaking(Measuring, Box<Patience>),
    Over,
}

/// When queues are to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measuring {
    Now(Side),
    /// At the next event of a socket, or then.
    At(Instant),
}

/// How long to wait for a survivor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patience {
    survivor: Side,
    since: Instant,
    /// When its queue last shrank.
    progress: Instant,
    queued: usize,
}

impl Pair {
    /// The client is here; the connection to the upstream is being made.
    ///
    /// `half_closed_idle`: a pair of which one direction has ended, and in which no byte has moved for
    /// this long, ends with RST. `None`: never, since a half-closed connection whose peer lives is a
    /// healthy one.
    pub fn new(half_closed_idle: Option<Duration>, now: Instant) -> Self {
        Self {
            phase: Phase::Connecting,
            flows: Both { client: Flow::default(), upstream: Flow::default() },
            unfetched: Both { client: false, upstream: false },
            broken: None,
            first_end: None,
            turn: Side::Client,
            active: now,
            half_closed_idle,
        }
    }

    /// Bytes received from `side` and given on.
    pub fn relayed(&self, side: Side) -> u64 {
        self.flows[side].given
    }

    /// Bytes in hand: taken from `side`, not yet given.
    pub fn held(&self, side: Side) -> usize {
        self.flows[side].held
    }

    /// Bytes of the relay's own that go ahead of everything from `side`.
    pub fn prefix(&mut self, side: Side, bytes: usize) {
        self.flows[side].prefix(bytes);
    }

    /// Whether the upstream is still being connected to.
    pub fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// Whether one direction has ended and the other has not.
    pub fn is_half_closed(&self) -> bool {
        self.phase == Phase::Open && (self.flows.client.finished || self.flows.upstream.finished)
    }

    /// Whether nothing is left to do for the pair.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// When a byte last moved.
    pub fn active(&self) -> Instant {
        self.active
    }

    /// When [`Event::Tick`] is due at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Breaking(Measuring::At(at), _) | Phase::Finishing(Measuring::At(at)) => Some(at),
            _ => self.idle_until(),
        }
    }

    /// Until when it may be half-closed and idle.
    fn idle_until(&self) -> Option<Instant> {
        let limit = self.half_closed_idle.filter(|_| self.is_half_closed())?;
        self.active.checked_add(limit)
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => {
                if self.is_connecting() {
                    self.phase = Phase::Open;
                    self.active = now;
                }
            }
            Event::Evicted(cause) => self.end_at_once(None, cause),
            Event::Ready(side, readiness) => self.handle_readiness(side, readiness),
            Event::Took(side, bytes, room) => {
                self.active = now;
                self.flows[side].took(bytes, room);
            }
            Event::TookUrgent(side) => {
                self.active = now;
                self.flows[side].took_urgent();
            }
            Event::Dry(side) => self.flows[side].dry(self.broken.is_some()),
            // After a reset the kernel gives 0 bytes as well, and that is no end.
            Event::Ended(side) if self.broken.is_some() => self.flows[side].cut(),
            Event::Ended(side) => {
                self.flows[side].ended();
                self.first_end = self.first_end.or(Some(side));
            }
            Event::Unclear(side) => self.flows[side].unclear(),
            Event::NoPipe(side) => self.flows[side].copy(),
            Event::Gave(side, bytes) => {
                self.active = now;
                self.flows[side.other()].gave(bytes);
                self.turn = side;
            }
            Event::Full(side) => self.flows[side.other()].full(),
            Event::Finished(side) => self.handle_finished(side, now),
            Event::Failed(side, cause) => self.handle_failure(side, cause, now),
            Event::NoError(side) => self.unfetched[side] = false,
            Event::Unacknowledged(side, bytes) => self.handle_queue(side, bytes, now),
            Event::Tick => self.handle_tick(now),
        }
    }

    /// What to do now.
    pub fn poll(&self) -> Action {
        if self.phase == Phase::Over {
            return self.last_action();
        }
        if let Some(side) = Side::BOTH.into_iter().find(|side| self.unfetched[*side]) {
            return Action::FetchError(side);
        }
        match &self.phase {
            Phase::Open => self
                .flow_action(self.turn)
                .or_else(|| self.flow_action(self.turn.other()))
                .unwrap_or(Action::Wait),
            Phase::Breaking(measuring, patience) => {
                self.flow_action(patience.survivor.other()).unwrap_or_else(|| measuring.action())
            }
            Phase::Finishing(measuring) => measuring.action(),
            Phase::Connecting | Phase::Over => Action::Wait,
        }
    }

    fn flow_action(&self, from: Side) -> Option<Action> {
        let flow = &self.flows[from];
        if let Some(giving) = flow.giving() {
            return Some(Action::Give(from.other(), giving));
        }
        if let Some(taking) = flow.taking() {
            return Some(Action::Take(from, taking));
        }
        // Whatever is broken, however long ago its FIN came: nothing is made to look complete now.
        (flow.is_to_finish() && self.broken.is_none()).then_some(Action::Finish(from.other()))
    }

    fn last_action(&self) -> Action {
        match self.broken {
            Some((side, cause)) => Action::Reset(Ending::Broken { side, cause }),
            None => {
                Action::Close(Ending::Finished { first: self.first_end.unwrap_or(Side::Client) })
            }
        }
    }

    fn handle_readiness(&mut self, side: Side, readiness: Readiness) {
        self.flows[side].readable(readiness);
        if readiness.writable {
            self.flows[side.other()].roomy();
        }
        self.unfetched[side] |= readiness.failed;
        if let Phase::Finishing(measuring) | Phase::Breaking(measuring, _) = &mut self.phase {
            *measuring = Measuring::Now(Side::Client);
        }
        if let Phase::Breaking(measuring, patience) = &mut self.phase {
            *measuring = Measuring::Now(patience.survivor);
        }
    }

    fn handle_finished(&mut self, side: Side, now: Instant) {
        self.active = now;
        self.flows[side.other()].finished = true;
        let both = self.flows.client.finished && self.flows.upstream.finished;
        if both && self.phase == Phase::Open {
            self.phase = Phase::Finishing(Measuring::Now(Side::Client));
        }
    }

    fn handle_failure(&mut self, side: Side, cause: Cause, now: Instant) {
        self.unfetched[side] = false;
        match &self.phase {
            Phase::Over => {}
            Phase::Connecting => self.end_at_once(Some(side), cause),
            Phase::Open | Phase::Finishing(_) => {
                self.broken = Some((Some(side), cause));
                let survivor = side.other();
                self.flows[survivor].cut();
                // What it had sent before is still in the kernel's queue, and is to be given on.
                self.flows[side].last_look();
                let patience = Patience { survivor, since: now, progress: now, queued: usize::MAX };
                self.phase = Phase::Breaking(Measuring::Now(survivor), Box::new(patience));
            }
            Phase::Breaking(_, patience) if patience.survivor == side => self.phase = Phase::Over,
            Phase::Breaking(..) => self.flows[side].cut(),
        }
    }

    fn handle_queue(&mut self, side: Side, bytes: usize, now: Instant) {
        match &mut self.phase {
            Phase::Finishing(measuring) => match (bytes, side) {
                (0, Side::Client) => *measuring = Measuring::Now(Side::Upstream),
                (0, Side::Upstream) => self.phase = Phase::Over,
                _ => *measuring = Measuring::At(now + FINISHING_LOOK),
            },
            Phase::Breaking(measuring, patience) => {
                let flow = &self.flows[side.other()];
                let queued = bytes.saturating_add(flow.held);
                if queued < patience.queued {
                    patience.progress = now;
                    patience.queued = queued;
                }
                if queued == 0 || patience.is_over(flow.finished, now) {
                    self.phase = Phase::Over;
                } else {
                    *measuring = Measuring::At(now + patience.pause(now));
                }
            }
            Phase::Connecting | Phase::Open | Phase::Over => {}
        }
    }

    fn handle_tick(&mut self, now: Instant) {
        if let (Some(until), Some(limit)) = (self.idle_until(), self.half_closed_idle)
            && until <= now
        {
            return self.end_at_once(None, Cause::HalfClosedIdle(limit));
        }
        match &mut self.phase {
            Phase::Finishing(measuring) if measuring.is_due(now) => {
                *measuring = Measuring::Now(Side::Client);
            }
            Phase::Breaking(measuring, patience) if measuring.is_due(now) => {
                *measuring = Measuring::Now(patience.survivor);
            }
            _ => {}
        }
    }

    fn end_at_once(&mut self, side: Option<Side>, cause: Cause) {
        if self.phase != Phase::Over {
            self.broken = self.broken.or(Some((side, cause)));
            self.phase = Phase::Over;
        }
    }
}

impl Measuring {
    fn is_due(self, now: Instant) -> bool {
        matches!(self, Self::At(at) if at <= now)
    }

    fn action(self) -> Action {
        match self {
            Self::Now(side) => Action::Measure(side),
            Self::At(_) => Action::Wait,
        }
    }
}

impl Patience {
    /// A whole stream with its FIN is worth a longer wait than one that is cut anyway.
    fn is_over(self, finished: bool, now: Instant) -> bool {
        let stalled = now.saturating_duration_since(self.progress);
        let waited = now.saturating_duration_since(self.since);
        waited >= DRAIN_MAX || (!finished && stalled >= STALL_MAX)
    }

    /// An acknowledgement on a local network takes a millisecond, a delayed one 40.
    fn pause(self, now: Instant) -> Duration {
        let waited = now.saturating_duration_since(self.since);
        waited.clamp(Duration::from_millis(1), Duration::from_millis(50))
    }
}

/// After this long the survivor is told of the break, whatever it has not acknowledged yet.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// A survivor that takes nothing of a stream that is cut anyway is told after this long.
const STALL_MAX: Duration = Duration::from_secs(1);
/// The acknowledgement of a FIN is an event of its socket; this look is for those that never come.
const FINISHING_LOOK: Duration = Duration::from_secs(1);
