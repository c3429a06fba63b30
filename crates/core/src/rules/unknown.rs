//! Judges *unknown*: not enough could be seen to say anything else.
//! Owns       saying so. Never guesses.
//! Read       docs/verdicts/unknown.md
//! Refuted by what could not be seen.
//! Proved by  the unit tests: a kernel that withholds TCP_INFO is not to be had.

use super::{Case, heard};
use crate::{
    evidence::{Evidence, Unavailable},
    remedy::Remedy,
    verdict::{Severity, Verdict, VerdictKind},
};

pub(super) fn judge(case: Case<'_>) -> Verdict {
    let sample = &case.seen.sample;
    let missing = sample.info.is_none().then(|| {
        let why = "the kernel gave none for this socket".to_owned();
        Evidence::Unavailable(Box::new(Unavailable { what: "TCP_INFO", why }))
    });
    Verdict::new(
        VerdictKind::Unknown,
        Severity::Notice,
        "not enough could be seen",
        "what could not be seen",
        Evidence::InState(sample.state),
    )
    .and(missing)
    .and(heard(case))
    .remedy([Remedy::Explain])
}
