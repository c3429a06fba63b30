//! The life of pairs, told as traces, and what holds for every order of events.

use proptest::prelude::*;

use super::*;

/// So many milliseconds after the beginning.
fn at(base: Instant, millis: u64) -> Instant {
    base + Duration::from_millis(millis)
}

fn open(now: Instant) -> Pair {
    let mut pair = Pair::new(None, now);
    pair.handle(Event::Connected, now);
    pair
}

fn readable() -> Readiness {
    Readiness { readable: true, ..Readiness::default() }
}

fn hung_up() -> Readiness {
    Readiness { readable: true, hung_up: true, ..Readiness::default() }
}

fn failed() -> Readiness {
    Readiness { readable: true, hung_up: true, failed: true, ..Readiness::default() }
}

/// Feeds events, each the answer to the action before it, which has to be the one expected.
#[track_caller]
fn trace(pair: &mut Pair, now: Instant, steps: &[(Action, Event)]) {
    for (number, (action, event)) in steps.iter().enumerate() {
        assert_eq!(pair.poll(), *action, "step {number}");
        pair.handle(*event, now);
    }
}

/// One direction to its end: FIN read, and given on.
fn end_of(pair: &mut Pair, side: Side, now: Instant) {
    pair.handle(Event::Ready(side, hung_up()), now);
    trace(
        pair,
        now,
        &[
            (Action::Take(side, Taking::Receive), Event::Ended(side)),
            (Action::Finish(side.other()), Event::Finished(side.other())),
        ],
    );
}

use Side::{Client, Upstream};

#[test]
fn bytes_are_given_on_before_more_are_taken() {
    let now = Instant::now();
    let mut pair = open(now);
    pair.handle(Event::Ready(Client, readable()), now);
    trace(
        &mut pair,
        now,
        &[
            (Action::Take(Client, Taking::Receive), Event::Took(Client, 100, 65536)),
            (Action::Give(Upstream, Giving::Send), Event::Gave(Upstream, 60)),
            (Action::Give(Upstream, Giving::Send), Event::Full(Upstream)),
        ],
    );
    assert_eq!((pair.poll(), pair.held(Client)), (Action::Wait, 40));
    pair.handle(Event::Ready(Client, readable()), now);
    assert_eq!(pair.poll(), Action::Wait, "nothing is taken for which there is no room");
    let roomy = Readiness { writable: true, ..Readiness::default() };
    pair.handle(Event::Ready(Upstream, roomy), now);
    trace(&mut pair, now, &[(Action::Give(Upstream, Giving::Send), Event::Gave(Upstream, 40))]);
    assert_eq!(pair.relayed(Client), 100);
    assert_eq!(pair.poll(), Action::Take(Client, Taking::Receive));
}

#[test]
fn a_short_read_means_dry_unless_a_fin_is_behind_it() {
    let now = Instant::now();
    for (readiness, then) in
        [(readable(), Action::Wait), (hung_up(), Action::Take(Client, Taking::Receive))]
    {
        let mut pair = open(now);
        pair.handle(Event::Ready(Client, readiness), now);
        pair.handle(Event::Took(Client, 5, 65536), now);
        pair.handle(Event::Gave(Upstream, 5), now);
        assert_eq!(pair.poll(), then);
    }
}

#[test]
fn bulk_is_spliced_and_a_trickle_is_copied_again() {
    let now = Instant::now();
    let mut pair = open(now);
    pair.handle(Event::Ready(Client, readable()), now);
    let full = Event::Took(Client, 65536, 65536);
    let gave = Event::Gave(Upstream, 65536);
    trace(
        &mut pair,
        now,
        &[
            (Action::Take(Client, Taking::Receive), full),
            (Action::Give(Upstream, Giving::Send), gave),
            (Action::Take(Client, Taking::Receive), full),
            (Action::Give(Upstream, Giving::Send), gave),
            (Action::Take(Client, Taking::Splice), Event::Took(Client, SMALL, 1 << 20)),
            (Action::Give(Upstream, Giving::Splice), Event::Gave(Upstream, SMALL)),
            (Action::Take(Client, Taking::Receive), Event::Dry(Client)),
        ],
    );
    assert_eq!(pair.poll(), Action::Wait);
}

/// Less than is worth a splice.
const SMALL: usize = 16 * 1024 - 1;

#[test]
fn a_splice_of_nothing_is_no_end_before_a_read_says_so() {
    let now = Instant::now();
    let mut pair = open(now);
    pair.handle(Event::Ready(Client, readable()), now);
    for _ in 0..2 {
        pair.handle(Event::Took(Client, 65536, 65536), now);
        pair.handle(Event::Gave(Upstream, 65536), now);
    }
    trace(
        &mut pair,
        now,
        &[
            (Action::Take(Client, Taking::Splice), Event::Unclear(Client)),
            (Action::Take(Client, Taking::ReceiveAtMark), Event::TookUrgent(Client)),
            (Action::Give(Upstream, Giving::SendUrgent), Event::Gave(Upstream, 1)),
            (Action::Take(Client, Taking::ReceiveAtMark), Event::Took(Client, 7, 65536)),
            (Action::Give(Upstream, Giving::Send), Event::Gave(Upstream, 7)),
        ],
    );
    assert_eq!(pair.relayed(Client), 2 * 65536 + 8);
}

#[test]
fn two_half_closes_end_the_pair_once_all_is_acknowledged() {
    let now = Instant::now();
    let mut pair = open(now);
    end_of(&mut pair, Upstream, now);
    assert!(pair.is_half_closed());
    assert_eq!((pair.poll(), pair.deadline()), (Action::Wait, None), "for as long as it takes");
    end_of(&mut pair, Client, now);
    trace(&mut pair, now, &[(Action::Measure(Client), Event::Unacknowledged(Client, 0))]);
    trace(&mut pair, now, &[(Action::Measure(Upstream), Event::Unacknowledged(Upstream, 1))]);
    assert_eq!(pair.poll(), Action::Wait);
    pair.handle(Event::Ready(Upstream, hung_up()), now);
    trace(
        &mut pair,
        now,
        &[
            (Action::Measure(Client), Event::Unacknowledged(Client, 0)),
            (Action::Measure(Upstream), Event::Unacknowledged(Upstream, 0)),
        ],
    );
    assert_eq!(pair.poll(), Action::Close(Ending::Finished { first: Upstream }));
}

#[test]
fn what_came_before_a_reset_is_given_on_before_the_reset() {
    let now = Instant::now();
    let mut pair = open(now);
    pair.handle(Event::Ready(Upstream, failed()), now);
    trace(
        &mut pair,
        now,
        &[
            (Action::FetchError(Upstream), Event::Failed(Upstream, Cause::Reset)),
            (Action::Take(Upstream, Taking::Receive), Event::Took(Upstream, 9, 65536)),
            (Action::Give(Client, Giving::Send), Event::Gave(Client, 9)),
            // The error was fetched, so the kernel now says 0 bytes, which is no end.
            (Action::Take(Upstream, Taking::Receive), Event::Ended(Upstream)),
            (Action::Measure(Client), Event::Unacknowledged(Client, 9)),
        ],
    );
    assert_eq!(pair.poll(), Action::Wait);
    let then = pair.deadline().unwrap();
    pair.handle(Event::Tick, then);
    trace(&mut pair, then, &[(Action::Measure(Client), Event::Unacknowledged(Client, 0))]);
    let ending = Ending::Broken { side: Some(Upstream), cause: Cause::Reset };
    assert_eq!(pair.poll(), Action::Reset(ending));
}

/// How long a survivor that acknowledges nothing is waited for, in milliseconds.
fn patience(pair: &mut Pair, base: Instant) -> u64 {
    let mut now = base;
    loop {
        match pair.poll() {
            Action::Reset(_) => return (now - base).as_millis().try_into().unwrap(),
            Action::Measure(side) => pair.handle(Event::Unacknowledged(side, 1), now),
            Action::Take(side, _) => pair.handle(Event::Dry(side), now),
            Action::Wait => {
                now = pair.deadline().unwrap();
                pair.handle(Event::Tick, now);
            }
            action => panic!("{action:?}"),
        }
    }
}

#[test]
fn a_whole_stream_is_worth_a_longer_wait_than_a_cut_one() {
    let base = Instant::now();
    let mut cut = open(base);
    cut.handle(Event::Failed(Upstream, Cause::Reset), base);
    let waited = patience(&mut cut, base);
    assert!((1000..=1050).contains(&waited), "{waited}");

    let mut whole = open(base);
    end_of(&mut whole, Upstream, base);
    whole.handle(Event::Failed(Upstream, Cause::Reset), base);
    let waited = patience(&mut whole, base);
    assert!((5000..=5050).contains(&waited), "{waited}");
}

#[test]
fn a_client_that_resets_before_the_upstream_is_there_ends_the_pair() {
    let now = Instant::now();
    let mut pair = Pair::new(None, now);
    pair.handle(Event::Ready(Client, failed()), now);
    trace(&mut pair, now, &[(Action::FetchError(Client), Event::Failed(Client, Cause::Reset))]);
    assert!(matches!(pair.poll(), Action::Reset(_)));
}

#[test]
fn what_comes_before_the_upstream_is_there_waits_with_its_fin() {
    let now = Instant::now();
    let mut pair = Pair::new(None, now);
    pair.handle(Event::Ready(Client, hung_up()), now);
    assert_eq!(pair.poll(), Action::Wait);
    pair.handle(Event::Connected, now);
    trace(
        &mut pair,
        now,
        &[
            (Action::Take(Client, Taking::Receive), Event::Took(Client, 3, 65536)),
            (Action::Give(Upstream, Giving::Send), Event::Gave(Upstream, 3)),
            (Action::Take(Client, Taking::Receive), Event::Ended(Client)),
            (Action::Finish(Upstream), Event::Finished(Upstream)),
        ],
    );
}

#[test]
fn the_limit_for_half_closed_pairs_is_restarted_by_every_byte() {
    let base = Instant::now();
    let limit = Duration::from_secs(60);
    let mut pair = Pair::new(Some(limit), base);
    pair.handle(Event::Connected, base);
    assert_eq!(pair.deadline(), None);
    end_of(&mut pair, Client, base);
    let later = at(base, 59_000);
    pair.handle(Event::Took(Upstream, 1, 65536), later);
    pair.handle(Event::Gave(Client, 1), later);
    pair.handle(Event::Tick, at(base, 60_000));
    assert_eq!(pair.poll(), Action::Wait);
    assert_eq!(pair.deadline(), Some(later + limit));
    pair.handle(Event::Tick, later + limit - Duration::from_millis(1));
    assert!(!pair.is_over());
    pair.handle(Event::Tick, later + limit);
    let ending = Ending::Broken { side: None, cause: Cause::HalfClosedIdle(limit) };
    assert_eq!(pair.poll(), Action::Reset(ending));
}

#[test]
fn bytes_of_the_relays_own_go_first_and_are_not_counted() {
    let now = Instant::now();
    let mut pair = Pair::new(None, now);
    pair.prefix(Client, 28);
    pair.handle(Event::Connected, now);
    trace(&mut pair, now, &[(Action::Give(Upstream, Giving::Send), Event::Gave(Upstream, 28))]);
    assert_eq!(pair.relayed(Client), 0);
}

/// What a world does next, drawn at random.
#[derive(Debug, Clone, Copy)]
struct Draw {
    /// Beside the answer to the action: nothing, readiness, failure, time.
    extra: u8,
    side: bool,
    answer: u8,
    amount: usize,
}

/// Small amounts, and such that fill whatever room there is.
fn amount() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..100_000, Just(1 << 20)]
}

fn draws() -> impl Strategy<Value = Vec<Draw>> {
    let one = (any::<u8>(), any::<bool>(), any::<u8>(), amount())
        .prop_map(|(extra, side, answer, amount)| Draw { extra, side, answer, amount });
    prop::collection::vec(one, 0..200)
}

/// What really happened, against which the pair's actions are held.
#[derive(Debug, Default)]
struct Truth {
    ended: Both<bool>,
    finished: Both<bool>,
    taken: Both<usize>,
    given: Both<usize>,
    failed: Both<Option<Instant>>,
    /// How what is in hand has to be given, by the side to which.
    giving: Both<Option<Giving>>,
    /// What was last measured, by the side to which it was sent.
    queue: Both<Option<usize>>,
}

impl Truth {
    fn broken(&self) -> bool {
        Side::BOTH.into_iter().any(|side| self.failed[side].is_some())
    }
}

/// One step of a random world. Every answer is one that the kernel may give at any time.
fn step(pair: &mut Pair, truth: &mut Truth, draw: Draw, now: Instant) {
    if pair.is_over() {
        return;
    }
    let side = if draw.side { Client } else { Upstream };
    let unasked = match draw.extra {
        0..=60 => Some(Event::Ready(
            side,
            Readiness {
                readable: draw.answer & 1 != 0,
                writable: draw.answer & 2 != 0,
                hung_up: draw.answer & 4 != 0,
                urgent: draw.answer & 8 != 0,
                failed: draw.answer & 16 != 0,
            },
        )),
        61 => Some(Event::Failed(side, Cause::Reset)),
        62..=100 => Some(Event::Tick),
        _ => None,
    };
    if let Some(event) = unasked {
        note(truth, event, now);
        pair.handle(event, now);
    }
    let action = pair.poll();
    let event = match action {
        Action::Take(side, Taking::Splice) => match draw.answer % 5 {
            0 | 1 => Event::Took(side, draw.amount, 1 << 20),
            2 => Event::Unclear(side),
            3 => Event::NoPipe(side),
            _ => Event::Dry(side),
        },
        Action::Take(side, _) => match draw.answer % 16 {
            0..=9 => Event::Took(side, draw.amount.min(65536), 65536),
            10 => Event::TookUrgent(side),
            11..=13 => Event::Dry(side),
            14 => Event::Ended(side),
            _ => Event::Failed(side, Cause::Reset),
        },
        Action::Give(side, _) => match draw.answer % 16 {
            0..=12 => Event::Gave(side, draw.amount.min(pair.held(side.other()))),
            13 | 14 => Event::Full(side),
            _ => Event::Failed(side, Cause::Reset),
        },
        Action::Finish(side) => match draw.answer % 2 {
            0 => Event::Finished(side),
            _ => Event::Failed(side, Cause::Reset),
        },
        Action::FetchError(side) => match draw.answer % 2 {
            0 => Event::NoError(side),
            _ => Event::Failed(side, Cause::KernelGaveUp),
        },
        Action::Measure(side) => {
            Event::Unacknowledged(side, draw.amount * usize::from(draw.answer % 2))
        }
        Action::Wait | Action::Reset(_) | Action::Close(_) => return,
    };
    match (action, event) {
        (Action::Take(from, taking), Event::Took(..)) => {
            let spliced = taking == Taking::Splice;
            truth.giving[from.other()] = Some(if spliced { Giving::Splice } else { Giving::Send });
        }
        (_, Event::TookUrgent(from)) => truth.giving[from.other()] = Some(Giving::SendUrgent),
        _ => {}
    }
    note(truth, event, now);
    pair.handle(event, now);
}

fn note(truth: &mut Truth, event: Event, now: Instant) {
    match event {
        Event::Took(side, bytes, _) => truth.taken[side] += bytes,
        Event::TookUrgent(side) => truth.taken[side] += 1,
        Event::Gave(side, bytes) => truth.given[side] += bytes,
        Event::Finished(side) => truth.finished[side] = true,
        // A read of 0 bytes from a broken socket is the kernel's way to say that it is over.
        Event::Ended(side) => truth.ended[side] |= !truth.broken(),
        Event::Failed(side, _) => truth.failed[side] = truth.failed[side].or(Some(now)),
        Event::Unacknowledged(side, bytes) => truth.queue[side] = Some(bytes),
        _ => {}
    }
}

/// What must hold before every action.
fn check(pair: &Pair, truth: &Truth, now: Instant) -> Result<(), TestCaseError> {
    match pair.poll() {
        Action::Finish(to) => {
            let from = to.other();
            prop_assert!(!truth.broken(), "FIN out of a broken pair");
            prop_assert!(truth.ended[from], "FIN without a FIN");
            prop_assert_eq!(truth.given[to], truth.taken[from], "FIN before all bytes");
            prop_assert!(!truth.finished[to], "FIN twice");
        }
        Action::Give(to, giving) => {
            prop_assert!(!truth.finished[to], "bytes after FIN");
            prop_assert_eq!(truth.giving[to], Some(giving), "given otherwise than taken");
        }
        Action::Close(_) => {
            prop_assert!(!truth.broken(), "a clean end of a broken pair");
            for side in Side::BOTH {
                prop_assert!(truth.finished[side] && truth.queue[side] == Some(0));
            }
        }
        Action::Reset(_) => {
            prop_assert!(truth.broken(), "a reset of a whole pair");
            for side in Side::BOTH {
                let (Some(since), None) = (truth.failed[side], truth.failed[side.other()]) else {
                    continue;
                };
                let waited = now - since;
                let drained = truth.queue[side.other()] == Some(0);
                let patience = if truth.finished[side.other()] { DRAIN_MAX } else { STALL_MAX };
                prop_assert!(drained || waited >= patience, "undrained after {:?}", waited);
            }
        }
        Action::Take(..) | Action::FetchError(_) | Action::Measure(_) | Action::Wait => {}
    }
    for side in Side::BOTH {
        prop_assert_eq!(
            pair.held(side),
            truth.taken[side] - truth.given[side.other()],
            "bytes appear or vanish"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_order_of_events_makes_a_broken_end_look_clean(draws in draws()) {
        let base = Instant::now();
        let mut pair = open(base);
        let mut truth = Truth::default();
        for (number, draw) in draws.into_iter().enumerate() {
            let now = at(base, 20 * number as u64);
            check(&pair, &truth, now)?;
            step(&mut pair, &mut truth, draw, now);
            check(&pair, &truth, now)?;
        }
    }

    /// Whatever was before: once one side is broken and the other takes everything, it ends soon.
    #[test]
    fn a_broken_pair_ends_whatever_was_before(draws in draws()) {
        let base = Instant::now();
        let mut pair = open(base);
        let mut truth = Truth::default();
        let mut now = base;
        for (number, draw) in draws.into_iter().enumerate() {
            now = at(base, number as u64);
            step(&mut pair, &mut truth, draw, now);
        }
        if pair.is_over() {
            return Ok(());
        }
        pair.handle(Event::Failed(Client, Cause::Reset), now);
        for _ in 0..200 {
            let event = match pair.poll() {
                Action::Take(side, _) => Event::Dry(side),
                Action::Give(side, _) => Event::Gave(side, pair.held(side.other())),
                Action::FetchError(side) => Event::NoError(side),
                Action::Measure(side) => Event::Unacknowledged(side, 0),
                Action::Reset(_) => return Ok(()),
                Action::Wait => {
                    now = pair.deadline().unwrap_or(now);
                    Event::Tick
                }
                action => return Err(TestCaseError::fail(format!("{action:?}"))),
            };
            pair.handle(event, now);
        }
        prop_assert!(false, "{:?} after 200 steps", pair);
    }
}
