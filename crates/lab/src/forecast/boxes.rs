//! Owns what a middlebox comes to that forgets: whether something refreshes it in time, and what each side
//! learns where nothing does. Pure. Read: docs/middleboxes.md, docs/faults/middlebox.md.

use std::time::Duration;

use halfopen_core::{Span, detection::Interval};

use super::{
    AT_ONCE, By, Decides, Foreseen, INSIDE, Known, Seen, half_deaf, never, of_core, open, silence,
};
use crate::{
    fault::Side,
    wire::{Keepalives, Middlebox, Refresh, Then},
};

/// A box with a memory, which knows the flow and has just refreshed it when it comes.
pub(super) fn with_memory(middlebox: &Middlebox, side: Side, known: Known<'_>) -> Foreseen {
    if known.pause.is_none() && known.busy {
        return open(Decides::Programs, known, "how long they pause decides what the box forgets");
    }
    let is_idle = known.pause.is_none();
    match middlebox.keepalives {
        // What ends by keepalive says RST, which is no probe and comes through.
        Keepalives::Drop if is_idle => return half_deaf(known, None, false),
        Keepalives::Answer if is_idle && middlebox.expire_after.is_none() => {
            return never("the box itself answers keepalive, whether or not the peer lives");
        }
        _ => {}
    }
    let Some(after) = middlebox.expire_after else {
        return never("the box forgets nothing that it knows");
    };
    match refreshed_every(middlebox, known) {
        Some((_, latest)) if latest < after => {
            never("the flow is refreshed before the box forgets it")
        }
        Some((soonest, _)) if soonest <= after => {
            let why = format!("it is refreshed about as often as the box forgets: {}", Span(after));
            open(Decides::AMoment, known, why)
        }
        _ => {
            let left = after.saturating_sub(known.since);
            if middlebox.then == Then::RstBothNow {
                return Foreseen::Within {
                    within: Interval::between(left.saturating_sub(AT_ONCE / 10), left + AT_ONCE),
                    by: By::Reset,
                    why: "the box says RST to both when it forgets".to_owned(),
                };
            }
            forgotten(middlebox.then, side == INSIDE, left, known)
        }
    }
}

/// How long, at least and at most, nothing passes that refreshes the flow while all is well; `None`:
/// nothing ever does.
fn refreshed_every(middlebox: &Middlebox, known: Known<'_>) -> Option<(Duration, Duration)> {
    if let Some(pause) = known.pause {
        return Some((pause, pause + AT_ONCE / 2));
    }
    let counts = middlebox.keepalives == Keepalives::Count && middlebox.refresh != Refresh::Data;
    // A probe and its answer go in both directions, so that it does not matter who asks.
    let probed = |seen: Seen<'_>| {
        let idle = seen.keepalive?.idle;
        Some((idle, idle + seen.tick.lateness(idle) + AT_ONCE / 10))
    };
    [known.own, known.peer].into_iter().flatten().filter_map(probed).min().filter(|_| counts)
}

/// The box does not know the flow any more, `after` from now.
pub(super) fn forgotten(
    then: Then,
    is_inside: bool,
    after: Duration,
    known: Known<'_>,
) -> Foreseen {
    match then {
        Then::PickUp | Then::PickUpOrRst => picked_up(then, is_inside, known),
        Then::RstInside if !is_inside => silent_from(after, known),
        Then::Drop | Then::Icmp => silent_from(after, known),
        Then::RstOnPacket | Then::RstInside | Then::RstBothNow | Then::Leak => {
            answered_from(after, known)
        }
    }
}

/// Silence begins later than now: what its timers count from moves with what is still heard.
fn silent_from(after: Duration, known: Known<'_>) -> Foreseen {
    match silence(known, None) {
        Foreseen::Within { within, by, why } => Foreseen::Within {
            within: Interval::between(within.min(), within.max() + after),
            by,
            why,
        },
        other => other,
    }
}

/// What it says after the box has forgotten is answered with RST.
fn answered_from(after: Duration, known: Known<'_>) -> Foreseen {
    let (within, why) = match of_core(known) {
        Ok(found) => found,
        Err(Foreseen::Never { .. }) => {
            return never("nothing is sent that RST could answer: keepalive is off");
        }
        Err(other) => return other,
    };
    // Whoever writes all the time speaks at once.
    let latest = known.pause.map_or(within.max(), |pause| within.max().min(pause + AT_ONCE));
    Foreseen::Within {
        within: Interval::between(within.min().min(after), after + latest),
        by: By::TimersOrReset,
        why: format!("the first segment after that is answered by RST; at the latest {why}"),
    }
}

/// The inside makes the flow known again as soon as it speaks; who is outside may have spoken before.
fn picked_up(then: Then, is_inside: bool, known: Known<'_>) -> Foreseen {
    let (inner, outer) = if is_inside { (known.own, known.peer) } else { (known.peer, known.own) };
    let speaks = |seen: Option<Seen<'_>>| Some(seen?.keepalive?.idle);
    match (known.pause, speaks(inner), speaks(outer)) {
        (Some(_), ..) => never("what is written inside makes the flow known again"),
        (None, Some(_), None) => never("keepalive from inside makes the flow known again"),
        (None, Some(_), Some(_)) => {
            open(Decides::WhoSpeaksFirst, known, "the flow is known again once the inside speaks")
        }
        (None, None, _) if is_inside => silence(known, None),
        (None, None, _) if then == Then::PickUp => silence(known, None),
        (None, None, _) => answered_from(Duration::ZERO, known),
    }
}
