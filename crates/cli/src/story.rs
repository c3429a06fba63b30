//! Owns the story of one connection: what is known of it, in sentences and numbers, for `why`.
//! Pure: tells what a diagnosis holds, and asks the host nothing. Read: RFC 9293 sections 3.3.2, 3.6, 3.8.

mod ending;
mod path;
mod standing;
mod timers;

use halfopen_core::{Diagnosis, Owners};

pub(crate) use self::path::{KeepaliveSeen, is_half_closed, keepalive};
use crate::render::{end, escaped};

/// The story of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Story {
    /// Which connection, in one line.
    pub title: String,
    /// Its parts, in the order in which they are told.
    pub sections: Vec<Section>,
}

/// Where a connection was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// What its network namespace is called.
    pub netns: String,
    /// It is the namespace of this process, so commands need not enter it.
    pub is_own: bool,
}

impl Place {
    /// What has to stand before a command so that it runs in the connection's namespace.
    fn entrance(&self, diagnosis: &Diagnosis) -> String {
        match diagnosis.observation.owners.seen().first() {
            Some(owner) if !self.is_own => format!("nsenter -n -t {} ", owner.process.pid),
            _ => String::new(),
        }
    }
}

/// One part of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    /// What it is about, in one or two words.
    pub heading: &'static str,
    /// What it says: a paragraph or an item each.
    pub lines: Vec<Line>,
}

/// One line of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// A sentence, to be wrapped.
    Text(String),
    /// An item of a list, to be wrapped.
    Item(String),
    /// A command to be pasted, never wrapped.
    Command(String),
}

impl Story {
    /// The story of `diagnosis`, seen in `place`.
    pub(crate) fn of(diagnosis: &Diagnosis, place: &Place) -> Self {
        let sample = &diagnosis.observation.sample;
        let ends = &sample.endpoints;
        let title = format!(
            "{} -> {}  {}  ({} in namespace {})",
            end(ends.local),
            end(ends.peer),
            diagnosis.verdict.kind(),
            sample.id,
            escaped(&place.netns),
        );
        let sections = vec![
            Section::new("verdict", verdict(diagnosis)),
            Section::new("owner", owner(&diagnosis.observation.owners)),
            Section::new("state", standing::state(sample)),
            Section::new("heard", standing::heard(&diagnosis.observation)),
            Section::new("in flight", standing::in_flight(sample)),
            Section::new("timers", timers::timers(&diagnosis.observation)),
            Section::new("how it ends", ending::ending(&diagnosis.learns)),
            Section::new("the path", path::path(&diagnosis.observation)),
            Section::new("to do", to_do(diagnosis, place)),
        ];
        Self { title, sections }
    }
}

impl Line {
    /// What it says, without layout.
    pub(crate) fn plain(&self) -> String {
        match self {
            Self::Text(text) | Self::Item(text) | Self::Command(text) => text.clone(),
        }
    }
}

impl Section {
    const fn new(heading: &'static str, lines: Vec<Line>) -> Self {
        Self { heading, lines }
    }
}

fn text(sentence: impl Into<String>) -> Line {
    Line::Text(sentence.into())
}

fn verdict(diagnosis: &Diagnosis) -> Vec<Line> {
    let verdict = &diagnosis.verdict;
    let mut lines = vec![
        text(format!("{}: {}.", verdict.kind(), verdict.kind().meaning())),
        text(format!("Here: {}. Because:", escaped(&verdict.headline()))),
    ];
    lines.extend(verdict.evidence().map(|fact| Line::Item(escaped(&fact.to_string()))));
    let how = if verdict.kind().is_proved() { "It is proved." } else { "It is not proof." };
    lines.push(text(format!("{how} Refuted by {}.", verdict.refuter())));
    lines
}

fn owner(owners: &Owners) -> Vec<Line> {
    match owners {
        Owners::Known(all) => all.iter().map(|owner| text(one_owner(owner))).collect(),
        Owners::None => vec![text("No process holds it.")],
        Owners::Unseen(why) => vec![text(format!("Owner unknown: {}.", escaped(why)))],
    }
}

fn one_owner(owner: &halfopen_core::Owner) -> String {
    let process = &owner.process;
    let mut words =
        format!("{}, process {}, descriptor {}", escaped(&process.command), process.pid, owner.fd);
    if let Some(uid) = process.uid {
        words.push_str(&format!(", user {uid}"));
    }
    if let Some(unit) = &process.unit {
        words.push_str(&format!(", unit {}", escaped(unit)));
    } else if let Some(cgroup) = &process.cgroup {
        words.push_str(&format!(", cgroup {}", escaped(cgroup)));
    }
    words + "."
}

fn to_do(diagnosis: &Diagnosis, place: &Place) -> Vec<Line> {
    let ends = &diagnosis.observation.sample.endpoints;
    let mut lines = Vec::new();
    for remedy in diagnosis.verdict.remedies() {
        let seen = &diagnosis.observation;
        lines.push(text(format!("{}:", escaped(&remedy.purpose(seen)))));
        lines.push(Line::Command(escaped(&remedy.command(seen))));
    }
    let look = format!(
        "{}ss -tinemo src {} dst {}",
        place.entrance(diagnosis),
        end(ends.local),
        end(ends.peer)
    );
    lines.push(text("the kernel's own words:"));
    lines.push(Line::Command(look));
    lines.push(text(format!("what `{}` means in general:", diagnosis.verdict.kind())));
    lines.push(Line::Command(format!("halfopen why {}", diagnosis.verdict.kind())));
    lines
}

#[cfg(test)]
mod tests;
