//! Owns the tables, for people and for docs/benchmarks.md: medians, ranges, and ratios of the same round.

use std::fmt::Write as _;

use crate::{
    arguments::Test,
    relays::{Kind, RIVAL, Relay},
};

/// What one turn of a relay gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// What the test is about.
    pub(crate) main: f64,
    /// What it cost, or another percentile.
    pub(crate) beside: Option<f64>,
    /// What else is told.
    pub(crate) third: Option<f64>,
}

/// All turns of one relay in one test.
pub(crate) struct Column {
    name: &'static str,
    kind: Kind,
    /// What each round gave.
    pub(crate) rounds: Vec<Figures>,
}

impl Column {
    /// A relay that has not had its turn.
    pub(crate) const fn of(relay: &Relay) -> Self {
        Self { name: relay.name, kind: relay.kind, rounds: Vec::new() }
    }

    fn main(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.main).collect()
    }

    fn beside(&self) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.beside).collect()
    }

    /// The median of `of` this and the other in the same round.
    fn paired(
        &self,
        other: &Self,
        of: impl Fn(f64, f64) -> f64,
        side: fn(&Self) -> Vec<f64>,
    ) -> f64 {
        median(side(self).into_iter().zip(side(other)).map(|(own, other)| of(own, other)).collect())
    }
}

/// One test as a table in Markdown.
pub(crate) fn table(test: Test, columns: &[Column]) -> String {
    let heading = match test {
        Test::OneStream => "| 1 stream | Gb/s [range] | to HAProxy splice | relay CPU s/GB |",
        Test::EightStreams => "| 8 streams | Gb/s [range] | to HAProxy splice | relay CPU s/GB |",
        Test::Rate => {
            "| connections | per second [range] | to HAProxy splice | relay CPU us each |"
        }
        Test::Latency => "| 64 bytes and back | p50 us [range] | added p50 us | added p99 us |",
        Test::Idle => "| idle pairs | KiB a pair | descriptors a pair | pairs |",
    };
    let mut text = format!("{heading}\n|---|--:|--:|--:|\n");
    let rival = columns.iter().find(|column| column.kind == RIVAL);
    let floor = columns.iter().find(|column| column.kind == Kind::Direct);
    for column in columns.iter().filter(|column| !column.rounds.is_empty()) {
        let (main, beside) = (column.main(), column.beside());
        let shown = match test {
            Test::Idle => format!("{:.2}", median(main)),
            _ => ranged(&main, if test == Test::Rate { 0 } else { 1 }),
        };
        let (second, third) = match test {
            Test::Latency => {
                let added = |side| {
                    let floor = floor.filter(|floor| floor.kind != column.kind)?;
                    Some(column.paired(floor, |own, floor| own - floor, side))
                };
                (word(added(Column::main), 1), word(added(Column::beside), 1))
            }
            Test::Idle => {
                let pairs = column.rounds.first().and_then(|round| round.third);
                (word(beside.first().copied(), 2), word(pairs, 0))
            }
            Test::OneStream | Test::EightStreams | Test::Rate => {
                let ratio =
                    rival.map(|rival| column.paired(rival, |own, rival| own / rival, Column::main));
                let digits = if test == Test::Rate { 0 } else { 2 };
                let cost = (!beside.is_empty()).then(|| median(beside));
                (word(ratio, 2), word(cost, digits))
            }
        };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "| {} | {shown} | {second} | {third} |", column.name);
    }
    text
}

fn word(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
}

fn ranged(figures: &[f64], digits: usize) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    format!("{:.digits$} [{least:.digits$}-{most:.digits$}]", median(figures.to_vec()))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
