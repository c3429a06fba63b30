//! Owns the JSON of one connection in short: who it is, what it was judged and why. For records
//! that are kept for years, where the whole of `connection` would be too much.

use halfopen_core::Diagnosis;
use serde::Serialize;

use super::{
    Field,
    connection::{EvidenceItem, Owner, owners},
};
use crate::render::words;

/// One connection in short. Each field is that of the same name in a whole connection.
#[derive(Debug, Serialize)]
pub(crate) struct BriefConnection<'a> {
    id: String,
    netns: u64,
    local: String,
    peer: String,
    state: String,
    verdict: &'static str,
    evidence: Vec<EvidenceItem<'a>>,
    owners: Field<'a, Vec<Owner<'a>>>,
}

impl<'a> BriefConnection<'a> {
    /// The JSON of `diagnosis` in short.
    pub(crate) fn of(diagnosis: &'a Diagnosis) -> Self {
        let Diagnosis { observation, verdict, .. } = diagnosis;
        let sample = &observation.sample;
        Self {
            id: sample.id.to_string(),
            netns: sample.id.netns.0,
            local: words::end(sample.endpoints.local),
            peer: words::end(sample.endpoints.peer),
            state: sample.state.to_string(),
            verdict: verdict.kind().word(),
            evidence: verdict.evidence().map(EvidenceItem).collect(),
            owners: owners(&observation.owners),
        }
    }
}
