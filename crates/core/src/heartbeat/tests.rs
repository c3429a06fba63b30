use super::*;

fn at(ms: u64) -> Moment {
    Moment(Duration::from_millis(ms))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Without jitter, so that every moment is known: quiet for 10 s, 2 s for an answer, `misses`.
fn policy(misses: u32) -> Policy {
    Policy {
        interval: secs(10),
        answer_within: secs(2),
        judgement: Judgement::Misses(NonZeroU32::new(misses).unwrap()),
        jitter_percent: 0,
        pause_after: secs(1),
    }
}

struct Trace {
    heartbeat: Heartbeat,
    chance: Chance,
}

impl Trace {
    fn new(policy: Policy) -> Self {
        let mut chance = Chance::new(1);
        Self { heartbeat: Heartbeat::new(policy, at(0), &mut chance), chance }
    }

    #[track_caller]
    fn expect(&mut self, ms: u64, next: Next) {
        assert_eq!(self.heartbeat.poll(at(ms), &mut self.chance), next);
    }

    #[track_caller]
    fn expect_beat(&mut self, ms: u64, beat: u32) {
        self.expect(ms, Next::Send(Beat(beat)));
        self.expect(ms, Next::WaitUntil(at(ms + 2000)));
    }
}

#[test]
fn a_silent_peer_is_dead_after_the_interval_and_n_misses_and_not_a_millisecond_sooner() {
    for misses in 1..=4 {
        let mut trace = Trace::new(policy(misses));
        trace.expect(0, Next::WaitUntil(at(10_000)));
        trace.expect(9_999, Next::WaitUntil(at(10_000)));
        for number in 0..misses {
            trace.expect_beat(10_000 + 2000 * u64::from(number), number);
            assert_eq!(trace.heartbeat.missed(), number);
        }
        let end = 10_000 + 2000 * u64::from(misses);
        trace.expect(end - 1, Next::WaitUntil(at(end)));
        let silent_for = Duration::from_millis(end);
        trace.expect(end, Next::Dead(Death { missed: misses, silent_for }));
        assert_eq!(policy(misses).detects_within(), Some(silent_for));
    }
}

#[test]
fn anything_heard_acquits_also_at_the_last_moment() {
    let mut trace = Trace::new(policy(2));
    trace.expect(0, Next::WaitUntil(at(10_000)));
    trace.expect_beat(10_000, 0);
    trace.expect_beat(12_000, 1);
    assert_eq!(trace.heartbeat.missed(), 1);
    trace.heartbeat.handle_heard(at(13_999));
    trace.heartbeat.handle_sent(at(13_999));
    assert_eq!(trace.heartbeat.missed(), 0);
    trace.expect(14_000, Next::WaitUntil(at(23_999)));
}

#[test]
fn no_heartbeat_goes_out_while_both_directions_are_busy() {
    let mut trace = Trace::new(policy(1));
    for second in 0..1000 {
        trace.heartbeat.handle_heard(at(second * 1000));
        trace.heartbeat.handle_sent(at(second * 1000 + 500));
        assert!(matches!(
            trace.heartbeat.poll(at(second * 1000 + 500), &mut trace.chance),
            Next::WaitUntil(_)
        ));
    }
}

/// One that only writes would never hear of the death of its reader, and one that only reads would
/// never be heard of.
#[test]
fn one_quiet_direction_is_enough_for_a_heartbeat() {
    for sends in [true, false] {
        let mut trace = Trace::new(policy(1));
        trace.expect(0, Next::WaitUntil(at(10_000)));
        for second in 1..10 {
            if sends {
                trace.heartbeat.handle_sent(at(second * 1000));
            } else {
                trace.heartbeat.handle_heard(at(second * 1000));
            }
        }
        trace.expect_beat(10_000, 0);
    }
}

#[test]
fn answers_out_of_order_are_life_and_only_the_last_tells_a_round_trip() {
    let mut trace = Trace::new(policy(3));
    trace.expect(0, Next::WaitUntil(at(10_000)));
    trace.expect_beat(10_000, 0);
    trace.expect_beat(12_000, 1);
    assert_eq!(
        trace.heartbeat.handle_answer(Beat(1), at(12_300)),
        Some(Duration::from_millis(300))
    );
    assert_eq!(trace.heartbeat.handle_answer(Beat(0), at(12_400)), None);
    trace.heartbeat.handle_sent(at(12_400));
    trace.expect(12_400, Next::WaitUntil(at(22_400)));
    assert_eq!(trace.heartbeat.handle_answer(Beat(77), at(12_500)), None);
}

#[test]
fn a_pause_of_our_own_is_never_held_against_the_peer() {
    let mut trace = Trace::new(policy(1));
    trace.expect(0, Next::WaitUntil(at(10_000)));
    trace.expect_beat(10_000, 0);
    // We asked to be run at 12 s, and were an hour later: the answer may lie unread.
    trace.expect_beat(3_612_000, 1);
    assert_eq!(trace.heartbeat.missed(), 0);
    assert_eq!(trace.heartbeat.paused(), secs(3600));
    // The peer has all of its time to answer now, and is dead if it does not.
    trace.expect(3_613_999, Next::WaitUntil(at(3_614_000)));
    let silent_for = secs(14);
    trace.expect(3_614_000, Next::Dead(Death { missed: 1, silent_for }));
}

#[test]
fn being_run_a_little_late_is_no_pause() {
    let mut trace = Trace::new(policy(1));
    trace.expect(0, Next::WaitUntil(at(10_000)));
    trace.expect_beat(10_900, 0);
    let silent_for = Duration::from_millis(13_800);
    trace.expect(13_800, Next::Dead(Death { missed: 1, silent_for }));
    assert_eq!(trace.heartbeat.paused(), Duration::ZERO);
}

/// The driver reads first and asks afterwards, or the other way round: a pause is noticed either way.
#[test]
fn what_is_read_after_a_pause_is_life_and_the_pause_is_counted() {
    let mut trace = Trace::new(policy(1));
    trace.expect(0, Next::WaitUntil(at(10_000)));
    trace.expect_beat(10_000, 0);
    trace.heartbeat.handle_answer(Beat(0), at(100_000));
    assert_eq!(trace.heartbeat.paused(), secs(88));
    assert!(matches!(
        trace.heartbeat.poll(at(100_000), &mut trace.chance),
        Next::Send(_) | Next::WaitUntil(_)
    ));
}

#[test]
fn jitter_only_shortens_and_spreads_what_began_at_once() {
    let policy = Policy { jitter_percent: 20, ..policy(1) };
    let mut chance = Chance::new(3);
    let mut due: Vec<Moment> = (0..1000)
        .map(|_| {
            let mut heartbeat = Heartbeat::new(policy, at(0), &mut chance);
            match heartbeat.poll(at(0), &mut chance) {
                Next::WaitUntil(due) => due,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    due.sort();
    assert!(due[0] >= at(8_000) && due[999] <= at(10_000), "{:?} {:?}", due[0], due[999]);
    assert!(due[999].since(due[0]) > Duration::from_millis(1_900));
}

#[test]
fn phi_waits_longer_on_a_path_that_varies_and_convicts_in_the_end() {
    let phi = Policy { judgement: Judgement::Phi { threshold: 8.0 }, ..policy(1) };
    let dies_after = |delays: [u64; 2]| {
        let mut trace = Trace::new(phi);
        let mut now = 0;
        for round in 0..200 {
            loop {
                match trace.heartbeat.poll(at(now), &mut trace.chance) {
                    Next::WaitUntil(until) => now = until.0.as_micros().div_ceil(1000) as u64,
                    Next::Send(beat) => {
                        now += delays[round % 2];
                        trace.heartbeat.handle_answer(beat, at(now));
                        trace.heartbeat.handle_sent(at(now));
                        break;
                    }
                    Next::Dead(death) => panic!("a living peer was called dead: {death:?}"),
                }
            }
        }
        let died = now;
        loop {
            match trace.heartbeat.poll(at(now), &mut trace.chance) {
                Next::WaitUntil(until) => now = until.0.as_micros().div_ceil(1000) as u64,
                Next::Send(_) => {}
                Next::Dead(_) => return now - died,
            }
        }
    };
    let (steady, rough) = (dies_after([20, 30]), dies_after([20, 1900]));
    assert!(steady < 14_000, "{steady}");
    assert!((steady + 1000..60_000).contains(&rough), "{steady} {rough}");
}

#[test]
fn a_policy_for_a_detection_time_detects_within_it() {
    for seconds in [1, 3, 10, 60, 3600] {
        let policy = Policy::detecting_within(secs(seconds));
        assert_eq!(policy.detects_within(), Some(secs(seconds)));
        assert!(policy.pause_after < policy.answer_within);
    }
    assert_eq!(Policy::default().detects_within(), Some(secs(60)));
}
