//! Owns the answer to one connection's test: what was shown, how, and in which words. Pure.

use std::{fmt, time::Duration};

use halfopen_core::{
    Diagnosis, Proof, Span, Thresholds, VerdictKind,
    proving::{Method, Outcome, Unprovable},
};

use super::Case;

/// What a test of one connection has shown.
#[derive(Debug, Clone)]
pub(crate) struct Proved {
    /// The connection as it was before the first probe, judged with the proof.
    pub diagnosis: Diagnosis,
    /// The answer.
    pub answer: Answer,
    /// How it was tested; `None`: it was not.
    pub method: Option<Method>,
    /// From the probe that was answered to the look that saw the answer.
    pub rtt: Option<Duration>,
    /// How many probes were sent.
    pub probes_sent: u32,
    /// The reason in one clause.
    pub why: String,
    /// More privilege would have made a test possible.
    pub lacks_privilege: bool,
}

/// The word for what was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// The peer answered with a reset.
    HalfOpen,
    /// Spaced probes went unanswered.
    Silent,
    /// The peer answered, or was heard within the last second.
    Alive,
    /// It ended while it was tested, and not by a reset as far as can be told.
    Ended,
    /// It could not be tested.
    Unprovable,
    /// The run was interrupted, or the probes that could be spared were too few to tell.
    Undecided,
}

impl Answer {
    /// All of them, worst first.
    pub(crate) const ALL: [Self; 6] =
        [Self::HalfOpen, Self::Silent, Self::Alive, Self::Ended, Self::Unprovable, Self::Undecided];

    /// The word for text and JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::HalfOpen => "half-open",
            Self::Silent => "silent",
            Self::Alive => "alive",
            Self::Ended => "ended",
            Self::Unprovable => "unprovable",
            Self::Undecided => "undecided",
        }
    }

    /// The peer is gone, or nothing reaches it.
    pub(crate) const fn is_dead(self) -> bool {
        matches!(self, Self::HalfOpen | Self::Silent)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Proved {
    /// Its peer was heard within the last second, before or instead of a probe.
    pub(crate) fn heard(case: Case) -> Self {
        Self {
            answer: Answer::Alive,
            why: "its peer was heard within the last second; no probe was needed".to_owned(),
            ..Self::untested(case)
        }
    }

    /// It cannot be tested. What the kernel has proved by its own probing still counts.
    pub(crate) fn unprovable(case: Case, why: Unprovable) -> Self {
        let by_kernel = match case.before.verdict.kind() {
            VerdictKind::HalfOpen => Some(Answer::HalfOpen),
            VerdictKind::Silent => Some(Answer::Silent),
            _ => None,
        };
        let headline = case.before.verdict.headline();
        let mut told = match why {
            Unprovable::DataOutstanding => format!("{why}: {headline}"),
            _ => why.to_string(),
        };
        if by_kernel.is_some() {
            told.insert_str(0, "not tested: ");
        }
        Self {
            answer: by_kernel.unwrap_or(Answer::Unprovable),
            why: told,
            lacks_privilege: why == Unprovable::NoPrivilege,
            ..Self::untested(case)
        }
    }

    /// The system refused to send a probe.
    pub(crate) fn refused(case: Case, why: &str, lacks_privilege: bool) -> Self {
        let why = why.to_owned();
        Self { answer: Answer::Unprovable, why, lacks_privilege, ..Self::untested(case) }
    }

    /// The run was interrupted before there was an answer.
    pub(crate) fn interrupted(case: Case, method: Option<Method>, probes_sent: u32) -> Self {
        let why = match probes_sent {
            0 => "interrupted before the first probe".to_owned(),
            sent => format!("interrupted, with {} unanswered so far", plural(sent)),
        };
        Self { answer: Answer::Undecided, method, probes_sent, why, ..Self::untested(case) }
    }

    /// An attempt is over.
    pub(crate) fn tested(case: Case, method: Method, probes_sent: u32, outcome: Outcome) -> Self {
        let heard = match case.before.observation.sample.last_heard() {
            Some(ago) => format!("; before that last heard {} ago", Span(ago)),
            None => String::new(),
        };
        let (rtt, told) = match outcome {
            Outcome::Proved(Proof::Answered { rtt }) => {
                (Some(rtt), format!("answered within {}", Rtt(rtt)))
            }
            Outcome::Proved(Proof::Reset { .. } | Proof::PeerTableLacks) => {
                (None, "its peer has forgotten it, and answered with a reset".to_owned())
            }
            Outcome::Proved(Proof::Unanswered { probes, apart }) => {
                (None, format!("{} unanswered, {} apart", plural(probes), Span(apart)))
            }
            Outcome::Ended => {
                (None, "it ended meanwhile, and not by a reset as far as can be told".to_owned())
            }
        };
        let mut observation = case.before.observation;
        if let Outcome::Proved(proof) = outcome {
            observation.proof = Some(proof);
        }
        // The proof decides, whatever else a user calls alive.
        let diagnosis = Diagnosis::of(observation, &Thresholds::default());
        let answer = match (outcome, diagnosis.verdict.kind()) {
            (Outcome::Ended, _) => Answer::Ended,
            (Outcome::Proved(Proof::Answered { .. }), _) => Answer::Alive,
            (_, VerdictKind::HalfOpen) => Answer::HalfOpen,
            (_, VerdictKind::Silent) => Answer::Silent,
            // So few probes that their silence convicts nobody.
            _ => Answer::Undecided,
        };
        Self {
            diagnosis,
            answer,
            method: Some(method),
            rtt,
            probes_sent,
            why: format!("{told} ({method}){heard}"),
            lacks_privilege: false,
        }
    }

    fn untested(case: Case) -> Self {
        Self {
            diagnosis: case.before,
            answer: Answer::Unprovable,
            method: None,
            rtt: None,
            probes_sent: 0,
            why: String::new(),
            lacks_privilege: false,
        }
    }
}

fn plural(probes: u32) -> String {
    if probes == 1 { "1 probe".to_owned() } else { format!("{probes} probes") }
}

/// A round trip: microseconds count on a LAN.
struct Rtt(Duration);

impl fmt::Display for Rtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros < 10_000 {
            write!(f, "{}.{}ms", micros / 1000, micros % 1000 / 100)
        } else {
            write!(f, "{}", Span(self.0))
        }
    }
}
