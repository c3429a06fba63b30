//! Owns `keep --undo`: what earlier runs have changed is put back, where it still is as they left it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io::Write,
};

use halfopen_core::{
    ConnectionId, Diagnosis, NetnsId,
    keeping::{KeepOptions, Past},
};
use halfopen_sys::set_options::{NotSet, Setter, Setting, Target};
use serde::Serialize;

use super::{
    look,
    record::{Options, Record},
};
use crate::{
    args::Keep,
    audit::{Act, ActResult, Audit},
    exit::{Exit, Failure},
    picture::Picture,
    render::json,
    select::Selection,
};

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Undone {
    schema: &'static str,
    restored: Vec<String>,
    already: Vec<String>,
    changed_since: Vec<String>,
    gone: Vec<String>,
    failed: Vec<Failed>,
}

#[derive(Debug, Serialize)]
struct Failed {
    id: String,
    why: String,
}

/// Puts back what the record knows of, of the connections that are chosen.
///
/// # Errors
/// [`Failure`] where the host cannot be looked at or the record cannot be read or written.
pub(super) fn run(arguments: &Keep, out: &mut impl Write) -> Result<Exit, Failure> {
    let mut record = Record::open(arguments.record.as_deref())?;
    let pasts = record.pasts()?;
    let mut undone = Undone { schema: "halfopen.keep-undo/1", ..Undone::default() };
    if pasts.is_empty() {
        record.retain(|_| false)?;
        return show(arguments, &undone, out);
    }
    let chooses =
        Selection::new(&arguments.selectors).narrows() || arguments.selectors.netns.is_some();
    let audit = Audit::open(arguments.acting.audit.as_deref())?;
    let pictures = pictures(arguments, &pasts)?;
    let there: Vec<_> = pictures.iter().flat_map(|picture| picture.connections.iter()).collect();

    let mut finished = HashSet::new();
    let mut ways = Vec::new();
    for diagnosis in &there {
        let id = diagnosis.observation.sample.id;
        let Some(past) = pasts.get(&id) else { continue };
        let now = diagnosis.observation.options.read().and_then(KeepOptions::of);
        let Some(now) = now else {
            let why = "its options could not be read (run as root)".to_owned();
            undone.failed.push(Failed { id: id.to_string(), why });
            continue;
        };
        match past.way_back(now) {
            Some(first) => ways.push((*diagnosis, Setting { id, expected: now, wanted: first })),
            None => {
                finished.insert(id);
                let is_restored = past.is_restored(now);
                let list =
                    if is_restored { &mut undone.already } else { &mut undone.changed_since };
                list.push(id.to_string());
            }
        }
    }
    set(&ways, &audit, &mut undone, &mut finished)?;
    if !chooses {
        let there: HashSet<_> = there.iter().map(|one| one.observation.sample.id).collect();
        let gone: Vec<_> = pasts.keys().filter(|id| !there.contains(id)).copied().collect();
        undone.gone.extend(gone.iter().map(ToString::to_string));
        finished.extend(gone);
    }
    record.retain(|id| !finished.contains(&id))?;
    show(arguments, &undone, out)
}

/// A look into each namespace that the record knows of, or into the one that was named.
fn pictures(
    arguments: &Keep,
    pasts: &HashMap<ConnectionId, Past>,
) -> Result<Vec<Picture>, Failure> {
    let selection = Selection::new(&arguments.selectors).with_loopback();
    let selectors = &arguments.selectors;
    if selectors.netns.is_some() || !selectors.id.is_empty() {
        return Ok(vec![look(arguments, selection)?]);
    }
    let known: BTreeSet<NetnsId> = pasts.keys().map(|id| id.netns).collect();
    let mut pictures = Vec::new();
    for netns in known {
        match look(arguments, selection.clone().in_namespace(netns)) {
            Ok(picture) => pictures.push(picture),
            // Gone with all of its connections.
            Err(Failure::Usage(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(pictures)
}

fn set(
    ways: &[(&Diagnosis, Setting)],
    audit: &Audit,
    undone: &mut Undone,
    finished: &mut HashSet<ConnectionId>,
) -> Result<(), Failure> {
    let targets: Vec<_> = ways
        .iter()
        .map(|(one, setting)| Target { setting: *setting, owners: one.observation.owners.seen() })
        .collect();
    let entries = audit.begin("keep --undo", ways.iter().map(|way| way.1.id))?;
    let outcomes = Setter::open(targets.len(), targets.len()).set(&targets);
    let words: Vec<_> = ways
        .iter()
        .zip(&outcomes)
        .map(|((diagnosis, setting), outcome)| {
            let (before, after) = (Options::from(setting.expected), Options::from(setting.wanted));
            (diagnosis, before, after, outcome.as_ref().err().map(ToString::to_string))
        })
        .collect();
    entries.record_all(words.iter().map(|(diagnosis, before, after, why)| Act {
        diagnosis,
        before,
        after: why.is_none().then_some(after),
        result: why.as_deref().map_or(ActResult::Done, ActResult::Failed),
    }))?;
    for ((_, setting), outcome) in ways.iter().zip(outcomes) {
        let id = setting.id.to_string();
        match outcome {
            Ok(()) => undone.restored.push(id),
            Err(NotSet::Gone | NotSet::NotOpen) => undone.gone.push(id),
            Err(NotSet::Changed) => undone.changed_since.push(id),
            Err(error) => {
                undone.failed.push(Failed { id, why: error.to_string() });
                continue;
            }
        }
        finished.insert(setting.id);
    }
    Ok(())
}

fn show(arguments: &Keep, undone: &Undone, out: &mut impl Write) -> Result<Exit, Failure> {
    if arguments.face.json {
        json::write_document(out, undone)?;
    } else {
        let Undone { restored, already, changed_since, gone, failed, .. } = undone;
        for (list, what) in [
            (restored, "the old options are back"),
            (already, "the old options were back already"),
            (changed_since, "left alone, since somebody else has set other options"),
            (gone, "gone or no longer open"),
        ] {
            if !list.is_empty() {
                writeln!(out, "{}: {what}", super::text::connections(list.len()))?;
            }
        }
        for one in failed {
            writeln!(out, "{}: {}", one.id, one.why)?;
        }
        if [restored, already, changed_since, gone].iter().all(|list| list.is_empty())
            && failed.is_empty()
        {
            writeln!(out, "nothing to put back")?;
        }
    }
    out.flush()?;
    Ok(if undone.failed.is_empty() { Exit::Fine } else { Exit::Problem })
}
