use std::num::NonZeroU32;

use super::*;
use crate::heartbeat::Judgement;

/// Moment 0 is a Monday, midnight, for ever without summer.
#[derive(Debug)]
struct Weeks;

impl Calendar for Weeks {
    fn day(&self, moment: Moment) -> Day {
        let seconds = moment.0.as_secs();
        let day = seconds / 86_400;
        Day {
            date: 20_280_103 + u32::try_from(day).unwrap(),
            weekday: u8::try_from(day % 7 + 1).unwrap(),
            hour: u8::try_from(seconds % 86_400 / 3600).unwrap(),
            offset_minutes: 0,
        }
    }
}

fn plan(faults: Faults) -> Plan<'static> {
    Plan {
        clients: 50,
        heartbeat: heartbeat::Policy {
            interval: Duration::from_secs(120),
            answer_within: Duration::from_secs(10),
            judgement: Judgement::Misses(NonZeroU32::new(3).unwrap()),
            ..heartbeat::Policy::default()
        },
        reconnect: reconnect::Policy::default(),
        length: DAY * 7,
        faults,
        calendar: &Weeks,
        rejects: None,
        seed: 1,
    }
}

fn week(faults: Faults) -> Report {
    run(&plan(faults))
}

#[track_caller]
fn assert_kept(report: &Report) {
    assert!(report.breaches.is_empty(), "{report}");
}

#[test]
fn a_week_in_which_nothing_goes_wrong_is_one_connection_for_each_client() {
    let report = week(Faults::NONE);
    assert_kept(&report);
    assert_eq!((report.attempts, report.excused, report.noticed.len()), (50, 0, 0));
}

#[test]
fn every_fault_alone_is_noticed_within_the_promise_and_everybody_comes_back() {
    let often = Some(DAY / 4);
    let cases = [
        (Fault::Crash, Faults { crash_every: often, ..Faults::NONE }),
        (Fault::Reboot, Faults { reboot_every: often, ..Faults::NONE }),
        (Fault::Renumbered, Faults { renumber_every: often, ..Faults::NONE }),
        (Fault::Forgotten, Faults { forgets_after: Some(Duration::from_secs(60)), ..Faults::NONE }),
    ];
    for (fault, faults) in cases {
        let report = week(faults);
        assert_kept(&report);
        assert!(report.noticed[&fault].times > 50, "{fault:?}: {report}");
    }
}

#[test]
fn partitions_freezes_and_slow_answers_kill_nobody_who_lives_without_an_excuse() {
    let often = Some(DAY / 4);
    for faults in [
        Faults { partition_every: often, ..Faults::NONE },
        Faults { freeze_every: often, ..Faults::NONE },
        Faults { slow: Duration::from_secs(9), ..Faults::NONE },
    ] {
        let report = week(faults);
        assert_kept(&report);
        assert!(report.noticed.is_empty(), "{report}");
    }
}

/// An hour's stop of a client must not look like the death of its server.
#[test]
fn a_clients_own_pauses_are_never_the_servers_fault() {
    let pause_for = Duration::from_secs(3600);
    let report = week(Faults { pause_every: Some(DAY / 4), pause_for, ..Faults::NONE });
    assert_kept(&report);
    assert_eq!((report.attempts, report.excused), (50, 0));
}

#[test]
fn all_faults_together_break_no_promise_whatever_the_seed() {
    for seed in 1..=5 {
        let report = run(&Plan { seed, ..plan(Faults::MANY) });
        assert!(report.breaches.is_empty(), "seed {seed}: {report}");
        assert!(report.noticed.len() >= 3, "seed {seed}: {report}");
    }
}

#[test]
fn a_server_that_rejects_everybody_on_saturdays_is_found_by_its_day() {
    let rejects: fn(&Day) -> bool = |day| day.weekday == 6;
    let report = run(&Plan { rejects: Some(rejects), length: DAY * 14, ..plan(Faults::MANY) });
    let found = report.breaches.iter().find_map(|breach| match breach {
        Breach::Unexplained(suspicion) => Some(suspicion),
        _ => None,
    });
    let found = found.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(found.common, "every one is on a Saturday");
    assert!(found.failures > 1000);
}

#[test]
fn failures_at_any_time_are_not_blamed_on_the_calendar() {
    let rejects: fn(&Day) -> bool = |day| day.hour % 5 == 0;
    let report = run(&Plan { rejects: Some(rejects), ..plan(Faults::NONE) });
    let told = report.to_string();
    assert!(told.contains("neither weekday, date nor hour in common"), "{told}");
}

#[test]
fn a_detector_that_is_too_quick_is_caught() {
    let heartbeat = heartbeat::Policy {
        answer_within: Duration::from_secs(2),
        judgement: Judgement::Misses(NonZeroU32::MIN),
        pause_after: Duration::from_secs(1),
        ..plan(Faults::NONE).heartbeat
    };
    let faults = Faults { slow: Duration::from_secs(4), ..Faults::NONE };
    let report = run(&Plan { heartbeat, ..plan(faults) });
    assert!(matches!(report.breaches[0], Breach::Mistaken { .. }), "{report}");
}

#[test]
fn a_seed_is_a_history() {
    assert_eq!(week(Faults::MANY), week(Faults::MANY));
    assert_ne!(week(Faults::MANY), run(&Plan { seed: 2, ..plan(Faults::MANY) }));
}
