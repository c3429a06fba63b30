//! Owns the matrix as a table that a person reads: predicted beside measured, and a count that claims no
//! more than was seen. Pure.

use std::{fmt::Write as _, time::Duration};

use halfopen_core::Span;

use super::Outcome;
use crate::card::{Card, Happened, SideCard};

/// One line for each side of each scenario: predicted beside measured.
pub fn table(outcomes: &[Outcome]) -> String {
    let headings = ["fault", "state", "side", "predicted", "kernel", "application", ""];
    let (mut rows, mut failures) = (vec![headings.map(str::to_owned)], String::new());
    for Outcome { entry, result } in outcomes {
        match result {
            Ok(card) => rows.extend(card.sides.iter().map(|side| row(entry.name, card, side))),
            Err(error) => {
                let state = entry.scenario.pair.state.word();
                let cells = [entry.name, if entry.scenario.is_of_pair() { state } else { "" }];
                rows.push([cells[0], cells[1], "", "", "", "", "FAILED"].map(str::to_owned));
                // Writing into a String cannot fail.
                let _ = writeln!(failures, "{}: failed to {error}", entry.scenario.name);
            }
        }
    }
    format!("{}\n{}\n{failures}", aligned(&rows), Tally::of(outcomes))
}

/// How many sides went as was predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Their kernels did what was predicted.
    pub hits: usize,
    /// They did something else.
    pub misses: usize,
    /// The prediction lies beyond the end of the watch.
    pub later: usize,
    /// The earliest such prediction, after the first fault.
    pub earliest_later: Option<Duration>,
    /// The lab itself came too late to hold anything against the kernel.
    pub too_late: usize,
    /// Not the kernel decided, or a program was faster.
    pub not_judged: usize,
    /// Sides that failed themselves.
    pub failing: usize,
    /// Scenarios that could not be done.
    pub failed: usize,
}

impl Tally {
    /// Counts.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mut tally = Self::default();
        for outcome in outcomes {
            match &outcome.result {
                Ok(card) => card.sides.iter().for_each(|side| tally.count(card, side)),
                Err(_) => tally.failed += 1,
            }
        }
        tally
    }

    fn count(&mut self, card: &Card, side: &SideCard) {
        match side.as_predicted {
            Some(true) => self.hits += 1,
            Some(false) => self.misses += 1,
            None if side.predicted.kind == "fails" => self.failing += 1,
            None if side.too_late => self.too_late += 1,
            None => match later(card, side) {
                Some(at) => {
                    self.later += 1;
                    self.earliest_later = Some(self.earliest_later.map_or(at, |old| old.min(at)));
                }
                None => self.not_judged += 1,
            },
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hits, misses, later, earliest_later, too_late, not_judged, failing, failed } =
            *self;
        writeln!(f, "{hits:>5}  as predicted (hit)")?;
        writeln!(f, "{misses:>5}  not as predicted (MISS)")?;
        if let Some(earliest) = earliest_later {
            writeln!(
                f,
                "{later:>5}  predicted for after the watch (later), the first for {}: watch longer with \
                 --set stop.limit=…, or try --clock rescale",
                Span(Duration::from_secs(earliest.as_secs() + 1))
            )?;
        }
        if too_late > 0 {
            writeln!(
                f,
                "{too_late:>5}  not to be judged, since the lab itself came too late (too late): run it again \
                 where less else runs"
            )?;
        }
        if not_judged > 0 {
            writeln!(
                f,
                "{not_judged:>5}  not judged: not for the kernel to decide, or a program was faster"
            )?;
        }
        writeln!(f, "{failing:>5}  the side that fails")?;
        if failed > 0 {
            writeln!(f, "{failed:>5}  scenarios that could not be done (FAILED)")?;
        }
        Ok(())
    }
}

/// When the kernel is to act, where that is after the end of the watch.
fn later(card: &Card, side: &SideCard) -> Option<Duration> {
    let is_open = side.kernel.is_none() && side.application.is_none();
    let at = side.predicted.max.filter(|_| side.predicted.kind == "within" && is_open)?;
    (at >= card.watched).then_some(at)
}

fn row(name: &str, card: &Card, side: &SideCard) -> [String; 7] {
    let (min, max) = (side.predicted.min, side.predicted.max);
    let predicted = match (min, max, side.predicted.by) {
        (Some(min), Some(max), _) => format!("{:.1}..{:.1}", min.as_secs_f64(), max.as_secs_f64()),
        (_, None, Some(decides)) => decides.to_owned(),
        _ => side.predicted.kind.to_owned(),
    };
    let application = side.application.as_ref().map_or_else(none, |what| {
        let told = what.what.strip_prefix("was told: ").unwrap_or(&what.what);
        format!("{:.1} {told}", what.at.as_secs_f64())
    });
    let fits = match side.as_predicted {
        Some(true) => "hit",
        Some(false) => "MISS",
        None if side.too_late => "too late",
        None if later(card, side).is_some() => "later",
        None => "",
    };
    let side_word = side.side.word().to_owned();
    let state = card.state.unwrap_or("").to_owned();
    [
        name.to_owned(),
        state,
        side_word,
        predicted,
        kernel(&side.kernel),
        application,
        fits.to_owned(),
    ]
}

fn none() -> String {
    "-".to_owned()
}

/// When, and by what in one word.
fn kernel(what: &Option<Happened>) -> String {
    what.as_ref().map_or_else(none, |what| {
        let first = what.what.split([' ', ',']).next().unwrap_or_default();
        let word = if first == "gave" { "timers" } else { first.trim_end_matches(':') };
        format!("{:.1} {word}", what.at.as_secs_f64())
    })
}

/// In columns as wide as what stands in them; what an application said may be long, and is cut.
fn aligned(rows: &[[String; 7]]) -> String {
    let cut = |cell: &str| cell.chars().take(CELL_MAX).collect::<String>();
    let mut widths = [0; 7];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cut(cell).chars().count().max(*width);
        }
    }
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{:<width$}", cut(cell)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Longer words are in the cards (`--json`, `--html`).
const CELL_MAX: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{card::tests::card, matrix::of_pair, rehearsal::RehearsalError};

    #[test]
    fn what_was_not_seen_is_counted_apart_from_what_was_as_predicted() {
        let entry = of_pair(&[]).unwrap().remove(0);
        let mut later = card();
        later.watched = Duration::from_secs(14);
        let client = &mut later.sides[0];
        (client.kernel, client.application, client.as_predicted) = (None, None, None);
        let mut late = card();
        (late.sides[1].as_predicted, late.sides[1].too_late) = (None, true);
        let outcomes = [
            Outcome { entry: entry.clone(), result: Ok(card()) },
            Outcome { entry: entry.clone(), result: Ok(later) },
            Outcome { entry: entry.clone(), result: Ok(late) },
            Outcome { entry, result: Err(RehearsalError::Interrupted) },
        ];
        let tally = Tally::of(&outcomes);
        assert_eq!((tally.hits, tally.misses, tally.later, tally.failed), (2, 2, 1, 1));
        assert_eq!((tally.too_late, tally.not_judged), (1, 0));
        assert_eq!(tally.earliest_later, Some(Duration::from_secs(31)));
        insta::assert_snapshot!(table(&outcomes));
    }
}
