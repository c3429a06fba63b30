//! Owns keepalive as the application set it, held against what boxes on the path are known to forget.
//! Claims nothing of this path: only that, if such a box is on it, this is what happens.

use std::{collections::BTreeMap, time::Duration};

use halfopen_core::{
    KernelTimer, Observation, Span, TcpState,
    middlebox::{self, Forgets, Keepalive, Middlebox},
};

use super::{Line, text};
use crate::render::escaped;

/// What is known of a socket's keepalive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeepaliveSeen {
    /// Off.
    Off,
    /// On, with the times read from the socket.
    On(Keepalive),
    /// On; the times are assumed to be those of the namespace.
    Assumed(Keepalive),
    /// It is not sent in this state, on or off.
    NotSent,
    /// Not known.
    Unknown(String),
}

/// What is known of the keepalive of the socket that was seen.
pub(crate) fn keepalive(seen: &Observation) -> KeepaliveSeen {
    // In the other states a FIN or SYN is outstanding, which silences it, or the timer has another use.
    let open = matches!(
        seen.sample.state,
        TcpState::Established | TcpState::CloseWait | TcpState::FinWait2
    );
    if !open || seen.sample.is_mini() {
        return KeepaliveSeen::NotSent;
    }
    if let Some(options) = seen.options.read() {
        return match (options.keepalive, options.keepalive_idle, options.keepalive_interval) {
            (Some(false), ..) => KeepaliveSeen::Off,
            (Some(true), Some(idle), Some(interval)) => {
                KeepaliveSeen::On(Keepalive { idle, interval })
            }
            _ => KeepaliveSeen::Unknown("the socket did not say".to_owned()),
        };
    }
    match (seen.sample.timer, seen.sysctls.keepalive_time, seen.sysctls.keepalive_interval) {
        (KernelTimer::Keepalive { .. }, Some(idle), Some(interval)) => {
            KeepaliveSeen::Assumed(Keepalive { idle, interval })
        }
        (KernelTimer::Off, ..) => KeepaliveSeen::Off,
        _ => KeepaliveSeen::Unknown(match &seen.options {
            halfopen_core::OptionsSeen::Unread(why) => why.to_string(),
            halfopen_core::OptionsSeen::Read(_) => "the socket did not say".to_owned(),
        }),
    }
}

/// Whether one direction is closed, which boxes forgive less.
pub(crate) const fn is_half_closed(state: TcpState) -> bool {
    matches!(state, TcpState::CloseWait | TcpState::FinWait1 | TcpState::FinWait2)
}

/// Keepalive against the known idle time-outs.
pub(super) fn path(seen: &Observation) -> Vec<Line> {
    let sample = &seen.sample;
    if sample.endpoints.is_loopback() {
        return vec![text("Both ends are on this host: no box is on the path.")];
    }
    let (first, set) = match keepalive(seen) {
        KeepaliveSeen::Off => ("Keepalive is off.".to_owned(), None),
        KeepaliveSeen::On(set) => (on(seen, set, "as set on the socket"), Some(set)),
        KeepaliveSeen::Assumed(set) => {
            (on(seen, set, "if the times are the namespace's defaults"), Some(set))
        }
        KeepaliveSeen::NotSent => {
            return vec![text("Keepalive is not sent in this state.")];
        }
        KeepaliveSeen::Unknown(why) => {
            let why = escaped(&why);
            return vec![text(format!("Whether keepalive is on is unknown: {why}."))];
        }
    };
    let mut lines = vec![text(first)];
    let forgetful = middlebox::forgetful(set, is_half_closed(sample.state), seen.tick);
    lines.extend(listed(&forgetful, Forgets::Yes, sample.state, in_words(set)));
    lines.extend(listed(
        &forgetful,
        Forgets::IfOneProbeFails,
        sample.state,
        "If one of these is on the path, a single lost or late probe is enough for it to forget:",
    ));
    lines
}

const fn in_words(set: Option<Keepalive>) -> &'static str {
    match set {
        None => "If one of these is on the path, it forgets the connection once it is idle for:",
        Some(_) => {
            "If one of these is on the path, it forgets before the first probe comes, after:"
        }
    }
}

fn on(seen: &Observation, set: Keepalive, whence: &str) -> String {
    let probes = seen
        .options
        .read()
        .map_or(seen.sysctls.keepalive_probes, |options| options.keepalive_probes);
    let end = match probes {
        Some(probes) => format!(", the end after {probes} unanswered"),
        None => String::new(),
    };
    format!(
        "Keepalive is on: first probe after {} without a word from the peer, then every {}{end} ({whence}).",
        Span(set.idle),
        Span(set.interval)
    )
}

/// The boxes of one fate, those with the same memory on one line.
fn listed(
    all: &[(&'static Middlebox, Forgets)],
    fate: Forgets,
    state: TcpState,
    heading: &str,
) -> Vec<Line> {
    let mut by_memory: BTreeMap<Duration, Vec<&str>> = BTreeMap::new();
    for (middlebox, _) in all.iter().filter(|(_, forgets)| *forgets == fate) {
        by_memory
            .entry(middlebox.remembers(is_half_closed(state)))
            .or_default()
            .push(middlebox.name);
    }
    if by_memory.is_empty() {
        return Vec::new();
    }
    let items = by_memory
        .into_iter()
        .map(|(memory, names)| Line::Item(format!("{}: {}", Span(memory), names.join("; "))));
    std::iter::once(text(heading)).chain(items).collect()
}
