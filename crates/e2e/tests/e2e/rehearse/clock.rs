//! The clock that a rehearsal chooses for itself, and the picture that it writes.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{program, requires_lab};

/// A directory that is gone with its test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        // Not below /tmp, which every host of the lab has for itself.
        let name = format!("{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Goal: timers of two hours are not waited for, and what is missing is named. Method: every program of
/// this machine is on PATH but the one that emulates machines.
#[test]
fn where_no_machine_can_be_emulated_long_timers_are_rescaled_and_the_card_says_why() {
    requires_lab!();
    let programs = Directory::new("programs");
    for directory in env::split_paths(&env::var_os("PATH").unwrap()) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().starts_with("qemu-") {
                // The first of a name wins, as on PATH.
                let _ = symlink(entry.path(), programs.0.join(entry.file_name()));
            }
        }
    }
    let picture = programs.0.join("sequence.svg");
    let output = Command::new(program())
        .args(["rehearse", "cable-pulled", "--json", "--set", "pair.keepalive=7200s/75s/2"])
        .arg("--svg")
        .arg(&picture)
        .env("PATH", &programs.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let card = &document["cards"][0];
    assert_eq!(card["clock"], "rescale", "{card:#}");
    let why = card["notes"][0].as_str().unwrap();
    assert!(why.contains("take 2h") && why.contains("qemu-system-x86"), "{why}");
    assert!(said.contains("once more, by --clock rescale"), "{said}");
    // Two probes, a second apart, after two seconds.
    let at = card["sides"][0]["kernel"]["at_ms"].as_u64().unwrap();
    assert!((2_000..30_000).contains(&at), "{card:#}");
    let picture = fs::read_to_string(&picture).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains("SYN"), "{picture}");
}
