//! Owns what the lives of a connection say: whether it never came up or keeps dying, after about how
//! long, and which cause the evidence points to. Claims no more than that it points there.
//! Read: `crate::middlebox` (who forgets after how long); docs/library/reconnect.md.

use std::{collections::VecDeque, fmt, net::IpAddr, time::Duration};

use crate::{middlebox::MIDDLEBOXES, sample::Moment, span::Span};

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailedBy {
    /// ECONNREFUSED: the host lives, and nothing listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No way there: EHOSTUNREACH, ENETUNREACH.
    Unreachable,
    /// The name could not be resolved.
    Name,
    /// This host's own limit: descriptors, ports, memory.
    LocalLimit,
    /// It was accepted and thrown out before it was of use.
    Rejected,
    /// Anything else.
    Other,
}

/// What ended a connection that was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndedBy {
    /// The peer sent RST.
    Reset,
    /// The peer sent FIN, without being asked to.
    Finished,
    /// Silence: the kernel or a heartbeat gave up.
    Silence,
    /// Silence, after our own process had been stopped for a while.
    OwnPause,
    /// Anything else.
    Other,
}

/// One life of a connection, from up to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// When it came up.
    pub up: Moment,
    /// For how long.
    pub lasted: Duration,
    /// What ended it.
    pub by: EndedBy,
    /// For how long nothing had been sent or heard when it ended.
    pub idle: Option<Duration>,
    /// Its local address.
    pub local: Option<IpAddr>,
}

/// What happened so far: the latest lives, and the failures since the last one.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    lives: VecDeque<Life>,
    up: Option<(Moment, Option<IpAddr>)>,
    failed: Vec<(FailedBy, u32)>,
    address_changes: u32,
}

/// What the history points to.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// The pattern.
    pub pattern: Pattern,
    /// What it points to, the likeliest first; empty: nothing stands out.
    pub causes: Vec<Cause>,
}

/// The pattern of a connection's lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Nothing has gone wrong.
    Fine,
    /// No attempt has ever succeeded.
    NeverCameUp {
        /// How many failed.
        attempts: u32,
    },
    /// It dies again and again, at about the same age.
    KeepsDying {
        /// How often.
        times: u32,
        /// The median age.
        about: Duration,
    },
    /// It dies again and again, at no particular age.
    Unsteady {
        /// How often.
        times: u32,
        /// The least age.
        from: Duration,
        /// The greatest.
        to: Duration,
    },
    /// It was up, and the last attempts have failed.
    WentDown {
        /// How many.
        attempts: u32,
    },
    /// It was lost once or twice: too seldom for a pattern.
    Lost,
}

/// What the evidence points to.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// All ends came after about the same time of quiet: a box on the path forgets, or an idle time-out
    /// at the peer.
    IdleLimit {
        /// The median of the quiet times.
        about: Duration,
        /// Boxes that are known to forget after such a time.
        known: Vec<&'static str>,
    },
    /// All ends came at about the same age, whether quiet or not: something limits a connection's life.
    LifeLimit {
        /// The median age.
        about: Duration,
    },
    /// It is ended right after it comes up: the peer's program, or what stands before it, throws us out.
    ThrownOut,
    /// Our own address changed from one life to the next.
    AddressChanged {
        /// How often.
        times: u32,
    },
    /// This host has run out of something.
    LocalLimit,
    /// Our own process was stopped before the ends.
    OwnPause {
        /// How often.
        times: u32,
    },
    /// The host answers, and nothing listens.
    NotListening,
    /// Nothing answers: the host is down, or the packets are dropped.
    NoAnswer,
    /// There is no way to the host.
    NoWay,
    /// The name does not resolve.
    Name,
}

impl History {
    pub(super) fn came_up(&mut self, now: Moment, local: Option<IpAddr>) {
        let before = self.lives.back().and_then(|life| life.local);
        if before.is_some() && local.is_some() && before != local {
            self.address_changes = self.address_changes.saturating_add(1);
        }
        self.up = Some((now, local));
        self.failed.clear();
    }

    pub(super) fn failed(&mut self, by: FailedBy) {
        match self.failed.iter_mut().find(|(seen, _)| *seen == by) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.failed.push((by, 1)),
        }
    }

    pub(super) fn ended(&mut self, now: Moment, by: EndedBy, idle: Option<Duration>) {
        let Some((up, local)) = self.up.take() else { return };
        if self.lives.len() == LIVES_MAX {
            self.lives.pop_front();
        }
        self.lives.push_back(Life { up, lasted: now.since(up), by, idle, local });
    }

    pub(super) fn diagnosis(&self) -> Diagnosis {
        let pattern = self.pattern();
        let mut causes = Vec::new();
        if let Some((by, _)) = self.failed.iter().max_by_key(|(_, count)| *count) {
            causes.extend(failing(*by));
        }
        causes.extend(self.dying());
        Diagnosis { pattern, causes }
    }

    fn pattern(&self) -> Pattern {
        let attempts = self.failed.iter().map(|(_, count)| *count).sum();
        let times = u32::try_from(self.lives.len()).unwrap_or(u32::MAX);
        let mut ages: Vec<_> = self.lives.iter().map(|life| life.lasted).collect();
        ages.sort_unstable();
        match (ages.first(), ages.last()) {
            _ if attempts > 0 && times == 0 && self.up.is_none() => {
                Pattern::NeverCameUp { attempts }
            }
            _ if attempts >= DOWN_AFTER => Pattern::WentDown { attempts },
            (None, _) | (_, None) => Pattern::Fine,
            _ if times < PATTERN_MIN => Pattern::Lost,
            (Some(from), Some(to)) => match alike(&ages) {
                Some(about) => Pattern::KeepsDying { times, about },
                None => Pattern::Unsteady { times, from: *from, to: *to },
            },
        }
    }

    fn dying(&self) -> Vec<Cause> {
        let mut causes = Vec::new();
        if (self.lives.len() as u64) < u64::from(PATTERN_MIN) {
            return causes;
        }
        let count = |is: &dyn Fn(&Life) -> bool| {
            u32::try_from(self.lives.iter().filter(|life| is(life)).count()).unwrap_or(u32::MAX)
        };
        let most = |times: u32| u64::from(times) * 2 > self.lives.len() as u64;
        let pauses = count(&|life| life.by == EndedBy::OwnPause);
        if most(pauses) {
            causes.push(Cause::OwnPause { times: pauses });
        }
        let thrown_out = count(&|life| {
            life.lasted < THROWN_OUT_WITHIN && matches!(life.by, EndedBy::Reset | EndedBy::Finished)
        });
        if most(thrown_out) {
            causes.push(Cause::ThrownOut);
            return causes;
        }
        if self.address_changes > 0 {
            causes.push(Cause::AddressChanged { times: self.address_changes });
        }
        let mut quiet: Vec<_> = self.lives.iter().filter_map(|life| life.idle).collect();
        quiet.sort_unstable();
        let all_known = quiet.len() == self.lives.len();
        let idle = alike(&quiet).filter(|about| all_known && *about >= IDLE_MIN);
        let mut ages: Vec<_> = self.lives.iter().map(|life| life.lasted).collect();
        ages.sort_unstable();
        match (idle, alike(&ages)) {
            (Some(about), _) => causes.push(Cause::IdleLimit { about, known: forgetting(about) }),
            (None, Some(about)) if about >= IDLE_MIN => causes.push(Cause::LifeLimit { about }),
            _ => {}
        }
        causes
    }
}

/// The median, if all lie within a tenth of it. `sorted` must be.
fn alike(sorted: &[Duration]) -> Option<Duration> {
    let median = *sorted.get(sorted.len() / 2)?;
    let far = median / ALIKE;
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    (median.saturating_sub(first) <= far && last.saturating_sub(median) <= far).then_some(median)
}

/// Boxes whose default is as long as the quiet before the ends, or a little shorter: they are noticed
/// with the first segment after it.
fn forgetting(about: Duration) -> Vec<&'static str> {
    let fits = |idle: Duration| idle <= about + about / ALIKE && about <= idle + idle / ALIKE;
    MIDDLEBOXES.iter().filter(|one| fits(one.idle)).map(|one| one.name).collect()
}

const fn failing(by: FailedBy) -> Option<Cause> {
    Some(match by {
        FailedBy::Refused => Cause::NotListening,
        FailedBy::TimedOut => Cause::NoAnswer,
        FailedBy::Unreachable => Cause::NoWay,
        FailedBy::Name => Cause::Name,
        FailedBy::LocalLimit => Cause::LocalLimit,
        FailedBy::Rejected => Cause::ThrownOut,
        FailedBy::Other => return None,
    })
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine => f.write_str("nothing has gone wrong"),
            Self::NeverCameUp { attempts } => write!(f, "never came up ({attempts} attempts)"),
            Self::KeepsDying { times, about } => {
                write!(f, "keeps dying after about {} ({times} times)", Span(*about))
            }
            Self::Unsteady { times, from, to } => {
                write!(f, "keeps dying, after {} to {} ({times} times)", Span(*from), Span(*to))
            }
            Self::WentDown { attempts } => {
                write!(f, "was up, and the last {attempts} attempts have failed")
            }
            Self::Lost => f.write_str("was lost, too seldom for a pattern"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdleLimit { about, known } => {
                write!(f, "every end came after about {} of quiet: a box on the path forgets idle connections, or the peer closes them", Span(*about))?;
                match known.as_slice() {
                    [] => Ok(()),
                    known => write!(f, " (as these do by default: {})", known.join(", ")),
                }
            }
            Self::LifeLimit { about } => write!(
                f,
                "every end came at the age of about {}, quiet or not: something limits how long a connection lives",
                Span(*about)
            ),
            Self::ThrownOut => f.write_str(
                "it is ended right after it comes up: the peer's program, or a proxy before it, throws us out",
            ),
            Self::AddressChanged { times } => {
                write!(f, "our own address changed between lives ({times} times): a renewed lease, or another network")
            }
            Self::LocalLimit => {
                f.write_str("this host has run out of descriptors, ports or memory")
            }
            Self::OwnPause { times } => {
                write!(f, "our own process had been stopped before {times} of the ends")
            }
            Self::NotListening => {
                f.write_str("the host answers and nothing listens there: the service is down, or the port wrong")
            }
            Self::NoAnswer => {
                f.write_str("nothing answers: the host is down, or a firewall drops the packets")
            }
            Self::NoWay => f.write_str("there is no way to the host: this host's network, or a router's"),
            Self::Name => f.write_str("the name does not resolve"),
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pattern)?;
        self.causes.iter().try_for_each(|cause| write!(f, "; {cause}"))
    }
}

/// Two may be alike by chance.
const PATTERN_MIN: u32 = 3;
/// Fewer failures are an ordinary restart of the peer.
const DOWN_AFTER: u32 = 3;
/// A night of deaths every quarter of an hour.
const LIVES_MAX: usize = 32;
/// Alike means within a tenth: timers on the way add seconds to minutes.
const ALIKE: u32 = 10;
/// Nobody sets an idle time-out to less.
const IDLE_MIN: Duration = Duration::from_secs(10);
/// Of no use to anybody.
const THROWN_OUT_WITHIN: Duration = Duration::from_secs(2);
