//! halfopen-sys against the running kernel. Connections are on loopback; whatever needs a changed
//! host is in a network namespace that the test makes and that ends with it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed, and says where"
)]

#[cfg(feature = "bpf")]
mod agreement;
mod conntrack;
mod elsewhere;
#[cfg(feature = "bpf")]
mod keeping;
mod netns;
mod reuse;
mod survey;
mod syn;
mod unprivileged;

use std::{
    thread,
    time::{Duration, Instant},
};

/// Waits until `look` finds what it looks for. Ten seconds are far more than any of it takes.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether this process is root; if not, the test cannot run.
fn is_root(needed_for: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(&format!("root, {needed_for}"));
    }
    root
}

/// Says that the test did not run, which CI does not accept.
#[expect(clippy::print_stderr, reason = "a test that did not run has to say so")]
fn skip(needs: &str) {
    assert!(std::env::var_os("CI").is_none(), "needs {needs}");
    eprintln!("skipped: needs {needs}");
}
