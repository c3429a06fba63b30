//! Judges *half-open*: the peer has forgotten the connection, and that is proved.
//! Owns       what counts as proof. Silence never does.
//! Read       RFC 9293 sections 3.5.1 and 3.10.7; linux net/ipv4/tcp_input.c `tcp_reset`; docs/verdicts/half-open.md
//! Refuted by nothing that comes later: a reset ends the connection.
//! Proved by  the lab's `book` (a server host that lost power and came back).

use super::{Case, heard};
use crate::{
    evidence::Evidence,
    observation::Proof,
    remedy::Remedy,
    verdict::{Severity, Verdict, VerdictKind},
};

pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    let (evidence, headline, remedy) = match case.seen.proof? {
        // The reset has ended it: what is left is the descriptor, which is the application's.
        Proof::Reset { ago } => (
            Evidence::ResetReceived { ago },
            "the peer answered with a reset: it has forgotten us",
            Remedy::look_at_owner(case.seen),
        ),
        Proof::PeerTableLacks => (
            Evidence::PeerTableLacks,
            "the peer's host no longer has this connection",
            Some(Remedy::ProveAndEndIt),
        ),
        Proof::Answered { .. } | Proof::Unanswered { .. } => return None,
    };
    Some(
        Verdict::new(
            VerdictKind::HalfOpen,
            Severity::Problem,
            headline,
            "nothing: a peer that has forgotten a connection cannot take it up again",
            evidence,
        )
        .and(heard(case))
        .remedy(remedy)
        .remedy([Remedy::Neighbours]),
    )
}
