//! Owns what is known of an upstream's health, and which upstream is to be tried next. Pure.
//!
//! ```text
//!            a connection to it was found dead         a check, or a client, was not let in
//!   Up  ------------------------------------> Suspect --------------------------------> Down
//!    ^  <----------------------------------------'                                       |
//!    |      a check succeeded                                                            |
//!    '-----------------------------------------------------------------------------------'
//!           a check, or a client, was let in
//! ```
//!
//! One that is up is checked too whenever it has let nobody in for so long, if that is wanted: so one that
//! died while nobody used it is down before the next client comes.

use std::time::{Duration, Instant};

/// What is known of one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Health {
    standing: UpstreamStanding,
    check_at: Option<Instant>,
    /// How long it may let nobody in before it is checked; `None`: as long as nothing speaks against it.
    check_every: Option<Duration>,
}

/// How an upstream stands; the better ones are less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpstreamStanding {
    /// Nothing speaks against it.
    Up,
    /// A connection to it was found dead; others may live.
    Suspect,
    /// It let nobody in when it was last tried.
    Down,
}

impl UpstreamStanding {
    /// The word for it in logs and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self { standing: UpstreamStanding::Up, check_at: None, check_every: None }
    }
}

impl Health {
    /// How it stands.
    pub(crate) const fn standing(self) -> UpstreamStanding {
        self.standing
    }

    /// From now on it is checked so often while it is up; the first time at once.
    pub(crate) fn watch(&mut self, every: Option<Duration>, now: Instant) {
        if self.check_every == every {
            return;
        }
        self.check_every = every;
        if self.standing == UpstreamStanding::Up {
            self.check_at = every.map(|_| now);
        }
    }

    /// When a check is due; `None`: clients are check enough.
    pub(crate) const fn check_at(self) -> Option<Instant> {
        self.check_at
    }

    /// It let a client or a check in.
    pub(crate) fn handle_let_in(&mut self, now: Instant) {
        self.standing = UpstreamStanding::Up;
        self.check_at = self.check_every.and_then(|every| now.checked_add(every));
    }

    /// It let a client or a check not in: refused, unreachable, or no answer in time.
    pub(crate) fn handle_kept_out(&mut self, now: Instant) {
        self.standing = UpstreamStanding::Down;
        self.check_at = Some(now + DOWN_CHECK_EVERY);
    }

    /// A check could not be made: it says nothing.
    pub(crate) fn handle_unchecked(&mut self, now: Instant) {
        self.check_at = Some(now + DOWN_CHECK_EVERY);
    }

    /// A connection to it was found dead. Whether all of it is, a check will tell.
    pub(crate) fn handle_found_dead(&mut self, now: Instant) {
        if self.standing == UpstreamStanding::Up {
            self.standing = UpstreamStanding::Suspect;
            self.check_at = Some(now);
        }
    }
}

/// In which order upstreams are tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first that is up; the others are its reserve.
    #[default]
    InOrder,
    /// Each in its turn.
    RoundRobin,
}

/// The next to try: the best standing first, and among equals by `balance`. One that is down comes
/// last rather than never, since it may be up again.
///
/// `tried` has a bit for each that was tried for this client; `turn` counts clients.
pub(crate) fn next(
    standings: &[UpstreamStanding],
    balance: Balance,
    turn: usize,
    tried: u64,
) -> Option<usize> {
    let count = standings.len().min(UPSTREAMS_MAX);
    let first = match balance {
        Balance::InOrder => 0,
        Balance::RoundRobin => turn % count.max(1),
    };
    (0..count)
        .map(|step| (first + step) % count)
        .filter(|place| tried & (1 << place) == 0)
        .min_by_key(|place| standings.get(*place).copied())
}

/// Bits of `tried`.
pub const UPSTREAMS_MAX: usize = 64;
/// Soon enough after a restart, rarely enough for a host that is away for days.
const DOWN_CHECK_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{UpstreamStanding::*, *};

    #[test]
    fn the_first_that_is_up_is_tried_first_and_one_that_is_down_last() {
        let standings = [Down, Suspect, Up, Up];
        let order = |balance, turn| {
            let mut tried = 0;
            let mut order = Vec::new();
            while let Some(place) = next(&standings, balance, turn, tried) {
                tried |= 1 << place;
                order.push(place);
            }
            order
        };
        assert_eq!(order(Balance::InOrder, 5), [2, 3, 1, 0]);
        assert_eq!(order(Balance::RoundRobin, 2), [2, 3, 1, 0]);
        assert_eq!(order(Balance::RoundRobin, 3), [3, 2, 1, 0]);
    }

    #[test]
    fn turns_are_shared_among_those_that_are_up() {
        let place = |turn| next(&[Up, Up, Up], Balance::RoundRobin, turn, 0);
        assert_eq!([0, 1, 2, 3].map(place), [Some(0), Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn a_dead_connection_makes_a_suspect_and_only_a_check_convicts() {
        let now = Instant::now();
        let mut health = Health::default();
        health.handle_found_dead(now);
        assert_eq!((health.standing(), health.check_at()), (Suspect, Some(now)));
        health.handle_kept_out(now);
        assert_eq!((health.standing(), health.check_at()), (Down, Some(now + DOWN_CHECK_EVERY)));
        health.handle_found_dead(now);
        assert_eq!(health.standing(), Down, "further dead connections are no news");
        health.handle_let_in(now);
        assert_eq!((health.standing(), health.check_at()), (Up, None));
    }

    #[test]
    fn one_that_is_up_is_checked_at_once_and_whenever_it_has_let_nobody_in_for_so_long() {
        let now = Instant::now();
        let every = Duration::from_secs(10);
        let mut health = Health::default();
        assert_eq!(health.check_at(), None, "unless it is wanted, clients are check enough");
        health.watch(Some(every), now);
        assert_eq!(health.check_at(), Some(now));
        health.handle_let_in(now);
        assert_eq!(health.check_at(), Some(now + every));
        let later = now + Duration::from_secs(9);
        health.handle_let_in(later);
        assert_eq!(health.check_at(), Some(later + every), "a client is as good as a check");
        health.watch(Some(every), later);
        assert_eq!(health.check_at(), Some(later + every), "the same wish changes nothing");
        health.handle_kept_out(later);
        assert_eq!(health.check_at(), Some(later + DOWN_CHECK_EVERY));
        health.watch(None, later);
        assert_eq!(health.check_at(), Some(later + DOWN_CHECK_EVERY), "one that is down always");
        health.handle_let_in(later);
        assert_eq!(health.check_at(), None);
    }

    proptest! {
        #[test]
        fn every_upstream_is_tried_once(
            standings in prop::collection::vec(prop_oneof![Just(Up), Just(Suspect), Just(Down)], 0..70),
            turn: usize,
            round_robin: bool,
        ) {
            let balance = if round_robin { Balance::RoundRobin } else { Balance::InOrder };
            let (mut tried, mut count) = (0u64, 0);
            while let Some(place) = next(&standings, balance, turn, tried) {
                prop_assert_eq!(tried & (1 << place), 0);
                tried |= 1 << place;
                count += 1;
            }
            prop_assert_eq!(count, standings.len().min(UPSTREAMS_MAX));
        }
    }
}
