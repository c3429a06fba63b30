//! Owns the list of the trials that every change has to pass: each of the kernel's rules that ends
//! a connection, with timers short enough to be waited for. Runs nothing.

use std::time::Duration;

use super::{Begin, Case, Deed, Keepalive, Sampled, View};

/// The trials. Run together they take as long as the longest, less than twenty seconds.
pub fn cases() -> Vec<Case> {
    let mut cases = idle();
    cases.extend(busy());
    cases.extend(window_shut());
    cases.extend(embryonic_and_ending());
    cases
}

fn idle() -> Vec<Case> {
    vec![
        Case { watch: Duration::from_secs(10), ..Case::named("idle, keepalive off") },
        Case { keepalive: keepalive(2, 1, 3), ..Case::named("idle, keepalive 2/1/3") },
        Case {
            keepalive: keepalive(1, 1, 9),
            user_timeout: Some(Duration::from_secs(3)),
            ..Case::named("idle, keepalive 1/1/9, user timeout 3 s")
        },
        Case {
            begin: Begin::PeerClosed,
            keepalive: keepalive(1, 1, 3),
            ..Case::named("half-closed idle, keepalive 1/1/3")
        },
        Case {
            begin: Begin::PeerClosed,
            watch: Duration::from_secs(10),
            ..Case::named("half-closed idle, keepalive off")
        },
    ]
}

fn busy() -> Vec<Case> {
    let written = |name| Case { deed: Deed::Write, view: View::Busy, ..Case::named(name) };
    vec![
        written("busy, retries2=3").sysctl("tcp_retries2", 3),
        Case {
            sampled: Sampled::Unanswered(1),
            view: View::Now,
            ..written("busy, retries2=3, seen after a retry").sysctl("tcp_retries2", 3)
        },
        Case { user_timeout: Some(Duration::from_secs(3)), ..written("busy, user timeout 3 s") },
        // Keepalive does not run while data is outstanding, however short it is.
        Case { keepalive: keepalive(1, 1, 1), ..written("busy, retries2=3, keepalive 1/1/1") }
            .sysctl("tcp_retries2", 3),
        Case {
            deed: Deed::ShutDown,
            sampled: Sampled::AfterDeed,
            view: View::Now,
            ..Case::named("FIN unanswered, retries2=3").sysctl("tcp_retries2", 3)
        },
    ]
}

fn window_shut() -> Vec<Case> {
    // The back-off of window probes is capped by tcp_retries2 as well, which keeps it short.
    let shut = |name| {
        Case { begin: Begin::WindowShut, view: View::Busy, ..Case::named(name) }
            .sysctl("tcp_retries2", 3)
    };
    vec![
        shut("zero window, retries2=3"),
        Case {
            sampled: Sampled::Unanswered(2),
            view: View::Now,
            ..shut("zero window, seen after two probes")
        },
        Case {
            begin: Begin::BothClosed,
            sampled: Sampled::Unanswered(2),
            view: View::Now,
            ..shut("closing behind a shut window, seen after two probes")
        },
    ]
}

fn embryonic_and_ending() -> Vec<Case> {
    let counted = |name| Case { sampled: Sampled::AfterDeed, view: View::Now, ..Case::named(name) };
    vec![
        Case {
            begin: Begin::Unconnected,
            deed: Deed::Connect,
            ..counted("SYN to a dead host, syn_retries=2").sysctl("tcp_syn_retries", 2)
        },
        Case {
            deed: Deed::Close,
            ..counted("orphan, orphan_retries=2").sysctl("tcp_orphan_retries", 2)
        },
        Case {
            begin: Begin::Abandoned,
            ..counted("FIN-WAIT-2 without owner, fin_timeout=3").sysctl("tcp_fin_timeout", 3)
        },
    ]
}

fn keepalive(idle_s: u64, interval_s: u64, probes: u32) -> Option<Keepalive> {
    let (idle, interval) = (Duration::from_secs(idle_s), Duration::from_secs(interval_s));
    Some(Keepalive { idle, interval, probes })
}
