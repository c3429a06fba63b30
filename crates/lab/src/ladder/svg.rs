//! Owns the picture as SVG: one file that needs nothing else, readable on light and on dark paper. Class
//! names have a prefix and there are no ids, so that several can stand in one page. Pure.
//! Read: SVG 2, CSS Media Queries 5 (`prefers-color-scheme`).

use std::fmt::Write;

use super::{
    Event, Happening, State,
    rows::{Row, rows},
    why,
};
use crate::{topology::End, wire::Fate};

/// Draws the events, which are in the order of time, below the names of the two sides.
pub fn draw(names: [&str; 2], events: &[Event]) -> String {
    let rows = rows(events);
    let height = HEAD + ROW * (i32::try_from(rows.len()).unwrap_or(0) + 1);
    let [left, right] = names.map(|name| escaped(&cut(name, NAME)));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" class=\"ho\">\n\
         <title>{left} and {right}, segment by segment</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ho-paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n"
    );
    for (end, name) in [(End::Left, left), (End::Right, right)] {
        let x = lifeline(end);
        push(&mut svg, &format!("<text class=\"ho-name\" x=\"{x}\" y=\"22\">{name}</text>"));
        let bottom = height - ROW / 2;
        push(&mut svg, &line("ho-life", (x, HEAD - 16), (x, bottom)));
    }
    for (row, y) in rows.iter().zip((0..).map(|index| HEAD + ROW / 2 + ROW * index)) {
        svg += &drawn(row, y);
    }
    svg + "</svg>\n"
}

fn drawn(row: &Row<'_>, y: i32) -> String {
    let mut svg = String::new();
    match row {
        Row::Pause(pause) => {
            let told = format!("{:.1} s of silence", pause.as_secs_f64());
            push(&mut svg, &text("ho-dim ho-mid", MIDDLE, y + 4, &told, LABEL));
        }
        Row::Fold(told) => {
            push(&mut svg, &text("ho-dim ho-mid", MIDDLE, y + 4, &format!("⋮ {told}"), LABEL));
        }
        Row::Event(event) => {
            let time = format!("{:.4}", event.at.as_secs_f64());
            push(&mut svg, &text("ho-dim ho-end", TIME, y + 4, &time, LABEL));
            svg += &happening(&event.what, y);
            for (end, state) in End::BOTH.into_iter().zip(event.states) {
                if let Some(state) = state {
                    svg += &state_at(end, state, &event.what, y);
                }
            }
        }
    }
    svg
}

fn happening(what: &Happening, y: i32) -> String {
    match what {
        Happening::Frame { from, label, fate, .. } => arrow(*from, label, *fate, y),
        Happening::Beside(end, said) => {
            let x = lifeline(*end);
            let mut svg = format!("<circle class=\"ho-dot\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>\n");
            push(&mut svg, &in_margin("ho-said", *end, y + 4, said));
            svg
        }
        Happening::Between(said) => {
            let mut svg = line("ho-band", (lifeline(End::Left), y), (lifeline(End::Right), y));
            svg.push('\n');
            push(&mut svg, &text("ho-event ho-mid", MIDDLE, y - 5, said, LABEL));
            svg
        }
    }
}

/// The arrow of a frame, which falls a little on its way. One that was dropped ends in a cross, with the reason;
/// one that the wire made begins in a circle on its way.
fn arrow(from: End, label: &str, fate: Fate, y: i32) -> String {
    let (start, end) = (lifeline(from), lifeline(from.other()));
    let (class, start, end) = match fate {
        Fate::Delivered => ("ho-frame", start, end),
        Fate::Forged(_) => ("ho-made", start + (end - start) / 4, end),
        Fate::Dropped(_) => ("ho-lost", start, start + (end - start) * 3 / 4),
    };
    let toward = (end - start).signum();
    let mut svg = line(class, (start, y), (end, y + FALL));
    svg.push('\n');
    let head = (end, y + FALL);
    match fate {
        Fate::Dropped(_) => {
            let (x, y) = head;
            push(&mut svg, &line(class, (x - 5, y - 5), (x + 5, y + 5)));
            push(&mut svg, &line(class, (x - 5, y + 5), (x + 5, y - 5)));
            let anchor = if toward > 0 { "ho-small" } else { "ho-small ho-end" };
            push(&mut svg, &text(anchor, x + 10 * toward, y + 4, why(fate), LABEL));
        }
        Fate::Delivered | Fate::Forged(_) => {
            let (x, y) = head;
            let back = x - 9 * toward;
            push(
                &mut svg,
                &format!(
                    "<path class=\"{class}-head\" d=\"M{x} {y}L{back} {}L{back} {}Z\"/>",
                    y - 5,
                    y + 4
                ),
            );
        }
    }
    if matches!(fate, Fate::Forged(_)) {
        push(
            &mut svg,
            &format!("<circle class=\"{class}-head\" cx=\"{start}\" cy=\"{y}\" r=\"4\"/>"),
        );
    }
    push(&mut svg, &text("ho-label ho-mid", i32::midpoint(start, end), y - 3, label, LABEL));
    svg
}

/// A state, beside the lifeline; above what else is said there.
fn state_at(end: End, state: State, what: &Happening, y: i32) -> String {
    let is_taken = matches!(what, Happening::Beside(other, _) if *other == end);
    let y = if is_taken { y - 8 } else { y + 4 };
    let mut svg = String::new();
    push(&mut svg, &in_margin("ho-state", end, y, state.word()));
    svg
}

fn in_margin(class: &str, end: End, y: i32, said: &str) -> String {
    match end {
        End::Left => text(&format!("{class} ho-end"), lifeline(end) - 10, y, said, SAID),
        End::Right => text(class, lifeline(end) + 10, y, said, SAID),
    }
}

/// Words at a place, at most `most` characters of them; the whole is told to those who point at it.
fn text(class: &str, x: i32, y: i32, said: &str, most: usize) -> String {
    if said.is_empty() {
        return String::new();
    }
    let shown = escaped(&cut(said, most));
    let whole = if said.chars().count() > most {
        format!("<title>{}</title>", escaped(said))
    } else {
        String::new()
    };
    format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{whole}{shown}</text>")
}

fn line(class: &str, (x1, y1): (i32, i32), (x2, y2): (i32, i32)) -> String {
    format!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>")
}

fn push(svg: &mut String, element: &str) {
    if !element.is_empty() {
        // Writing into a String cannot fail.
        let _ = writeln!(svg, "{element}");
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Text that XML takes as it is meant; what XML forbids becomes a space.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

const fn lifeline(end: End) -> i32 {
    match end {
        End::Left => 300,
        End::Right => 680,
    }
}

const WIDTH: i32 = 980;
const HEAD: i32 = 52;
const ROW: i32 = 28;
const FALL: i32 = 6;

/// Half-way between the lifelines.
const MIDDLE: i32 = 490;

/// Where moments end.
const TIME: i32 = 72;

/// Characters of 7.2 units that fit between the lifelines, in a margin, and above a lifeline.
const LABEL: usize = 50;
const SAID: usize = 29;
const NAME: usize = 40;

/// Inks that keep a contrast of 4.5 and more with their paper (WCAG 2.2, 1.4.3).
const STYLE: &str = "\
.ho text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1f2328}\
.ho .ho-paper{fill:#fff}.ho .ho-mid,.ho .ho-name{text-anchor:middle}.ho .ho-end{text-anchor:end}\
.ho .ho-name,.ho .ho-state{font-weight:bold}.ho .ho-dim{fill:#59636e}.ho .ho-small{font-size:11px;fill:#b3191f}\
.ho .ho-event{fill:#7d4e00}.ho line{stroke-width:1.5}.ho .ho-life{stroke:#818b98}.ho .ho-frame{stroke:#0550ae}\
.ho .ho-frame-head{fill:#0550ae}.ho .ho-lost{stroke:#b3191f}.ho .ho-made{stroke:#6639ba}.ho .ho-made-head{fill:#6639ba}\
.ho .ho-dot{fill:#1f2328}.ho .ho-band{stroke:#9a6700;stroke-dasharray:6 4}\
@media (prefers-color-scheme:dark){\
.ho text,.ho .ho-dot{fill:#e6edf3}.ho .ho-paper{fill:#0d1117}.ho .ho-dim{fill:#9198a1}.ho .ho-small{fill:#ff9492}\
.ho .ho-event{fill:#f0b72f}.ho .ho-life{stroke:#656c76}.ho .ho-frame{stroke:#71b7ff}.ho .ho-frame-head{fill:#71b7ff}\
.ho .ho-lost{stroke:#ff9492}.ho .ho-made{stroke:#cb9eff}.ho .ho-made-head{fill:#cb9eff}.ho .ho-band{stroke:#f0b72f}}";
