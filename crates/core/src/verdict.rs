//! Owns Verdict: a claim, the evidence it rests on, what would refute it, and what to do.
//! A verdict without evidence cannot be constructed.

mod further;

use std::{borrow::Cow, fmt};

use crate::{evidence::Evidence, remedy::Remedy};
use further::Further;

/// The kinds of verdict, worst first: this is the order in which `ls` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VerdictKind {
    /// Proved: the peer has forgotten the connection.
    HalfOpen,
    /// Proved: spaced probes go unanswered.
    Silent,
    /// Data or probes are unanswered; not yet proof.
    Straining,
    /// One side lives and does not read.
    Blocked,
    /// One direction is closed, the other is not.
    HalfClosed,
    /// Being established ("half-open" in texts about SYN floods).
    Embryonic,
    /// No process owns it; the kernel finishes it alone.
    Orphaned,
    /// Not enough was seen to say.
    Unknown,
    /// Both sides have closed; the kernel is winding up.
    Closing,
    /// Open, nothing in flight, unproved.
    Quiet,
    /// Heard from lately.
    Alive,
}

impl VerdictKind {
    /// All kinds, worst first.
    pub const ALL: [Self; 11] = [
        Self::HalfOpen,
        Self::Silent,
        Self::Straining,
        Self::Blocked,
        Self::HalfClosed,
        Self::Embryonic,
        Self::Orphaned,
        Self::Unknown,
        Self::Closing,
        Self::Quiet,
        Self::Alive,
    ];

    /// The word used in output, selectors, JSON, metrics and file names.
    pub const fn word(self) -> &'static str {
        match self {
            Self::HalfOpen => "half-open",
            Self::Silent => "silent",
            Self::Straining => "straining",
            Self::Blocked => "blocked",
            Self::HalfClosed => "half-closed",
            Self::Embryonic => "embryonic",
            Self::Orphaned => "orphaned",
            Self::Unknown => "unknown",
            Self::Closing => "closing",
            Self::Quiet => "quiet",
            Self::Alive => "alive",
        }
    }

    /// The kind that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// What the kind claims, as the summary says it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::HalfOpen => "the peer has forgotten the connection (proved)",
            Self::Silent => {
                "probes unanswered: peer gone, or the path swallows everything (proved)"
            }
            Self::Straining => "data or probes unanswered so far; the kernel is still trying",
            Self::Blocked => "one side lives and does not read (or accept)",
            Self::HalfClosed => "one direction closed, the other open",
            Self::Embryonic => "being established (texts on SYN floods call this half-open)",
            Self::Orphaned => "closed by its process; the kernel finishes it alone",
            Self::Unknown => "not enough could be seen",
            Self::Closing => "both sides have closed",
            Self::Quiet => "open, nothing in flight, peer unproved",
            Self::Alive => "the peer was heard from lately",
        }
    }

    /// Proved kinds are never weakened by more evidence of the same sort.
    pub const fn is_proved(self) -> bool {
        matches!(self, Self::HalfOpen | Self::Silent)
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Whether anybody has to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong.
    Fine,
    /// Worth knowing; `ls --check` still exits 0.
    Notice,
    /// Something is wrong; `ls --check` exits 1.
    Problem,
}

impl Severity {
    /// The word used in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Notice => "notice",
            Self::Problem => "problem",
        }
    }
}

/// A claim about one connection, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    kind: VerdictKind,
    severity: Severity,
    /// Where there is none, the first evidence says it all.
    headline: Option<Cow<'static, str>>,
    refuter: &'static str,
    first: Evidence,
    rest: Further,
    remedies: [Option<Remedy>; Remedy::KINDS],
}

impl Verdict {
    /// A claim that rests on `evidence`. `headline` is the `why` column: one clause, no verdict word;
    /// `refuter` completes "refuted by ".
    pub fn new(
        kind: VerdictKind,
        severity: Severity,
        headline: impl Into<Cow<'static, str>>,
        refuter: &'static str,
        evidence: Evidence,
    ) -> Self {
        let headline = Some(headline.into());
        Self { headline, ..Self::by_evidence(kind, severity, refuter, evidence) }
    }

    /// A claim whose headline is the evidence itself.
    pub const fn by_evidence(
        kind: VerdictKind,
        severity: Severity,
        refuter: &'static str,
        evidence: Evidence,
    ) -> Self {
        Self {
            kind,
            severity,
            headline: None,
            refuter,
            first: evidence,
            rest: Further::NONE,
            remedies: [None; Remedy::KINDS],
        }
    }

    /// With further evidence.
    #[must_use]
    pub fn and(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        evidence.into_iter().for_each(|one| self.rest.push(one));
        self
    }

    /// With remedies, best first; one that is there already is not said twice.
    #[must_use]
    pub fn remedy(mut self, remedies: impl IntoIterator<Item = Remedy>) -> Self {
        for remedy in remedies {
            let slot = self.remedies.iter_mut().find(|slot| slot.is_none_or(|it| it == remedy));
            if let Some(slot) = slot {
                *slot = Some(remedy);
            }
        }
        self
    }

    /// What is claimed.
    pub const fn kind(&self) -> VerdictKind {
        self.kind
    }

    /// Whether somebody has to act.
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// The claim's reason in one clause: the `why` column.
    pub fn headline(&self) -> Cow<'_, str> {
        match &self.headline {
            Some(headline) => Cow::Borrowed(headline),
            None => Cow::Owned(self.first.to_string()),
        }
    }

    /// What would prove the claim wrong; completes "refuted by ".
    pub const fn refuter(&self) -> &'static str {
        self.refuter
    }

    /// The facts that the claim rests on. Never empty.
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        std::iter::once(&self.first).chain(self.rest.iter())
    }

    /// What can be done, best first.
    pub fn remedies(&self) -> impl Iterator<Item = Remedy> {
        self.remedies.iter().copied().flatten()
    }
}
