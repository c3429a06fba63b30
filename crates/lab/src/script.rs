//! Owns running `ip -batch` in a host's network namespace. Read: ip(8), nsenter(1).

use std::{
    io::{self, Write},
    process::{Command, Stdio},
};

/// Runs `script` in the network namespace of the process `pid`, and nothing else of it: pids in
/// the script are pids as this process sees them.
///
/// # Errors
/// What kept `ip` from running, or what it said.
pub(crate) fn run(pid: u32, script: &str) -> io::Result<()> {
    let mut ip = Command::new("nsenter")
        .args(["--target", &pid.to_string(), "--net", "--", "ip", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = ip.stdin.take() {
        // Where `ip` ends early, its own words say more than a broken pipe.
        let _ = input.write_all(script.as_bytes());
    }
    let ended = ip.wait_with_output()?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(io::Error::other(said.trim().replace('\n', "; ")))
}
