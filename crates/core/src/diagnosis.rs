//! Owns Diagnosis: an observation, judged. The one entry to the core.

use crate::{
    detection::{self, DetectionTime, Patience},
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
        Judge::new(*thresholds).diagnosis(observation)
    }
}

/// Judges many observations, each as [`Diagnosis::of`] does, and remembers what they have in common.
#[derive(Debug, Clone)]
pub struct Judge {
    thresholds: Thresholds,
    patience: Patience,
}

impl Judge {
    /// By these thresholds.
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, patience: Patience::default() }
    }

    /// Judges one observation.
    pub fn diagnosis(&mut self, observation: Observation) -> Diagnosis {
        let learns = detection::detection_time_by(&observation, &mut self.patience);
        let verdict = rules::judge(&observation, &learns, &self.thresholds);
        Diagnosis { observation, verdict, learns }
    }
}
