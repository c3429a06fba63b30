//! The page docs/matrix.md: the table in as few rows as it can be told in, and a legend that
//! explains every kind of cell in it, and no other.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    Cell, Table,
    condition::Condition,
    kind::Kind,
    legend::{APPLICATION, Explained, PEER, explanation, of_verb},
    stage::Family,
    verb::Verb,
};

/// The page with `table`, and the section of each verb in it.
pub(super) fn of(table: &Table) -> (String, Vec<String>) {
    let sections: Vec<_> = Verb::ALL.iter().filter_map(|verb| section(*verb, table)).collect();
    let mut page = HEAD.to_owned();
    page += "\n## How the peer is\n\n";
    for condition in Condition::ALL {
        let _ = writeln!(page, "- **{}**: {}", condition.word(), condition.meaning());
    }
    page += "\n## Where the connection stands\n\n";
    for kind in Kind::ALL {
        let _ = writeln!(page, "- **{}**: {}", kind.word(), kind.meaning());
    }
    page += "\n## What the application finds\n\n";
    page += "Asked once the verb is done: it reads, and where it may, it writes a byte.\n\n";
    page += &legend(APPLICATION, &phrases(table, None, 1));
    page += "\n## What the peer's kernel then has\n\n";
    page += &legend(PEER, &phrases(table, None, 2));
    for section in &sections {
        page += "\n";
        page += section;
    }
    (page, sections)
}

const HEAD: &str = "\
# The matrix

Every verb that acts, on every kind of connection, whatever has become of the peer: what the program says,
what our application then finds when it asks its socket, and what the peer's kernel then has. Each row was
played on real kernels; the test `what_each_verb_says_of_every_kind_of_connection_is_what_happens` plays all of
it again and fails if one cell changes (`HALFOPEN_WRITE_EXAMPLES=1` writes this page anew). Conditions that end
alike share a row. IPv4 and IPv6 end alike unless a row says otherwise.
";

fn section(verb: Verb, table: &Table) -> Option<String> {
    let rows = rows(verb, table);
    if rows.is_empty() {
        return None;
    }
    let mut section = format!("## `halfopen {}`\n\n", verb.words().join(" "));
    section += verb.meaning();
    section += "\n\n";
    let head = ["connection", "peer", "it says", "application", "peer's kernel"];
    section += &aligned(&[&[head.map(str::to_owned)], &rows[..]].concat());
    section += "\n";
    section += &legend(of_verb(verb), &phrases(table, Some(verb), 0));
    Some(section)
}

/// One row for each set of conditions that end alike.
fn rows(verb: Verb, table: &Table) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        let mut groups: Vec<(&Cell, Vec<String>)> = Vec::new();
        for (cell, word) in cells(verb, kind, table) {
            match groups.iter_mut().find(|(seen, _)| *seen == cell) {
                Some((_, words)) => words.push(word),
                None => groups.push((cell, vec![word])),
            }
        }
        for (nth, ([said, application, peer], words)) in groups.into_iter().enumerate() {
            let kind = if nth == 0 { kind.word() } else { "" };
            let row = [kind, &words.join(", "), said, application, peer];
            rows.push(row.map(str::to_owned));
        }
    }
    rows
}

/// The cells of one kind of connection with the words for when they are so.
fn cells(verb: Verb, kind: Kind, table: &Table) -> Vec<(&Cell, String)> {
    let mut cells = Vec::new();
    for condition in Condition::ALL {
        let of = |family| table.get(&(verb, kind, condition, family));
        match Family::BOTH.map(of) {
            [Some(four), Some(six)] if four == six => cells.push((four, condition.word().into())),
            both => {
                for (cell, family) in both.into_iter().zip(Family::BOTH) {
                    let word = format!("{} ({})", condition.word(), family.word());
                    cells.extend(cell.map(|cell| (cell, word)));
                }
            }
        }
    }
    cells
}

/// The phrases of one column, of one verb or of all.
fn phrases(table: &Table, of: Option<Verb>, column: usize) -> BTreeSet<&str> {
    let cells = table.iter().filter(|((verb, ..), _)| of.is_none_or(|of| of == *verb));
    cells.map(|(_, cell)| cell[column].as_str()).collect()
}

/// The explanations of those phrases, each of which has to have one.
fn legend(explained: &[Explained], phrases: &BTreeSet<&str>) -> String {
    let mut text = String::new();
    for one in explained {
        let (pattern, means) = one;
        if phrases.iter().any(|phrase| explanation(explained, phrase) == Some(one)) {
            let _ = writeln!(text, "- **{pattern}**: {means}");
        }
    }
    let unexplained: Vec<_> =
        phrases.iter().filter(|phrase| explanation(explained, phrase).is_none()).collect();
    assert!(unexplained.is_empty(), "cells that nothing explains: {unexplained:#?}");
    text
}

/// A table of Markdown whose columns stand below each other.
fn aligned(rows: &[[String; 5]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("| {cell:<width$} "));
        cells.collect::<String>() + "|\n"
    };
    let rule = widths.map(|width| "-".repeat(width));
    let mut text = String::new();
    for (nth, row) in rows.iter().enumerate() {
        text += &line(row);
        if nth == 0 {
            text += &line(&rule);
        }
    }
    text
}
