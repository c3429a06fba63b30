//! Owns what came of a case: a mark, and what was seen in words. Judges nothing.

use std::io;

use crate::stage::StageError;

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether what was seen is what must be seen.
    pub mark: Mark,
    /// What was seen, for a table: `ok`, `fin@20.4`, `never`.
    pub brief: String,
    /// What was seen, in a sentence; or why the case was not run.
    pub said: String,
}

/// Whether a case was passed. A case that could not be played is never passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// What must be seen was seen.
    Passed,
    /// Something else was seen.
    Failed,
    /// It was not played, or could not be played to its end.
    NotRun,
}

impl Mark {
    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::Failed => "fail",
            Self::NotRun => "not run",
        }
    }
}

/// How a case ends: with what was seen, or with what was missed.
pub type Ran = Result<Seen, Miss>;

/// What was seen in a case that is passed, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen(pub String);

/// Why a case is not passed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Miss {
    /// The relay did something else.
    #[error("{said}")]
    Failed {
        /// For a table.
        brief: String,
        /// In a sentence.
        said: String,
    },
    /// It could not be tried.
    #[error("{0}")]
    NotRun(String),
    /// This host refused something.
    #[error("the case could not be played to its end: {0}")]
    System(#[from] io::Error),
    /// The stage could not be set.
    #[error("the case could not be played to its end: {0}")]
    Stage(#[from] StageError),
}

impl Miss {
    /// A failure of the relay.
    pub fn failed(brief: impl Into<String>, said: impl Into<String>) -> Self {
        Self::Failed { brief: brief.into(), said: said.into() }
    }
}

impl From<Ran> for Outcome {
    fn from(ran: Ran) -> Self {
        match ran {
            Ok(Seen(said)) => Self { mark: Mark::Passed, brief: "ok".to_owned(), said },
            Err(Miss::Failed { brief, said }) => Self { mark: Mark::Failed, brief, said },
            Err(miss) => {
                Self { mark: Mark::NotRun, brief: "not run".to_owned(), said: miss.to_string() }
            }
        }
    }
}
