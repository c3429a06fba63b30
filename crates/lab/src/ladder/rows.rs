//! Owns what a reader is spared and what is pointed out: repeats are folded, silences get a row of their
//! own. Pure, and alike for every form of the picture.

use std::time::Duration;

use super::{Event, Happening, Role};

/// A line of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row<'a> {
    /// Nothing happened for so long.
    Pause(Duration),
    /// An event.
    Event(&'a Event),
    /// Repeats of the events right above, told in words.
    Fold(String),
}

/// The events, which are in the order of time, as lines.
pub(super) fn rows(events: &[Event]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let mut rest = events;
    let mut last = events.first().map(|event| event.at).unwrap_or_default();
    while let Some(next) = rest.first() {
        // The shortest pattern first: a run of one kind is no run of pairs.
        let pattern = (1..=PATTERN_MAX)
            .map(|length| (length, repeats(rest, length)))
            .find(|(_, count)| *count >= FOLD);
        let (length, count) = pattern.unwrap_or((1, 0));
        let (drawn, others) = rest.split_at(length.min(rest.len()));
        for event in drawn {
            let pause = event.at.saturating_sub(last);
            if pause >= PAUSE {
                rows.push(Row::Pause(pause));
            }
            rows.push(Row::Event(event));
            last = event.at;
        }
        let (folded, others) = others.split_at((length * count).min(others.len()));
        if let (Some(first), Some(until)) = (folded.first(), folded.last()) {
            rows.push(Row::Fold(told(next, length, count, first.at, until.at)));
            last = until.at;
        }
        rest = others;
    }
    rows
}

/// How often the first `length` events come again right behind themselves. States that change are news.
fn repeats(events: &[Event], length: usize) -> usize {
    let Some((pattern, others)) = events.split_at_checked(length) else { return 0 };
    let alike = |chunk: &&[Event]| {
        chunk.iter().zip(pattern).all(|(one, other)| {
            one.what == other.what && one.states == [None; 2] && is_frame(&one.what)
        })
    };
    others.chunks_exact(length).take_while(alike).count()
}

const fn is_frame(what: &Happening) -> bool {
    matches!(what, Happening::Frame { .. })
}

fn told(first: &Event, length: usize, count: usize, from: Duration, until: Duration) -> String {
    let (from, until) = (from.as_secs_f64(), until.as_secs_f64());
    match (&first.what, length) {
        (Happening::Frame { role: Role::Again, .. }, 1) => {
            format!("{count} more retransmissions, {from:.1} .. {until:.1} s")
        }
        (Happening::Frame { role: Role::Keepalive, .. }, 1) => {
            format!("{count} more keepalives, none answered, until {until:.1} s")
        }
        (Happening::Frame { role: Role::Keepalive, .. }, _) => {
            format!("{count} more keepalives, answered, until {until:.1} s")
        }
        _ => format!("{count} more of the same until {until:.1} s"),
    }
}

/// Two seconds without an event are worth a line of their own: a reader sees the silence.
const PAUSE: Duration = Duration::from_secs(2);

/// Two repeats are drawn, three are told.
const FOLD: usize = 3;

/// A question and its answer.
const PATTERN_MAX: usize = 2;
