//! Owns what each side is expected to learn of a fault, and when: what the fault puts on the wire, and
//! what `halfopen-core` says of the victim's own socket. Pure. Read: docs/faults/, docs/detection-time.md.

use std::time::Duration;

use halfopen_core::{
    Span,
    detection::{DetectionTime, Interval, Learns},
};

use crate::{
    fault::{Direction, Fault, HostFirewall, OldOwner, Side, SynCookies},
    wire::{Aim, Keepalives, Middlebox, Then},
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
        }
    }
}

/// What is known of one side when it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What core says of its socket; `None` where it has none.
    pub learns: Option<&'a DetectionTime>,
    /// Something of it is in flight, or its application writes all the time.
    pub busy: bool,
    /// From the fault to the moment when the socket was read.
    pub since: Duration,
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
        Fault::HalfClose { .. } => never("the other direction still flows, and nothing has failed"),
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
        // The host that has lost its route still hears, and so does the one that nobody refuses.
        Fault::RouteLost { side: at, .. } => half_deaf(known, lasts, *at != side),
        Fault::Refused { side: at, .. } => half_deaf(known, lasts, *at == side),
        Fault::Flap { .. } | Fault::Link { .. } => unknown("what comes through is chance"),
        Fault::Middlebox { middlebox } => boxed(middlebox, known),
        Fault::MiddleboxForgets { then: Then::PickUp | Then::PickUpOrRst } => {
            unknown("whether the flow is taken up again depends on who speaks first")
        }
        Fault::MiddleboxForgets { then: Then::Drop } => silence(known, None),
        Fault::MiddleboxForgets { .. } | Fault::Forget => forgotten(known),
        Fault::ResetInjected { side: at, aim: Aim::Valid } if *at == side => {
            at_once(By::Reset, "an RST at the next byte ends it (RFC 9293 section 3.5.3)")
        }
        Fault::ResetInjected { aim: Aim::Valid, .. } => reset_after(known, Duration::ZERO),
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

/// What core says where nothing comes back.
fn of_core(known: Known<'_>) -> Result<(Interval, String), Foreseen> {
    let Some(learns) = known.learns else {
        return Err(unknown("it holds no connection"));
    };
    let one = match (&learns.now, known.busy) {
        // Of a shut window core does not know whether the peer lives; here it is known to be silent.
        (Some(now), _) if !now.is_never() => now,
        (Some(_), _) => &learns.busy,
        (None, true) => &learns.busy,
        (None, false) => &learns.idle,
    };
    match one {
        Learns::Within(prediction) => {
            let mut why = prediction.cause.to_string();
            let assumed: Vec<_> = prediction.assumes.iter().map(|one| one.clause()).collect();
            if !assumed.is_empty() {
                why += &format!(", if {}", assumed.join(" and "));
            }
            Ok((prediction.within, why))
        }
        Learns::Never(_) if known.busy => Err(never("the peer holds the window shut")),
        Learns::Never(_) => Err(never("no timer runs: keepalive is off and nothing is in flight")),
        Learns::Unknown(why) => Err(unknown(why.as_ref())),
        Learns::NotApplicable(why) => Err(unknown(*why)),
    }
}

/// Nothing comes back, for a while or for ever.
fn silence(known: Known<'_>, lasts: Option<Duration>) -> Foreseen {
    let (within, why) = match of_core(known) {
        Ok(found) => found,
        Err(other) => return other,
    };
    let left = lasts.map(|lasts| lasts.saturating_sub(known.since));
    match left {
        Some(left) if within.min() > left => {
            never(&format!("it heals before the timers run out, which takes {within}"))
        }
        Some(left) if within.max() > left => {
            unknown(format!("its timers run out in {within}, and it heals after {}", Span(left)))
        }
        _ => Foreseen::Within { within, by: By::Timers, why },
    }
}

/// One direction is lost. The deaf side has its timers; the other hears the RST that the deaf one says
/// when its keepalive ends, if that comes before its own timers run out.
fn half_deaf(known: Known<'_>, lasts: Option<Duration>, is_deaf: bool) -> Foreseen {
    if is_deaf {
        return silence(known, lasts);
    }
    match silence(known, lasts) {
        Foreseen::Within { within, why, .. } => Foreseen::Within {
            within: Interval::between(Duration::ZERO, within.max()),
            by: By::TimersOrReset,
            why,
        },
        // It may be told by the RST of the other side, if that has keepalive.
        Foreseen::Never { .. } => unknown("only if the other side's keepalive ends with RST"),
        other => other,
    }
}

/// The peer's kernel answers for its programs.
fn living_kernel(known: Known<'_>) -> Foreseen {
    let user_timeout = known.learns.is_some_and(|learns| {
        use halfopen_core::detection::Cause;
        [Some(&learns.busy), learns.now.as_ref()].into_iter().flatten().any(|learns| match learns {
            Learns::Within(one) => {
                matches!(one.cause, Cause::UserTimeout | Cause::WindowUserTimeout)
            }
            _ => false,
        })
    });
    if user_timeout && known.busy {
        return unknown("TCP_USER_TIMEOUT counts from when the window is shut");
    }
    never("the peer's kernel acknowledges everything in its program's place")
}

/// A queue of embryonic connections that is full of senders who do not exist. Without cookies there is no room
/// for a SYN of anybody whom the server's kernel has not met before (tcp_conn_request()).
fn flooded(cookies: SynCookies, known: Known<'_>) -> Foreseen {
    let is_waiting = known.learns.is_some_and(|learns| learns.now.is_some());
    match (cookies, of_core(known)) {
        (SynCookies::Off, Ok((within, why))) if is_waiting => Foreseen::Within {
            within,
            by: By::Timers,
            why: format!("the server's queue is full, and SYNs are dropped without a word: {why}"),
        },
        (SynCookies::Off, _) => {
            unknown("whether a SYN finds room before the queue is full is chance")
        }
        (SynCookies::WhenFull | SynCookies::Always, _) => {
            never("SYN cookies let it connect, and nothing fails after that")
        }
    }
}

/// Silence, and after that RST in answer to the next segment.
fn reset_after(known: Known<'_>, down: Duration) -> Foreseen {
    let down = down.saturating_sub(known.since);
    let (within, why) = match of_core(known) {
        Ok(found) => found,
        Err(Foreseen::Never { .. }) => {
            return never("nothing is sent that RST could answer: keepalive is off");
        }
        Err(other) => return other,
    };
    if within.max() <= down {
        return Foreseen::Within { within, by: By::Timers, why };
    }
    let latest = if known.busy {
        // Each gap between retransmissions is twice the one before, so it is no longer than all
        // before it together.
        within.max().min(down * 2 + BOOT)
    } else {
        within.max().max(down + BOOT)
    };
    Foreseen::Within {
        within: Interval::between(within.min().min(down), latest),
        by: By::TimersOrReset,
        why: "the next segment after that is answered by RST".to_owned(),
    }
}

/// What a host of the lab takes to boot on a busy machine, and the first retransmission time-out.
const BOOT: Duration = Duration::from_secs(3);

/// The FIN is lost; the orphan it belongs to lives on for a while in the other kernel.
fn lost_fin(known: Known<'_>) -> Foreseen {
    if known.busy {
        return at_once(By::Reset, "data for a closed socket is answered by RST");
    }
    match of_core(known) {
        Err(never @ Foreseen::Never { .. }) => never,
        _ => unknown("the orphan's kernel answers probes until it gives the FIN up"),
    }
}

/// A box with a memory: only one that is refreshed by everything and forgets later than keepalive
/// speaks is sure to be harmless.
fn boxed(middlebox: &Middlebox, known: Known<'_>) -> Foreseen {
    match (middlebox.keepalives, middlebox.then) {
        (Keepalives::Answer, _) => unknown("the box answers keepalive probes itself"),
        (Keepalives::Drop, _) if !known.busy => silence(known, None),
        (_, Then::RstBothNow) if !known.busy => match (middlebox.expire_after, of_core(known)) {
            (Some(after), Err(Foreseen::Never { .. })) => Foreseen::Within {
                within: Interval::between(Duration::ZERO, after + AT_ONCE),
                by: By::Reset,
                why: "the box says RST to both when it forgets".to_owned(),
            },
            _ => unknown("it depends on what refreshes the box"),
        },
        (_, Then::Drop | Then::Icmp | Then::RstOnPacket | Then::RstInside) if !known.busy => {
            match of_core(known) {
                Err(never @ Foreseen::Never { .. }) => never,
                _ => unknown("it depends on what refreshes the box"),
            }
        }
        _ => unknown("it depends on what refreshes the box"),
    }
}

/// The router has forgotten the flow.
fn forgotten(known: Known<'_>) -> Foreseen {
    match of_core(known) {
        Ok((within, why)) => Foreseen::Within {
            within: Interval::between(Duration::ZERO, within.max()),
            by: By::TimersOrReset,
            why: format!("{why}; sooner where the router answers with RST"),
        },
        Err(other) => other,
    }
}

#[cfg(test)]
mod tests;
