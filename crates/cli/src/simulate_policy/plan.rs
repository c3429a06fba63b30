//! Owns the file that describes a fleet: TOML, every unknown word refused.

use halfopen_core::reconnect::{
    Jitter, Policy,
    fleet::{Down, Fleet},
};
use serde::Deserialize;

use crate::{
    span::Given,
    toml_file::{Text, slip},
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    clients: u32,
    outage: Span,
    #[serde(default)]
    down: Meets,
    connect_timeout: Option<Span>,
    noticed_within: Span,
    accepts_per_second: Option<u32>,
    watch: Span,
    #[serde(default)]
    policy: PolicyPlan,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Meets {
    #[default]
    Refused,
    Silence,
}

/// What is left out is as in `Policy::default`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyPlan {
    at_once: Option<bool>,
    first: Option<Span>,
    factor: Option<f64>,
    cap: Option<Span>,
    jitter: Option<JitterWord>,
    attempts: Option<u32>,
    deadline: Option<Span>,
    stable_after: Option<Span>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum JitterWord {
    None,
    Equal,
    Full,
}

/// A length of time, written as on the command line.
type Span = Text<Given>;

impl Plan {
    /// The fleet that `text` describes, or what is wrong with it, to be told behind `FILE:`.
    pub(super) fn read(text: &str) -> Result<Fleet, String> {
        let plan: Self = toml::from_str(text).map_err(|error| slip(text, &error))?;
        plan.check().map_err(|what| format!(" {what}"))
    }

    fn check(&self) -> Result<Fleet, String> {
        let within = |name: &str, value: u64, most: u64| {
            let is_good = (1..=most).contains(&value);
            let wrong = || format!("{name} is {value}: it has to be from 1 to {most}");
            if is_good { Ok(()) } else { Err(wrong()) }
        };
        within("clients", self.clients.into(), CLIENTS_MAX)?;
        within("watch in seconds", self.watch.0.0.as_secs(), WATCH_MAX_S)?;
        if let Some(accepts) = self.accepts_per_second {
            within("accepts_per_second", accepts.into(), u64::from(u32::MAX))?;
        }
        let down = match (&self.down, self.connect_timeout) {
            (Meets::Refused, None) => Down::Refuses,
            (Meets::Silence, Some(Text(Given(timeout)))) => Down::Silent { timeout },
            (Meets::Silence, None) => {
                return Err("down = \"silence\" needs connect_timeout".to_owned());
            }
            (Meets::Refused, Some(_)) => {
                return Err("connect_timeout needs down = \"silence\"".to_owned());
            }
        };
        Ok(Fleet {
            clients: self.clients,
            policy: self.policy.policy()?,
            outage: self.outage.0.0,
            down,
            noticed_within: self.noticed_within.0.0,
            accepts_per_second: self.accepts_per_second,
            watch: self.watch.0.0,
        })
    }
}

impl PolicyPlan {
    fn policy(&self) -> Result<Policy, String> {
        let usual = Policy::default();
        let span = |given: Option<Span>, usual| given.map_or(usual, |Text(Given(span))| span);
        let factor = self.factor.unwrap_or(usual.factor);
        if !(1.0..=100.0).contains(&factor) {
            return Err(format!("policy.factor is {factor}: it has to be from 1 to 100"));
        }
        Ok(Policy {
            at_once: self.at_once.unwrap_or(usual.at_once),
            first: span(self.first, usual.first),
            factor,
            cap: span(self.cap, usual.cap),
            jitter: match self.jitter {
                Some(JitterWord::None) => Jitter::None,
                Some(JitterWord::Equal) => Jitter::Equal,
                Some(JitterWord::Full) => Jitter::Full,
                None => usual.jitter,
            },
            attempts: self.attempts,
            deadline: self.deadline.map(|Text(Given(span))| span),
            stable_after: span(self.stable_after, usual.stable_after),
        })
    }
}

/// A million clients take some hundred megabytes.
const CLIENTS_MAX: u64 = 1_000_000;
/// A day.
const WATCH_MAX_S: u64 = 86_400;
