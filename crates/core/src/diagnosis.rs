//! Owns Diagnosis: an observation, judged. The one entry to the core.

use crate::{
    detection::{self, DetectionTime},
    observation::{Observation, Thresholds},
    rules,
    verdict::Verdict,
};

/// An observation and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was seen.
    pub observation: Observation,
    /// What it means.
    pub verdict: Verdict,
    /// When the owner would learn that the peer is gone.
    pub learns: DetectionTime,
}

impl Diagnosis {
    /// Judges one observation.
    pub fn of(observation: Observation, thresholds: &Thresholds) -> Self {
        let learns = detection::detection_time(&observation);
        let verdict = rules::judge(&observation, &learns, thresholds);
        Self { observation, verdict, learns }
    }
}
