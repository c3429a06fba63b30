//! Owns how the answers of `prove` are written: a line for each, and the sum.

use std::io::{self, Write};

use halfopen_core::Severity;

use super::{
    Paint,
    cell::{escaped, padded, wrapped},
    missing::write_missing,
    words,
};
use crate::{
    picture::Picture,
    prove::{Answer, Proved},
};

/// Writes one answer on one line: it is not known how many come, so nothing is aligned but the first word.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_proved(out: &mut impl Write, one: &Proved, paint: Paint) -> io::Result<()> {
    let severity = if one.answer.is_dead() { Severity::Problem } else { Severity::Fine };
    let mark = if one.answer.is_dead() { '!' } else { ' ' };
    let word = padded(one.answer.word(), LONGEST_WORD);
    let seen = &one.diagnosis.observation;
    writeln!(
        out,
        "{}  {}  {}  {}",
        paint.severity(severity, &format!("{mark}{word}")),
        words::pair(&one.diagnosis),
        words::owner(&seen.owners),
        escaped(&one.why),
    )
}

/// `unprovable`.
const LONGEST_WORD: usize = 10;

/// Writes how many there are of each answer, and what was left out or not seen.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_proved_sum(
    out: &mut impl Write,
    picture: &Picture,
    proved: &[Proved],
    width: usize,
) -> io::Result<()> {
    let counts: Vec<_> = Answer::ALL
        .into_iter()
        .map(|answer| (answer, proved.iter().filter(|one| one.answer == answer).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(answer, count)| format!("{count} {answer}"))
        .collect();
    let connections = match proved.len() {
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    };
    let text = format!("{connections}: {}", counts.join(", "));
    write!(out, "{}", wrapped("", &text, width))?;
    if picture.hidden.loopback > 0 {
        let text =
            format!("{} loopback connections (--loopback tests them)", picture.hidden.loopback);
        write!(out, "{}", wrapped("left out: ", &text, width))?;
    }
    write_missing(out, picture, width)
}
