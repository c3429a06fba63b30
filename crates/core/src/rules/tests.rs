//! Each verdict at its boundary, and what holds for all of them.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use crate::{
    Diagnosis, Evidence, KernelTimer, Listener, Observation, OptionsSeen, PeerTallies, Proof,
    Severity, Siblings, TcpState, Thresholds, TrackedEntry, TrackedState, Tracking, Verdict,
    VerdictKind,
    trace::{established, ms},
};

fn judge(seen: Observation) -> Verdict {
    Diagnosis::of(seen, &Thresholds::default()).verdict
}

#[track_caller]
fn expect(seen: Observation, kind: VerdictKind) -> Verdict {
    let verdict = judge(seen);
    assert_eq!(verdict.kind(), kind, "{verdict:#?}");
    verdict
}

/// Sent again `retransmits` times over `running`, to a peer that has been silent for longer.
fn unanswered(retransmits: u8, running: u64) -> Observation {
    established().heard(ms(running + 500)).retransmitting(retransmits, ms(running), ms(100))
}

#[test]
fn a_peer_heard_within_a_minute_is_alive_and_quiet_after_it() {
    expect(established().heard(ms(59_999)), VerdictKind::Alive);
    expect(established().heard(ms(60_000)), VerdictKind::Quiet);
}

#[test]
fn a_quiet_connection_without_keepalive_is_worth_a_notice_and_with_it_is_fine() {
    let quiet = established().heard(ms(120_000));
    let verdict = expect(quiet.clone(), VerdictKind::Quiet);
    assert_eq!(verdict.severity(), Severity::Notice);
    assert!(verdict.headline().contains("never learn"), "{}", verdict.headline());
    let timer = KernelTimer::Keepalive { probes: 0, expires_in: ms(100_000) };
    let verdict = expect(quiet.keepalive(200, 10, 3).timer(timer), VerdictKind::Quiet);
    assert_eq!(verdict.severity(), Severity::Fine);
}

#[test]
fn three_unanswered_retransmissions_over_three_seconds_convict_and_nothing_less_does() {
    expect(unanswered(3, 3_004), VerdictKind::Silent);
    expect(unanswered(3, 2_900), VerdictKind::Straining);
    expect(unanswered(2, 60_000), VerdictKind::Straining);
    expect(unanswered(1, 10), VerdictKind::Straining);
}

#[test]
fn a_peer_heard_after_the_silence_began_acquits() {
    expect(unanswered(5, 6_000).heard(ms(2_999)), VerdictKind::Straining);
    expect(unanswered(5, 6_000).heard(ms(3_000)), VerdictKind::Silent);
}

#[test]
fn one_lost_keepalive_is_not_a_conviction_and_the_third_counts_once_its_answer_is_overdue() {
    let probed = |probes, expires| {
        established()
            .keepalive(10, 2, 5)
            .heard(ms(20_000))
            .timer(KernelTimer::Keepalive { probes, expires_in: ms(expires) })
    };
    expect(probed(1, 1_900), VerdictKind::Alive);
    expect(probed(1, 1_000), VerdictKind::Straining);
    // Data that came since leaves the kernel's count as it was.
    expect(probed(3, 1_000).heard(ms(9_999)), VerdictKind::Alive);
    expect(probed(3, 1_600), VerdictKind::Straining);
    expect(probed(3, 1_500), VerdictKind::Silent);
}

#[test]
fn probes_of_ours_convict_only_in_number_and_apart() {
    let probed = |probes, apart| {
        let mut seen = established().heard(ms(100_000));
        seen.proof = Some(Proof::Unanswered { probes, apart: ms(apart) });
        seen
    };
    expect(probed(3, 1_000), VerdictKind::Silent);
    expect(probed(2, 1_000), VerdictKind::Straining);
    expect(probed(3, 999), VerdictKind::Straining);
}

#[test]
fn siblings_tell_a_dead_host_from_a_dead_path() {
    let with = |heard, unanswered_too| {
        let mut seen = unanswered(6, 10_000);
        seen.siblings = Siblings { heard, unanswered: unanswered_too };
        expect(seen, VerdictKind::Silent).headline().into_owned()
    };
    assert!(with(2, 0).contains("this path or flow only"));
    assert!(with(0, 2).contains("host or path gone"));
    assert!(with(0, 0).contains("or the path swallows everything"));
}

#[test]
fn a_reset_proves_half_open_whatever_else_was_seen() {
    for mut seen in [established(), unanswered(9, 60_000), established().orphaned()] {
        seen.proof = Some(Proof::Reset { ago: ms(3) });
        let verdict = expect(seen, VerdictKind::HalfOpen);
        assert_eq!(verdict.severity(), Severity::Problem);
    }
}

#[test]
fn an_answered_probe_makes_a_long_quiet_connection_alive() {
    let mut seen = established().heard(ms(86_400_000));
    seen.proof = Some(Proof::Answered { rtt: Duration::from_micros(160) });
    expect(seen, VerdictKind::Alive);
}

#[test]
fn an_answered_probe_makes_alive_also_what_is_half_closed_or_held_by_nobody() {
    let answered = |mut seen: Observation| {
        seen.proof = Some(Proof::Answered { rtt: ms(1) });
        expect(seen, VerdictKind::Alive);
    };
    answered(established().in_state(TcpState::CloseWait));
    answered(established().in_state(TcpState::FinWait2));
    answered(established().in_state(TcpState::FinWait2).orphaned());
}

#[test]
fn probes_that_came_after_the_last_word_convict_however_lately_that_was() {
    let proof = |probes| Some(Proof::Unanswered { probes, apart: Duration::from_secs(1) });
    let mut seen = established().in_state(TcpState::CloseWait).heard(ms(1_000));
    seen.proof = proof(3);
    expect(seen.clone(), VerdictKind::Silent);
    seen.proof = proof(2);
    expect(seen, VerdictKind::Straining);
}

#[test]
fn a_shut_window_is_blocked_while_probes_are_answered_and_silent_when_they_are_not() {
    let shut = |probes| {
        let timer = KernelTimer::WindowProbe { probes, expires_in: ms(900) };
        let mut seen = established().heard(ms(30_000)).timer(timer);
        let info = seen.info_mut();
        (info.send_window, info.backoff, info.rto) = (Some(0), Some(4), Some(ms(208)));
        info.last_data_sent = Some(ms(30_000));
        seen
    };
    let verdict = expect(shut(1), VerdictKind::Blocked);
    assert_eq!(verdict.severity(), Severity::Problem);
    expect(shut(2), VerdictKind::Straining);
    expect(shut(4), VerdictKind::Silent);
}

#[test]
fn data_that_our_application_leaves_for_ten_seconds_is_blocked() {
    let unread = |waiting| {
        let mut seen = established().heard(ms(waiting));
        seen.sample.receive_queue = 500;
        seen
    };
    expect(unread(9_999), VerdictKind::Alive);
    expect(unread(10_000), VerdictKind::Blocked);
}

#[test]
fn a_connection_that_nobody_accepts_is_blocked_and_not_orphaned() {
    let mut seen = established().heard(ms(20_000)).orphaned();
    seen.listener = Some(Arc::new(Listener {
        netns: seen.sample.id.netns,
        local: seen.sample.endpoints.local,
        accept_queue: 3,
        backlog: 128,
        embryonic: None,
        syn_retries: None,
        defer_accept_s: None,
    }));
    let verdict = expect(seen, VerdictKind::Blocked);
    assert!(verdict.headline().contains("accept"), "{}", verdict.headline());
}

#[test]
fn an_unread_fin_is_told_from_a_leak() {
    let close_wait = |queue, heard| {
        let mut seen = established().in_state(TcpState::CloseWait).heard(ms(heard));
        seen.sample.receive_queue = queue;
        expect(seen, VerdictKind::HalfClosed)
    };
    assert!(close_wait(1, 1_000).headline().contains("has not read the end"));
    assert!(close_wait(0, 1_000).headline().contains("has not closed"));
    assert_eq!(close_wait(0, 59_999).severity(), Severity::Notice);
    assert_eq!(close_wait(0, 60_000).severity(), Severity::Problem);
}

#[test]
fn a_half_close_of_ours_waits_for_the_peer_and_may_wait_for_ever() {
    let verdict = expect(established().in_state(TcpState::FinWait2), VerdictKind::HalfClosed);
    assert!(verdict.headline().contains("for ever"), "{}", verdict.headline());
}

#[test]
fn a_connection_closed_by_its_process_is_orphaned() {
    for state in [TcpState::FinWait1, TcpState::FinWait2, TcpState::LastAck, TcpState::Closing] {
        expect(established().in_state(state).orphaned(), VerdictKind::Orphaned);
    }
}

#[test]
fn both_halves_of_a_handshake_are_embryonic() {
    let syn = |state, retransmits| {
        let timer = KernelTimer::Retransmit { retransmits, expires_in: ms(100) };
        expect(established().in_state(state).timer(timer), VerdictKind::Embryonic).severity()
    };
    assert_eq!(syn(TcpState::SynSent, 2), Severity::Notice);
    assert_eq!(syn(TcpState::SynSent, 3), Severity::Problem);
    assert_eq!(syn(TcpState::SynReceived, 5), Severity::Notice);
}

#[test]
fn time_wait_is_closing_and_needs_nobody() {
    let timer = KernelTimer::TimeWait { expires_in: ms(30_000) };
    let mut seen = established().in_state(TcpState::TimeWait).timer(timer).orphaned();
    seen.sample.info = None;
    assert_eq!(expect(seen, VerdictKind::Closing).severity(), Severity::Fine);
}

#[test]
fn without_tcp_info_an_open_connection_is_unknown() {
    let mut seen = established();
    seen.sample.info = None;
    expect(seen, VerdictKind::Unknown);
    expect(established().in_state(TcpState::Other(42)), VerdictKind::Unknown);
}

/// Tracked, with so many seconds to live.
fn tracked(remaining_s: u64) -> Tracking {
    Tracking::Entry(Box::new(TrackedEntry {
        state: Some(TrackedState::Established),
        remaining: Some(Duration::from_secs(remaining_s)),
        assured: Some(true),
        offloaded: Some(false),
        opened_by_peer: false,
        zone: None,
        translation: None,
    }))
}

/// Kind and severity are judged first, so tracking adds to whatever they are.
fn with_tracking(mut seen: Observation, tracking: Tracking) -> (Verdict, Vec<&'static str>) {
    seen.tracking = tracking;
    let verdict = judge(seen);
    let kinds = verdict.evidence().map(Evidence::kind).collect();
    (verdict, kinds)
}

#[test]
fn a_tracked_connection_is_told_when_its_entry_dies_and_that_changes_nothing_else() {
    for seen in [
        established(),
        established().heard(ms(120_000)),
        established().in_state(TcpState::CloseWait),
        established().in_state(TcpState::FinWait2),
    ] {
        let before = judge(seen.clone());
        let (after, kinds) = with_tracking(seen, tracked(59));
        assert!(kinds.contains(&"tracking-expires"), "{kinds:?}");
        assert_eq!((before.kind(), before.severity()), (after.kind(), after.severity()));
        assert_eq!(before.headline(), after.headline());
    }
}

#[test]
fn an_entry_dies_before_the_probe_only_if_that_is_certain() {
    let probed = |remaining_s| {
        let timer = KernelTimer::Keepalive { probes: 0, expires_in: ms(80_000) };
        let seen = established().heard(ms(120_000)).keepalive(200, 10, 3).timer(timer);
        with_tracking(seen, tracked(remaining_s)).0.evidence().last().unwrap().clone()
    };
    let dies_first = probed(77);
    assert_eq!(dies_first.kind(), "tracking-expires-before-keepalive");
    assert_eq!(dies_first.numbers()[0], ("expires_in_ms", 77_000));
    assert!(dies_first.to_string().contains("77s, before the next keepalive probe in 79s"));
    // The probe is due in 80 s, or a tick earlier by the rounding of ages.
    assert_eq!(probed(78).kind(), "tracking-expires");
}

#[test]
fn without_its_options_read_no_probe_is_held_against_the_entry() {
    let timer = KernelTimer::Keepalive { probes: 0, expires_in: ms(5_000) };
    let mut seen = established().heard(ms(120_000)).timer(timer);
    seen.options = OptionsSeen::Unread("not read".into());
    let (_, kinds) = with_tracking(seen, tracked(59));
    assert!(kinds.contains(&"tracking-expires"), "{kinds:?}");
}

#[test]
fn a_forgotten_connection_keeps_its_verdict_and_is_worth_a_notice() {
    let timer = KernelTimer::Keepalive { probes: 0, expires_in: ms(80_000) };
    for seen in [
        established(),
        established().heard(ms(120_000)).keepalive(200, 10, 3).timer(timer),
        established().heard(ms(120_000)),
        established().in_state(TcpState::FinWait2),
    ] {
        let before = judge(seen.clone());
        let (after, kinds) = with_tracking(seen, Tracking::Forgotten { others: 4 });
        assert_eq!(before.kind(), after.kind());
        assert_eq!(after.severity(), before.severity().max(Severity::Notice));
        assert!(kinds.contains(&"tracking-forgot"), "{kinds:?}");
    }
    let leak = established().in_state(TcpState::CloseWait).heard(ms(60_000));
    let (verdict, _) = with_tracking(leak, Tracking::Forgotten { others: 4 });
    assert_eq!(verdict.severity(), Severity::Problem);
}

#[test]
fn what_is_not_tracked_not_seen_or_kept_by_a_flowtable_is_no_evidence() {
    let Tracking::Entry(entry) = tracked(59) else { unreachable!() };
    let offloaded = TrackedEntry { offloaded: Some(true), ..(*entry).clone() };
    let silent = TrackedEntry { remaining: None, ..*entry };
    for tracking in [
        Tracking::NotTracked,
        Tracking::Unseen("needs CAP_NET_ADMIN".into()),
        Tracking::Entry(Box::new(offloaded)),
        Tracking::Entry(Box::new(silent)),
    ] {
        let (verdict, kinds) = with_tracking(established(), tracking);
        assert!(!kinds.iter().any(|kind| kind.starts_with("tracking")), "{kinds:?}");
        assert_eq!(verdict.severity(), Severity::Fine);
    }
}

fn any_tracking() -> impl Strategy<Value = Tracking> {
    let entry = (any_span(), any::<Option<bool>>()).prop_map(|(remaining, offloaded)| {
        let Tracking::Entry(entry) = tracked(0) else { unreachable!() };
        Tracking::Entry(Box::new(TrackedEntry { remaining, offloaded, ..*entry }))
    });
    prop_oneof![
        Just(Tracking::NotTracked),
        any::<u32>().prop_map(|others| Tracking::Forgotten { others }),
        entry,
    ]
}

fn any_state() -> impl Strategy<Value = TcpState> {
    (0u8..15).prop_map(TcpState::from_kernel)
}

fn any_timer() -> impl Strategy<Value = KernelTimer> {
    (0u8..8, any::<u8>(), any::<u32>())
        .prop_map(|(kind, count, expires)| KernelTimer::from_kernel(kind, count, expires))
}

fn any_span() -> impl Strategy<Value = Option<Duration>> {
    proptest::option::of(any::<u32>().prop_map(|millis| ms(millis.into())))
}

prop_compose! {
    fn any_options()(
        keepalive in any::<Option<bool>>(),
        times in (any_span(), any_span(), proptest::option::of(0u32..200)),
        user_timeout in any_span(),
        rto_max in any_span(),
        syn_retries in proptest::option::of(any::<u32>()),
        thin_linear in any::<Option<bool>>(),
    ) -> crate::SocketOptions {
        crate::SocketOptions {
            keepalive,
            keepalive_idle: times.0,
            keepalive_interval: times.1,
            keepalive_probes: times.2,
            user_timeout,
            rto_max,
            syn_retries,
            thin_linear,
            ..crate::SocketOptions::default()
        }
    }
}

prop_compose! {
    fn any_info()(
        counts in (any::<Option<u8>>(), any::<Option<u8>>(), any::<Option<u8>>()),
        ages in (any_span(), any_span(), any_span()),
        (rto, srtt) in (any_span(), any_span()),
        segments in (any::<Option<u32>>(), any::<Option<u32>>()),
        windows in (any::<Option<u32>>(), any::<Option<u32>>()),
        episodes in (any::<Option<u16>>(), any_span(), any_span()),
        sack in any::<Option<bool>>(),
    ) -> crate::TcpInfo {
        crate::TcpInfo {
            retransmits: counts.0,
            probes: counts.1,
            backoff: counts.2,
            last_data_sent: ages.0,
            last_data_received: ages.1,
            last_ack_received: ages.2,
            rto,
            srtt,
            unacked_segments: segments.0,
            retransmitted_segments: segments.1,
            send_window: windows.0,
            unsent_bytes: windows.1,
            total_rto_recoveries: episodes.0,
            total_rto_time: episodes.1,
            receive_window_limited: episodes.2,
            sack,
            ..crate::TcpInfo::default()
        }
    }
}

prop_compose! {
    fn any_observation()(
        state in any_state(),
        timer in any_timer(),
        info in proptest::option::of(any_info()),
        options in proptest::option::of(any_options()),
        inode in any::<Option<u64>>(),
        queues in any::<(u32, u32)>(),
        sysctls in (any::<Option<u8>>(), any::<Option<u8>>(), any::<Option<u8>>(), any_span()),
        (heard, unanswered) in any::<(u32, u32)>(),
        tracking in any_tracking(),
    ) -> Observation {
        let mut seen = established().in_state(state).timer(timer);
        seen.sample.info = info;
        seen.sample.inode = inode;
        (seen.sample.receive_queue, seen.sample.send_queue) = queues;
        seen.options = options
            .map_or_else(
                || OptionsSeen::Unread("not read".into()),
                |options: crate::SocketOptions| OptionsSeen::Read(options.into()),
            );
        Arc::make_mut(&mut seen.sysctls).retries2 = sysctls.0.map(u32::from);
        Arc::make_mut(&mut seen.sysctls).orphan_retries = sysctls.1.map(u32::from);
        Arc::make_mut(&mut seen.sysctls).syn_retries = sysctls.2.map(u32::from);
        Arc::make_mut(&mut seen.sysctls).rto_max = sysctls.3;
        seen.siblings = Siblings { heard, unanswered };
        seen.tracking = tracking;
        seen
    }
}

/// The same connection, seen with more evidence that nobody answers.
fn worse(mut seen: Observation, more: u8, longer: Duration) -> Observation {
    seen.sample.timer = match seen.sample.timer {
        KernelTimer::Retransmit { retransmits, expires_in } => {
            KernelTimer::Retransmit { retransmits: retransmits.saturating_add(more), expires_in }
        }
        KernelTimer::Keepalive { probes, expires_in } => {
            KernelTimer::Keepalive { probes: probes.saturating_add(more), expires_in }
        }
        KernelTimer::WindowProbe { probes, expires_in } => {
            KernelTimer::WindowProbe { probes: probes.saturating_add(more), expires_in }
        }
        other => other,
    };
    if let Some(info) = seen.sample.info.as_mut() {
        for age in [
            &mut info.last_data_received,
            &mut info.last_ack_received,
            &mut info.total_rto_time,
            &mut info.last_data_sent,
        ] {
            *age = age.map(|age| age.saturating_add(longer));
        }
    }
    seen
}

proptest! {
    #[test]
    fn no_observation_makes_the_core_panic_and_every_verdict_has_evidence(
        seen in any_observation(),
    ) {
        let diagnosis = Diagnosis::of(seen, &Thresholds::default());
        prop_assert!(diagnosis.verdict.evidence().next().is_some());
        for learns in [Some(&diagnosis.learns.idle), Some(&diagnosis.learns.busy), diagnosis.learns.now.as_ref()] {
            if let Some(within) = learns.and_then(|learns| learns.within()) {
                prop_assert!(within.min() <= within.max());
            }
        }
    }

    #[test]
    fn others_to_the_same_peer_matter_only_where_it_is_said_that_they_may(
        seen in any_observation(),
    ) {
        let alone = Observation { siblings: Siblings::default(), ..seen.clone() };
        prop_assert!(judge(alone) == judge(seen.clone()) || PeerTallies::may_matter_to(&seen.sample));
    }

    #[test]
    fn more_silence_never_weakens_a_proved_verdict(
        seen in any_observation(),
        more in any::<u8>(),
        longer in any::<u32>(),
    ) {
        let before = judge(seen.clone()).kind();
        if before.is_proved() {
            let later = worse(seen.clone(), more, ms(longer.into()));
            // An age of more than the host was up is none, and tells of no silence.
            prop_assume!(later.sample.last_heard().is_some() == seen.sample.last_heard().is_some());
            let after = judge(later).kind();
            prop_assert!(after.is_proved(), "{before} became {after}");
        }
    }

    #[test]
    fn tracking_never_changes_the_kind_of_a_verdict(
        seen in any_observation(),
        tracking in any_tracking(),
    ) {
        let before = judge(seen.clone()).kind();
        prop_assert_eq!(judge(Observation { tracking, ..seen }).kind(), before);
    }

    #[test]
    fn a_reset_makes_every_connection_half_open(seen in any_observation()) {
        let seen = Observation { proof: Some(Proof::Reset { ago: ms(1) }), ..seen };
        prop_assert_eq!(judge(seen).kind(), VerdictKind::HalfOpen);
    }

    #[test]
    fn a_shorter_user_timeout_makes_the_busy_value_longer_by_the_wheels_rounding_at_most(
        short in 1u64..600_000,
        more in 0u64..600_000,
        retries in 0u32..16,
    ) {
        let max = |timeout| {
            let seen = established().retries2(retries).user_timeout(timeout);
            crate::detection::detection_time(&seen).busy.within().expect("all was read").max()
        };
        let rounding = established().tick.lateness(ms(short + more));
        prop_assert!(max(short) <= max(short + more) + rounding);
    }
}

/// Heard a second ago, or 49.7 days and a second.
fn on_a_host_up_for_60_days() -> Observation {
    let mut seen = established().keepalive(7200, 75, 9);
    seen.sample.taken_at = crate::Moment(Duration::from_secs(60 * 86_400));
    seen
}

#[test]
fn an_age_that_may_have_wrapped_says_so_beside_it() {
    let verdict = expect(on_a_host_up_for_60_days(), VerdictKind::Alive);
    let kinds: Vec<_> = verdict.evidence().map(Evidence::kind).collect();
    assert_eq!(kinds[..2], ["peer-heard", "age-may-have-wrapped"]);
    let said = verdict.evidence().nth(1).unwrap().to_string();
    assert!(said.contains("49d17h earlier") && said.contains("up for 60d"), "{said}");
    let quiet = expect(on_a_host_up_for_60_days().heard(ms(120_000)), VerdictKind::Quiet);
    assert!(quiet.evidence().any(|fact| fact.kind() == "age-may-have-wrapped"));
    let young = expect(established(), VerdictKind::Alive);
    assert!(young.evidence().all(|fact| fact.kind() != "age-may-have-wrapped"));
}

#[test]
fn alive_is_not_claimed_from_a_wrapped_age_while_a_keepalive_probe_waits() {
    let probing = KernelTimer::Keepalive { probes: 1, expires_in: ms(75_000) };
    let mut seen = on_a_host_up_for_60_days().timer(probing);
    seen.info_mut().last_data_received = Some(ms(300_000));
    expect(seen.clone(), VerdictKind::Quiet);
    // The peer's data does not always take the count of probes back.
    expect(seen.clone().heard(ms(1000)), VerdictKind::Alive);
    // On a younger host the age is what it says.
    seen.sample.taken_at = established().sample.taken_at;
    expect(seen, VerdictKind::Alive);
}
