//! Owns trials drawn at random: state x options x sysctls x fault, with timers short enough to be
//! waited for. Runs nothing; the same seed gives the same cases.

use std::time::Duration;

use fastrand::Rng;

use super::{Begin, Case, Deed, Fault, Keepalive, Sampled, View};

/// `count` cases from `seed`. Case `n` does not depend on how many there are, so that a miss can be
/// drawn again by its seed and number.
pub fn random(count: usize, seed: u64) -> Vec<Case> {
    (0..count)
        .map(|number| {
            let mut rng = Rng::with_seed(seed ^ (number as u64).wrapping_mul(GOLDEN));
            let mut case = any(&mut rng);
            case.name = format!("{number}: {}", describe(&case));
            case
        })
        .collect()
}

/// 2^64 over the golden ratio: neighbouring numbers become seeds that have nothing in common.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Longer than any of these cases is predicted to take.
const WATCH: Duration = Duration::from_secs(45);

fn any(rng: &mut Rng) -> Case {
    let mut case = match rng.u8(0..8) {
        0 | 1 => idle(rng),
        2 | 3 => unacknowledged(rng),
        4 => without_owner(rng),
        5 => window_shut(rng),
        6 => syn(rng),
        _ => fin_wait_2(rng),
    };
    case.watch = WATCH;
    case.fault = *pick(rng, &[Fault::Cut, Fault::CutToServer, Fault::CutToClient]);
    if case.keepalive.is_none() && rng.u8(0..4) == 0 {
        case.keepalive = keepalive(rng);
    }
    case = case.sysctl("tcp_early_retrans", *pick(rng, &[3, 3, 3, 0]));
    case = case.sysctl("tcp_thin_linear_timeouts", *pick(rng, &[0, 0, 1]));
    case = case.sysctl("tcp_sack", *pick(rng, &[1, 1, 1, 0]));
    case = case.sysctl("tcp_rto_min_us", *pick(rng, &[200_000, 200_000, 100_000, 40_000]));
    if rng.bool() {
        // The one algorithm that every namespace may choose; else the host's own.
        case.sysctls.push(("net.ipv4.tcp_congestion_control".to_owned(), "reno".to_owned()));
    }
    case
}

/// Nothing in flight: only keepalive can tell.
fn idle(rng: &mut Rng) -> Case {
    let begin = *pick(rng, &[Begin::Established, Begin::PeerClosed, Begin::WeClosed]);
    let case = Case { begin, view: View::Idle, ..Case::named("") };
    if rng.u8(0..5) == 0 {
        return case;
    }
    let keepalive = keepalive(rng);
    let user_timeout = user_timeout(rng);
    let case = Case { keepalive, user_timeout, ..case };
    let probes = keepalive.map_or(0, |keepalive| keepalive.probes);
    if probes > 1 && user_timeout.is_none() && rng.bool() {
        return Case { sampled: Sampled::Unanswered(1), view: View::Now, ..case };
    }
    case
}

/// Data or a FIN is not acknowledged, and the application waits for that.
fn unacknowledged(rng: &mut Rng) -> Case {
    let begin = *pick(rng, &[Begin::Established, Begin::PeerClosed]);
    let user_timeout = user_timeout(rng);
    let case = retries(rng, Case { begin, user_timeout, ..Case::named("") });
    match rng.u8(0..4) {
        0 => Case { deed: Deed::Write, view: View::Busy, ..case },
        1 => Case { deed: Deed::ShutDown, ..counting(rng, case) },
        _ => Case { deed: Deed::Write, ..counting(rng, case) },
    }
}

/// The same, and the process has closed.
fn without_owner(rng: &mut Rng) -> Case {
    let begin = *pick(rng, &[Begin::Established, Begin::PeerClosed, Begin::WindowShut]);
    let case = Case {
        begin,
        deed: Deed::Close,
        sampled: Sampled::AfterDeed,
        view: View::Now,
        ..Case::named("")
    };
    let retries2 = rng.u32(2..5);
    let case = case.sysctl("tcp_retries2", retries2);
    if rng.bool() {
        // At the cap no retries are left, which only short caps let us wait for.
        let cap = *pick(rng, &[1000, 2000]);
        case.sysctl("tcp_rto_max_ms", cap).sysctl("tcp_orphan_retries", rng.u32(0..4))
    } else {
        case.sysctl("tcp_orphan_retries", rng.u32(1..5))
    }
}

fn window_shut(rng: &mut Rng) -> Case {
    let user_timeout = user_timeout(rng);
    let case = Case { begin: Begin::WindowShut, user_timeout, ..Case::named("") };
    let retries2 = rng.u32(2..5);
    let case = case.sysctl("tcp_retries2", retries2);
    if user_timeout.is_none() && rng.bool() {
        Case { sampled: Sampled::Unanswered(2), view: View::Now, ..case }
    } else {
        Case { view: View::Busy, ..case }
    }
}

fn syn(rng: &mut Rng) -> Case {
    let case = Case {
        begin: Begin::Unconnected,
        deed: Deed::Connect,
        user_timeout: user_timeout(rng).map(|timeout| timeout.max(Duration::from_millis(1200))),
        view: View::Now,
        ..Case::named("")
    };
    let sampled = if rng.bool() { Sampled::AfterDeed } else { Sampled::Unanswered(1) };
    let linear = rng.u32(0..5);
    let retries = rng.u32(1..4);
    Case { sampled, ..case }
        .sysctl("tcp_syn_linear_timeouts", linear)
        .sysctl("tcp_syn_retries", retries)
}

/// Closed by its process and acknowledged: the kernel waits a while for the peer's FIN. Above a
/// minute it waits twice the excess.
fn fin_wait_2(rng: &mut Rng) -> Case {
    let fin_timeout = if rng.bool() { rng.u32(1..8) } else { rng.u32(61..67) };
    Case {
        begin: Begin::Abandoned,
        view: View::Now,
        sampled: Sampled::AfterDeed,
        ..Case::named("")
    }
    .sysctl("tcp_fin_timeout", fin_timeout)
}

/// Seen right after the deed, or once something has been sent again.
fn counting(rng: &mut Rng, case: Case) -> Case {
    // A shorter time-out may be over before anything was sent twice.
    let long_enough = case.user_timeout.is_none_or(|timeout| timeout > Duration::from_secs(3));
    let sampled = match rng.u8(1..4) {
        count @ 1..=2 if long_enough => Sampled::Unanswered(count),
        _ => Sampled::AfterDeed,
    };
    Case { sampled, view: View::Now, ..case }
}

/// `tcp_retries2`, with the default cap of the time-out or with a short one.
fn retries(rng: &mut Rng, case: Case) -> Case {
    if rng.bool() {
        let retries2 = rng.u32(3..6);
        case.sysctl("tcp_retries2", retries2)
    } else {
        let cap = *pick(rng, &[1000, 1500, 3000]);
        let retries2 = rng.u32(3..8);
        case.sysctl("tcp_rto_max_ms", cap).sysctl("tcp_retries2", retries2)
    }
}

fn keepalive(rng: &mut Rng) -> Option<Keepalive> {
    Some(Keepalive {
        idle: Duration::from_secs(rng.u64(1..5)),
        interval: Duration::from_secs(rng.u64(1..4)),
        probes: rng.u32(1..5),
    })
}

fn user_timeout(rng: &mut Rng) -> Option<Duration> {
    rng.bool().then(|| Duration::from_millis(rng.u64(300..9000)))
}

fn pick<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    rng.choice(choices).expect("every list of choices has a first")
}

/// What a case is about, in the fewest words that tell it from others.
fn describe(case: &Case) -> String {
    let mut words = format!("{:?} {:?} {:?}", case.begin, case.deed, case.fault);
    if let Sampled::Unanswered(count) = case.sampled {
        words += &format!(" after {count}");
    }
    if let Some(keepalive) = case.keepalive {
        words += &format!(
            " ka {}/{}/{}",
            keepalive.idle.as_secs(),
            keepalive.interval.as_secs(),
            keepalive.probes
        );
    }
    if let Some(timeout) = case.user_timeout {
        words += &format!(" ut {}", timeout.as_millis());
    }
    for (name, value) in &case.sysctls {
        let is_default =
            DEFAULTS.iter().any(|default| name.ends_with(default.0) && value == default.1);
        if !is_default {
            let short = name.trim_start_matches("net.ipv4.tcp_");
            words += &format!(" {short}={value}");
        }
    }
    words
}

/// Not worth a word.
const DEFAULTS: [(&str, &str); 4] = [
    ("tcp_early_retrans", "3"),
    ("tcp_thin_linear_timeouts", "0"),
    ("tcp_sack", "1"),
    ("tcp_rto_min_us", "200000"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_cases_however_many() {
        assert_eq!(random(200, 7)[..50], random(50, 7));
        assert_ne!(random(50, 7), random(50, 8));
    }

    #[test]
    fn every_beginning_deed_fault_and_view_is_drawn() {
        let cases = random(400, 1);
        let drawn = |wanted: &dyn Fn(&Case) -> bool| cases.iter().any(wanted);
        for begin in [
            Begin::Unconnected,
            Begin::Established,
            Begin::PeerClosed,
            Begin::WeClosed,
            Begin::WindowShut,
            Begin::Abandoned,
        ] {
            assert!(drawn(&|case| case.begin == begin), "{begin:?}");
        }
        for deed in [Deed::Nothing, Deed::Connect, Deed::Write, Deed::ShutDown, Deed::Close] {
            assert!(drawn(&|case| case.deed == deed), "{deed:?}");
        }
        for view in [View::Idle, View::Busy, View::Now] {
            assert!(drawn(&|case| case.view == view), "{view:?}");
        }
        for fault in [Fault::Cut, Fault::CutToServer, Fault::CutToClient] {
            assert!(drawn(&|case| case.fault == fault), "{fault:?}");
        }
    }
}
