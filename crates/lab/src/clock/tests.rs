use halfopen_core::detection::Interval;

use super::*;
use crate::forecast::By;

const NONE: &str = "there is no machine";

fn scenario(stop: &str) -> Scenario {
    let text = format!(
        "topology = \"routed\"\n[[at]]\nwhen = \"1s after established\"\nfault = \"cut\"\n{stop}"
    );
    Scenario::read("a.toml", &text, &[]).unwrap()
}

fn within(seconds: u64) -> Foreseen {
    let within = Interval::exactly(Duration::from_secs(seconds));
    Foreseen::Within { within, by: By::Timers, why: String::new() }
}

fn never() -> Foreseen {
    Foreseen::Never { why: String::new() }
}

fn chosen(stop: &str, of_pair: bool, both: [&Foreseen; 2], no_machine: Option<&str>) -> Choice {
    by_forecast(&scenario(stop), both.map(Some), of_pair, no_machine)
}

#[test]
fn two_minutes_are_waited_for_and_a_second_more_is_leapt_over() {
    let clock = |seconds| chosen("", true, [&within(seconds), &never()], None).clock;
    assert_eq!((clock(120), clock(121)), (Clock::Real, Clock::Warp));
}

#[test]
fn without_a_machine_timers_are_rescaled_and_the_reason_says_what_is_missing() {
    let choice = chosen("", true, [&never(), &within(7_875)], Some(NONE));
    assert_eq!(choice.clock, Clock::Rescale);
    assert!(choice.why.contains("2h11m") && choice.why.contains(NONE), "{}", choice.why);
}

#[test]
fn a_limit_that_nobody_asked_for_grows_with_what_is_foreseen() {
    let both = [&within(7_200), &never()];
    let choice = chosen("", true, both, None);
    assert_eq!(choice.limit, Some(Duration::from_secs(8_100)));
    let choice = chosen("[stop]\nlimit = \"9000s\"", true, both, None);
    assert_eq!((choice.clock, choice.limit), (Clock::Warp, None));
}

#[test]
fn what_comes_after_a_given_limit_is_not_waited_for() {
    let choice = chosen("[stop]\nlimit = \"90s\"", true, [&within(7_200), &never()], None);
    assert_eq!(choice.clock, Clock::Real);
}

#[test]
fn a_program_may_have_timers_of_its_own_and_the_pair_has_none() {
    let long = "[stop]\nlimit = \"1h\"";
    let both = [&never(), &never()];
    assert_eq!(chosen(long, true, both, None).clock, Clock::Real);
    assert_eq!(chosen(long, false, both, None).clock, Clock::Warp);
    // Shorter timers of the kernel would not shorten those of a program.
    assert_eq!(chosen(long, false, both, Some(NONE)).clock, Clock::Real);
    assert_eq!(chosen("", false, both, None).clock, Clock::Real);
}

#[test]
fn a_short_scenario_needs_no_look_at_sockets_and_one_with_an_open_end_does() {
    let clock = |stop: &str| by_scenario(&scenario(stop), None).map(|choice| choice.clock);
    assert_eq!(clock("[stop]\nlimit = \"90s\""), Some(Clock::Real));
    assert_eq!(clock(""), None);
    assert_eq!(clock("[stop]\nlimit = \"9000s\""), None);
}

#[test]
fn a_long_timeline_is_leapt_over_whatever_the_sockets_say() {
    let week = scenario("[stop]\nlimit = \"7d\"\nwhen = \"limit\"");
    assert_eq!(by_scenario(&week, None).map(|choice| choice.clock), Some(Clock::Warp));
    let choice = by_scenario(&week, Some(NONE)).unwrap();
    assert!(choice.clock == Clock::Real && choice.why.contains(NONE), "{}", choice.why);
}

#[test]
fn connecting_is_short_by_nature() {
    let text = "[[at]]\nwhen = \"before the client starts\"\nfault = \"syn-dropped\"\n";
    let birth = Scenario::read("a.toml", text, &[]).unwrap();
    assert_eq!(by_scenario(&birth, None).map(|choice| choice.clock), Some(Clock::Real));
}
