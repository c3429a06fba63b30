//! Every rule by which the kernel ends a connection: what core predicts contains what is measured.
//! Method: all cases at once, each in a lab of its own, with timers of seconds.

use halfopen_lab::trial;

use crate::requires_lab;

#[test]
fn every_measured_detection_time_lies_in_the_predicted_interval() {
    requires_lab!();
    let outcomes = trial::run(&trial::cases());
    let table = trial::table(&outcomes);
    println!("{table}");
    assert!(outcomes.iter().all(trial::Outcome::is_hit), "\n{table}");
}
