//! Owns Evidence: one typed fact drawn from samples, never a conclusion.

use std::{fmt, time::Duration};

use crate::span::Span;

/// One fact about a connection. Its `Display` is a clause that fits after "because".
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// The peer's last data or acknowledgement came this long ago.
    PeerHeard {
        /// Its age.
        ago: Duration,
    },
    /// When the peer was heard is known but for a multiple of `range`: the kernel counts no further, and the host was up already so long ago.
    AgeMayHaveWrapped(Box<WrappedAge>),
    /// Nothing of ours waits for an answer.
    NothingInFlight,
    /// Segments of ours wait for an acknowledgement.
    Unacknowledged {
        /// How many; a FIN counts.
        segments: u32,
    },
    /// Retransmission time-outs in a row, without an answer.
    RetransmissionsUnanswered {
        /// How many.
        count: u32,
    },
    /// Keepalive probes without an answer.
    KeepalivesUnanswered {
        /// How many.
        count: u32,
    },
    /// The kernel counts keepalive probes without an answer, and not enough of them are known to have
    /// been apart to prove anything.
    KeepalivesNotSpaced {
        /// So many are counted.
        counted: u32,
        /// So many, at the most, has keepalive sent of itself since the peer was heard, by its
        /// intervals; where they were not read, by those of the namespace.
        own_at_most: u32,
        /// Why the others do not count.
        because: NotSpaced,
    },
    /// Zero-window probes without an answer.
    WindowProbesUnanswered {
        /// How many.
        count: u32,
    },
    /// Probes that halfopen sent, without an answer.
    ProbesUnanswered {
        /// How many.
        count: u32,
        /// The shortest time between two of them.
        apart: Duration,
    },
    /// A probe that halfopen sent was answered.
    ProbeAnswered {
        /// After this time.
        rtt: Duration,
    },
    /// The peer answered with RST.
    ResetReceived {
        /// This long ago.
        ago: Duration,
    },
    /// The peer's own host was asked, and its table does not have this connection.
    PeerTableLacks,
    /// Other connections to the same address have heard from it within the time that this one has not.
    SiblingsHeard {
        /// How many of them.
        count: u32,
    },
    /// Other connections to the same address go unanswered too.
    SiblingsSilent {
        /// How many of them.
        count: u32,
    },
    /// The peer's FIN has arrived.
    PeerClosed,
    /// Our application has closed its sending direction.
    WeClosed,
    /// Our FIN is not acknowledged.
    FinUnacknowledged,
    /// Our application has not read to the end of what the peer sent before its FIN.
    EndNotRead {
        /// Bytes before the end that wait to be read.
        bytes: u32,
    },
    /// Our application has read to the end, and not closed.
    EndRead,
    /// Data has waited for our application to read it.
    NotRead {
        /// How many bytes.
        bytes: u32,
        /// At least this long: since the last of them came.
        waiting: Duration,
    },
    /// The peer's window is closed: it takes no more data.
    WindowClosed {
        /// Bytes of ours that wait for it to open.
        waiting_bytes: u32,
    },
    /// Our SYN is not answered.
    SynUnanswered {
        /// How often it has been sent again.
        retries: u32,
    },
    /// A SYN came and was answered; the handshake's last acknowledgement has not come.
    HandshakeUnfinished {
        /// How often the SYN-ACK has been sent again.
        retries: u32,
    },
    /// The connection waits in a listener's accept queue.
    NotAccepted {
        /// Connections in that queue.
        queue: u32,
        /// The longest queue allowed.
        backlog: u32,
    },
    /// No process owns the connection any more.
    NoOwner,
    /// Keepalive is off, so nothing tests the peer while nothing is sent.
    KeepaliveOff,
    /// This host's connection tracking forgets it, if no segment passes.
    TrackingExpires {
        /// After this time, rounded down to seconds.
        expires_in: Duration,
    },
    /// As [`Evidence::TrackingExpires`], and no keepalive probe passes before that.
    TrackingExpiresBeforeKeepalive {
        /// After so many seconds, rounded down.
        expires_in_s: u32,
        /// When the next probe is due at the earliest.
        probe_in: Duration,
    },
    /// This host's connection tracking has no entry for it, though it should.
    TrackingForgot {
        /// Connections of the same service that have one.
        others: u32,
    },
    /// The state that the kernel reports.
    InState(crate::state::TcpState),
    /// Something could not be seen. Rare, and boxed, since every verdict holds evidence.
    Unavailable(Box<Unavailable>),
}

/// Why keepalive probes that the kernel counts may have followed each other within moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSpaced {
    /// Keepalive is off, so a test must have sent them.
    KeepaliveOff,
    /// The options are those that a test (`halfopen prove`) sets for some milliseconds.
    TestUnderWay,
    /// The peer was heard too lately for so many of keepalive's own.
    TooMany,
    /// The intervals of its keepalive were not read.
    TimesNotRead,
}

/// What an age that may have wrapped is to be measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrappedAge {
    /// How far ages are counted.
    pub range: Duration,
    /// How long the host is up.
    pub up: Duration,
}

/// Something that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// What could not be seen.
    pub what: &'static str,
    /// Why.
    pub why: String,
}

impl Evidence {
    /// A stable word for machines, as in JSON's `evidence[].kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PeerHeard { .. } => "peer-heard",
            Self::AgeMayHaveWrapped(_) => "age-may-have-wrapped",
            Self::NothingInFlight => "nothing-in-flight",
            Self::Unacknowledged { .. } => "unacknowledged",
            Self::RetransmissionsUnanswered { .. } => "retransmissions-unanswered",
            Self::KeepalivesUnanswered { .. } => "keepalives-unanswered",
            Self::KeepalivesNotSpaced { .. } => "keepalives-not-spaced",
            Self::WindowProbesUnanswered { .. } => "window-probes-unanswered",
            Self::ProbesUnanswered { .. } => "probes-unanswered",
            Self::ProbeAnswered { .. } => "probe-answered",
            Self::ResetReceived { .. } => "reset-received",
            Self::PeerTableLacks => "peer-table-lacks",
            Self::SiblingsHeard { .. } => "siblings-heard",
            Self::SiblingsSilent { .. } => "siblings-silent",
            Self::PeerClosed => "peer-closed",
            Self::WeClosed => "we-closed",
            Self::FinUnacknowledged => "fin-unacknowledged",
            Self::EndNotRead { .. } => "end-not-read",
            Self::EndRead => "end-read",
            Self::NotRead { .. } => "not-read",
            Self::WindowClosed { .. } => "window-closed",
            Self::SynUnanswered { .. } => "syn-unanswered",
            Self::HandshakeUnfinished { .. } => "handshake-unfinished",
            Self::NotAccepted { .. } => "not-accepted",
            Self::NoOwner => "no-owner",
            Self::KeepaliveOff => "keepalive-off",
            Self::TrackingExpires { .. } => "tracking-expires",
            Self::TrackingExpiresBeforeKeepalive { .. } => "tracking-expires-before-keepalive",
            Self::TrackingForgot { .. } => "tracking-forgot",
            Self::InState(_) => "in-state",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The numbers in this fact, under the names that JSON gives them.
    pub fn numbers(&self) -> Vec<(&'static str, u64)> {
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        match *self {
            Self::PeerHeard { ago } | Self::ResetReceived { ago } => vec![("ago_ms", ms(ago))],
            Self::AgeMayHaveWrapped(ref age) => {
                vec![("wraps_ms", ms(age.range)), ("up_ms", ms(age.up))]
            }
            Self::Unacknowledged { segments } => vec![("segments", segments.into())],
            Self::RetransmissionsUnanswered { count }
            | Self::KeepalivesUnanswered { count }
            | Self::WindowProbesUnanswered { count }
            | Self::SiblingsHeard { count }
            | Self::SiblingsSilent { count } => vec![("count", count.into())],
            Self::KeepalivesNotSpaced { counted, own_at_most, .. } => {
                vec![("counted", counted.into()), ("own_at_most", own_at_most.into())]
            }
            Self::ProbesUnanswered { count, apart } => {
                vec![("count", count.into()), ("apart_ms", ms(apart))]
            }
            Self::ProbeAnswered { rtt } => {
                vec![("rtt_us", u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX))]
            }
            Self::EndNotRead { bytes } => vec![("bytes", bytes.into())],
            Self::NotRead { bytes, waiting } => {
                vec![("bytes", bytes.into()), ("waiting_ms", ms(waiting))]
            }
            Self::WindowClosed { waiting_bytes } => vec![("waiting_bytes", waiting_bytes.into())],
            Self::SynUnanswered { retries } | Self::HandshakeUnfinished { retries } => {
                vec![("retries", retries.into())]
            }
            Self::NotAccepted { queue, backlog } => {
                vec![("queue", queue.into()), ("backlog", backlog.into())]
            }
            Self::TrackingExpires { expires_in } => vec![("expires_in_ms", ms(expires_in))],
            Self::TrackingExpiresBeforeKeepalive { expires_in_s, probe_in } => {
                let expires_in_ms = u64::from(expires_in_s).saturating_mul(1000);
                vec![("expires_in_ms", expires_in_ms), ("probe_in_ms", ms(probe_in))]
            }
            Self::TrackingForgot { others } => vec![("others", others.into())],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerHeard { ago } => write!(f, "the peer was heard {} ago", Span(*ago)),
            Self::AgeMayHaveWrapped(age) => age_may_have_wrapped(f, **age),
            Self::NothingInFlight => f.write_str("nothing is in flight"),
            Self::Unacknowledged { segments } => {
                write!(f, "{} not acknowledged", plural(*segments, "segment"))
            }
            Self::RetransmissionsUnanswered { count } => unanswered(f, *count, "retransmission"),
            Self::KeepalivesUnanswered { count } => unanswered(f, *count, "keepalive probe"),
            Self::KeepalivesNotSpaced { counted, own_at_most, because } => {
                not_spaced(f, *counted, *own_at_most, *because)
            }
            Self::WindowProbesUnanswered { count } => unanswered(f, *count, "window probe"),
            Self::ProbesUnanswered { count, apart } => {
                write!(f, "{} unanswered, {} apart", plural(*count, "probe"), Span(*apart))
            }
            Self::ProbeAnswered { rtt } => {
                write!(f, "a probe was answered after {} us", rtt.as_micros())
            }
            Self::ResetReceived { ago } => {
                write!(f, "the peer answered with a reset (RST) {} ago", Span(*ago))
            }
            Self::PeerTableLacks => f.write_str("the peer's host does not have this connection"),
            Self::SiblingsHeard { count } => write!(
                f,
                "{} to the same address heard from it since",
                plural(*count, "connection")
            ),
            Self::SiblingsSilent { count } => {
                write!(f, "{} to the same address unanswered too", plural(*count, "connection"))
            }
            Self::PeerClosed => f.write_str("the peer has closed its direction (FIN received)"),
            Self::WeClosed => f.write_str("we have closed our direction (FIN sent)"),
            Self::FinUnacknowledged => f.write_str("our FIN is not acknowledged"),
            Self::EndNotRead { bytes } => end_not_read(f, *bytes),
            Self::EndRead => f.write_str("our application has read everything and not closed"),
            Self::NotRead { bytes, waiting } => write!(
                f,
                "our application has left {} unread for at least {}",
                plural(*bytes, "byte"),
                Span(*waiting)
            ),
            Self::WindowClosed { waiting_bytes } => write!(
                f,
                "the peer's receive window is closed, {} of ours wait",
                plural(*waiting_bytes, "byte")
            ),
            Self::SynUnanswered { retries: 0 } => f.write_str("our SYN is not answered yet"),
            Self::SynUnanswered { retries } => {
                write!(f, "our SYN is not answered, sent again {}", times(*retries))
            }
            Self::HandshakeUnfinished { retries } => handshake_unfinished(f, *retries),
            Self::NotAccepted { queue, backlog } => write!(
                f,
                "it waits for our application's accept(), {queue} in a queue of {backlog}"
            ),
            Self::NoOwner => f.write_str("no process owns it any more"),
            Self::KeepaliveOff => f.write_str("keepalive is off"),
            Self::TrackingExpires { .. }
            | Self::TrackingExpiresBeforeKeepalive { .. }
            | Self::TrackingForgot { .. } => tracking(f, self),
            Self::InState(state) => write!(f, "the kernel says {state}"),
            Self::Unavailable(unseen) => write!(f, "{} not seen: {}", unseen.what, unseen.why),
        }
    }
}

fn age_may_have_wrapped(f: &mut fmt::Formatter<'_>, age: WrappedAge) -> fmt::Result {
    let WrappedAge { range, up } = age;
    write!(
        f,
        "that, or a multiple of {} earlier: the kernel counts no further, and this host is up for {}",
        Span(range),
        Span(up)
    )
}

fn unanswered(f: &mut fmt::Formatter<'_>, count: u32, noun: &str) -> fmt::Result {
    write!(f, "{} unanswered", plural(count, noun))
}

fn not_spaced(
    f: &mut fmt::Formatter<'_>,
    counted: u32,
    own_at_most: u32,
    because: NotSpaced,
) -> fmt::Result {
    write!(
        f,
        "the kernel counts {} unanswered, which proves no silence: ",
        plural(counted, "keepalive probe")
    )?;
    match because {
        NotSpaced::KeepaliveOff => f.write_str("keepalive is off, so they were tests"),
        NotSpaced::TestUnderWay => f.write_str("a test has its keepalive just now"),
        NotSpaced::TooMany => {
            let own = if own_at_most == 0 {
                "none".to_owned()
            } else {
                format!("{own_at_most} at the most")
            };
            write!(
                f,
                "by its intervals {own} came of keepalive itself since the peer was heard, the others \
                 were tests, or came before"
            )
        }
        NotSpaced::TimesNotRead => {
            f.write_str("its intervals were not read, so they may have been moments apart")
        }
    }
}

fn end_not_read(f: &mut fmt::Formatter<'_>, bytes: u32) -> fmt::Result {
    f.write_str("our application has not read the ")?;
    match bytes {
        0 => f.write_str("end of the stream"),
        more => write!(f, "last {} before the end", plural(more, "byte")),
    }
}

fn handshake_unfinished(f: &mut fmt::Formatter<'_>, retries: u32) -> fmt::Result {
    f.write_str("the handshake's last acknowledgement has not come")?;
    if retries == 0 {
        f.write_str(" yet")
    } else {
        write!(f, ", SYN-ACK sent again {}", times(retries))
    }
}

fn tracking(f: &mut fmt::Formatter<'_>, told: &Evidence) -> fmt::Result {
    f.write_str("this host's connection tracking ")?;
    match told {
        Evidence::TrackingExpires { expires_in } => {
            write!(f, "forgets it in {} unless a segment passes", Span(*expires_in))
        }
        Evidence::TrackingExpiresBeforeKeepalive { expires_in_s, probe_in } => write!(
            f,
            "forgets it in {}, before the next keepalive probe in {}",
            Span(Duration::from_secs((*expires_in_s).into())),
            Span(*probe_in)
        ),
        Evidence::TrackingForgot { others } => write!(
            f,
            "has no entry for it, and has one for {} of the same service: a firewall that asks it \
             drops or resets what the peer sends",
            plural(*others, "other connection")
        ),
        _ => Ok(()),
    }
}

fn plural(count: u32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
