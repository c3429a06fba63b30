//! Owns the chore `conformance`: every relay of docs/conformance/peers.toml through `halfopen relay-check`,
//! its result kept as JSON, and the tables of docs/conformance.md written from all that are kept.

mod page;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// Where configurations and results are.
const DIRECTORY: &str = "docs/conformance";
/// The page whose tables are written.
const PAGE: &str = "docs/conformance.md";

/// Runs the peers whose key contains one of `words`, all if there are none, and writes the page. With
/// `--page` alone it runs none.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    match attempt(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn attempt(words: &[&str]) -> anyhow::Result<()> {
    let peers = peers()?;
    if words != ["--page"] {
        let chosen: Vec<&Peer> = peers
            .iter()
            .filter(|peer| words.is_empty() || words.iter().any(|word| peer.key.contains(word)))
            .collect();
        if chosen.is_empty() {
            bail!("no peer of {DIRECTORY}/peers.toml has a key with {}", words.join(" or "));
        }
        // Two at a time: they wait nearly always, and a machine that is busy would be measured instead.
        for pair in chosen.chunks(2) {
            thread::scope(|scope| {
                let started: Vec<_> =
                    pair.iter().map(|peer| scope.spawn(move || check(peer))).collect();
                started.into_iter().try_for_each(|check| {
                    check.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
            })?;
        }
    }
    let results = peers
        .iter()
        .filter_map(|peer| result(peer).map(|result| (peer.name.clone(), result)))
        .collect::<Vec<_>>();
    let text = fs::read_to_string(PAGE).with_context(|| format!("read {PAGE}"))?;
    let text = page::with_tables(&text, &results).with_context(|| format!("write into {PAGE}"))?;
    fs::write(PAGE, text).with_context(|| format!("write {PAGE}"))
}

/// A relay to check.
struct Peer {
    key: String,
    name: String,
    version: String,
    command: String,
}

fn peers() -> anyhow::Result<Vec<Peer>> {
    let path = format!("{DIRECTORY}/peers.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let table: toml::Table = text.parse().with_context(|| format!("understand {path}"))?;
    let peers = table.get("peer").and_then(toml::Value::as_array).context("find [[peer]]")?;
    let peer = |peer: &toml::Value| {
        let word = |key: &str| {
            let value = peer.get(key).and_then(toml::Value::as_str);
            value.map(str::to_owned).with_context(|| format!("a peer of {path} lacks `{key}`"))
        };
        Ok(Peer {
            key: word("key")?,
            name: word("name")?,
            version: word("version")?,
            command: word("command")?,
        })
    };
    peers.iter().map(peer).collect()
}

/// Runs one peer through all cases, and keeps what came of it.
fn check(peer: &Peer) -> anyhow::Result<()> {
    let command = filled(&peer.command)?;
    let version = Command::new("sh")
        .args(["-c", &format!("{} 2>&1", filled(&peer.version)?)])
        .output()
        .context("run sh")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    eprintln!("{}: {command}", peer.name);
    let ran = Command::new(program("halfopen")?)
        .args(["relay-check", "--lab", "--json", "--relay", &command])
        .output()
        .context("run halfopen")?;
    let document: Value = serde_json::from_slice(&ran.stdout).with_context(|| {
        format!("check {}: {}", peer.name, String::from_utf8_lossy(&ran.stderr).trim())
    })?;
    let kept = json!({
        "version": page::version_in(&version),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "command": peer.command,
        "result": without_places(document),
    });
    let path = format!("{DIRECTORY}/results/{}.json", peer.key);
    let text = serde_json::to_string_pretty(&kept)? + "\n";
    fs::write(&path, text).with_context(|| format!("write {path}"))
}

/// Where this clone happens to lie is nobody's business.
fn without_places(mut document: Value) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.remove("relay");
    }
    document
}

/// What is kept of a peer, if it has been run.
fn result(peer: &Peer) -> Option<Value> {
    let text = fs::read_to_string(format!("{DIRECTORY}/results/{}.json", peer.key)).ok()?;
    serde_json::from_str(&text).ok()
}

/// The command with the places of this clone in it.
fn filled(command: &str) -> anyhow::Result<String> {
    let mut filled = command.to_owned();
    let directory = Path::new(DIRECTORY).canonicalize().context("find the directory of peers")?;
    let examples = || Ok::<_, anyhow::Error>(target()?.join("examples/copy_bidirectional"));
    for (word, place) in [
        ("{dir}", directory),
        ("{halfopen}", program("halfopen")?),
        ("{tokio}", examples()?),
        ("{realm}", directory_of_realm()?),
    ] {
        filled = filled.replace(word, &place.display().to_string());
    }
    Ok(filled)
}

/// A package of its own, so that what it depends on is not what this project depends on.
fn directory_of_realm() -> anyhow::Result<PathBuf> {
    Ok(env::current_dir()?.join("target/realm/release/realm"))
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let program = target()?.join(name);
    if !program.exists() {
        bail!("{} is not built: `make conformance` builds it", program.display());
    }
    Ok(program)
}

/// Where cargo has put this program, and the others.
fn target() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("find this program")?;
    own.parent().map(Path::to_owned).context("find the directory of programs")
}
