//! Owns the judgement of when a side noticed, at which level and by what: from the states of its
//! socket, what was on its cable, and what its program said.

use std::time::Duration;

use halfopen_core::{KernelTimer, Moment, Sample, TcpState};

use super::stage::{OnWire, Stage};
use crate::{
    fault::{Fault, Side},
    forecast::By,
    pair::Told,
};

/// How a kernel ended a connection, or was told of its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kernel {
    pub(super) at: Moment,
    pub(super) by: By,
    pub(super) words: String,
}

/// The states of a connection that its own program has closed.
const OWN_CLOSE: [TcpState; 4] =
    [TcpState::FinWait1, TcpState::FinWait2, TcpState::Closing, TcpState::TimeWait];

/// When the kernel of a side noticed, if it did. That its own program closed is no notice of it.
pub(super) fn of_kernel(stage: &Stage<'_>, side: Side, from: Moment) -> Option<Kernel> {
    if !stage.is_on(side) || stage.has_lost_power(side) {
        return None;
    }
    let track = stage.watch.focus(side)?;
    let port = track.last.endpoints.local.port();
    let first = |wanted: fn(&OnWire) -> bool| {
        let events = stage.on_wire(side).iter();
        events
            .filter(|event| event.at > from && event.port == Some(port))
            .find(|event| wanted(event))
            .map(|event| event.at)
    };
    let is_deaf = is_deaf(stage, side);
    let heard = |wanted| first(wanted).filter(|_| !is_deaf);
    let reset = heard(|event| event.to_host && event.delivered && event.rst);
    let fin = heard(|event| event.to_host && event.delivered && event.fin);
    let own_fin = first(|event| !event.to_host && event.fin);
    let own_close = track.reached(&OWN_CLOSE, from).or(own_fin);
    let gone = track.gone.filter(|gone| *gone > from);
    let told = pair_told(stage, side, from);
    // Which came first decides; a FIN that answers our own is no news.
    if let Some(at) = fin.filter(|fin| own_close.is_none_or(|own| *fin < own)) {
        let words = format!("FIN: {}", track.last.state);
        let words =
            if gone.is_some() { "FIN, and the program closed too".to_owned() } else { words };
        return Some(Kernel { at, by: By::Fin, words });
    }
    let closed_for_it = fin.is_none() && is_closed_for_it(stage, side, gone);
    if !closed_for_it && own_close.is_some_and(|own| reset.is_none_or(|reset| own < reset)) {
        return None;
    }
    let gone = gone?;
    let is_killed = stage.scenario.steps.iter().any(|step| match step.fault {
        Fault::Abort { side: at } | Fault::RstLost { side: at } => at == side,
        _ => false,
    });
    if is_killed && reset.is_none_or(|reset| gone < reset) {
        return Some(Kernel { at: gone, by: By::OwnHost, words: "killed by its host".to_owned() });
    }
    // Where the program was told of a time-out, the RST came to a connection that was over.
    let timed_out = |told: &(Moment, String)| {
        ["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EACCES"].contains(&told.1.as_str())
    };
    let is_late = told.as_ref().is_some_and(timed_out);
    if let Some(at) = reset.filter(|reset| *reset <= gone && !is_late) {
        let errno = if track.established.is_some() { "ECONNRESET" } else { "ECONNREFUSED" };
        return Some(Kernel { at, by: By::Reset, words: format!("RST ({errno})") });
    }
    // Who ends with something unread says RST too, and no timer of the kernel's was at work.
    if stage.command(side).is_some() && !is_unanswered(&track.last) {
        return None;
    }
    // Behind a box that changes ports the RST was another connection's on the wire.
    if let Some((at, _)) = told.as_ref().filter(|(_, errno)| errno == "ECONNRESET") {
        return Some(Kernel { at: *at, by: By::Reset, words: "RST (ECONNRESET)".to_owned() });
    }
    // The table is read every so often; the program may say it first, and keepalive ends with an RST.
    let own_reset = first(|event| !event.to_host && event.rst);
    let told_at = told.as_ref().map(|(at, _)| *at);
    let at = [Some(gone), told_at, own_reset].into_iter().flatten().min().unwrap_or(gone);
    let refused = stage.on_wire(side).iter().any(|event| event.is_icmp && event.at > from);
    let errno = match told {
        Some((_, errno)) => errno,
        None if refused => "EHOSTUNREACH or ETIMEDOUT".to_owned(),
        None => "ETIMEDOUT, as no router complained".to_owned(),
    };
    Some(Kernel { at, by: By::Timers, words: format!("gave up by its own timers ({errno})") })
}

/// One direction was closed on its program's behalf, and the program itself still held the connection when its
/// kernel ended it: so the FIN is not the program's own.
fn is_closed_for_it(stage: &Stage<'_>, side: Side, gone: Option<Moment>) -> bool {
    let is_fault = |fault: &Fault| matches!(fault, Fault::HalfClose { side: at } if *at == side);
    stage.scenario.steps.iter().any(|step| is_fault(&step.fault))
        && stage.let_go(side).is_none_or(|at| gone.is_some_and(|gone| gone.since(at) <= SLACK))
}

/// The kernel has tried in vain, without which it gives nothing up.
const fn is_unanswered(last: &Sample) -> bool {
    matches!(
        last.timer,
        KernelTimer::Retransmit { retransmits: 1.., .. }
            | KernelTimer::Keepalive { probes: 1.., .. }
            | KernelTimer::WindowProbe { .. }
    )
}

/// What comes to a host that has another address, or whose interface is down, is heard by nobody.
fn is_deaf(stage: &Stage<'_>, side: Side) -> bool {
    stage.scenario.steps.iter().any(|step| match step.fault {
        Fault::Renumber { side: at, .. } | Fault::InterfaceDown { side: at, lasts: None } => {
            at == side
        }
        _ => false,
    })
}

/// When and how the built-in pair was told of the end, by its error.
fn pair_told(stage: &Stage<'_>, side: Side, from: Moment) -> Option<(Moment, String)> {
    let lines = stage.party(side).said.iter().filter(|line| line.at > from);
    if stage.command(side).is_some() {
        return None;
    }
    lines.into_iter().find_map(|line| match Told::from_line(&line.text) {
        Some(Told::Ended(how)) => Some((line.at, how.to_owned())),
        _ => None,
    })
}

/// When the application of a side noticed, and how it showed.
pub(super) fn of_application(
    stage: &Stage<'_>,
    side: Side,
    from: Moment,
) -> Option<(Moment, String)> {
    if let Some(told) = pair_told(stage, side, from) {
        return Some((told.0, format!("was told: {}", told.1)));
    }
    if stage.has_lost_power(side) {
        return None;
    }
    let exit = stage.party(side).ended.clone().filter(|(at, _)| *at > from);
    stage.command(side)?;
    let track = stage.watch.focus(side)?;
    let closes = [TcpState::FinWait1, TcpState::FinWait2, TcpState::LastAck, TcpState::Closing];
    let closed = track.reached(&closes, from).map(|at| (at, "closed the connection".to_owned()));
    // A line is a sign of notice only once there is something to notice.
    let noticed = of_kernel(stage, side, from).map(|kernel| kernel.at);
    let line = noticed.and_then(|noticed| {
        let slack = Moment(noticed.0.saturating_sub(SLACK));
        let line = stage.party(side).said.iter().find(|line| line.at > slack && line.at > from);
        line.map(|line| (line.at, format!("said \"{}\"", line.text)))
    });
    // To let go of a connection that the kernel has ended is an answer to that.
    let let_go = stage.let_go(side).filter(|at| *at > from);
    let let_go = let_go.map(|at| (at, "closed its descriptor".to_owned()));
    let first =
        [exit.clone(), closed, line, let_go].into_iter().flatten().min_by_key(|(at, _)| *at)?;
    // An exit says more than the line or the FIN that comes with it.
    match exit {
        Some(exit) if exit.0.since(first.0) <= SLACK => Some(exit),
        _ => Some(first),
    }
}

/// When the program of a side closed or ended, whatever for.
pub(super) fn of_leaving(stage: &Stage<'_>, side: Side, from: Moment) -> Option<Moment> {
    let exit = stage.party(side).ended.as_ref().map(|(at, _)| *at);
    let closed = stage.watch.focus(side).and_then(|track| {
        track.reached(&OWN_CLOSE, from).or_else(|| track.reached(&[TcpState::LastAck], from))
    });
    [exit, closed, stage.let_go(side)].into_iter().flatten().filter(|at| *at > from).min()
}

/// Between what the kernel does and what we read of it: one look at the tables, late.
pub(super) const SLACK: Duration = Duration::from_millis(150);

/// A side needs no further watch: its application noticed, or had time to.
pub(super) fn is_done(stage: &Stage<'_>, side: Side, from: Moment, now: Moment) -> bool {
    of_application(stage, side, from).is_some()
        || of_kernel(stage, side, from).is_some_and(|kernel| now.since(kernel.at) >= REACTS_WITHIN)
}

/// A program that waits for its connection says so within this. One that waits for something else
/// is not waited for.
const REACTS_WITHIN: Duration = Duration::from_secs(2);

/// When something was noticed last.
pub(super) fn last_event(stage: &Stage<'_>, from: Moment) -> Moment {
    let noticed = Side::BOTH.into_iter().flat_map(|side| {
        let kernel = of_kernel(stage, side, from).map(|kernel| kernel.at);
        let application = of_application(stage, side, from).map(|(at, _)| at);
        [kernel, application]
    });
    noticed.flatten().max().unwrap_or(from)
}
