//! Owns the file that tells a relay what to do: its keys, and how a slip in it is told. Starts nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use halfopen_relay::{Balance, proxy_header::Version};
use serde::Deserialize;

use super::wanted::{HostPort, ListenWish};
use crate::{
    args::ServeOn,
    exit::Failure,
    span::Given,
    toml_file::{Text, slip},
};

/// The whole file. What is left out has the default that the flag of the same name has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Config {
    pub(super) workers: Option<std::num::NonZero<u32>>,
    pub(super) max_connections: Option<std::num::NonZero<u32>>,
    pub(super) max_buffers: Option<std::num::NonZero<u32>>,
    pub(super) drain_within: Option<Text<Given>>,
    pub(super) metrics: Option<Text<ServeOn>>,
    pub(super) listen: Vec<ListenTable>,
}

/// One listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ListenTable {
    pub(super) name: Option<String>,
    pub(super) on: Text<ListenWish>,
    pub(super) to: Vec<Text<HostPort>>,
    #[serde(default)]
    pub(super) balance: Text<BalanceWord>,
    #[serde(default)]
    pub(super) proxy_header_in: bool,
    pub(super) proxy_header_out: Option<Text<VersionWord>>,
    pub(super) tls: Option<TlsTable>,
    pub(super) detect_within: Option<Text<Given>>,
    pub(super) detect_client_within: Option<Text<Given>>,
    pub(super) detect_upstream_within: Option<Text<Given>>,
    pub(super) survive_idle: Option<Text<Given>>,
    pub(super) half_closed_idle: Option<Text<Given>>,
    pub(super) connect_timeout: Option<Text<Given>>,
    pub(super) check_every: Option<Text<Given>>,
}

/// Where a listener's certificate is, if its clients speak TLS that ends there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsTable {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Reads the file.
///
/// # Errors
/// [`Failure::System`] if it cannot be read, [`Failure::Usage`] with file, line and remedy if it
/// cannot be understood.
pub(super) fn read(path: &Path) -> Result<Config, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::System(format!("cannot read the configuration {}: {error}", path.display()))
    })?;
    parse(&text).map_err(|slip| Failure::Usage(format!("{}:{slip}", path.display())))
}

/// What is wrong with a configuration, as `LINE: WHAT`.
fn parse(text: &str) -> Result<Config, String> {
    let config: Config = toml::from_str(text).map_err(|error| {
        let slip = slip(text, &error);
        let add = if slip.contains("missing field `listen`") { ADD_LISTENER } else { "" };
        format!("{slip}{add}")
    })?;
    if config.listen.is_empty() {
        return Err(format!("1: nothing to listen on{ADD_LISTENER}"));
    }
    Ok(config)
}

const ADD_LISTENER: &str = "; add a table [[listen]] with `on` and `to`";

/// In which order upstreams are tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BalanceWord(pub(super) Balance);

impl FromStr for BalanceWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "in-order" => Ok(Self(Balance::InOrder)),
            "round-robin" => Ok(Self(Balance::RoundRobin)),
            other => Err(format!("`{other}` is no order; write \"in-order\" or \"round-robin\"")),
        }
    }
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VersionWord(pub(super) Version);

impl FromStr for VersionWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "v1" => Ok(Self(Version::V1)),
            "v2" => Ok(Self(Version::V2)),
            other => Err(format!("`{other}` is no version; write \"v1\" or \"v2\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[[listen]]\non = \"127.0.0.1:1\"\nto = [\"10.0.0.7:5432\"]\n";

    #[test]
    fn the_least_that_is_needed_is_an_address_and_an_upstream() {
        let config = parse(LEAST).unwrap();
        assert_eq!(config.listen.len(), 1);
        assert!(config.workers.is_none() && config.listen[0].detect_within.is_none());
    }

    #[test]
    fn a_slip_is_told_with_its_line_and_what_to_do() {
        let slips = [
            format!("{LEAST}detect-withn = \"30s\"\n"),
            format!("{LEAST}detect-within = \"30\"\n"),
            format!("{LEAST}detect-within = 30\n"),
            format!("{LEAST}balance = \"random\"\n"),
            format!("{LEAST}proxy-header-out = \"v3\"\n"),
            format!("{LEAST}tls = {{ certificate = \"relay.pem\" }}\n"),
            "workers = 0\n".to_owned() + LEAST,
            "metrics = \"9090\"\n".to_owned() + LEAST,
            "[[listen]]\non = \"here\"\nto = [\"a:1\"]\n".to_owned(),
            "[[listen]]\non = \"127.0.0.1:1\"\nto = [\"a:1\",\n\"b\"]\n".to_owned(),
            "[[listen]]\non = \"127.0.0.1:1\"\n".to_owned(),
            "workers = 2\n".to_owned(),
            "listen = []\n".to_owned(),
            "[[listen\n".to_owned(),
        ];
        let told = slips.map(|slip| parse(&slip).unwrap_err());
        insta::assert_snapshot!(told.join("\n"));
    }
}
