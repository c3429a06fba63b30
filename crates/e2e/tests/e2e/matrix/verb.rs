//! The verbs of the matrix: what each is started with, and its words for one connection.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    kind::Kind,
    stage::{Actor, Stage, look_until},
};
use crate::{json, keep::Files, record::Record};

/// One block of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Prove,
    ProveCrafted,
    Keep,
    Reap,
    ReapProve,
    ReapUnproved,
}

impl Verb {
    pub(super) const ALL: [Self; 6] = [
        Self::Prove,
        Self::ProveCrafted,
        Self::Keep,
        Self::Reap,
        Self::ReapProve,
        Self::ReapUnproved,
    ];

    /// What is typed.
    pub(super) const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Prove => &["prove", "--probes", "3", "--source", "sock-diag"],
            Self::ProveCrafted => {
                &["prove", "--probes", "3", "--source", "bpf", "--method", "crafted-ack"]
            }
            Self::Keep => &["keep", "--detect-within", "5s", "--source", "sock-diag", "--apply"],
            Self::Reap => &["reap", "--all", "--source", "sock-diag", "--apply"],
            Self::ReapProve => {
                &["reap", "--all", "--prove", "--probes", "3", "--source", "sock-diag", "--apply"]
            }
            Self::ReapUnproved => {
                &["reap", "--all", "--unproved", "--source", "sock-diag", "--apply"]
            }
        }
    }

    /// What it is to do, for the page.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Prove => {
                "Without BPF, as an ordinary build does it. Not one byte reaches a peer's application, and no \
                 option is left changed; the test checks both."
            }
            Self::ProveCrafted => {
                "The method for what no process holds, here used on everything (needs BPF)."
            }
            Self::Keep => "The application is asked once those five seconds are over.",
            Self::Reap => "Only what is proved dead is ended; nothing is tested for that.",
            Self::ReapProve => "What is not proved yet is tested, and ended if it comes out dead.",
            Self::ReapUnproved => {
                "What ending a connection by force looks like from both ends. A reset is sent where the state has \
                 one; what a cut cable, or a NAT that has forgotten the connection, does not let through, the peer \
                 does not hear."
            }
        }
    }

    /// Tests only, and must not move a byte.
    pub(super) const fn is_test(self) -> bool {
        matches!(self, Self::Prove | Self::ProveCrafted)
    }

    /// Runs it on the stage's host. What it said of each connection, in the order of the actors.
    pub(super) fn run(self, stage: &Stage) -> Vec<String> {
        let netns = stage.netns();
        let [verb, more @ ..] = self.words() else { return Vec::new() };
        let document = match self {
            Self::Prove | Self::ProveCrafted => {
                json(&[&[*verb, "--netns", &netns, "--json"], more].concat())
            }
            Self::Keep => {
                let files = Files::new(&format!("matrix-{netns}"));
                let document = files.json(&[&["--netns", &netns], more].concat());
                wait_for_the_objective(stage);
                document
            }
            Self::Reap | Self::ReapProve | Self::ReapUnproved => {
                let record = Record::new();
                let arguments = ["--netns", &netns, "--json", "--audit", record.path()];
                json(&[&[*verb], &arguments[..], more].concat())
            }
        };
        let said = |actor: &Actor| self.said(&document, actor);
        stage.actors.iter().map(said).collect()
    }

    fn said(self, document: &Value, actor: &Actor) -> String {
        let local = actor.local.to_string();
        let all = document["connections"].as_array().unwrap();
        let is_it = |one: &Value| {
            one["local"] == *local && actor.to.is_none_or(|to| one["peer"] == *to.to_string())
        };
        let of = |one: &&Value| is_it(one) || is_it(&one["connection"]);
        let Some(one) = all.iter().find(of) else { return "not there any more".to_owned() };
        match self {
            Self::Prove | Self::ProveCrafted => answer(one, actor.kind),
            Self::Keep => kept(one),
            Self::ReapProve => match (actor.kind, fate(one, actor.kind).as_str()) {
                // Whether it has just been heard, or asks again, is a matter of moments.
                (
                    Kind::ZeroWindow | Kind::DataOutstanding,
                    "spared: answered"
                    | "spared: alive is not proved"
                    | "spared: blocked is not proved"
                    | "untested (in flight)",
                ) => "spared: heard lately".to_owned(),
                (_, fate) => fate.to_owned(),
            },
            Self::Reap | Self::ReapUnproved => fate(one, actor.kind),
        }
    }
}

/// The objective of [`Verb::Keep`], and what reading a table and waking up may add.
const OBJECTIVE: Duration = Duration::from_millis(5_200);

/// Until the objective is over: who was not told by then was not told in time.
fn wait_for_the_objective(stage: &Stage) {
    let since = Instant::now();
    let left = || OBJECTIVE.checked_sub(since.elapsed());
    // A look now and then, so that a connection which goes is gone when all of them are.
    let gone = || stage.near_samples().is_empty().then_some(());
    look_until(left().unwrap_or_default(), gone);
}

fn answer(one: &Value, kind: Kind) -> String {
    let answer = one["answer"].as_str().unwrap();
    let how = one["method"].as_str().unwrap_or_else(|| reason(one));
    // Whether a peer that answers has just done so is a matter of moments.
    match (kind, answer, how) {
        (Kind::ZeroWindow, "alive", "heard") | (Kind::ZeroWindow, "unprovable", "in flight") => {
            "alive (heard), or unprovable (in flight)".to_owned()
        }
        (Kind::DataOutstanding, "alive", _) => "alive (heard, or probed)".to_owned(),
        _ => format!("{answer} ({how})"),
    }
}

/// In a word, why it was not probed.
fn reason(one: &Value) -> &str {
    let why = one["why"].as_str().unwrap();
    let reasons = [
        ("heard within", "heard"),
        ("data of ours", "in flight"),
        ("handshake", "handshake"),
        ("no process", "no descriptor"),
    ];
    reasons.iter().find(|(text, _)| why.contains(text)).map_or(why, |(_, word)| word)
}

fn kept(one: &Value) -> String {
    let plan = one["plan"].as_str().unwrap();
    if plan != "change" {
        return format!("{plan}: {}", one["why"].as_str().unwrap_or_default());
    }
    let learns = |what: &str| {
        let learns = &one["after"]["learns"][what];
        match learns["max_ms"].as_u64() {
            Some(max) if max <= 5_000 => format!("{what} in time"),
            Some(_) => format!("{what} later"),
            None if learns["never"] == true => format!("{what} never"),
            None => format!("{what} {learns}"),
        }
    };
    let outcome = one["outcome"].as_str().unwrap();
    if let Some(error) = one["error"].as_str() {
        return format!("{outcome}: {error}");
    }
    if one["after"]["learns"]["busy"].is_null() {
        return format!("{outcome}: {}", learns("idle"));
    }
    format!("{outcome}: {}, {}", learns("idle"), learns("busy"))
}

fn fate(one: &Value, kind: Kind) -> String {
    let fate = one["fate"].as_str().unwrap();
    match one["because"]["kind"].as_str() {
        Some("not-proved") => {
            let verdict = match (kind, one["connection"]["verdict"].as_str().unwrap()) {
                // Nobody has accepted it for a while: a long one, if the machine is busy.
                (Kind::Unaccepted, "alive" | "blocked") => "alive, or blocked,",
                (_, verdict) => verdict,
            };
            format!("{fate}: {verdict} is not proved")
        }
        Some("proved") => {
            let verdict = one["connection"]["verdict"].as_str().unwrap();
            format!("{fate}: proved {verdict}")
        }
        Some(because) => format!("{fate}: {because}"),
        None if fate == "untested" => format!("{fate} ({})", reason(one)),
        None => fate.to_owned(),
    }
}
