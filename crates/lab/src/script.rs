//! Owns running `ip -batch` in a host's network namespace. Read: ip(8), nsenter(1).

use std::{
    io::{self, Write},
    process::{Command, Stdio},
    time::Duration,
};

use crate::wait;

/// Runs `script` in the network namespace of the process `pid`, and nothing else of it: pids in
/// the script are pids as this process sees them. Returns what `ip` wrote.
///
/// # Errors
/// What kept `ip` from running, or what it said.
pub(crate) fn run(pid: u32, script: &str) -> io::Result<String> {
    let mut ip = Command::new("nsenter")
        .args(["--target", &pid.to_string(), "--net", "--", "ip", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = ip.stdin.take() {
        // Where `ip` ends early, its own words say more than a broken pipe.
        let _ = input.write_all(script.as_bytes());
    }
    let ended = ip.wait_with_output()?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(io::Error::other(said.trim().replace('\n', "; ")))
}

/// Waits until the links really pass frames. A link whose carrier has just come drops what it is
/// given, silently, until the kernel's link watch has seen the carrier (net/core/link_watch.c).
///
/// # Errors
/// As [`run`], and [`io::ErrorKind::TimedOut`].
pub(crate) fn wait_until_up(pid: u32, links: &[String]) -> io::Result<()> {
    let script: String = links.iter().map(|link| format!("link show dev {link}\n")).collect();
    let up = wait::until(UP_WITHIN, || match run(pid, &script) {
        Ok(shown) => (shown.matches(" state UP ").count() == links.len()).then_some(Ok(())),
        Err(cause) => Some(Err(cause)),
    });
    up.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// The link watch takes a second at most (linkwatch_schedule_work).
const UP_WITHIN: Duration = Duration::from_secs(5);
