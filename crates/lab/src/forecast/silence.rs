//! Owns what silence comes to: nothing, or nothing in one direction, comes back, for a while or for ever. Pure.
//! Read: docs/detection-time.md.

use std::time::Duration;

use halfopen_core::{
    Span,
    detection::{Interval, Learns},
};

use super::{AT_ONCE, By, Decides, Foreseen, Known, never, unknown};

/// What core says where nothing comes back.
pub(super) fn of_core(known: Known<'_>) -> Result<(Interval, String), Foreseen> {
    let Some(learns) = known.own.map(|own| own.learns) else {
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
pub(super) fn silence(known: Known<'_>, lasts: Option<Duration>) -> Foreseen {
    let (within, why) = match of_core(known) {
        Ok(found) => found,
        Err(other) => return other,
    };
    let left = lasts.map(|lasts| lasts.saturating_sub(known.since));
    match left {
        Some(left) if within.min() > left => {
            never(&format!("it heals before the timers run out, which takes {within}"))
        }
        Some(left) if within.max() > left => Foreseen::Open {
            decides: Decides::AMoment,
            not_before: Some(within.min()),
            why: format!("its timers run out in {within}, and it heals after {}", Span(left)),
        },
        _ => Foreseen::Within { within, by: By::Timers, why },
    }
}

/// One direction is lost. The deaf side has its timers; the other hears the RST that the deaf one says
/// when its keepalive ends, if that comes before its own timers run out.
pub(super) fn half_deaf(known: Known<'_>, lasts: Option<Duration>, is_deaf: bool) -> Foreseen {
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
        Foreseen::Never { why } => {
            told_by_the_other(known, lasts).unwrap_or(Foreseen::Never { why })
        }
        other => other,
    }
}

/// When the keepalive of the deaf side ends it says RST, which comes through.
fn told_by_the_other(known: Known<'_>, lasts: Option<Duration>) -> Option<Foreseen> {
    let peer = known.peer?;
    let Learns::Within(end) = &peer.learns.idle else { return None };
    let within = peer.left_of(end.within);
    let within = Interval::between(within.min(), within.max() + AT_ONCE);
    if lasts.is_some_and(|lasts| lasts < end.within.max()) {
        return Some(unknown("the other side's keepalive may end with RST before it heals"));
    }
    let why = format!("the other side says RST when its {}", end.cause);
    Some(Foreseen::Within { within, by: By::Reset, why })
}

/// Silence, and after that RST in answer to the next segment.
pub(super) fn reset_after(known: Known<'_>, down: Duration) -> Foreseen {
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
