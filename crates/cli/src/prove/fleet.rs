//! Owns the sharing of many attempts among threads, and the one thread that tells of them. Each has a
//! driver of its own; what they share is the counters of namespaces (see `space`). Sends nothing itself.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError},
    thread,
    time::Duration,
};

use super::{
    Case, Proved,
    driver::{Driver, Ran, Tell},
    space::Witnesses,
};
use crate::exit::Failure;

/// Runs all of `cases` to their end, or until a signal comes.
///
/// # Errors
/// [`Failure`] where nothing can be written down before it is touched, or what `tell` returns.
pub(super) fn run(cases: Vec<Case>, ends: &Receiver<i32>, tell: Tell<'_>) -> Result<Ran, Failure> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let threads = threads.min(cases.len() / EACH_MIN);
    let witnesses = Witnesses::default();
    if threads < 2 {
        return driver(cases, &witnesses)?.run(ends, tell);
    }
    let mut left = cases.len();
    let drivers = shares(cases, threads)
        .into_iter()
        .map(|share| driver(share, &witnesses))
        .collect::<Result<Vec<_>, _>>()?;
    thread::scope(|scope| {
        let (sender, answers) = mpsc::channel();
        let mut stops = Vec::with_capacity(threads);
        for mut driver in drivers {
            let (stop, stopped) = mpsc::channel();
            stops.push(stop);
            let sender = sender.clone();
            scope.spawn(move || {
                // Who tells has gone only if it has failed, and then everybody is stopped.
                driver.run(&stopped, &mut |one, _| {
                    let _ = sender.send(one);
                    Ok(())
                })
            });
        }
        drop(sender);
        listen(&answers, ends, &stops, &mut |one| {
            left = left.saturating_sub(1);
            tell(one, left)
        })
    })
}

fn driver(cases: Vec<Case>, witnesses: &Witnesses) -> Result<Driver, Failure> {
    Driver::new(cases, witnesses.clone()).map_err(|error| {
        Failure::System(format!("cannot {error}; without that nothing is touched"))
    })
}

/// Tells each answer as it comes, until there are no more. After a signal, or if an answer cannot be
/// told, the others are stopped in good order.
fn listen(
    answers: &Receiver<Proved>,
    ends: &Receiver<i32>,
    stops: &[Sender<i32>],
    tell: &mut dyn FnMut(Proved) -> Result<(), Failure>,
) -> Result<Ran, Failure> {
    let (mut ran, mut told) = (Ran::ToItsEnd, Ok(()));
    let stop = || {
        for stop in stops {
            // A driver that has finished needs no word.
            let _ = stop.send(0);
        }
    };
    loop {
        match answers.recv_timeout(LISTEN) {
            Ok(one) if told.is_ok() => {
                told = tell(one);
                if told.is_err() {
                    stop();
                }
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return told.map(|()| ran),
        }
        if ran == Ran::ToItsEnd && ends.try_recv() != Err(TryRecvError::Empty) {
            ran = Ran::Interrupted;
            stop();
        }
    }
}

/// As many to each, in their order: connections of one process stay together.
fn shares(cases: Vec<Case>, threads: usize) -> Vec<Vec<Case>> {
    let mut shares: Vec<Vec<Case>> = Vec::new();
    shares.resize_with(threads, Vec::new);
    let each = cases.len().div_ceil(threads);
    for (at, case) in cases.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(at / each) {
            share.push(case);
        }
    }
    shares
}

/// Two: probes of more at a time could overflow a backlog that all of them pass (`send::SHOTS`).
const THREADS_MAX: usize = 2;
/// Fewer are proved before another thread would have begun.
const EACH_MIN: usize = 1_000;
/// A signal is heeded within this time.
const LISTEN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use halfopen_core::{Cookie, Diagnosis, Thresholds};

    use super::{super::Plan, *};
    use crate::fixtures::observation;

    #[test]
    fn every_case_is_in_one_share_and_each_share_has_about_as_many() {
        for (count, threads, sizes) in [(7, 2, vec![4, 3]), (2, 2, vec![1, 1]), (5, 1, vec![5])] {
            let case = |cookie| {
                let before = Diagnosis::of(observation(cookie), &Thresholds::default());
                Case { target: None, plan: Plan::Heard, before }
            };
            let shares = shares((0..count).map(case).collect(), threads);
            assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
            let cookies =
                shares.iter().flatten().map(|one| one.before.observation.sample.id.cookie);
            assert!(cookies.eq((0..count).map(Cookie)));
        }
    }

    #[test]
    fn a_crowd_on_two_threads_is_told_to_the_last_and_an_answer_that_cannot_be_told_ends_it() {
        let case = |cookie| {
            let before = Diagnosis::of(observation(cookie), &Thresholds::default());
            Case { target: None, plan: Plan::Heard, before }
        };
        let crowd = || (0..2 * EACH_MIN as u64).map(case).collect::<Vec<_>>();
        let (_keep, ends) = mpsc::channel();
        let mut lefts = Vec::new();
        let ran = run(crowd(), &ends, &mut |_, left| {
            lefts.push(left);
            Ok(())
        });
        assert_eq!(ran.unwrap(), Ran::ToItsEnd);
        assert!(lefts.into_iter().eq((0..2 * EACH_MIN).rev()));
        let refused = run(crowd(), &ends, &mut |_, _| Err(Failure::Usage("no".to_owned())));
        assert!(refused.is_err());
    }
}
