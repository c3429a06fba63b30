//! Vanishing: the cable to one end is cut, so that it is gone without a word. The other end has to be
//! told, by RST, within the time for noticing; in every state that the connection may be in.
//! Read: RFC 1122 4.2.3.6; linux net/ipv4/tcp_timer.c (keepalive does not run while data are unacknowledged).

use std::time::Duration;

use super::{KIB, MIB, greet, pass, seen};
use crate::{
    case::{Case, Family, Needs, Pace, Side},
    end::End,
    outcome::{Miss, Ran},
    sight::{Sight, seconds},
    stage::Stage,
};

const BASE: Case = Case {
    name: "",
    family: Family::Vanish,
    acting: Side::Client,
    done: "",
    due: "the other end is told by RST within the time for noticing",
    source: "RFC 1122 4.2.3.6 and RFC 9293 3.8.3: a peer that answers nothing is given up, and the user told",
    needs: Needs::Cables,
    pace: Pace::Slow,
    play: idle,
};

const IDLE: Case = Case { done: "one end vanishes while nothing is sent", play: idle, ..BASE };
const FLIGHT: Case =
    Case { done: "one end vanishes, and the other sends it one message", play: in_flight, ..BASE };
const STREAM: Case = Case {
    done: "one end vanishes while the other streams to it, and goes on",
    play: streaming,
    ..BASE
};
const WINDOW: Case = Case {
    done: "one end stops reading, and vanishes 3 s after it has blocked the other",
    play: zero_window,
    ..BASE
};
const OLD_WINDOW: Case = Case {
    done: "one end stops reading, and vanishes long after it has blocked the other",
    play: old_zero_window,
    ..BASE
};
const OWN_HALF: Case = Case {
    done: "one end sends FIN, and vanishes; the other is idle",
    play: after_its_own_half_close,
    ..BASE
};
const OTHER_HALF: Case = Case {
    done: "the other end has sent FIN and waits for an answer; this one vanishes",
    play: after_the_others_half_close,
    ..BASE
};

pub(super) const CASES: &[Case] = &[
    Case { name: "vanish-idle-client", ..IDLE },
    Case { name: "vanish-idle-server", acting: Side::Server, ..IDLE },
    Case { name: "vanish-in-flight-client", ..FLIGHT },
    Case { name: "vanish-in-flight-server", acting: Side::Server, ..FLIGHT },
    Case { name: "vanish-streaming-client", ..STREAM },
    Case { name: "vanish-streaming-server", acting: Side::Server, ..STREAM },
    Case { name: "vanish-zero-window-client", ..WINDOW },
    Case { name: "vanish-zero-window-server", acting: Side::Server, ..WINDOW },
    Case { name: "vanish-old-zero-window-client", ..OLD_WINDOW },
    Case { name: "vanish-old-zero-window-server", acting: Side::Server, ..OLD_WINDOW },
    Case { name: "vanish-after-own-half-close-client", ..OWN_HALF },
    Case { name: "vanish-after-own-half-close-server", acting: Side::Server, ..OWN_HALF },
    Case { name: "vanish-after-other-half-close-client", ..OTHER_HALF },
    Case { name: "vanish-after-other-half-close-server", acting: Side::Server, ..OTHER_HALF },
];

fn greeted(stage: &Stage, acting: Side) -> Result<(End, End), Miss> {
    let (mut one, mut other) = stage.pair(acting)?;
    greet(&mut one, &mut other, stage.limits.soon)?;
    Ok((one, other))
}

fn idle(stage: &Stage, acting: Side) -> Ran {
    let (_one, mut other) = greeted(stage, acting)?;
    stage.cables()?.cut(acting)?;
    told(other.watch(stage.limits.notice)?)
}

fn in_flight(stage: &Stage, acting: Side) -> Ran {
    let (_one, mut other) = greeted(stage, acting)?;
    stage.cables()?.cut(acting)?;
    other.send(KIB)?;
    told(other.watch(stage.limits.notice)?)
}

fn streaming(stage: &Stage, acting: Side) -> Ran {
    let (mut one, mut other) = greeted(stage, acting)?;
    pass(&mut other, &mut one, MIB, stage.limits.soon)?;
    stage.cables()?.cut(acting)?;
    told(other.watch_sending(stage.limits.notice, 16 * KIB, Duration::from_millis(50))?)
}

fn zero_window(stage: &Stage, acting: Side) -> Ran {
    vanish_blocking(stage, acting, Duration::from_secs(3))
}

fn old_zero_window(stage: &Stage, acting: Side) -> Ran {
    // 30 s at the default: by then the kernel probes the window every 13 s to 26 s (net.ipv4.tcp_retries2).
    vanish_blocking(stage, acting, stage.limits.slow.mul_f64(3.0 / 7.0))
}

fn vanish_blocking(stage: &Stage, acting: Side, age: Duration) -> Ran {
    let (_one, mut other) = greeted(stage, acting)?;
    other.send_until_blocked(64 * MIB)?;
    other.watch_for_reset(age)?.open_after(0)?;
    stage.cables()?.cut(acting)?;
    told(other.watch_for_reset(stage.limits.notice)?)
}

fn after_its_own_half_close(stage: &Stage, acting: Side) -> Ran {
    let (one, mut other) = greeted(stage, acting)?;
    one.finish()?;
    other.watch(stage.limits.soon)?.fin_after(0)?;
    stage.cables()?.cut(acting)?;
    told(other.watch_for_reset(stage.limits.notice)?)
}

fn after_the_others_half_close(stage: &Stage, acting: Side) -> Ran {
    let (mut one, mut other) = greeted(stage, acting)?;
    other.finish()?;
    one.watch(stage.limits.soon)?.fin_after(0)?;
    stage.cables()?.cut(acting)?;
    told(other.watch(stage.limits.notice)?)
}

fn told(sight: Sight) -> Ran {
    let sight = sight.reset()?;
    seen(format!("RST after {}", seconds(sight.at)))
}
