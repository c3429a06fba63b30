//! The queue of a slow link, to the byte.

use super::*;
use crate::wire::Rate;

fn slow(bits_per_second: u64, queue: u64) -> Path {
    let rate = Some(Rate { bits_per_second, queue });
    Path::new(End::Left, Link { rate, ..Link::default() })
}

const NOW: Moment = Moment(Duration::from_secs(5));

#[test]
fn a_queue_takes_exactly_what_it_holds() {
    let mut path = slow(8_000, 150);
    assert!(path.take(NOW, (1, 2), 100).is_ok());
    assert_eq!(path.take(NOW, (1, 2), 51), Err(Loss::QueueFull));
    let plan = path.take(NOW, (1, 2), 50).unwrap();
    assert_eq!(plan.marks.held, Duration::from_millis(150));
}

#[test]
fn a_queue_drains_with_time() {
    let mut path = slow(8_000, 100);
    assert!(path.take(NOW, (1, 2), 100).is_ok());
    let almost = later(NOW, Duration::from_millis(98));
    assert_eq!(path.take(almost, (1, 2), 100), Err(Loss::QueueFull));
    let empty = later(NOW, Duration::from_millis(100));
    assert!(path.take(empty, (1, 2), 100).is_ok());
}

#[test]
fn nothing_passes_at_no_rate_and_the_longest_times_do_not_overflow() {
    assert_eq!(slow(0, u64::MAX).take(NOW, (1, 2), 1), Err(Loss::QueueFull));
    let mut path = slow(1, u64::MAX);
    for _ in 0..10 {
        let _ = path.take(Moment(Duration::MAX), (1, 2), usize::MAX / 16);
    }
    let mut path = Path::new(End::Left, Link { delay: Duration::MAX, ..Link::default() });
    assert_eq!(path.take(NOW, (1, 2), 60).unwrap().at, Moment(Duration::MAX));
}
