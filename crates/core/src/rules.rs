//! Owns the order in which the rules are asked. Each rule is one file, named like its verdict; its
//! header says what refutes the verdict and which scenario of the lab proves it.

mod alive;
mod blocked;
mod closing;
mod embryonic;
mod half_closed;
mod half_open;
mod orphaned;
mod quiet;
mod silent;
mod straining;
mod unknown;

use crate::{
    detection::DetectionTime,
    evidence::{Evidence, WrappedAge},
    observation::{Observation, Thresholds},
    verdict::Verdict,
};

/// What a rule judges.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) seen: &'a Observation,
    pub(crate) learns: &'a DetectionTime,
    pub(crate) thresholds: &'a Thresholds,
}

/// The verdict on one observation: the first rule that applies. Proof comes first, then states that
/// leave no doubt, then what goes unanswered, then who does not read, then who was heard.
pub(crate) fn judge(
    seen: &Observation,
    learns: &DetectionTime,
    thresholds: &Thresholds,
) -> Verdict {
    let case = Case { seen, learns, thresholds };
    let verdict = RULES.iter().find_map(|rule| rule(case));
    verdict.unwrap_or_else(|| unknown::judge(case)).and(silent::doubted(seen))
}

const RULES: [fn(Case<'_>) -> Option<Verdict>; 12] = [
    half_open::judge,
    silent::proved,
    alive::proved,
    embryonic::judge,
    orphaned::judge,
    closing::judge,
    silent::judge,
    blocked::judge,
    straining::judge,
    half_closed::judge,
    alive::judge,
    quiet::judge,
];

/// When the peer was last heard, as evidence, if the kernel says; and whether that may be longer ago.
fn heard(case: Case<'_>) -> impl Iterator<Item = Evidence> {
    let ago = case.seen.sample.last_heard().map(|ago| Evidence::PeerHeard { ago });
    ago.into_iter().chain(wrapped(case))
}

/// That the age of what was heard may have wrapped, if it may.
fn wrapped(case: Case<'_>) -> Option<Evidence> {
    let (range, up) = (case.seen.age_range(), case.seen.sample.taken_at.0);
    let wrapped = || Evidence::AgeMayHaveWrapped(Box::new(WrappedAge { range, up }));
    case.seen.last_heard_may_have_wrapped().then(wrapped)
}

#[cfg(test)]
mod tests;
