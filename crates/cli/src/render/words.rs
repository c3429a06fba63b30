//! Owns the short words of a table's cells: ends, ages, detection times, owners.
//! `~` assumed, `?` not known, `-` does not apply; never a number for what is not known.

use std::{fmt, net::SocketAddr};

use halfopen_core::{
    Diagnosis, Owners, Sample, TcpState,
    detection::{AppTold, DetectionTime, Learns, Prediction},
};

use super::cell::escaped;
use crate::span::Short;

/// One end, IPv4 addresses mapped into IPv6 written as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End(pub(crate) SocketAddr);

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(end) = *self;
        match end {
            SocketAddr::V6(v6) if end.ip().to_canonical() == end.ip() => v6.fmt(f),
            _ => SocketAddr::new(end.ip().to_canonical(), end.port()).fmt(f),
        }
    }
}

/// As [`End`].
pub(crate) fn end(end: SocketAddr) -> String {
    End(end).to_string()
}

/// How long ago the peer was last heard.
pub(crate) fn heard(sample: &Sample) -> String {
    match sample.last_heard() {
        Some(ago) => Short(ago).to_string(),
        None if sample.state == TcpState::SynSent => "-".to_owned(),
        None => "?".to_owned(),
    }
}

/// The countdown where one runs (`in 3m`, `ends 45s` where nobody is told), else `IDLE/BUSY`.
pub(crate) fn learns(learns: &DetectionTime) -> String {
    match &learns.now {
        Some(Learns::Within(prediction)) => {
            let verb = match prediction.application {
                AppTold::TimedOut => "in",
                AppTold::Nothing => "ends",
            };
            format!("{verb} {}", at_most(prediction))
        }
        Some(Learns::Never(_)) => "never".to_owned(),
        Some(Learns::Unknown(_)) => "in ?".to_owned(),
        Some(Learns::NotApplicable(_)) | None => match (one(&learns.idle), one(&learns.busy)) {
            (idle, busy) if idle == busy => idle,
            (idle, busy) => format!("{idle}/{busy}"),
        },
    }
}

fn one(learns: &Learns) -> String {
    match learns {
        Learns::Never(_) => "never".to_owned(),
        Learns::Within(prediction) => at_most(prediction),
        Learns::Unknown(_) => "?".to_owned(),
        Learns::NotApplicable(_) => "-".to_owned(),
    }
}

/// The late end of the interval: the owner learns within this.
fn at_most(prediction: &Prediction) -> String {
    let mark = if prediction.assumes.is_empty() { "" } else { "~" };
    format!("{mark}{}", Short(prediction.within.max()))
}

/// Who holds the connection: `COMMAND/PID`, `+N` for more holders, `-` for nobody.
pub(crate) fn owner(owners: &Owners) -> String {
    match owners {
        Owners::Known(all) => match &**all {
            [] => "?".to_owned(),
            [first, rest @ ..] => {
                let others = match distinct_others(first.process.pid, rest) {
                    0 => String::new(),
                    others => format!("+{others}"),
                };
                format!("{}/{}{others}", escaped(&first.process.command), first.process.pid)
            }
        },
        Owners::None => "-".to_owned(),
        Owners::Unseen(_) => "?".to_owned(),
    }
}

/// Processes among `rest` other than `pid`; one process may hold several descriptors of a socket.
fn distinct_others(pid: u32, rest: &[halfopen_core::Owner]) -> usize {
    let mut pids: Vec<_> =
        rest.iter().map(|owner| owner.process.pid).filter(|other| *other != pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.len()
}

/// The owner's command alone, for narrow tables.
pub(super) fn owner_short(owners: &Owners) -> String {
    owners.seen().first().map_or_else(|| owner(owners), |first| escaped(&first.process.command))
}

/// `LOCAL->PEER`, as `why` reads it.
pub(crate) fn pair(diagnosis: &Diagnosis) -> String {
    let ends = &diagnosis.observation.sample.endpoints;
    format!("{}->{}", end(ends.local), end(ends.peer))
}

/// So many, in words.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}
