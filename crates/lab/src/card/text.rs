//! Owns the card as text, at most 100 columns wide. Pure.

use std::{fmt::Write, time::Duration};

use halfopen_core::Span;

use super::{Card, Happened, Left, Predicted, SideCard};

/// Draws a card for a terminal or a page.
pub fn text(card: &Card) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{}", wrapped("", &format!("{}: {}", card.scenario, card.summary)));
    let state = card.state.map(|state| format!(", connection {state}")).unwrap_or_default();
    let (kernel, topology, clock) = (&card.kernel, card.hosts(), card.clock);
    let _ = writeln!(text, "kernel {kernel}, topology {topology}, clock {clock}{state}\n");
    for act in &card.acts {
        let _ = writeln!(text, "{}", wrapped(&format!("{}  ", seconds(act.at)), &act.what));
    }
    for side in &card.sides {
        let _ =
            writeln!(text, "\n{}", wrapped(&format!("{:<13}", side.side.word()), &side.command));
        for (heading, what) in rows(side) {
            let _ = writeln!(text, "{}", wrapped(&format!("  {heading:<14}"), &what));
        }
    }
    if let Some(messages) = card.messages {
        let _ = writeln!(text, "\nmessages        {messages}");
    }
    if !card.said.is_empty() {
        text += "\nwhat the programs said after the fault\n";
        for said in &card.said {
            let before = format!("{}  {:<7} ", seconds(said.at), said.side.word());
            let _ = writeln!(text, "{}", wrapped(&before, &said.line));
        }
    }
    let _ = writeln!(text, "\nwatched for {}: {}", Span(card.watched), card.ended);
    for note in &card.notes {
        let _ = writeln!(text, "{}", wrapped("note: ", note));
    }
    for one in &card.expectations {
        let word = match one.met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "LATE",
        };
        let _ = writeln!(
            text,
            "{}",
            wrapped(&format!("{word:<8}"), &format!("{}: {}", one.what, one.instead))
        );
    }
    text
}

/// Heading and words of every row of a side, for all faces of the card.
pub(super) fn rows(side: &SideCard) -> Vec<(&'static str, String)> {
    let none = |what: &Option<Happened>, nothing: &str| {
        what.as_ref().map_or_else(|| nothing.to_owned(), happened)
    };
    let mut rows =
        vec![("before", side.began.clone().unwrap_or_else(|| "no connection".to_owned()))];
    rows.extend(side.traffic.clone().map(|traffic| ("  traffic", traffic)));
    rows.push(("predicted", predicted(&side.predicted)));
    if let Some(writing) = &side.if_writing {
        rows.push(("  if writing", writing.clone()));
    }
    rows.push(("wire", none(&side.wire, "neither FIN nor RST")));
    rows.push(("kernel", none(&side.kernel, "noticed nothing")));
    rows.push(("application", none(&side.application, "noticed nothing")));
    if let Some(again) = &side.again {
        rows.push(("again", happened(again)));
    }
    rows.push(("in the end", in_the_end(side)));
    let fits = match side.as_predicted {
        Some(true) => "yes",
        Some(false) => "NO",
        None if side.too_late => "not judged: the lab itself came too late",
        None => "not judged",
    };
    rows.push(("as predicted", fits.to_owned()));
    rows
}

fn happened(what: &Happened) -> String {
    format!("{}  {}", seconds(what.at).trim_start(), what.what)
}

fn predicted(predicted: &Predicted) -> String {
    let why = predicted.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    match (predicted.kind, predicted.min, predicted.max, predicted.by) {
        (_, Some(min), Some(max), Some(by)) => {
            format!("{}..{} by {by}{why}", tenths(min), tenths(max))
        }
        ("open", Some(min), _, Some(decides)) => {
            format!("{decides} decides, its own timers not before {}{why}", tenths(min))
        }
        ("open", _, _, Some(decides)) => format!("{decides} decides{why}"),
        ("fails", ..) => "it is the side that fails".to_owned(),
        (kind, ..) => format!("{kind}{why}"),
    }
}

fn in_the_end(side: &SideCard) -> String {
    let Left { connections, descriptors, processes } = side.left;
    let mut text = side.believes.clone();
    if connections > 0 {
        let _ = write!(text, "; {}", counted(connections as i64, "connection of before held"));
    }
    for (count, what) in [(descriptors, "descriptor"), (processes, "process")] {
        match count {
            Some(count) if count > 0 => {
                let _ = write!(text, "; {} more than before", counted(count, what));
            }
            _ => {}
        }
    }
    text
}

fn counted(count: i64, what: &str) -> String {
    match (count, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, Some((noun, rest))) => format!("{count} {noun}s {rest}"),
        (_, None) if what.ends_with('s') => format!("{count} {what}es"),
        (_, None) => format!("{count} {what}s"),
    }
}

/// Seconds, right-aligned, to the hundredth that the measurement is worth.
pub(super) fn seconds(at: Duration) -> String {
    format!("{:>7.2} s", at.as_secs_f64())
}

fn tenths(span: Duration) -> String {
    if span < MINUTES { format!("{:.1}s", span.as_secs_f64()) } else { Span(span).to_string() }
}

/// From here on tenths of a second mean nothing.
const MINUTES: Duration = Duration::from_secs(120);

/// `text` behind `before`, broken at [`WIDTH`] columns, the rest below the beginning.
fn wrapped(before: &str, text: &str) -> String {
    let indent = " ".repeat(before.chars().count());
    let mut lines = Vec::new();
    let mut line = before.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines.push(line);
    lines.join("\n")
}

/// What fits into a terminal beside something else.
const WIDTH: usize = 100;
