//! Resets: a connection that is broken off has to look broken off at the other end. A FIN in its
//! place makes truncated data look complete. Read: RFC 9293 3.10.7.4, RFC 2525 2.17.

use std::time::Duration;

use super::{KIB, MIB, SETTLED, greet, pass, seen};
use crate::{
    case::{Case, Family, Needs, Pace, Side},
    outcome::{Miss, Ran},
    sight::{Sight, seconds},
    stage::Stage,
};

const BASE: Case = Case {
    name: "",
    family: Family::Reset,
    acting: Side::Client,
    done: "",
    due: "the other end sees RST, not FIN",
    source: "RFC 9293 3.10.7.4: on RST, outstanding receives get the answer \"reset\"",
    needs: Needs::Ends,
    pace: Pace::Brisk,
    play: idle,
};

const MID: Case = Case { done: "one end resets while it is sending", play: mid_stream, ..BASE };
const AFTER: Case =
    Case { done: "one end sends 1 KiB and resets at once", play: right_after_bytes, ..BASE };
const IDLE: Case = Case { done: "one end resets an idle connection", play: idle, ..BASE };
const OTHER_HALF: Case = Case {
    done: "the other end has sent FIN, which this one has seen; this one resets",
    play: while_the_other_is_half_closed,
    ..BASE
};
const HALF_STREAM: Case = Case {
    done: "one end has sent FIN, and resets while the other streams to it",
    due: "the sender is told by RST",
    play: half_closed_under_a_stream,
    ..BASE
};
const HALF_IDLE: Case = Case {
    done: "one end has sent FIN, and resets while the other is idle",
    due: "the other end is told by RST, although it says nothing",
    play: half_closed_and_idle,
    ..BASE
};
const UNREAD: Case = Case {
    done: "one end closes (close(2)) with 64 KiB unread",
    source: "RFC 2525 2.17: closing with unread data has to be told by RST",
    play: with_unread_bytes,
    ..BASE
};
const BLOCKED: Case = Case {
    done: "one end sends until it is blocked, and resets; the other then reads",
    play: of_a_blocked_sender,
    ..BASE
};
const READER: Case = Case {
    done: "the other end sends until it is blocked by this one, which does not read and resets",
    due: "the blocked sender is told by RST",
    play: under_a_blocked_sender,
    ..BASE
};

pub(super) const CASES: &[Case] = &[
    Case { name: "reset-mid-stream-client", ..MID },
    Case { name: "reset-mid-stream-server", acting: Side::Server, ..MID },
    Case { name: "reset-right-after-bytes-client", ..AFTER },
    Case { name: "reset-right-after-bytes-server", acting: Side::Server, ..AFTER },
    Case { name: "reset-idle-client", ..IDLE },
    Case { name: "reset-idle-server", acting: Side::Server, ..IDLE },
    Case { name: "reset-other-half-closed-client", ..OTHER_HALF },
    Case { name: "reset-other-half-closed-server", acting: Side::Server, ..OTHER_HALF },
    Case { name: "reset-half-closed-under-stream-client", ..HALF_STREAM },
    Case { name: "reset-half-closed-under-stream-server", acting: Side::Server, ..HALF_STREAM },
    Case { name: "reset-half-closed-idle-client", ..HALF_IDLE },
    Case { name: "reset-half-closed-idle-server", acting: Side::Server, ..HALF_IDLE },
    Case { name: "close-with-unread-client", ..UNREAD },
    Case { name: "close-with-unread-server", acting: Side::Server, ..UNREAD },
    Case { name: "reset-of-blocked-sender-client", ..BLOCKED },
    Case { name: "reset-of-blocked-sender-server", acting: Side::Server, ..BLOCKED },
    Case { name: "reset-under-blocked-sender-client", ..READER },
    Case { name: "reset-under-blocked-sender-server", acting: Side::Server, ..READER },
    Case {
        name: "relay-killed-amid-transfer",
        done: "the relay is killed (SIGKILL) while both ends have sent half of what they announced",
        due: "neither end sees FIN: what it got must not look complete",
        source: "RFC 9293 3.6: FIN says that the sender has no more to send, which a dead relay cannot know",
        needs: Needs::Victim,
        play: of_the_relay,
        ..BASE
    },
];

fn mid_stream(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    pass(&mut one, &mut other, 2 * MIB, soon)?;
    one.send(64 * KIB)?;
    one.reset();
    told(other.watch(soon)?)
}

fn right_after_bytes(stage: &Stage, acting: Side) -> Ran {
    let (mut one, mut other) = stage.pair(acting)?;
    one.send(KIB)?;
    one.reset();
    told(other.watch(stage.limits.soon)?)
}

fn idle(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    greet(&mut one, &mut other, soon)?;
    one.watch(SETTLED)?.open_after(0)?;
    one.reset();
    told(other.watch(soon)?)
}

fn while_the_other_is_half_closed(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    greet(&mut one, &mut other, soon)?;
    other.finish()?;
    one.watch(soon)?.fin_after(0)?;
    one.reset();
    told(other.watch(soon)?)
}

fn half_closed_under_a_stream(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    greet(&mut one, &mut other, soon)?;
    one.finish()?;
    other.watch(soon)?.fin_after(0)?;
    other.send(KIB)?;
    one.receive(KIB, soon)?.open_after(KIB)?;
    one.reset();
    told(other.send_until_told(soon, KIB, Duration::from_millis(50))?)
}

fn half_closed_and_idle(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    greet(&mut one, &mut other, soon)?;
    one.finish()?;
    other.watch(soon)?.fin_after(0)?;
    one.watch(SETTLED)?.open_after(0)?;
    one.reset();
    told(other.watch_for_reset(soon)?)
}

fn with_unread_bytes(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    greet(&mut one, &mut other, soon)?;
    other.send(64 * KIB)?;
    let arrived =
        halfopen_lab::wait::until(soon, || (one.unread().ok()? == 64 * KIB).then_some(()));
    if arrived.is_none() {
        let unread = one.unread()?;
        let said = format!("{unread} of 64 KiB came to the {acting} in {}", seconds(soon));
        return Err(Miss::failed(format!("{unread} of 65536 B"), said));
    }
    one.close()?;
    told(other.watch(soon)?)
}

fn of_a_blocked_sender(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    one.send_until_blocked(64 * MIB)?;
    one.reset();
    told(other.watch(soon * 2)?)
}

fn under_a_blocked_sender(stage: &Stage, acting: Side) -> Ran {
    let (one, mut other) = stage.pair(acting)?;
    other.send_until_blocked(64 * MIB)?;
    one.reset();
    told(other.watch_for_reset(stage.limits.soon)?)
}

fn of_the_relay(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    greet(&mut one, &mut other, soon)?;
    pass(&mut one, &mut other, MIB, soon)?;
    pass(&mut other, &mut one, MIB, soon)?;
    stage.cables()?.kill_relay()?;
    let (one, other) = (one.watch(soon)?, other.watch(soon)?);
    one.reset()?;
    other.reset()?;
    seen("RST at both ends")
}

fn told(sight: Sight) -> Ran {
    let sight = sight.reset()?;
    seen(format!("RST after {}", seconds(sight.at)))
}
