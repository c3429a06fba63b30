//! Owns when to connect again, and when to give up: a policy is data, and this is what it does.
//! Connects nothing, reads no clock, draws from a generator that is passed in.
//! Read: "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015); docs/library/reconnect.md.
//!
//! ```text
//!   Connect --- handle_up ----> Up --- handle_lost ---> Wait (from the start, if it was up for long)
//!    ^   |                                               |
//!    |   +----- handle_failed ------------------------> Wait ---- attempts or deadline ---> GaveUp
//!    +------------------------- wait over ---------------+
//! ```

mod diagnosis;
pub mod fleet;

use std::time::Duration;

use self::diagnosis::History;
pub use self::diagnosis::{Cause, Diagnosis, EndedBy, FailedBy, Life, Pattern};
use crate::{chance::Chance, sample::Moment};

/// When to connect again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Whether the first attempt after a loss comes without a wait. Good for one client; a fleet that
    /// loses its server at one moment comes back at one moment.
    pub at_once: bool,
    /// The first wait, before jitter.
    pub first: Duration,
    /// Each wait is so many times as long as the one before.
    pub factor: f64,
    /// No wait is longer than this.
    pub cap: Duration,
    /// How much of a wait is left to chance.
    pub jitter: Jitter,
    /// Gives up after so many attempts in a row; `None`: never.
    pub attempts: Option<u32>,
    /// Gives up if it has not been up for so long; `None`: never.
    pub deadline: Option<Duration>,
    /// A connection that was up for so long has recovered: the next loss begins anew. Without it, a
    /// server that accepts and dies would be asked again at once for ever.
    pub stable_after: Duration,
}

/// How much of a wait is left to chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Jitter {
    /// Nothing: clients that began together stay together.
    None,
    /// Half of it.
    Equal,
    /// All of it, which spreads clients best.
    Full,
}

impl Default for Policy {
    /// At once, then up to 250 ms, doubled to 30 s at the most, with full jitter, for ever.
    fn default() -> Self {
        Self {
            at_once: true,
            // A server that restarts is back in seconds; a tenth of that does not hurt it.
            first: Duration::from_millis(250),
            factor: 2.0,
            // What people wait for before they restart the client themselves.
            cap: Duration::from_secs(30),
            jitter: Jitter::Full,
            attempts: None,
            deadline: None,
            // Longer than a server takes that accepts, loads, and dies.
            stable_after: Duration::from_secs(60),
        }
    }
}

impl Policy {
    /// The wait before attempt `attempt` of an episode, counted from 0.
    pub fn wait(&self, attempt: u32, chance: &mut Chance) -> Duration {
        let waits = attempt.saturating_sub(u32::from(self.at_once));
        if self.at_once && attempt == 0 {
            return Duration::ZERO;
        }
        let exponent = i32::try_from(waits.min(1_000)).unwrap_or(i32::MAX);
        let grown = self.first.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        let wait = Duration::try_from_secs_f64(grown).unwrap_or(self.cap).min(self.cap);
        match self.jitter {
            Jitter::None => wait,
            Jitter::Equal => wait / 2 + chance.up_to(wait / 2),
            Jitter::Full => chance.up_to(wait),
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Resolve and connect, then say how it went.
    Connect {
        /// Which attempt of this episode, from 1.
        attempt: u32,
    },
    /// Ask again then.
    WaitUntil(Moment),
    /// It is up: nothing is to be done until it is lost.
    Up,
    /// No further attempt will be made.
    GiveUp(GaveUp),
}

/// Why no further attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// So many attempts in a row have failed.
    Attempts(u32),
    /// It has not been up for so long.
    Deadline(Duration),
}

/// The life of a client that wants to be connected.
#[derive(Debug, Clone)]
pub struct Reconnect {
    policy: Policy,
    state: State,
    /// Attempts since it was last up for long.
    attempts: u32,
    /// When it was last up, or when it began to try.
    down_since: Moment,
    history: History,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting(Moment),
    Connecting,
    Up(Moment),
    GaveUp(GaveUp),
}

impl Reconnect {
    /// Begins: the first attempt is due at once, whatever the policy.
    pub fn new(policy: Policy, now: Moment) -> Self {
        let history = History::default();
        Self { policy, state: State::Waiting(now), attempts: 0, down_since: now, history }
    }

    /// What to do at `now`. An attempt that it tells to make must be followed by
    /// [`Reconnect::handle_up`] or [`Reconnect::handle_failed`]; until then it tells to make it again,
    /// so that a caller who was cancelled in between loses nothing.
    pub fn poll(&mut self, now: Moment) -> Next {
        match self.state {
            State::GaveUp(why) => Next::GiveUp(why),
            State::Up(_) => Next::Up,
            State::Connecting => Next::Connect { attempt: self.attempts },
            State::Waiting(_) if self.is_too_late(now) => {
                let why = GaveUp::Deadline(now.since(self.down_since));
                self.state = State::GaveUp(why);
                Next::GiveUp(why)
            }
            State::Waiting(until) if now < until => {
                // Giving up is not put off by a wait.
                let end = self
                    .policy
                    .deadline
                    .map_or(Duration::MAX, |deadline| self.down_since.0.saturating_add(deadline));
                Next::WaitUntil(until.min(Moment(end)))
            }
            State::Waiting(_) => {
                self.state = State::Connecting;
                self.attempts = self.attempts.saturating_add(1);
                Next::Connect { attempt: self.attempts }
            }
        }
    }

    /// The attempt has brought a connection, from this local address if it is known.
    pub fn handle_up(&mut self, now: Moment, local: Option<std::net::IpAddr>) {
        self.state = State::Up(now);
        self.history.came_up(now, local);
    }

    /// The attempt has failed.
    pub fn handle_failed(&mut self, now: Moment, by: FailedBy, chance: &mut Chance) {
        self.history.failed(by);
        if let Some(most) = self.policy.attempts.filter(|most| self.attempts >= *most) {
            self.state = State::GaveUp(GaveUp::Attempts(most));
            return;
        }
        self.wait(now, chance);
    }

    /// The connection was lost: how, and for how long nothing had been sent or heard by then. Does
    /// nothing if it was not up.
    pub fn handle_lost(
        &mut self,
        now: Moment,
        by: EndedBy,
        idle: Option<Duration>,
        chance: &mut Chance,
    ) {
        let State::Up(since) = self.state else { return };
        self.history.ended(now, by, idle);
        if now.since(since) >= self.policy.stable_after {
            self.attempts = 0;
            self.down_since = now;
        }
        self.wait(now, chance);
    }

    /// The network has changed (an address came, a link went up): what failed before may work now, so
    /// the wait is over.
    pub fn handle_network_changed(&mut self, now: Moment) {
        if let State::Waiting(until) = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// Attempts in this episode so far.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What the lives and failures so far point to.
    pub fn diagnosis(&self) -> Diagnosis {
        self.history.diagnosis()
    }

    fn wait(&mut self, now: Moment, chance: &mut Chance) {
        let wait = self.policy.wait(self.attempts, chance);
        self.state = State::Waiting(Moment(now.0.saturating_add(wait)));
    }

    fn is_too_late(&self, now: Moment) -> bool {
        self.policy.deadline.is_some_and(|deadline| now.since(self.down_since) >= deadline)
    }
}

#[cfg(test)]
mod tests;
