//! Owns the verb `ls`: one look, drawn as a table or as JSON.

use std::io::Write;

use crate::{
    args::Ls,
    exit::{Exit, Failure},
    look::Look,
    picture::Picture,
    render::{TableView, json, write_foot, write_head, write_table},
    select::Selection,
    terminal::Terminal,
    watch,
};

/// Lists connections.
///
/// # Errors
/// [`Failure`] where the host cannot be looked at or the answer cannot be written.
pub(crate) fn run(arguments: &Ls, out: &mut impl Write) -> Result<Exit, Failure> {
    let selection = Selection::new(&arguments.selectors);
    let look = Look::new(selection, &arguments.looking, &arguments.judging, arguments.sort);
    if let Some(every) = arguments.watch {
        return watch::run(arguments, &look.remembering(), every.0, out);
    }
    let picture = look.take()?;
    if arguments.face.json {
        json::LsDocument::of(&picture).write(out, json::Layout::Lines)?;
    } else {
        write_text(out, &picture, view(arguments, Terminal::of_stdout()))?;
    }
    out.flush()?;
    let wrong = arguments.check && picture.problems() > 0;
    Ok(if wrong { Exit::Problem } else { Exit::Fine })
}

/// The table as these arguments want it on this terminal.
pub(crate) fn view(arguments: &Ls, terminal: Terminal) -> TableView {
    TableView {
        width: terminal.width,
        paint: terminal.paint(arguments.face.color),
        ids: arguments.ids,
        netns: arguments.selectors.all_namespaces,
    }
}

/// Writes summary, table and what is not in it.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_text(
    out: &mut impl Write,
    picture: &Picture,
    view: TableView,
) -> Result<(), std::io::Error> {
    write_head(out, picture, view.width, view.paint)?;
    if !picture.connections.is_empty() {
        writeln!(out)?;
        write_table(out, picture, view)?;
        writeln!(out)?;
    }
    write_foot(out, picture, view.width)
}
