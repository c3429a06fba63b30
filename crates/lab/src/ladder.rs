//! Owns the picture: two lifelines, the segments between them, and what happened beside them.
//! Pure: events in, text out, at most [`WIDTH`] columns. Read: `ladder/story.rs` for where the events come from.

mod story;

use std::{fmt::Write, time::Duration};

pub use story::{Note, Place, story};

use crate::{topology::End, wire::Fate};

/// Something to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the beginning of the story.
    pub at: Duration,
    /// What happened.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A frame went, or should have gone, from one side to the other.
    Frame {
        /// Who sent it; left is the first lifeline.
        from: End,
        /// What the arrow says.
        label: String,
        /// What became of it.
        fate: Fate,
    },
    /// Something happened on one side.
    Beside(End, String),
    /// Something happened to the cable.
    Between(String),
}

/// Draws the events, which are in the order of time, below the names of the two sides.
pub fn draw(names: [&str; 2], events: &[Event]) -> String {
    let mut text = heading(names);
    let mut events = events;
    let mut last = Duration::ZERO;
    while let Some((event, rest)) = events.split_first() {
        if event.at.saturating_sub(last) >= GAP {
            let pause = format!(". {:.1} s .", (event.at - last).as_secs_f64());
            line(&mut text, None, &format!("|{pause:^LANE$}|"));
        }
        line(&mut text, Some(event.at), &drawing(&event.what));
        last = event.at;
        events = rest;
        let repeats = rest.iter().take_while(|next| next.what == event.what).count();
        if let Some(until) = rest.get(repeats.saturating_sub(1)).filter(|_| repeats >= FOLD) {
            let fold =
                format!(": {repeats} more of the same until {:.1} s :", until.at.as_secs_f64());
            line(&mut text, None, &format!("|{fold:^LANE$}|"));
            last = until.at;
            events = rest.get(repeats..).unwrap_or_default();
        }
    }
    text
}

/// The widest line that is ever drawn.
pub const WIDTH: usize = 100;

/// Columns between the two lifelines: room for an arrow with two sequence numbers of seven digits.
const LANE: usize = 52;

/// Columns before the first lifeline: seconds with four digits after the point.
const MARGIN: usize = 12;

/// Two seconds without an event are worth a line of their own: a reader sees the silence.
const GAP: Duration = Duration::from_secs(2);

/// Two repeats are drawn, three are told.
const FOLD: usize = 3;

fn heading([left, right]: [&str; 2]) -> String {
    let width = LANE + 2;
    // A name that leaves no room for the other is cut.
    let left = cut(left, width / 2);
    let right = cut(right, width - left.chars().count() - 1);
    let room = width - left.chars().count();
    let mut text = format!("{:>9}   {left}{right:>room$}", "time s");
    text.push('\n');
    text
}

fn line(text: &mut String, at: Option<Duration>, drawing: &str) {
    let time = at.map(|at| format!("{:9.4}", at.as_secs_f64())).unwrap_or_default();
    let line = format!("{time:>9}   {drawing}");
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{}", cut(line.trim_end(), WIDTH));
}

fn drawing(what: &Happening) -> String {
    match what {
        Happening::Frame { from, label, fate } => format!("|{}|", arrow(*from, label, *fate)),
        Happening::Beside(End::Left, said) => format!("* {said}"),
        Happening::Beside(End::Right, said) => {
            let said = cut(said, LANE);
            format!("{:>width$}", format!("{said} *"), width = LANE + 2)
        }
        Happening::Between(said) => {
            let said = cut(said, LANE - 6);
            format!("|{:^LANE$}|", format!("~ {said} ~"))
        }
    }
}

/// The arrow of a frame, exactly [`LANE`] columns. One that was dropped ends in an `x` on its way.
fn arrow(from: End, label: &str, fate: Fate) -> String {
    let delivered = matches!(fate, Fate::Delivered);
    let length = if delivered { LANE } else { LANE * 3 / 4 };
    // At least one dash on either side, the head, and the x.
    let label = cut(label, length - 5);
    let body = length - if delivered { 1 } else { 2 };
    let dashes = format!("{label:-^body$}");
    match (from, delivered) {
        (End::Left, true) => format!("{dashes}>"),
        (End::Left, false) => format!("{:<LANE$}", format!("{dashes}>x")),
        (End::Right, true) => format!("<{dashes}"),
        (End::Right, false) => format!("{:>LANE$}", format!("x<{dashes}")),
    }
}

/// At most `width` characters of `text`, with `…` where something is missing; control characters,
/// which programs may write and terminals obey, become spaces.
fn cut(text: &str, width: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= width {
        return clean.collect();
    }
    clean.take(width.saturating_sub(1)).chain(['…']).collect()
}

const _: () = assert!(MARGIN + LANE + 2 <= WIDTH);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Loss;

    fn frame(ms: u64, from: End, label: &str, fate: Fate) -> Event {
        let what = Happening::Frame { from, label: label.to_owned(), fate };
        Event { at: Duration::from_millis(ms), what }
    }

    fn events() -> Vec<Event> {
        let at = Duration::from_millis;
        let cut = Fate::Dropped(Loss::Cut);
        let mut events = vec![
            frame(0, End::Left, "SYN seq=0", Fate::Delivered),
            frame(0, End::Right, "SYN ACK seq=0 ack=1", Fate::Delivered),
            frame(0, End::Left, "ACK seq=1 ack=1", Fate::Delivered),
            Event { at: at(290), what: Happening::Beside(End::Left, "user types \"x\"".into()) },
            Event { at: at(594), what: Happening::Between("cable pulled".into()) },
            Event { at: at(1106), what: Happening::Beside(End::Right, "power off".into()) },
        ];
        let retries = [5000, 5200, 5600, 6400, 8000];
        events.extend(retries.map(|ms| frame(ms, End::Left, "PSH ACK seq=1 ack=1 len=3", cut)));
        events.push(frame(20_000, End::Right, "FIN ACK seq=1 ack=1", cut));
        events.push(frame(20_001, End::Right, "FIN ACK seq=1 ack=1", cut));
        events.push(frame(20_002, End::Right, "RST seq=1", Fate::Delivered));
        events
    }

    #[test]
    fn a_story_with_losses_repeats_and_pauses_is_drawn() {
        let drawn = draw(["client 10.0.0.1", "server 10.0.0.7"], &events());
        insta::assert_snapshot!(drawn);
    }

    #[test]
    fn no_line_is_wider_than_the_page_and_lifelines_never_move() {
        let long = "a very long word ".repeat(20) + "\u{1b}[2J";
        let mut events = events();
        events.push(frame(20_100, End::Left, &long, Fate::Delivered));
        events.push(frame(20_100, End::Right, &long, Fate::Dropped(Loss::Unplugged)));
        for what in [
            Happening::Beside(End::Left, long.clone()),
            Happening::Beside(End::Right, long.clone()),
            Happening::Between(long.clone()),
        ] {
            events.push(Event { at: Duration::from_secs(21), what });
        }
        for line in draw([&long, &long], &events).lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(!line.contains('\u{1b}'), "{line:?}");
            if line.chars().nth(MARGIN) == Some('|') {
                assert_eq!(line.chars().nth(MARGIN + LANE + 1), Some('|'), "{line}");
            }
        }
    }
}
