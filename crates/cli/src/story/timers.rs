//! Owns the telling of the kernel's timers: which one runs, how far it has come, when it fires next.
//! Read: linux net/ipv4/inet_diag.c `inet_sk_diag_fill` (one timer only is shown), tcp_timer.c.

use halfopen_core::{KernelTimer, Observation, Span, TcpState};

use super::{Line, text};

/// The timers that run.
pub(super) fn timers(seen: &Observation) -> Vec<Line> {
    let sample = &seen.sample;
    let fires = |expires_in: std::time::Duration| {
        let late = seen.tick.lateness(expires_in);
        if expires_in.is_zero() {
            "is due now".to_owned()
        } else {
            format!("fires in {} (or up to {} later)", Span(expires_in), Span(late))
        }
    };
    let mut lines = vec![text(match sample.timer {
        KernelTimer::Off => no_timer(sample.state).to_owned(),
        KernelTimer::Retransmit { retransmits, expires_in } => format!(
            "{} {}; {}.",
            match sample.state {
                TcpState::SynSent => "The timer that sends our SYN again",
                TcpState::SynReceived => "The timer that sends our SYN-ACK again",
                _ => "The retransmission timer",
            },
            fires(expires_in),
            times(retransmits, "it has run out")
        ),
        KernelTimer::Keepalive { probes: 0, expires_in } => format!(
            "The keepalive timer {}; it then looks whether a probe is due.",
            fires(expires_in)
        ),
        KernelTimer::Keepalive { probes, expires_in } => format!(
            "The keepalive timer {}; unanswered probes so far: {probes}.",
            fires(expires_in)
        ),
        KernelTimer::TimeWait { expires_in } => {
            format!("The timer that removes the rest of the connection {}.", fires(expires_in))
        }
        KernelTimer::WindowProbe { probes, expires_in } => format!(
            "The timer that probes the closed window {}; probes since the peer's last \
             acknowledgement: {probes}.",
            fires(expires_in)
        ),
        KernelTimer::Other { kind, expires_in } => format!(
            "A timer of kind {kind}, which this version does not know, {}.",
            fires(expires_in)
        ),
    })];
    if matches!(sample.timer, KernelTimer::Retransmit { .. } | KernelTimer::WindowProbe { .. })
        && seen.options.read().is_none()
        && sample.state != TcpState::SynReceived
    {
        lines.push(text(
            "The kernel shows one timer only: while this one runs it hides whether keepalive is on.",
        ));
    }
    if let Some((rto, backoff)) =
        sample.info.as_ref().and_then(|info| Some((info.rto?, info.backoff?)))
        && backoff > 0
    {
        lines.push(text(format!(
            "The retransmission time-out is {}, doubled {}.",
            Span(rto),
            if backoff == 1 { "once".to_owned() } else { format!("{backoff} times") }
        )));
    }
    lines
}

const fn no_timer(state: TcpState) -> &'static str {
    match state {
        TcpState::Established | TcpState::CloseWait | TcpState::FinWait2 => {
            "No timer runs: the kernel asks nothing, and ends nothing."
        }
        _ => "No timer runs.",
    }
}

fn times(count: u8, what: &str) -> String {
    match count {
        0 => format!("{what} not once"),
        1 => format!("{what} once"),
        many => format!("{what} {many} times in a row"),
    }
}
