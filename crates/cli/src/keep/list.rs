//! Owns `keep --list`: what earlier runs keep, now. Changes nothing.

use std::io::Write;

use serde::Serialize;

use super::{
    future,
    record::{Options, Record},
    text::connections,
};
use crate::{
    args::Keep,
    exit::{Exit, Failure},
    render::{escaped, json, wrapped},
    terminal::Terminal,
};

/// The document of `keep --list --json`.
#[derive(Debug, Serialize)]
struct Kept {
    schema: &'static str,
    connections: usize,
    cgroups: Vec<KeptCgroup>,
}

#[derive(Debug, Serialize)]
struct KeptCgroup {
    path: String,
    options: Options,
    covered: u64,
    open: u64,
    met: u64,
    crowded: u64,
    local: u64,
    refused: u64,
    #[serde(skip)]
    text: String,
}

/// Lists what the record knows of, and the cgroups whose later connections are covered.
///
/// # Errors
/// [`Failure`] where the record or the cgroups cannot be read.
pub(super) fn run(arguments: &Keep, out: &mut impl Write) -> Result<Exit, Failure> {
    let refused = |error| Failure::System(format!("cannot {error}"));
    let mut cgroups = Vec::new();
    for one in future::attached().map_err(refused)? {
        let (options, counts) = (one.options().map_err(refused)?, one.counts().map_err(refused)?);
        cgroups.push(KeptCgroup {
            path: one.cgroup().name().to_owned(),
            options: options.into(),
            covered: counts.covered,
            open: counts.open,
            met: counts.met,
            crowded: counts.crowded,
            local: counts.local,
            refused: counts.refused,
            text: future::options(options),
        });
    }
    let record = Record::open_existing(arguments.record.as_deref())?;
    let known = record.map_or(Ok(0), |mut record| record.pasts().map(|pasts| pasts.len()))?;
    let kept = Kept { schema: "halfopen.keep-list/1", connections: known, cgroups };
    if arguments.face.json {
        json::write_document(out, &kept)?;
    } else {
        write(out, &kept, Terminal::of_stdout().width)?;
    }
    out.flush()?;
    Ok(Exit::Fine)
}

fn write(out: &mut impl Write, kept: &Kept, width: usize) -> std::io::Result<()> {
    for one in &kept.cgroups {
        writeln!(out, "cgroup {}", escaped(&one.path))?;
        write!(out, "{}", wrapped("  given to connections opened there: ", &one.text, width))?;
        let KeptCgroup { covered, open, met, crowded, local, refused, .. } = one;
        let mut text = format!("{covered} so far, of which {open} are open");
        for (count, what) in [
            (met, "had as much by themselves"),
            (local, "of the host to itself left alone"),
            (crowded, "left alone, since too many came at once (`keep` again sets them)"),
            (refused, "could not be set"),
        ] {
            if *count > 0 {
                text.push_str(&format!("; {count} {what}"));
            }
        }
        write!(out, "{}", wrapped("  connections: ", &text, width))?;
    }
    let mut text = match kept.connections {
        0 => "no connection is on record".to_owned(),
        count => format!("{} on record, some of which may be gone", connections(count)),
    };
    if kept.connections > 0 || !kept.cgroups.is_empty() {
        text.push_str("; `halfopen keep --undo` puts everything back");
    }
    write!(out, "{}", wrapped("", &text, width))
}
