//! Owns the table of connections: its columns and how they fit the page.
//! Read: `columns.rs` for what is dropped first, `words.rs` for what the cells say.

use std::io::{self, Write};

use halfopen_core::{Diagnosis, Severity};

use super::{
    Paint,
    cell::{cut, cut_middle, escaped, padded, width},
    columns::{GAP, Wish, fit},
    in_order::in_order,
    words,
};
use crate::picture::Picture;

/// How the table is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableView {
    /// The width of the page in columns.
    pub width: usize,
    /// Colour or not.
    pub paint: Paint,
    /// Show the connections' ids.
    pub ids: bool,
    /// Show the network namespaces.
    pub netns: bool,
}

/// One column: what it says at full and at short length, and what it would like. Cells are made
/// when they are measured and again when they are written, since there may be very many.
struct Column<'a> {
    title: &'static str,
    cell: Box<dyn Fn(&Diagnosis) -> Cell + Sync + 'a>,
    cut: Cut,
    rank: u8,
    /// A width worth having even if cells are cut.
    least_at_most: usize,
}

struct Cell {
    full: String,
    /// What stands for it where it does not fit.
    short: Option<String>,
}

#[derive(Clone, Copy)]
enum Cut {
    End,
    Middle,
}

/// Writes the table; nothing if there are no connections.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_table(
    out: &mut impl Write,
    picture: &Picture,
    view: TableView,
) -> io::Result<()> {
    if picture.connections.is_empty() {
        return Ok(());
    }
    let columns = columns(picture, view);
    let connections: Vec<_> = picture.connections.iter().collect();
    let wishes = wishes(&columns, &connections)?;
    let widths = fit(&wishes, view.width);
    let shown: Vec<_> = columns
        .iter()
        .zip(widths)
        .filter_map(|(column, columns)| Some((column, columns?)))
        .collect();
    let titles = shown.iter().map(|(column, columns)| (cut(column.title, *columns), *columns));
    writeln!(out, "{}", line(titles, |_, text| view.paint.heading(text)))?;
    let verdict_at = usize::from(view.ids);
    let row = |one: &Diagnosis| {
        let cells = shown.iter().map(|(column, columns)| (column.text(one, *columns), *columns));
        let paint = |at: usize, text: &str| {
            if at == verdict_at {
                view.paint.severity(one.verdict.severity(), text)
            } else {
                text.to_owned()
            }
        };
        line(cells, paint)
    };
    let rows = |piece: &[&Diagnosis], mut text: Vec<u8>| {
        text.clear();
        piece.iter().try_for_each(|one| writeln!(text, "{}", row(one)))?;
        Ok(text)
    };
    in_order(&connections, rows, |text| out.write_all(text))
}

/// What each column would like, which takes a look at all cells.
fn wishes(columns: &[Column<'_>], connections: &[&Diagnosis]) -> io::Result<Vec<Wish>> {
    let mut widest: Vec<_> = columns.iter().map(Column::narrowest).collect();
    let measured = |piece: &[&Diagnosis], _| {
        Ok(columns.iter().map(|column| column.measured(piece)).collect::<Vec<_>>())
    };
    in_order(connections, measured, |measured| {
        for (widest, measured) in widest.iter_mut().zip(measured) {
            *widest = widest.wider(*measured);
        }
        Ok(())
    })?;
    Ok(columns.iter().zip(widest).map(|(column, widest)| column.wish(widest)).collect())
}

/// The widths of the widest cell of a column, at full and at short length.
#[derive(Clone, Copy)]
struct Measured {
    full: usize,
    short: usize,
}

impl Measured {
    fn wider(self, other: Self) -> Self {
        Self { full: self.full.max(other.full), short: self.short.max(other.short) }
    }
}

/// Every column that may be shown, in order.
fn columns(picture: &Picture, view: TableView) -> Vec<Column<'_>> {
    let column =
        |title, rank, least_at_most, cut, cell| Column { title, cell, cut, rank, least_at_most };
    let mut all = Vec::new();
    if view.ids {
        let id = |one: &Diagnosis| Cell::plain(one.observation.sample.id.to_string());
        all.push(column("ID", 0, WHOLE, Cut::End, Box::new(id)));
    }
    all.push(column("VERDICT", 0, WHOLE, Cut::End, Box::new(verdict)));
    if view.netns {
        let name = |one: &Diagnosis| {
            Cell::plain(escaped(&picture.netns_name(one.observation.sample.id.netns)))
        };
        all.push(column("NETNS", 1, 10, Cut::End, Box::new(name)));
    }
    all.push(column("LOCAL", 5, WHOLE, Cut::Middle, Box::new(local)));
    all.push(column(
        "PEER",
        0,
        12,
        Cut::Middle,
        Box::new(|one| Cell::plain(words::end(one.observation.sample.endpoints.peer))),
    ));
    all.push(column(
        "HEARD",
        2,
        WHOLE,
        Cut::End,
        Box::new(|one| Cell::plain(words::heard(&one.observation.sample))),
    ));
    all.push(column(
        "LEARNS",
        0,
        WHOLE,
        Cut::End,
        Box::new(|one| Cell::plain(words::learns(&one.learns))),
    ));
    all.push(column("OWNER", 4, 8, Cut::End, Box::new(owner)));
    all.push(column(
        "WHY",
        3,
        18,
        Cut::End,
        Box::new(|one| Cell::plain(escaped(&one.verdict.headline()))),
    ));
    all
}

/// For columns that are never worth cutting.
const WHOLE: usize = usize::MAX;

/// A problem has a mark, so that colour is not needed to see it.
fn verdict(one: &Diagnosis) -> Cell {
    let mark = if one.verdict.severity() == Severity::Problem { '!' } else { ' ' };
    Cell::plain(format!("{mark}{}", one.verdict.kind()))
}

/// Where there is no room for our address, the port says which service it is.
fn local(one: &Diagnosis) -> Cell {
    let local = one.observation.sample.endpoints.local;
    Cell { full: words::end(local), short: Some(format!(":{}", local.port())) }
}

fn owner(one: &Diagnosis) -> Cell {
    let owners = &one.observation.owners;
    Cell { full: words::owner(owners), short: Some(words::owner_short(owners)) }
}

/// Joins cells, without blanks at the end of the line.
fn line(
    cells: impl Iterator<Item = (String, usize)>,
    paint: impl Fn(usize, &str) -> String,
) -> String {
    let mut cells: Vec<_> = cells.collect();
    while cells.last().is_some_and(|(text, _)| text.is_empty()) {
        cells.pop();
    }
    let last = cells.len().saturating_sub(1);
    let mut out = String::new();
    for (at, (text, columns)) in cells.into_iter().enumerate() {
        let blanks = padded(&text, columns).len() - text.len() + GAP;
        out.push_str(&paint(at, &text));
        if at < last {
            out.push_str(&" ".repeat(blanks));
        }
    }
    out
}

impl Column<'_> {
    fn narrowest(&self) -> Measured {
        let title = width(self.title);
        Measured { full: title, short: title }
    }

    fn measured(&self, connections: &[&Diagnosis]) -> Measured {
        connections.iter().fold(self.narrowest(), |widest, one| {
            let cell = (self.cell)(one);
            widest.wider(Measured { full: width(&cell.full), short: width(cell.short_or_full()) })
        })
    }

    fn wish(&self, widest: Measured) -> Wish {
        let natural = widest.full;
        let least = widest.short.min(self.least_at_most.max(width(self.title))).min(natural);
        Wish { natural, least, rank: self.rank }
    }

    fn text(&self, one: &Diagnosis, columns: usize) -> String {
        let cell = (self.cell)(one);
        let text = if width(&cell.full) > columns { cell.short_or_full() } else { &cell.full };
        match self.cut {
            Cut::End => cut(text, columns),
            Cut::Middle => cut_middle(text, columns),
        }
    }
}

impl Cell {
    const fn plain(full: String) -> Self {
        Self { full, short: None }
    }

    fn short_or_full(&self) -> &str {
        self.short.as_deref().unwrap_or(&self.full)
    }
}

#[cfg(test)]
mod tests;
