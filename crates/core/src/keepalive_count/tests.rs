//! What a count of probes proves, for the kernel's own and for those of tests.

use proptest::prelude::*;

use super::*;
use crate::{
    Diagnosis, OptionsSeen, Proof, Severity, Thresholds, Verdict, VerdictKind,
    trace::{established, ms},
};

fn judge(seen: Observation) -> Verdict {
    Diagnosis::of(seen, &Thresholds::default()).verdict
}

/// The last word of the peer, `silence_ms` ago; `probes` counted since, the last `since_ms` ago.
fn probed(times: (u64, u64, u32), silence_ms: u64, probes: u8, since_ms: u64) -> Observation {
    let (idle, interval, count) = times;
    let expires_in = ms((interval * 1000).saturating_sub(since_ms));
    established()
        .keepalive(idle, interval, count)
        .heard(ms(silence_ms))
        .timer(KernelTimer::Keepalive { probes, expires_in })
}

fn doubt(verdict: &Verdict) -> Option<String> {
    let mut all = verdict.evidence().filter(|fact| fact.kind() == "keepalives-not-spaced");
    Some(all.next()?.to_string())
}

/// Stronger is greater.
fn strength(seen: Observation) -> u8 {
    match judge(seen).kind() {
        kind if kind.is_proved() => 2,
        VerdictKind::Straining => 1,
        _ => 0,
    }
}

#[test]
fn the_third_probe_of_keepalive_itself_convicts_when_its_answer_is_late() {
    // Probes at 10, 12 and 14 s.
    assert_eq!(strength(probed((10, 2, 5), 14_499, 3, 499)), 1);
    let verdict = judge(probed((10, 2, 5), 14_500, 3, 500));
    assert_eq!(verdict.kind(), VerdictKind::Silent);
    assert_eq!(verdict.severity(), Severity::Problem);
    assert_eq!(doubt(&verdict), None);
}

#[test]
fn tests_within_moments_of_each_other_convict_nobody_however_many_are_counted() {
    // Keepalive has probed at 10 s and at 12 s; six more came of tests.
    let verdict = judge(probed((10, 2, 9), 13_000, 8, 900));
    assert_eq!(verdict.kind(), VerdictKind::Straining);
    let counted = verdict.evidence().find(|fact| fact.kind() == "keepalives-unanswered");
    assert_eq!(counted, Some(&Evidence::KeepalivesUnanswered { count: 2 }));
    let said = doubt(&verdict).expect("the count is explained");
    assert!(said.contains("8 keepalive probes") && said.contains("2 at the most"), "{said}");
}

#[test]
fn tests_before_keepalives_own_time_leave_the_connection_what_it_was() {
    let verdict = judge(probed((7200, 75, 9), 110_000, 5, 1_000));
    assert_eq!(verdict.kind(), VerdictKind::Quiet);
    assert!(doubt(&verdict).is_some_and(|said| said.contains("none came of keepalive")));
}

#[test]
fn the_options_of_a_test_under_way_are_nobodys_keepalive() {
    // Quiet for an hour, and in the hands of a test just now: by its options there was room for many.
    let verdict = judge(probed((1, 75, 127), 3_600_000, 8, 1_000));
    assert_eq!(verdict.kind(), VerdictKind::Quiet);
    assert!(doubt(&verdict).is_some_and(|said| said.contains("a test has its keepalive")));
}

#[test]
fn a_count_beside_keepalive_that_is_off_again_is_that_of_tests() {
    let mut seen = probed((7200, 75, 9), 86_400_000, 8, 1_000);
    seen.options_mut().keepalive = Some(false);
    let verdict = judge(seen);
    assert_eq!(verdict.kind(), VerdictKind::Quiet);
    assert!(doubt(&verdict).is_some_and(|said| said.contains("keepalive is off")));
}

#[test]
fn without_the_intervals_a_count_strains_and_convicts_only_where_the_defaults_have_room_for_it() {
    let unread = |silence_ms, probes| {
        let mut seen = probed((10, 2, 5), silence_ms, probes, 1_000);
        seen.options = OptionsSeen::Unread("needs CAP_SYS_PTRACE".into());
        judge(seen)
    };
    let verdict = unread(20_000, 5);
    assert_eq!(verdict.kind(), VerdictKind::Straining);
    assert!(doubt(&verdict).is_some_and(|said| said.contains("were not read")));
    // 7200 s and 75 s in the namespace: the third goes out after 7350 s, its answer is due by then.
    assert_eq!(unread(7_350_499, 4).kind(), VerdictKind::Straining);
    assert_eq!(unread(7_350_500, 4).kind(), VerdictKind::Silent);
}

#[test]
fn keepalive_that_was_turned_on_after_days_of_quiet_convicts_by_its_own_probes() {
    assert_eq!(judge(probed((20, 5, 4), 172_800_000, 3, 600)).kind(), VerdictKind::Silent);
}

#[test]
fn an_interval_that_is_not_known_convicts_nobody() {
    let mut seen = probed((10, 2, 5), 60_000, 5, 1_000);
    seen.options_mut().keepalive_interval = None;
    std::sync::Arc::make_mut(&mut seen.sysctls).keepalive_interval = None;
    assert_eq!(judge(seen).kind(), VerdictKind::Straining);
}

#[test]
fn a_proof_of_our_own_is_told_without_doubts_about_the_look_before_it() {
    let mut seen = probed((10, 2, 9), 13_000, 8, 900);
    seen.proof = Some(Proof::Unanswered { probes: 2, apart: ms(1000) });
    let verdict = judge(seen);
    assert_eq!((verdict.kind(), doubt(&verdict)), (VerdictKind::Straining, None));
}

prop_compose! {
    /// Idle time, interval and count as an application may set them.
    fn any_times()(idle in 1u64..600, interval in 1u64..120, count in 1u32..=127) -> (u64, u64, u32) {
        (idle, interval, count)
    }
}

proptest! {
    /// By tcp_keepalive_timer: the first probe after the idle time, each next one an interval after
    /// the last, every one late by what the timer wheel rounds up, an eighth at the most.
    #[test]
    fn a_sequence_of_the_kernels_own_is_believed_to_the_last_probe(
        times in any_times(),
        late in proptest::collection::vec(0u64..=125, 1..20),
        since in 0u64..=1000,
    ) {
        let (idle, interval, count) = times;
        prop_assume!((idle, count) != (1, 127));
        let delays = std::iter::once(idle).chain(std::iter::repeat(interval));
        let last: u64 = delays.zip(&late).map(|(delay, late)| delay * (1000 + late)).sum();
        let since = since * interval;
        let sent = u8::try_from(late.len()).unwrap();
        let seen = probed(times, last + since, sent, since);
        let answer_is_late = since >= 500;
        let overdue = u32::from(sent) - u32::from(!answer_is_late);
        let count = KeepaliveCount::of(&seen).unwrap();
        prop_assert_eq!((count.spaced(), count.unanswered()), (overdue, overdue));
        prop_assert_eq!(count.doubted(3), None);
        let silent = overdue >= 3 && last + since >= 3000;
        prop_assert_eq!(judge(seen).kind() == VerdictKind::Silent, silent);
    }

    #[test]
    fn no_count_convicts_before_three_probes_of_keepalive_could_have_been_sent(
        times in any_times(),
        silence in 0u64..1_000_000,
        probes in any::<u8>(),
        since in 0u64..=120_000,
        on in any::<Option<bool>>(),
    ) {
        let (idle, interval, _) = times;
        let mut seen = probed(times, silence, probes, since);
        seen.options_mut().keepalive = on;
        if judge(seen).kind().is_proved() {
            prop_assert!(silence >= (idle + 2 * interval) * 1000 + 500);
            prop_assert!(on != Some(false));
        }
    }

    #[test]
    fn less_silence_never_makes_a_stronger_verdict(
        times in any_times(),
        silence in 0u64..200_000,
        longer in 0u64..200_000,
        probes in any::<u8>(),
        since in 0u64..=120_000,
        read in any::<bool>(),
    ) {
        let strength = |silence| {
            let mut seen = probed(times, silence, probes, since);
            if !read {
                seen.options = OptionsSeen::Unread("not read".into());
            }
            strength(seen)
        };
        prop_assert!(strength(silence) <= strength(silence + longer));
    }
}
