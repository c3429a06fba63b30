//! Owns what stands around the table: above it what is wrong here, below it what is not shown.

use std::io::{self, Write};

use halfopen_core::{Listener, Severity, VerdictKind};

use super::{
    Paint,
    cell::{escaped, padded, wrapped},
    missing::write_missing,
    words::{self, counted},
};
use crate::picture::Picture;

/// Writes how many connections there are, a line for each verdict, and the listeners that are full.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_head(
    out: &mut impl Write,
    picture: &Picture,
    width: usize,
    paint: Paint,
) -> io::Result<()> {
    let mut title = format!(
        "{}: {}",
        escaped(&picture.host),
        counted(picture.connections.len(), "connection", "connections")
    );
    if picture.namespaces.len() > 1 {
        title.push_str(&format!(" in {} network namespaces", picture.namespaces.len()));
    }
    match picture.problems() {
        0 => title.push_str(", no problem seen"),
        1 => title.push_str(", 1 problem (marked !)"),
        many => title.push_str(&format!(", {many} problems (marked !)")),
    }
    writeln!(out, "{}", paint.heading(wrapped("", &title, width).trim_end()))?;
    let tallies: Vec<_> = VerdictKind::ALL
        .into_iter()
        .map(|kind| Tally::of(picture, kind))
        .filter(|tally| tally.all > 0)
        .collect();
    let digits = tallies.iter().map(|tally| tally.all).max().unwrap_or(0).to_string().len();
    for tally in &tallies {
        writeln!(out, "{}", tally.line(digits, width, paint).trim_end())?;
    }
    for listener in picture.full_listeners() {
        let text = wrapped("! ", &full_listener(picture, listener), width);
        writeln!(out, "{}", paint.severity(Severity::Problem, text.trim_end()))?;
    }
    Ok(())
}

/// How many connections have one verdict.
struct Tally {
    kind: VerdictKind,
    all: usize,
    problems: usize,
    /// Those whose owner would never learn that an idle peer has gone.
    never: usize,
}

impl Tally {
    fn of(picture: &Picture, kind: VerdictKind) -> Self {
        let mut tally = Self { kind, all: 0, problems: 0, never: 0 };
        for one in picture.connections.iter().filter(|one| one.verdict.kind() == kind) {
            tally.all += 1;
            tally.problems += usize::from(one.verdict.severity() == Severity::Problem);
            tally.never += usize::from(one.learns.now.is_none() && one.learns.idle.is_never());
        }
        tally
    }

    fn line(&self, digits: usize, width: usize, paint: Paint) -> String {
        let (mark, severity) =
            if self.problems > 0 { ('!', Severity::Problem) } else { (' ', Severity::Fine) };
        let mut meaning = self.kind.meaning().to_owned();
        match (self.problems, self.all) {
            (0, _) => {}
            (wrong, all) if wrong == all => {}
            (wrong, _) => meaning.push_str(&format!("; {wrong} wrong")),
        }
        if self.never > 0 {
            meaning.push_str(&format!("; {} would never learn", self.never));
        }
        let word = padded(self.kind.word(), LONGEST_WORD);
        let first = format!("{mark} {:>digits$} {word}  ", self.all);
        let text = wrapped(&first, &meaning, width);
        let plain = format!("{mark} {:>digits$} {}", self.all, self.kind.word());
        let rest = text.strip_prefix(&plain).unwrap_or_default();
        format!("{}{rest}", paint.severity(severity, &plain))
    }
}

/// `half-closed`.
const LONGEST_WORD: usize = 11;

fn full_listener(picture: &Picture, listener: &Listener) -> String {
    let place = if picture.namespaces.len() > 1 {
        format!(" in {}", escaped(&picture.netns_name(listener.netns)))
    } else {
        String::new()
    };
    format!(
        "listener {}{place} is full: {} for accept() where {} may; it turns new connections away",
        words::end(listener.local),
        match listener.accept_queue {
            1 => "1 waits".to_owned(),
            many => format!("{many} wait"),
        },
        listener.backlog,
    )
}

/// Writes what the table's signs mean, what is hidden and what could not be seen.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_foot(out: &mut impl Write, picture: &Picture, width: usize) -> io::Result<()> {
    if !picture.connections.is_empty() {
        write!(out, "{}", wrapped("learns: ", LEGEND, width))?;
        write!(out, "{}", wrapped("more: ", "`halfopen why PEER` tells the story of one", width))?;
    }
    if picture.hidden.loopback > 0 {
        let connections =
            counted(picture.hidden.loopback, "loopback connection", "loopback connections");
        let wrong = match picture.hidden.problems {
            0 => String::new(),
            wrong => format!(", {wrong} with a problem"),
        };
        let text = format!("{connections}{wrong} (--loopback shows them)");
        write!(out, "{}", wrapped("hidden: ", &text, width))?;
    }
    write_missing(out, picture, width)
}

const LEGEND: &str = "how long until the owner would know that its peer vanished, idle/busy; \
    `in`: counting down; `ends`: nobody is told; ~ assumed, ? unknown, - does not apply";
