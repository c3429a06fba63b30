//! Owns the carrying out of what `reap` decided: batch by batch, each connection looked at once more
//! right before, each act on record. Decides nothing of its own.

use halfopen_core::{ConnectionId, Diagnosis, reaping::Means};
use halfopen_sys::{
    DestroyError, Netns, NetnsError, ShutDownError, Shutter, SocketDiag, SocketDiagError, destroy,
};

use super::{Ending, Fate, Judge};
use crate::{
    audit::{Act, ActResult, Audit, Entries},
    connections::Connections,
    exit::Failure,
};

/// Ends those connections whose fate is [`Fate::WouldEnd`], and replaces their fates by what came of it
/// and their diagnoses by those of the second look.
///
/// # Errors
/// [`Failure`] where an act cannot be put on record, or privilege lacks, which is the same for all
/// that follow. What was done until then is in the fates.
pub(super) fn carry_out(
    connections: &mut Connections,
    fates: &mut [Fate],
    judge: &Judge,
    audit: &Audit,
) -> Result<(), Failure> {
    let mut doomed: Vec<Doomed<'_>> = connections
        .iter_mut()
        .zip(fates.iter_mut())
        .filter(|(_, fate)| matches!(fate, Fate::WouldEnd(_)))
        .map(|(seen, fate)| Doomed { seen, fate })
        .collect();
    // Stable, so that within a namespace the worst still come first.
    doomed.sort_by_key(|one| one.id().netns);
    let mut shutter = Shutter::default();
    for there in doomed.chunk_by_mut(|one, next| one.id().netns == next.id().netns) {
        let Some(first) = there.first() else { continue };
        let mut diag = match conversation(first.id()) {
            Ok(diag) => diag,
            Err(error) => {
                for one in there {
                    *one.fate = Fate::Failed(format!("cannot {error}"));
                }
                continue;
            }
        };
        for batch in there.chunks_mut(destroy::BATCH) {
            one_batch(batch, judge, audit, &mut diag, &mut shutter)?;
        }
    }
    Ok(())
}

/// A connection that is to be ended.
struct Doomed<'a> {
    seen: &'a mut Diagnosis,
    fate: &'a mut Fate,
}

impl Doomed<'_> {
    const fn id(&self) -> ConnectionId {
        self.seen.observation.sample.id
    }
}

/// One that is dead at the second look too.
struct Condemned<'a> {
    fate: &'a mut Fate,
    diagnosis: &'a Diagnosis,
    ending: Ending,
}

fn conversation(id: ConnectionId) -> Result<SocketDiag, SocketDiagError> {
    if Netns::current()?.id() == id.netns {
        return SocketDiag::open();
    }
    let inside = Netns::named(&id.netns.to_string())?;
    // Its number may have come to mean another namespace, which has no such cookie then.
    inside.enter(SocketDiag::open).map_err(|error: NetnsError| SocketDiagError::from(error))?
}

fn one_batch(
    batch: &mut [Doomed<'_>],
    judge: &Judge,
    audit: &Audit,
    diag: &mut SocketDiag,
    shutter: &mut Shutter,
) -> Result<(), Failure> {
    let mut condemned = Vec::with_capacity(batch.len());
    for one in batch {
        condemned.extend(look_again(one, judge, diag));
    }
    if condemned.is_empty() {
        return Ok(());
    }
    let ids = condemned.iter().map(|one| one.diagnosis.observation.sample.id);
    let entries = audit.begin("reap", ids)?;
    let outcomes = match judge.means {
        Means::Destroy => destroyed(&condemned, diag)?,
        Means::ShutDown => condemned.iter().map(|one| shut_down(one, shutter)).collect(),
    };
    let mut privilege = None;
    for (one, outcome) in condemned.into_iter().zip(outcomes) {
        if let Outcome::Refused { why, lacks_privilege: true } = &outcome {
            privilege = Some(why.clone());
        }
        record(one, outcome, &entries, diag)?;
    }
    privilege.map_or(Ok(()), |why| Err(Failure::Privilege(format!("cannot {why}"))))
}

/// The second look: the same socket, by its cookie, judged anew by what the kernel says now.
fn look_again<'a>(
    one: &'a mut Doomed<'_>,
    judge: &Judge,
    diag: &mut SocketDiag,
) -> Option<Condemned<'a>> {
    let before = &one.seen.observation;
    let sample = &before.sample;
    let now = match diag.look_up(sample.family, &sample.endpoints, sample.id.cookie) {
        Ok(Some(now)) => now,
        Ok(None) => {
            *one.fate = Fate::Gone;
            return None;
        }
        Err(error) => {
            *one.fate = Fate::Failed(format!("cannot look at it again: cannot {error}"));
            return None;
        }
    };
    let observation = before.seen_again(now);
    *one.seen = Diagnosis::of(observation, &judge.thresholds);
    match judge.fate(one.seen) {
        Fate::WouldEnd(ending) => Some(Condemned { fate: one.fate, diagnosis: one.seen, ending }),
        Fate::Spared(spared) => {
            *one.fate = Fate::SparedAtLast(spared);
            None
        }
        other => {
            *one.fate = other;
            None
        }
    }
}

/// What became of one act.
enum Outcome {
    Done,
    Gone,
    Refused { why: String, lacks_privilege: bool },
}

fn destroyed(condemned: &[Condemned<'_>], diag: &mut SocketDiag) -> Result<Vec<Outcome>, Failure> {
    let samples: Vec<_> = condemned.iter().map(|one| &one.diagnosis.observation.sample).collect();
    let results = destroy::destroy(diag, &samples).map_err(|error| {
        Failure::System(format!(
            "cannot {error}; the record names the connections that were about to be ended"
        ))
    })?;
    let outcome = |result| match result {
        Ok(()) => Outcome::Done,
        Err(DestroyError::Gone) => Outcome::Gone,
        Err(error) => Outcome::Refused {
            why: error.to_string(),
            lacks_privilege: matches!(error, DestroyError::Privilege),
        },
    };
    Ok(results.into_iter().map(outcome).collect())
}

fn shut_down(one: &Condemned<'_>, shutter: &mut Shutter) -> Outcome {
    let seen = &one.diagnosis.observation;
    match shutter.shut_down(&seen.sample, seen.owners.seen()) {
        Ok(()) => Outcome::Done,
        Err(ShutDownError::Gone) => Outcome::Gone,
        Err(error) => Outcome::Refused {
            why: error.to_string(),
            lacks_privilege: matches!(
                error,
                ShutDownError::Descriptor(halfopen_sys::OptionsError::Refused { .. })
            ),
        },
    }
}

fn record(
    one: Condemned<'_>,
    outcome: Outcome,
    entries: &Entries<'_>,
    diag: &mut SocketDiag,
) -> Result<(), Failure> {
    let Condemned { fate, diagnosis, ending } = one;
    let sample = &diagnosis.observation.sample;
    let before = sample.state.to_string();
    let after = diag
        .look_up(sample.family, &sample.endpoints, sample.id.cookie)
        .ok()
        .map(|now| now.map_or_else(|| GONE.to_owned(), |now| now.state.to_string()));
    let why;
    let result = match outcome {
        Outcome::Done => {
            *fate = Fate::Ended(ending);
            ActResult::Done
        }
        Outcome::Gone => {
            *fate = Fate::Gone;
            ActResult::Failed("it was gone already")
        }
        Outcome::Refused { why: reason, .. } => {
            why = format!("cannot {reason}");
            *fate = Fate::Failed(why.clone());
            ActResult::Failed(&why)
        }
    };
    let act = Act { diagnosis, before: &before, after: after.as_ref(), result };
    Ok(entries.record(act)?)
}

/// The kernel has no such socket any more; part of `halfopen.audit/1`.
pub(super) const GONE: &str = "GONE";
