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
    future::{self, EndedCgroup},
    look,
    record::{Options, Record},
};
use crate::{
    args::{Keep, Selectors},
    audit::{Act, ActResult, Audit},
    exit::{Exit, Failure},
    picture::Picture,
    render::{escaped, json},
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
    cgroups: Vec<EndedCgroup>,
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
    let mut undone = Undone { schema: "halfopen.keep-undo/1", ..Undone::default() };
    connections(arguments, &mut undone)?;
    // After them: a connection may have been given options at its birth, and others later.
    let selectors = &arguments.selectors;
    let by_cgroup_alone = Selectors { cgroup: Vec::new(), ..selectors.clone() };
    if !Selection::new(&by_cgroup_alone).chooses() {
        let audit = || Ok(Audit::open(arguments.acting.audit.as_deref())?);
        undone.cgroups = future::end(&selectors.cgroup, audit)?;
    }
    show(arguments, &undone, out)
}

/// Puts back what the record knows of.
fn connections(arguments: &Keep, undone: &mut Undone) -> Result<(), Failure> {
    let Some(mut record) = Record::open_existing(arguments.record.as_deref())? else {
        return Ok(());
    };
    let pasts = record.pasts()?;
    if pasts.is_empty() {
        return record.retain(|_| false);
    }
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
        if now.is_a_shot() {
            let why = "another run of halfopen is probing it just now; do this again".to_owned();
            undone.failed.push(Failed { id: id.to_string(), why });
            continue;
        }
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
    set(&ways, &audit, undone, &mut finished)?;
    if !Selection::new(&arguments.selectors).chooses() {
        let there: HashSet<_> = there.iter().map(|one| one.observation.sample.id).collect();
        let gone: Vec<_> = pasts.keys().filter(|id| !there.contains(id)).copied().collect();
        undone.gone.extend(gone.iter().map(ToString::to_string));
        finished.extend(gone);
    }
    record.retain(|id| !finished.contains(&id))
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
        let Undone { restored, already, changed_since, gone, failed, cgroups, .. } = undone;
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
        for one in cgroups {
            write_ended(out, one)?;
        }
        if [restored, already, changed_since, gone].iter().all(|list| list.is_empty())
            && failed.is_empty()
            && cgroups.is_empty()
        {
            writeln!(out, "nothing to put back")?;
        }
    }
    out.flush()?;
    let is_done = undone.failed.is_empty() && undone.cgroups.iter().all(|it| it.failed.is_empty());
    Ok(if is_done { Exit::Fine } else { Exit::Problem })
}

fn write_ended(out: &mut impl Write, one: &EndedCgroup) -> std::io::Result<()> {
    let EndedCgroup { path, restored, changed_since, failed } = one;
    let path = escaped(path);
    writeln!(out, "cgroup {path}: connections opened later are left as they are again")?;
    let many = super::text::connections;
    if *restored > 0 {
        writeln!(out, "  {} of it: the old options are back", many(*restored))?;
    }
    if *changed_since > 0 {
        let many = many(*changed_since);
        writeln!(out, "  {many} of it: left alone, since somebody else has set other options")?;
    }
    for why in failed {
        writeln!(out, "  {}; `halfopen keep --undo` tries again", escaped(why))?;
    }
    Ok(())
}
