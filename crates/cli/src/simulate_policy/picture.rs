//! Owns how a fleet's course is told: some sentences, a table, and a plot of attempts over time.

use std::{fmt::Write as _, time::Duration};

use halfopen_core::{
    Span,
    reconnect::fleet::{Course, Fleet, Second},
};

/// The whole picture, as text.
pub(super) fn draw(fleet: &Fleet, course: &Course) -> String {
    let mut text = String::new();
    let (second, peak) = peak_when_back(fleet, course);
    let back = |span: Option<Duration>| {
        span.map_or_else(
            || "not while it was watched".to_owned(),
            |span| format!("{} after the outage", Span(span)),
        )
    };
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{} clients, away for {}", fleet.clients, Span(fleet.outage));
    let _ = writeln!(text, "  half of them back    {}", back(course.half_back_after));
    let _ = writeln!(text, "  all of them back     {}", back(course.all_back_after));
    if course.gave_up > 0 {
        let _ = writeln!(text, "  gave up              {}", course.gave_up);
    }
    let _ = writeln!(text, "  attempts             {}", course.attempts);
    let _ = writeln!(
        text,
        "  most in a second     {peak}, at {}, once the server was back",
        clock(second)
    );
    if course.refused_when_back > 0 {
        let _ = writeln!(
            text,
            "  refused by the server, back and too busy: {}",
            course.refused_when_back
        );
    }
    let _ = writeln!(text);
    plot(&mut text, fleet, course);
    text
}

/// The second with the most attempts from the end of the outage on, and how many.
pub(super) fn peak_when_back(fleet: &Fleet, course: &Course) -> (usize, u32) {
    course.peak_from(usize::try_from(fleet.outage.as_secs()).unwrap_or(usize::MAX))
}

/// One line for each step of time: attempts a second in the busiest second of the step, and how many
/// clients were back at its end.
fn plot(text: &mut String, fleet: &Fleet, course: &Course) {
    let end = until_quiet(course);
    let step = end.div_ceil(LINES).max(1);
    let steps: Vec<_> = course.seconds.get(..end).unwrap_or_default().chunks(step).collect();
    let busiest = |step: &[Second]| step.iter().map(|second| second.attempts).max().unwrap_or(0);
    let most = steps.iter().map(|step| busiest(step)).max().unwrap_or(0).max(1);
    let outage = usize::try_from(fleet.outage.as_secs()).unwrap_or(usize::MAX);
    let _ = writeln!(
        text,
        "{:>8}  {:>10}  {:>7}  attempts a second, at most",
        "TIME", "ATTEMPTS/S", "BACK"
    );
    let mut back = 0;
    for (number, seconds) in steps.iter().enumerate() {
        let attempts = busiest(seconds);
        back += seconds.iter().map(|second| second.came_up).sum::<u32>();
        let width = (u64::from(attempts) * WIDTH).div_ceil(u64::from(most));
        let bar = "#".repeat(usize::try_from(width).unwrap_or(0));
        let from = number * step;
        let mark =
            if (from..from + step).contains(&outage) { " <- the server is back" } else { "" };
        let line = format!("{:>8}  {attempts:>10}  {back:>7}  {bar}{mark}", clock(from));
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// The seconds up to the last in which anything happened.
fn until_quiet(course: &Course) -> usize {
    let busy = |second: &Second| second.attempts > 0 || second.came_up > 0;
    course.seconds.iter().rposition(busy).map_or(1, |last| last + 1)
}

/// Minutes and seconds from the beginning of the outage.
fn clock(second: usize) -> String {
    format!("{}:{:02}", second / 60, second % 60)
}

/// As many lines as fit a screen beside the sentences.
const LINES: usize = 30;
/// The longest bar.
const WIDTH: u64 = 40;
