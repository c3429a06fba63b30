//! Owns what a bad link comes to: frames are late, lost or too long, or the link comes and goes. Pure.
//! Read: docs/faults/link.md, docs/faults/flap.md.

use std::time::Duration;

use halfopen_core::Span;

use super::{AT_ONCE, By, Decides, Foreseen, Known, never, of_core, open, silence};
use crate::wire::Link;

/// A link that is bad and not cut.
pub(super) fn bad(known: Known<'_>, link: &Link, lasts: Option<Duration>) -> Foreseen {
    if link.cut || link.loss >= 100.0 || link.rate.is_some_and(|rate| rate.bits_per_second == 0) {
        return silence(known, lasts);
    }
    if link.loss > 0.0 || link.corrupt > 0.0 {
        let why = format!(
            "{} of the frames are lost, and every try until its timers run out would have to be",
            percent(link)
        );
        return open(Decides::Chance, known, why);
    }
    if link.mtu.is_some() && link.tells_mtu {
        return never("who sends a packet that is too long is told, and sends shorter ones");
    }
    if let Some(mtu) = link.mtu {
        if known.unanswered {
            return silence(known, lasts);
        }
        let why =
            format!("only packets longer than {mtu} bytes are lost, so what is written decides");
        return open(Decides::Programs, known, why);
    }
    match of_core(known) {
        Ok((within, _)) if within.min() <= round_trip(link) => {
            open(Decides::AMoment, known, "answers take about as long as its timers")
        }
        _ => never("everything arrives, if late: answers come before its timers run out"),
    }
}

/// Lost or bent, which to the receiver's kernel is the same.
fn percent(link: &Link) -> String {
    format!("{:.0} %", (link.loss + link.corrupt).min(100.0))
}

/// The longest that a segment and its answer take.
fn round_trip(link: &Link) -> Duration {
    let queue = link.rate.map_or(Duration::ZERO, |rate| {
        Duration::from_secs_f64(rate.queue as f64 * 8.0 / rate.bits_per_second.max(1) as f64)
    });
    (link.delay + link.jitter + link.reorder_by + queue) * 2
}

/// The link is cut for `down` and whole for `up`, `times` times.
pub(super) fn flap(known: Known<'_>, down: Duration, up: Duration, times: u32) -> Foreseen {
    let (within, why) = match of_core(known) {
        Ok(found) => found,
        Err(other) => return other,
    };
    let last_mended = ((down + up) * times).saturating_sub(up).saturating_sub(known.since);
    if within.min() > last_mended {
        return never("it is mended for good before its timers run out");
    }
    if within.max() <= down.saturating_sub(known.since) {
        return Foreseen::Within { within, by: By::Timers, why };
    }
    // A try that falls into a time in which the cable is whole is answered, and all begins anew.
    let pause = longest_pause(known, down);
    if pause.is_some_and(|pause| pause < up && within.min() > down + pause) {
        return never("a try meets the whole cable each time before its timers run out");
    }
    let why = format!("tries may all meet the cable cut, for {} each time", Span(down));
    open(Decides::Chance, known, why)
}

/// The longest that it waits from one try to the next, `down` after the first that was lost.
fn longest_pause(known: Known<'_>, down: Duration) -> Option<Duration> {
    if known.busy {
        // Each gap between retransmissions is at most what has passed since the first, and once more.
        return Some(down + AT_ONCE / 2);
    }
    let own = known.own?;
    let interval = own.keepalive?.interval;
    Some(interval + own.tick.lateness(interval))
}
