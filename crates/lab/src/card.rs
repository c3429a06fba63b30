//! Owns the report card of a rehearsal, as data: what was predicted, what was measured, by whom and by
//! what. Pure; `text` and `html` draw it, and serde gives its JSON. Read: docs/rehearse.md, docs/json.md.

mod html;
mod text;

use std::{fmt, time::Duration};

use halfopen_core::{Span, detection::Interval};
use serde::{Serialize, Serializer};

use crate::{
    fault::Side,
    forecast::{By, Foreseen},
    topology::IpFamily,
};

pub use html::html;
pub use text::text;

/// The report card of one rehearsal. Times count from the first fault, or from the client's start
/// where the fault was there before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Card {
    /// The scenario's name.
    pub scenario: String,
    /// What it is about.
    pub summary: String,
    /// The plan of hosts and cables.
    pub topology: &'static str,
    /// The family of its addresses: `ipv4` or `ipv6`.
    pub family: &'static str,
    /// By which clock: `real`, `rescale` or `warp`.
    pub clock: &'static str,
    /// `uname -r`.
    pub kernel: String,
    /// Where the connection stood when the fault came: `idle`, `waiting` or `writing`. That of the built-in
    /// pair is set, that of other programs is what their kernels counted. `None`: there was none.
    pub state: Option<&'static str>,
    /// What was done, and when it was.
    pub acts: Vec<Happened>,
    /// Client and server.
    pub sides: Vec<SideCard>,
    /// The count of the built-in pair's messages; `None` with other programs.
    pub messages: Option<Messages>,
    /// What the programs said after the fault: the first line of each, and the last until there are [`SAID_MAX`].
    pub said: Vec<Said>,
    /// What was expected, and whether it came so.
    pub expectations: Vec<Expectation>,
    /// How long was watched after the first fault.
    #[serde(rename = "watched_ms", serialize_with = "millis")]
    pub watched: Duration,
    /// Why the watch ended.
    pub ended: &'static str,
    /// How late the lab itself was at worst, to act or to look, where that is more than a measurement may
    /// add ([`RESOLUTION`]): on a machine that has too much to do. `None`: it was in time.
    #[serde(rename = "late_ms", serialize_with = "maybe_millis")]
    pub late: Option<Duration>,
    /// The client's cable as SVG, for the page; what is in it is in the other fields and in the capture.
    #[serde(skip)]
    pub picture: Option<String>,
    /// What should be known when reading the card.
    pub notes: Vec<String>,
}

/// Five lines tell what a program thinks of it; its log is elsewhere.
pub const SAID_MAX: usize = 5;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// After the first fault.
    #[serde(rename = "at_ms", serialize_with = "millis")]
    pub at: Duration,
    /// What, in a clause.
    pub what: String,
}

/// A line of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// After the first fault.
    #[serde(rename = "at_ms", serialize_with = "millis")]
    pub at: Duration,
    /// Whose program.
    pub side: Side,
    /// The line.
    pub line: String,
}

/// One side of the card.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SideCard {
    /// Which.
    pub side: Side,
    /// What ran there.
    pub command: String,
    /// Its connection when the fault came; `None`: it had none.
    pub began: Option<String>,
    /// What was in flight and what went last at that moment, as its kernel counted.
    pub traffic: Option<String>,
    /// What was expected of its kernel, from the socket's own options.
    pub predicted: Predicted,
    /// If its application had been writing, where it was not.
    pub if_writing: Option<String>,
    /// The first FIN or RST that it saw or said.
    pub wire: Option<Happened>,
    /// When its kernel ended the connection or was told of the end.
    pub kernel: Option<Happened>,
    /// When its application noticed.
    pub application: Option<Happened>,
    /// What its kernel holds in the end.
    pub believes: String,
    /// The kernel did what was predicted; `None` where nothing was, the application was faster, or the
    /// lab came too late to tell.
    pub as_predicted: Option<bool>,
    /// It did something else, and the lab itself came too late to hold that against it.
    pub too_late: bool,
    /// When it had a connection again.
    pub again: Option<Happened>,
    /// What was left over in the end.
    pub left: Left,
}

/// What was predicted for a side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Predicted {
    /// `within`, `never`, `open` where not the kernel alone decides, `unknown` or `fails`.
    pub kind: &'static str,
    /// The earliest moment after the fault; where it is open, the earliest at which its own timers end it.
    #[serde(rename = "min_ms", serialize_with = "maybe_millis")]
    pub min: Option<Duration>,
    /// The latest.
    #[serde(rename = "max_ms", serialize_with = "maybe_millis")]
    pub max: Option<Duration>,
    /// By what; where it is open, what decides.
    pub by: Option<&'static str>,
    /// Why.
    pub why: Option<String>,
}

/// What was left over on a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Left {
    /// Connections of before the fault that its kernel still holds.
    pub connections: usize,
    /// Descriptors more than before the client came, where that was counted.
    pub descriptors: Option<i64>,
    /// Processes more than before the client came.
    pub processes: Option<i64>,
}

/// The count of the built-in pair's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Messages {
    /// Numbers that the client wrote with success.
    pub sent: u64,
    /// Numbers that the server read.
    pub read: u64,
    /// Numbers that were written and never read.
    pub lost: u64,
    /// Numbers that were read more than once.
    pub doubled: u64,
}

impl fmt::Display for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, read, lost, doubled } = self;
        write!(f, "{sent} sent, {read} read, {lost} lost, {doubled} doubled")
    }
}

/// Something that was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expectation {
    /// What, in a clause.
    pub what: String,
    /// It came so; `None`: missed by no more than the lab itself was late.
    pub met: Option<bool>,
    /// What came.
    pub instead: String,
}

impl Expectation {
    /// That `side` notices within `limit`. It was seen to at `noticed`, if within the time that was
    /// `watched` it did, by a lab that was so `late`. Who is late sees nothing sooner than it was: what
    /// was seen in time was in time.
    pub(crate) fn to_notice(
        side: Side,
        limit: Duration,
        noticed: Option<Duration>,
        (watched, late): (Duration, Option<Duration>),
    ) -> Self {
        let is_doubtful =
            late.is_some_and(|late| noticed.unwrap_or(watched) <= limit.saturating_add(late));
        let met = if noticed.is_some_and(|at| at <= limit) {
            Some(true)
        } else {
            (!is_doubtful).then_some(false)
        };
        let came =
            noticed.map_or_else(|| "it did not".to_owned(), |at| format!("after {}", Span(at)));
        let doubt = late.filter(|_| met.is_none());
        let doubt =
            doubt.map_or_else(String::new, |late| format!(", and the lab was {} late", Span(late)));
        let what = format!("the {side} notices within {}", Span(limit));
        Self { what, met, instead: format!("{came}{doubt}") }
    }
}

/// What a rehearsal came to for whoever acts on it, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judgement {
    /// Nothing was otherwise than it should be.
    Good,
    /// Something was, and the lab itself came too late to tell whether that was why.
    TooLate,
    /// Something was.
    Bad,
}

impl Card {
    /// Whether every expectation was met.
    pub fn as_expected(&self) -> Judgement {
        worst(self.expectations.iter().map(|one| match one.met {
            Some(true) => Judgement::Good,
            Some(false) => Judgement::Bad,
            None => Judgement::TooLate,
        }))
    }

    /// Whether every kernel did what was predicted, where it was to decide.
    pub fn as_predicted(&self) -> Judgement {
        worst(self.sides.iter().map(|side| match side.as_predicted {
            Some(false) => Judgement::Bad,
            None if side.too_late => Judgement::TooLate,
            Some(true) | None => Judgement::Good,
        }))
    }

    /// The plan, and the family where it is not the usual one.
    fn hosts(&self) -> String {
        let over = if self.family == IpFamily::V4.word() { "" } else { " over IPv6" };
        format!("{}{over}", self.topology)
    }
}

fn worst(all: impl Iterator<Item = Judgement>) -> Judgement {
    all.max().unwrap_or(Judgement::Good)
}

impl Predicted {
    /// From what was foreseen so long after the fault.
    pub fn of(foreseen: &Foreseen, since: Duration) -> Self {
        let plain = |kind, why: Option<&str>| Self {
            kind,
            min: None,
            max: None,
            by: None,
            why: why.map(str::to_owned),
        };
        match foreseen {
            Foreseen::Within { within, by, why } => {
                let from = within.plus(Interval::exactly(since));
                // What may come at any time may have come before the look.
                let is_any_time = within.min().is_zero();
                Self {
                    min: Some(if is_any_time { Duration::ZERO } else { from.min() }),
                    max: Some(from.max()),
                    by: Some(by.words()),
                    ..plain("within", Some(why))
                }
            }
            Foreseen::Open { decides, not_before, why } => Self {
                min: not_before.map(|at| at + since),
                by: Some(decides.words()),
                ..plain("open", Some(why))
            },
            Foreseen::Never { why } => plain("never", Some(why)),
            Foreseen::Unknown { why } => plain("unknown", Some(why)),
            Foreseen::Fails => plain("fails", None),
        }
    }

    /// Whether what came by `by` at `measured`, or did not come as long as it was `watched`, is what was
    /// predicted; `None` where nothing was, or the watch was too short to tell.
    pub fn fits(&self, measured: Option<(Duration, By)>, watched: Duration) -> Option<bool> {
        match (self.kind, measured) {
            ("within", Some((at, by))) => {
                let early = self.min.unwrap_or_default().saturating_sub(RESOLUTION);
                let late = self.max.unwrap_or_default().saturating_add(RESOLUTION);
                Some(
                    (early..=late).contains(&at)
                        && self.by.is_some_and(|words| by.is_one_of(words)),
                )
            }
            ("within", None) => {
                let late = self.max.unwrap_or_default().saturating_add(RESOLUTION);
                (watched > late).then_some(false)
            }
            ("never", measured) => Some(measured.is_none()),
            // That its timers are not early is all that can be held against its kernel.
            ("open", Some((at, By::Timers))) => {
                let early = self.min.map(|min| min.saturating_sub(RESOLUTION));
                Some(early.is_some_and(|early| at >= early))
            }
            _ => None,
        }
    }
}

impl By {
    /// Whether this, which was measured, is among what `words` predicts.
    fn is_one_of(self, words: &str) -> bool {
        words.split(" or ").any(|word| word == self.words())
    }
}

/// What the measurement may add: the tables are read every 50 ms, later on a busy machine.
pub const RESOLUTION: Duration = Duration::from_millis(300);

impl Serialize for Side {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

fn millis<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn maybe_millis<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => millis(span, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
