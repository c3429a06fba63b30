//! Goal: what the cases demand, plain TCP does; so a relay that fails one has done something to the
//! connection. Method: all cases without a relay between the ends, on this host.

use std::time::Duration;

use halfopen_conformance::{Limits, Mark, Needs, Place, cases, suite};

#[test]
fn without_a_relay_every_case_passes_but_those_that_need_one() {
    let limits = Limits { slow: Duration::from_secs(2), crowd: 100, ..Limits::default() };
    let place = Place::Direct { in_lab: false };
    let outcomes = suite::play(&cases::all(), &place, limits, |_, _| ()).unwrap();
    assert_eq!(outcomes.len(), cases::all().len());
    for (case, outcome) in &outcomes {
        let due = match case.needs {
            Needs::Ends => Mark::Passed,
            _ => Mark::NotRun,
        };
        assert_eq!(outcome.mark, due, "{}: {}", case.name, outcome.said);
    }
    assert!(outcomes.iter().filter(|(case, _)| case.needs == Needs::Ends).count() >= 40);
}
