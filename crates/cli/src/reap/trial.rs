//! Owns `reap --prove`: whose peer is tested before its connection may be ended, and what the answer
//! makes of its fate. Sends nothing itself and ends nothing (see `prove` and `act`); but a peer that
//! has forgotten its connection ends it with its answer, which is put on record here.

use std::{collections::HashMap, sync::mpsc::Receiver};

use halfopen_core::{ConnectionId, Diagnosis, VerdictKind, proving::Patience, reaping::Spared};

use super::{Fate, Judge, act::GONE};
use crate::{
    audit::{Act, ActResult, Audit, Entries},
    connections::Connections,
    exit::Failure,
    prove::{self, Answer, Case, Plan, Proved, Ran},
};

/// What a connection meets that was selected: a test if nothing else decides.
pub(super) fn of(case: Case, judge: &Judge) -> (Diagnosis, Fate) {
    let fate = match judge.fate(&case.before) {
        Fate::Spared(Spared::NotProved(_)) => untried(&case, judge),
        decided => decided,
    };
    (case.before, fate)
}

fn untried(case: &Case, judge: &Judge) -> Fate {
    let method = match case.plan {
        Plan::Heard => return Fate::Spared(Spared::NotProved(VerdictKind::Alive)),
        Plan::Leave(why) => return Fate::Untested(why.to_string()),
        Plan::Probe(method, _) => method,
    };
    match judge.fate_if(&case.before, VerdictKind::Silent) {
        Fate::WouldEnd(ending) => Fate::WouldProve(method, ending),
        // No test would help.
        spared => spared,
    }
}

/// Tests those whose fate is [`Fate::WouldProve`], and replaces their fates and diagnoses by what
/// came of it: what is silent becomes [`Fate::WouldEnd`].
///
/// # Errors
/// [`Failure`] where that cannot be put on record, or nothing could be written down before it is touched.
pub(super) fn carry_out(
    connections: &mut Connections,
    fates: &mut [Fate],
    judge: &Judge,
    patience: Patience,
    audit: &Audit,
    ends: &Receiver<i32>,
) -> Result<Ran, Failure> {
    let mut cases = Vec::new();
    let mut places = HashMap::new();
    for (one, fate) in connections.iter_mut().zip(fates) {
        if let Fate::WouldProve(method, _) = *fate {
            cases.push(Case::to_probe(one.clone(), method, patience));
            places.insert(id_of(one), (one, fate));
        }
    }
    if cases.is_empty() {
        return Ok(Ran::ToItsEnd);
    }
    let entries = audit.begin("reap --prove", cases.iter().map(|case| id_of(&case.before)))?;
    prove::test(cases, patience, ends, &mut |proved| {
        let Some((one, fate)) = places.remove(&id_of(&proved.diagnosis)) else { return Ok(()) };
        *fate = answered(&proved, judge);
        if *fate == Fate::EndedByReset {
            record(&proved.diagnosis, &entries)?;
        }
        *one = proved.diagnosis;
        Ok(())
    })
}

fn answered(proved: &Proved, judge: &Judge) -> Fate {
    match proved.answer {
        Answer::HalfOpen => Fate::EndedByReset,
        Answer::Silent => judge.fate(&proved.diagnosis),
        Answer::Alive => Fate::Spared(Spared::Answered),
        Answer::Ended => Fate::Gone,
        Answer::Unprovable | Answer::Undecided => Fate::Untested(proved.why.clone()),
    }
}

fn record(one: &Diagnosis, entries: &Entries<'_>) -> Result<(), Failure> {
    let (before, after) = (one.observation.sample.state.to_string(), GONE.to_owned());
    let result = ActResult::Done;
    Ok(entries.record(Act { diagnosis: one, before: &before, after: Some(&after), result })?)
}

const fn id_of(one: &Diagnosis) -> ConnectionId {
    one.observation.sample.id
}
