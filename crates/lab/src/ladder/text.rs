//! Owns the picture as text for a terminal, at most [`WIDTH`] columns. Pure.

use std::{fmt::Write, time::Duration};

use super::{
    Event, Happening, State,
    rows::{Row, rows},
    why,
};
use crate::{topology::End, wire::Fate};

/// Draws the events, which are in the order of time, below the names of the two sides.
pub fn draw(names: [&str; 2], events: &[Event]) -> String {
    let mut text = heading(names);
    for row in rows(events) {
        match row {
            Row::Pause(pause) => {
                let pause = format!(". {:.1} s .", pause.as_secs_f64());
                line(&mut text, None, [None; 2], &format!("|{pause:^LANE$}|"));
            }
            Row::Fold(told) => {
                let told = format!(": {} :", cut(&told, LANE - 4));
                line(&mut text, None, [None; 2], &format!("|{told:^LANE$}|"));
            }
            Row::Event(event) => {
                line(&mut text, Some(event.at), event.states, &drawing(&event.what));
            }
        }
    }
    text
}

/// The widest line that is ever drawn: what every terminal has.
pub const WIDTH: usize = 80;

/// Columns between the two lifelines: room for an arrow with two sequence numbers of five digits.
const LANE: usize = 44;

/// Columns for a moment: seconds with four digits after the point.
const TIME: usize = 9;

/// Columns for the longest name of a state.
const STATE: usize = 11;

/// Columns before the first lifeline.
const MARGIN: usize = TIME + 1 + STATE + 1;

fn heading([left, right]: [&str; 2]) -> String {
    let width = LANE + 2;
    // A name that leaves no room for the other is cut.
    let left = cut(left, width / 2);
    let right = cut(right, width - left.chars().count() - 1);
    let room = width - left.chars().count();
    format!("{:>TIME$}{:margin$}{left}{right:>room$}\n", "time s", "", margin = MARGIN - TIME)
}

fn line(text: &mut String, at: Option<Duration>, states: [Option<State>; 2], drawing: &str) {
    let time = at.map(|at| format!("{:.4}", at.as_secs_f64())).unwrap_or_default();
    let [left, right] = states.map(|state| state.map_or("", State::word));
    let line = format!("{time:>TIME$} {left:>STATE$} {drawing:<width$} {right}", width = LANE + 2);
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{}", cut(line.trim_end(), WIDTH));
}

fn drawing(what: &Happening) -> String {
    match what {
        Happening::Frame { from, label, fate, .. } => format!("|{}|", arrow(*from, label, *fate)),
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

/// The arrow of a frame, exactly [`LANE`] columns. One that was dropped ends in an `x` on its way, with the
/// reason where there is one to tell; one that the wire made begins in an `o` on its way.
fn arrow(from: End, label: &str, fate: Fate) -> String {
    let is_whole = matches!(fate, Fate::Delivered);
    let length = if is_whole { LANE } else { LANE * 3 / 4 };
    // At least one dash on either side, the head, and the x or o.
    let label = cut(label, length - 5);
    let body = length - if is_whole { 1 } else { 2 };
    let dashes = format!("{label:-^body$}");
    match (from, fate) {
        (End::Left, Fate::Delivered) => format!("{dashes}>"),
        (End::Right, Fate::Delivered) => format!("<{dashes}"),
        (End::Left, Fate::Forged(_)) => format!("{:>LANE$}", format!("o{dashes}>")),
        (End::Right, Fate::Forged(_)) => format!("{:<LANE$}", format!("<{dashes}o")),
        (End::Left, Fate::Dropped(_)) => {
            format!("{:<LANE$}", format!("{dashes}>x {}", why(fate)))
        }
        (End::Right, Fate::Dropped(_)) => {
            format!("{:>LANE$}", format!("{} x<{dashes}", why(fate)))
        }
    }
}

/// At most `width` characters of `text`, none of which moves a cursor.
fn cut(text: &str, width: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= width {
        return clean.collect();
    }
    clean.take(width.saturating_sub(1)).chain(['…']).collect()
}

// The longest reason fits behind its x.
const _: () = assert!(LANE - LANE * 3 / 4 >= 11);

const _: () = assert!(MARGIN + LANE + 3 + STATE <= WIDTH);
