//! Owns what each side is expected to learn of a fault, and when: what the fault puts on the wire, and
//! what `halfopen-core` says of the victim's own socket. Where something else than its kernel decides, it
//! says what, and before when its kernel gives up in no case. Pure. Read: docs/faults/,
//! docs/detection-time.md.

mod boxes;
mod link;
mod silence;

use std::time::Duration;

use halfopen_core::detection::{
    Cause, DetectionTime, Interval, KeepaliveTimes, Learns, Prediction, Tick,
};

use self::silence::{half_deaf, of_core, reset_after, silence};
use crate::{
    fault::{Direction, Fault, HostFirewall, OldOwner, Side, SynCookies},
    scenario::{Filter, Router},
    wire::{Aim, Middlebox, Then},
};

/// What one side is expected to learn. Times count from the moment when its socket was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreseen {
    /// It learns within this interval.
    Within {
        /// When.
        within: Interval,
        /// By what.
        by: By,
        /// Why, in a clause.
        why: String,
    },
    /// It never learns; with the reason.
    Never {
        /// Why, in a clause.
        why: String,
    },
    /// Something else than its kernel decides.
    Open {
        /// What.
        decides: Decides,
        /// Its kernel's own timers end it no sooner than this, if ever; `None`: none of them runs.
        not_before: Option<Duration>,
        /// Why, in a clause.
        why: String,
    },
    /// Not enough is known to say; with the reason.
    Unknown {
        /// Why, in a clause.
        why: String,
    },
    /// It is the side that fails, so nobody asks.
    Fails,
}

/// By what a side learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The peer's FIN.
    Fin,
    /// An RST.
    Reset,
    /// Either of them, as the moment has it.
    FinOrReset,
    /// The kernel's own timers.
    Timers,
    /// Its timers, or an RST before they run out.
    TimersOrReset,
    /// Somebody on its own host, who killed the connection.
    OwnHost,
}

impl By {
    /// In words, for cards.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Fin => "FIN",
            Self::Reset => "RST",
            Self::FinOrReset => "FIN or RST",
            Self::Timers => "own timers",
            Self::TimersOrReset => "own timers or RST",
            Self::OwnHost => "its own host",
        }
    }
}

/// What decides where it is not the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decides {
    /// Which frames are lost.
    Chance,
    /// What the programs write or close, and when.
    Programs,
    /// Which of the two ends speaks first.
    WhoSpeaksFirst,
    /// Whether the fault heals before timers fire whose lateness is not known so exactly.
    AMoment,
}

impl Decides {
    /// In words, for cards.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Chance => "chance",
            Self::Programs => "what programs do",
            Self::WhoSpeaksFirst => "who speaks first",
            Self::AMoment => "a moment",
        }
    }
}

/// What is known of the socket of one side.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What core says of it.
    pub learns: &'a DetectionTime,
    /// The times of its keepalive, where that is on.
    pub keepalive: Option<KeepaliveTimes>,
    /// By which its timers may be late.
    pub tick: Tick,
    /// How long before the moment that is asked for it was read.
    pub ago: Duration,
}

impl Seen<'_> {
    /// What core says of it, counted from the moment that is asked for.
    fn left_of(&self, within: Interval) -> Interval {
        let later = |at: Duration| at.saturating_sub(self.ago);
        Interval::between(later(within.min()), later(within.max()))
    }
}

/// What is known of one side when it is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// Its socket; `None` where it has none.
    pub own: Option<Seen<'a>>,
    /// The socket of the other side, as it was last seen.
    pub peer: Option<Seen<'a>>,
    /// Something of it is in flight, or its application writes all the time.
    pub busy: bool,
    /// What is in flight has been sent again.
    pub unanswered: bool,
    /// From one message of the applications to the next, where they are known to go on.
    pub pause: Option<Duration>,
    /// From the fault to the moment when the socket was read.
    pub since: Duration,
    /// The other host has lost its power since, and with it all that it knew.
    pub peer_has_forgotten: bool,
    /// The middlebox that was put into the path before the fault that is asked for.
    pub middlebox: Option<&'a Middlebox>,
    /// What a router does that tracks connections.
    pub router: Router,
}

/// What `side` is expected to learn of `fault`.
pub fn forecast(fault: &Fault, side: Side, known: Known<'_>) -> Foreseen {
    match failing_side(fault) {
        Some(at) if at != side => of_other_side(fault, known),
        Some(_) => Foreseen::Fails,
        None => of_path(fault, side, known),
    }
}

/// The side that fails, where one does: the other is left to learn of it.
const fn failing_side(fault: &Fault) -> Option<Side> {
    match fault {
        Fault::Exit { side }
        | Fault::Kill { side, .. }
        | Fault::Freeze { side, .. }
        | Fault::ZeroWindow { side, .. }
        | Fault::Hang { side, .. }
        | Fault::PowerOff { side }
        | Fault::Reboot { side, .. }
        | Fault::Abort { side }
        | Fault::FinLost { side }
        | Fault::RstLost { side } => Some(*side),
        Fault::SynFlood { .. }
        | Fault::AcceptStall { .. }
        | Fault::SynDropped { .. }
        | Fault::ThirdAckLost { .. } => Some(Side::Server),
        _ => None,
    }
}

/// Whether `side` is the one that fails.
pub fn fails(fault: &Fault, side: Side) -> bool {
    failing_side(fault) == Some(side)
}

/// What is learnt of a failure of the other side.
fn of_other_side(fault: &Fault, known: Known<'_>) -> Foreseen {
    match fault {
        Fault::Kill { unread, .. } => {
            let by = if *unread { By::Reset } else { By::FinOrReset };
            at_once(by, "the kernel closes what the programs held")
        }
        Fault::Exit { .. } => at_once(By::FinOrReset, "the program ends when it is asked to"),
        Fault::Abort { .. } => at_once(By::Reset, "a killed connection says RST"),
        Fault::Freeze { .. } | Fault::ZeroWindow { .. } | Fault::AcceptStall { .. } => {
            living_kernel(known)
        }
        Fault::Reboot { down, firewall: HostFirewall::None, .. } => reset_after(known, *down),
        Fault::FinLost { .. } => lost_fin(known),
        Fault::SynFlood { cookies, .. } => flooded(*cookies, known),
        other => {
            silence(known, if matches!(other, Fault::Reboot { .. }) { None } else { other.lasts() })
        }
    }
}

/// What a side learns where what is between them fails.
fn of_path(fault: &Fault, side: Side, known: Known<'_>) -> Foreseen {
    let lasts = fault.lasts();
    match fault {
        Fault::HalfClose { side: at } if *at != side => {
            at_once(By::Fin, "the end of one direction is told at once")
        }
        Fault::HalfClose { .. } => match known.middlebox.and_then(Middlebox::of_half_closed) {
            Some(middlebox) => boxes::with_memory(&middlebox, side, known),
            None => never("the other direction still flows, and nothing has failed"),
        },
        Fault::Renumber { side: at, gap, old_owner: OldOwner::Other, .. } if *at != side => {
            reset_after(known, *gap)
        }
        // The address does not come back.
        Fault::Renumber { .. } => silence(known, None),
        Fault::Cut { direction: Direction::ToClient, .. } => {
            half_deaf(known, lasts, side == Side::Client)
        }
        Fault::Cut { direction: Direction::ToServer, .. } => {
            half_deaf(known, lasts, side == Side::Server)
        }
        Fault::Cut { place, carrier: false, .. } if place.is_at(side) => without_link(known, lasts),
        // The host that has lost its route still hears, and so does the one that nobody refuses.
        Fault::RouteLost { side: at, .. } => half_deaf(known, lasts, *at != side),
        Fault::Refused { side: at, .. } => half_deaf(known, lasts, *at == side),
        Fault::Flap { down, up, times, .. } => link::flap(known, *down, *up, *times),
        Fault::Link { link, lasts, .. } => link::bad(known, link, *lasts),
        Fault::Middlebox { middlebox } => boxes::with_memory(middlebox, side, known),
        Fault::MiddleboxForgets { then } => {
            boxes::forgotten(*then, side == INSIDE, Duration::ZERO, known)
        }
        // A router that is restarted while it filters is a box that drops, and so on.
        Fault::Forget => match known.router.filter {
            Filter::Drop => silence(known, None),
            Filter::Reset => boxes::forgotten(Then::RstOnPacket, true, Duration::ZERO, known),
            Filter::None => {
                // Who is taken up with another port is a stranger to the other end.
                let then = if known.router.random_ports { Then::Leak } else { Then::PickUpOrRst };
                boxes::forgotten(then, side == INSIDE, Duration::ZERO, known)
            }
        },
        Fault::ResetInjected { side: at, aim: Aim::Valid } if *at == side => {
            at_once(By::Reset, "an RST at the next byte ends it (RFC 9293 section 3.5.3)")
        }
        Fault::ResetInjected { aim: Aim::Valid, .. } => reset_after(known, Duration::ZERO),
        Fault::SynRepeated if known.peer_has_forgotten => at_once(
            By::Reset,
            "its host takes the SYN for a new one, and answers the ACK that objects with RST",
        ),
        Fault::SynRepeated => {
            never("a SYN in a connection that stands is answered by a challenge ACK (RFC 5961)")
        }
        Fault::ResetInjected { .. } => never(
            "an RST beside the next byte is answered by a challenge ACK, or ignored (RFC 5961)",
        ),
        // Nothing comes to either.
        _ => silence(known, lasts),
    }
}

/// What travels at once arrives within this, also on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

fn at_once(by: By, why: &str) -> Foreseen {
    Foreseen::Within { within: Interval::between(Duration::ZERO, AT_ONCE), by, why: why.to_owned() }
}

fn never(why: &str) -> Foreseen {
    Foreseen::Never { why: why.to_owned() }
}

fn unknown(why: impl Into<String>) -> Foreseen {
    Foreseen::Unknown { why: why.into() }
}

fn open(decides: Decides, known: Known<'_>, why: impl Into<String>) -> Foreseen {
    let not_before = of_core(known).ok().map(|(within, _)| within.min());
    Foreseen::Open { decides, not_before, why: why.into() }
}

/// The side of a middlebox and of a hiding router that is inside: what comes from there is outbound.
const INSIDE: Side = Side::Client;

/// The peer's kernel answers for its programs.
fn living_kernel(known: Known<'_>) -> Foreseen {
    let learns = known.own.map(|own| own.learns);
    // Once its window is shut, TCP_USER_TIMEOUT counts although the peer answers.
    if let Some(Learns::Within(Prediction { within, cause: Cause::WindowUserTimeout, .. })) =
        learns.and_then(|learns| learns.now.as_ref())
    {
        let why = Cause::WindowUserTimeout.to_string();
        return Foreseen::Within { within: *within, by: By::Timers, why };
    }
    let has_user_timeout = learns.is_some_and(|learns| {
        matches!(
            learns.busy,
            Learns::Within(Prediction { cause: Cause::UserTimeout | Cause::WindowUserTimeout, .. })
        )
    });
    if has_user_timeout && known.busy {
        let why = "TCP_USER_TIMEOUT counts from when what is written has filled the window";
        return open(Decides::Programs, known, why);
    }
    never("the peer's kernel acknowledges everything in its program's place")
}

/// Once the kernel sees that its own link is down, a try may fail on the host itself. Then it tries again after
/// 500 ms (TCP_RESOURCE_PROBE_INTERVAL): a probe of keepalive is not counted, and retransmissions do not
/// become more seldom. As pauses that double are no longer than all before them together, it then gives up
/// after half the time at the soonest.
fn without_link(known: Known<'_>, lasts: Option<Duration>) -> Foreseen {
    match silence(known, lasts) {
        Foreseen::Within { within, by, why } => Foreseen::Within {
            within: Interval::between(
                if known.busy { within.min() / 2 } else { within.min() },
                within.max() + AT_ONCE,
            ),
            by,
            why: format!("{why}; its kernel sees that the link is down, and may try every 500 ms"),
        },
        other => other,
    }
}

/// A flood fills the queue of embryonic connections.
fn flooded(cookies: SynCookies, known: Known<'_>) -> Foreseen {
    if cookies != SynCookies::Off {
        return never("the server's kernel answers with a cookie where its queue is full");
    }
    let now = known.own.and_then(|own| own.learns.now.as_ref());
    match now {
        Some(Learns::Within(Prediction { cause: Cause::Syn, .. })) => {
            open(Decides::Chance, known, "a SYN may find room in the queue")
        }
        _ => never("its SYN has found room in the queue"),
    }
}

/// The FIN is lost; the orphan it belongs to lives on for a while in the other kernel, and answers
/// probes. Only when that has given up does a probe find nothing.
fn lost_fin(known: Known<'_>) -> Foreseen {
    if known.busy {
        return at_once(By::Reset, "data for a closed socket is answered by RST");
    }
    let Some(keepalive) = known.own.and_then(|own| own.keepalive.zip(Some(own.tick))) else {
        return match of_core(known) {
            Err(other) => other,
            Ok(_) => unknown("the times of its keepalive were not read"),
        };
    };
    let orphan = known.peer.and_then(|peer| match &peer.learns.now {
        Some(Learns::Within(Prediction { within, cause: Cause::Orphan, .. })) => {
            Some(peer.left_of(*within))
        }
        _ => None,
    });
    let Some(within) = orphan else {
        return open(Decides::Programs, known, "the other program has not closed yet");
    };
    let (times, tick) = keepalive;
    // The last probe that is answered may have gone just before.
    let next_probe = times.idle + tick.lateness(times.idle) + AT_ONCE;
    Foreseen::Within {
        within: Interval::between(within.min(), within.max() + next_probe),
        by: By::Reset,
        why: format!("the first probe after the other kernel gives up its FIN: {}", Cause::Orphan),
    }
}

#[cfg(test)]
mod tests;
