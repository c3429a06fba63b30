//! Owns the scenarios that are built in: the files of `crates/lab/scenarios`. Pure.

use super::{Scenario, ScenarioError};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

/// Name and text of each.
const FILES: &[(&str, &str)] = files![
    "accept-stall",
    "balanced-server-dies",
    "cable-pulled",
    "client-gets-another-address",
    "client-sleeps",
    "half-closed-for-ever",
    "lease-lost",
    "nat-forgets",
    "one-way",
    "reader-stops",
    "router-refuses",
    "server-freezes",
    "server-killed",
    "server-killed-with-unread-data",
    "server-loses-power",
    "server-reboots",
    "server-reboots-behind-a-firewall",
    "syn-flood",
    "third-ack-lost",
    "week-with-its-saturday",
];

/// The names of all, in the order of the alphabet.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The scenario called `name`, with what was set; `None` if there is none.
///
/// # Errors
/// As [`Scenario::read`]; without `set` there is none.
pub fn builtin(name: &str, set: &[String]) -> Option<Result<Scenario, ScenarioError>> {
    let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
    Some(Scenario::read(name, text, set))
}

/// The file of the scenario called `name`, to begin one's own with.
pub fn builtin_text(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
