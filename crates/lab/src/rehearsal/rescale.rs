//! Owns the rescaled clock: the same counts of probes and retries with shorter intervals between them,
//! set on the victims' own sockets from outside. What it has changed, and what the untouched socket would
//! have done, goes to the card. Read: tcp(7), ip-sysctl.rst `tcp_rto_max_ms`.

use std::time::Duration;

use halfopen_core::{Span, detection::Learns, keeping::KeepOptions};
use halfopen_sys::set_options::{Setting, set_of_process};

use super::{RehearsalError, look::Look, stage::Stage};
use crate::{fault::Side, host::HostError};

/// Shortens the pauses between retransmissions on a host, before any program runs. Says so, or why not.
pub(super) fn host(stage: &Stage<'_>, side: Side) -> Result<String, RehearsalError> {
    let host = stage.lab.host(side.word())?;
    match host.set_sysctl(RTO_MAX, RTO_MAX_MS) {
        Ok(()) => Ok(format!(
            "rescaled: on the {side} no pause between retransmissions is longer than {RTO_MAX_MS} ms \
             ({RTO_MAX}; 120 s by default); their number is untouched"
        )),
        Err(HostError::Sysctl { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
            Ok(format!(
                "not rescaled: this kernel has no {RTO_MAX}, so retransmissions take their time"
            ))
        }
        Err(error) => Err(error.into()),
    }
}

/// Since Linux 6.15; the shortest value that it takes.
const RTO_MAX: &str = "net.ipv4.tcp_rto_max_ms";
const RTO_MAX_MS: &str = "1000";

/// Shortens keepalive and TCP_USER_TIMEOUT of a victim's socket. Says what was changed, and when the
/// untouched socket would have ended; nothing where no timer is on, or none is long.
pub(super) fn socket(
    stage: &Stage<'_>,
    side: Side,
    look: &Look,
) -> Result<Option<String>, RehearsalError> {
    let Some((expected, pid, fd)) = look.kept else { return Ok(None) };
    let wanted = shorter(expected);
    let is_on = expected.keepalive || expected.user_timeout_ms > 0;
    let (Some(track), true) = (stage.watch.focus(side), is_on && wanted != expected) else {
        return Ok(None);
    };
    let setting = Setting { id: track.last.id, expected, wanted };
    set_of_process(pid, fd, &setting)
        .map_err(|error| RehearsalError::Look { side, why: error.to_string() })?;
    let untouched = match &look.learns.idle {
        Learns::Within(one) => format!("untouched, it would learn in {} while idle", one.within),
        _ => "untouched, it would never learn while idle".to_owned(),
    };
    Ok(Some(format!(
        "rescaled: the {side}'s {} became {}; {untouched}",
        in_words(expected),
        in_words(wanted)
    )))
}

/// Times in proportion, in the whole seconds that the kernel counts; the number of probes stays.
fn shorter(options: KeepOptions) -> KeepOptions {
    let scale = |seconds: u32| (seconds / FACTOR).max(1);
    let user_timeout_ms = options.user_timeout_ms;
    KeepOptions {
        idle_s: scale(options.idle_s).min(IDLE_MAX_S),
        interval_s: scale(options.interval_s).min(IDLE_MAX_S),
        user_timeout_ms: if user_timeout_ms == 0 { 0 } else { (user_timeout_ms / FACTOR).max(1) },
        ..options
    }
}

/// 75 s, the default interval, becomes one second.
const FACTOR: u32 = 75;

/// Two hours in proportion are 96 s, which nobody waits for; what counts is that it is silent for a while.
const IDLE_MAX_S: u32 = 2;

fn in_words(options: KeepOptions) -> String {
    let KeepOptions { keepalive, idle_s, interval_s, probes, user_timeout_ms } = options;
    let keepalive = if keepalive {
        format!("keepalive {idle_s}s/{interval_s}s/{probes}")
    } else {
        "keepalive off".to_owned()
    };
    if user_timeout_ms == 0 {
        return keepalive;
    }
    let user_timeout = Span(Duration::from_millis(user_timeout_ms.into()));
    format!("{keepalive}, TCP_USER_TIMEOUT {user_timeout}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_keepalive_keeps_its_probes_and_takes_seconds() {
        let default = KeepOptions {
            keepalive: true,
            idle_s: 7200,
            interval_s: 75,
            probes: 9,
            user_timeout_ms: 0,
        };
        let short = KeepOptions { idle_s: 2, interval_s: 1, ..default };
        assert_eq!(shorter(default), short);
        let timed = KeepOptions { user_timeout_ms: 30_000, ..default };
        assert_eq!(shorter(timed).user_timeout_ms, 400);
        // What is a second already stays one.
        let second = KeepOptions { idle_s: 1, interval_s: 1, ..default };
        assert_eq!(shorter(second), second);
    }
}
