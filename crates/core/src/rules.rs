//! Owns the order in which the rules are asked. Each rule is one file, named like its verdict.

use crate::{
    detection::DetectionTime,
    evidence::Evidence,
    observation::{Observation, Thresholds},
    verdict::{Severity, Verdict, VerdictKind},
};

/// The verdict on one observation.
pub(crate) fn judge(
    seen: &Observation,
    learns: &DetectionTime,
    thresholds: &Thresholds,
) -> Verdict {
    let _ = (learns, thresholds);
    Verdict::new(
        VerdictKind::Unknown,
        Severity::Notice,
        "not judged",
        "any rule",
        Evidence::InState(seen.sample.state),
    )
}
