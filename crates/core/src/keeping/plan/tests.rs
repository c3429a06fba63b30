use proptest::prelude::*;

use super::*;
use crate::trace::{established, ms};

fn within(seconds: u64) -> Objective {
    Objective {
        detect_within: Duration::from_secs(seconds),
        survive_idle: None,
        user_timeout: false,
    }
}

#[track_caller]
fn change(seen: &Observation, objective: &Objective) -> Plan {
    match plan(seen, objective, None) {
        Planned::Change(plan) => *plan,
        other => panic!("no change: {other:?}"),
    }
}

fn idle_max(learns: &DetectionTime) -> Duration {
    learns.idle.within().expect("keepalive is on").max()
}

#[test]
fn never_becomes_within_a_minute() {
    let plan = change(&established(), &within(60));
    assert!(plan.learns_before.idle.is_never());
    assert!(idle_max(&plan.learns_after) <= Duration::from_secs(60), "{plan:?}");
    assert_eq!(plan.keepalive.probes, 3);
    assert_eq!(plan.learns_after.busy, plan.learns_before.busy);
    assert!(plan.harms.contains(&Harm::BusyStays));
}

#[test]
fn a_connection_that_meets_the_objective_is_left_alone() {
    let timer = KernelTimer::Keepalive { probes: 0, expires_in: ms(9_000) };
    let seen = established().keepalive(10, 5, 3).heard(ms(0)).timer(timer);
    assert!(matches!(plan(&seen, &within(60), None), Planned::Met(_)));
    assert!(matches!(plan(&seen, &within(20), None), Planned::Change(_)));
}

#[test]
fn what_a_probe_has_set_for_a_moment_is_not_taken_for_what_was_there_before() {
    let shot = established().keepalive(1, 75, 127);
    for objective in [within(60), within(100_000)] {
        assert_eq!(plan(&shot, &objective, None), Planned::Refused(Refusal::BeingProbed));
    }
    let own = established().keepalive(1, 75, 126);
    assert!(matches!(plan(&own, &within(60), None), Planned::Change(_)));
}

#[test]
fn a_box_that_forgets_is_reminded_twice_before_it_does() {
    let objective = Objective { survive_idle: Some(Duration::from_secs(350)), ..within(3600) };
    let times = change(&established(), &objective).keepalive;
    assert!(times.idle + times.interval < Duration::from_secs(350), "{times:?}");
}

#[test]
fn the_busy_value_is_bounded_only_when_asked_for_and_the_harm_is_told() {
    let objective = Objective { user_timeout: true, ..within(60) };
    let plan = change(&established().heard(ms(0)), &objective);
    let busy = plan.learns_after.busy.within().expect("a bound").max();
    assert!(busy <= Duration::from_secs(62), "{busy:?}");
    assert!(plan.harms.contains(&Harm::EndsUnreadingPeers));
    assert!(plan.harms.contains(&Harm::ProbeCountOverridden));
}

#[test]
fn a_user_timeout_is_never_below_the_time_the_connection_has_been_idle() {
    let seen = established().heard(ms(7_200_000));
    let plan = change(&seen, &Objective { user_timeout: true, ..within(60) });
    assert_eq!(plan.user_timeout, None);
    assert!(plan.harms.contains(&Harm::IdleTooLongForUserTimeout { idle: ms(7_200_000) }));
}

#[test]
fn a_user_timeout_of_the_applications_own_that_lets_one_lost_probe_decide_is_told() {
    let mut seen = established();
    if let OptionsSeen::Read(options) = &mut seen.options {
        Arc::make_mut(options).user_timeout = Some(ms(30_000));
    }
    let plan = change(&seen, &within(60));
    assert!(plan.harms.contains(&Harm::FewerProbesDecide { timeout: ms(30_000) }));
}

#[test]
fn what_nobody_holds_or_what_is_not_open_is_refused() {
    let refusal = |seen: Observation| match plan(&seen, &within(60), None) {
        Planned::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(refusal(established().in_state(TcpState::FinWait2).orphaned()), Refusal::Orphan);
    assert_eq!(
        refusal(established().in_state(TcpState::SynSent)),
        Refusal::NotOpen(TcpState::SynSent)
    );
    let mut unread = established();
    unread.options = OptionsSeen::Unread("needs CAP_SYS_PTRACE".into());
    assert_eq!(refusal(unread.clone()), Refusal::OptionsUnread);
    // Privilege would not help where no process has a descriptor.
    unread.sample.inode = None;
    assert_eq!(refusal(unread), Refusal::NotAccepted);
}

#[test]
fn an_objective_too_short_for_whole_seconds_is_refused_with_what_can_be_promised() {
    let Planned::Refused(Refusal::TooShort { least }) = plan(&established(), &within(3), None)
    else {
        panic!("three seconds cannot be promised");
    };
    assert!(least > Duration::from_secs(4));
    let enough = Objective { detect_within: least, ..within(0) };
    assert!(matches!(plan(&established(), &enough, None), Planned::Change(_)));
}

proptest! {
    #[test]
    fn whatever_is_planned_keeps_its_promise(
        seconds in 5u64..100_000,
        heard in 0u64..10_000_000,
        wait in 1u64..30_000,
        user_timeout in any::<bool>(),
    ) {
        let seen = established().heard(ms(heard));
        let objective = Objective { user_timeout, ..within(seconds) };
        if let Planned::Change(plan) = plan(&seen, &objective, Some(Duration::from_secs(wait))) {
            prop_assert!(idle_max(&plan.learns_after) <= Duration::from_secs(seconds), "{plan:?}");
            prop_assert!(plan.keepalive.idle >= Duration::from_secs(1));
        }
    }
}
