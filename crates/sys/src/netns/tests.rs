use std::{
    io::Read,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use super::*;

/// A process in a network namespace of its own. It ends with its standard input, so nothing is
/// left behind however the test ends.
struct Elsewhere {
    child: Child,
    _output: ChildStdout,
}

impl Elsewhere {
    /// `None` where namespaces may not be made, unless CI says that they can.
    fn start() -> Option<Self> {
        let started = Self::try_start();
        if started.is_none() {
            assert!(std::env::var_os("CI").is_none(), "needs CAP_SYS_ADMIN");
            skipped("CAP_SYS_ADMIN, to make a network namespace");
        }
        started
    }

    fn try_start() -> Option<Self> {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut output = child.stdout.take()?;
        let mut ready = [0; 6];
        if output.read_exact(&mut ready).is_err() {
            let _ = child.wait();
            return None;
        }
        Some(Self { child, _output: output })
    }

    fn netns(&self) -> Netns {
        Netns::of_process(self.child.id()).unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[expect(clippy::print_stderr, reason = "a test that did not run has to say so")]
fn skipped(needs: &str) {
    eprintln!("skipped: needs {needs}");
}

#[test]
fn the_own_namespace_is_the_same_by_thread_pid_and_path() {
    let own = Netns::current().unwrap();
    assert_eq!(own.id(), Netns::of_process(std::process::id()).unwrap().id());
    assert_eq!(own.id(), Netns::at_path(Path::new("/proc/self/ns/net")).unwrap().id());
    assert_eq!(own.id(), Netns::named(&std::process::id().to_string()).unwrap().id());
    assert_eq!(own.id(), Netns::named(&own.id().to_string()).unwrap().id());
}

#[test]
fn work_in_the_own_namespace_runs_on_the_calling_thread() {
    let caller = thread::current().id();
    let worker = Netns::current().unwrap().enter(|| thread::current().id()).unwrap();
    assert_eq!(caller, worker);
}

#[test]
fn work_in_another_namespace_leaves_the_caller_where_it_was() {
    let Some(elsewhere) = Elsewhere::start() else { return };
    let other = elsewhere.netns();
    let before = Netns::current().unwrap().id();
    let inside = other.enter(|| Netns::current().unwrap().id()).unwrap();
    assert_eq!(inside, other.id());
    assert_ne!(inside, before);
    assert_eq!(Netns::current().unwrap().id(), before);
}

#[test]
fn a_panic_inside_reaches_the_caller() {
    let Some(elsewhere) = Elsewhere::start() else { return };
    let other = elsewhere.netns();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        other.enter(|| std::panic::panic_any(7_u8))
    }));
    assert_eq!(outcome.unwrap_err().downcast_ref::<u8>(), Some(&7));
}

#[test]
fn the_census_finds_the_own_namespace_and_that_of_a_child_each_once() {
    let Some(elsewhere) = Elsewhere::start() else { return };
    let census = census().unwrap();
    for id in [Netns::current().unwrap().id(), elsewhere.netns().id()] {
        assert_eq!(census.namespaces.iter().filter(|netns| netns.id() == id).count(), 1);
    }
    assert!(census.namespaces.iter().all(|netns| netns.name().is_some()));
}

#[test]
fn an_ordinary_file_and_another_kind_of_namespace_are_refused() {
    for path in ["/proc/self/ns/mnt", "/proc/self/status"] {
        let error = Netns::at_path(Path::new(path)).unwrap_err();
        assert!(matches!(error, NetnsError::NotANetns { .. }), "{error}");
    }
}

#[test]
fn a_name_that_does_not_exist_is_an_error_that_lists_those_that_do() {
    let error = Netns::named("no-such-namespace").unwrap_err();
    assert!(matches!(error, NetnsError::NoSuchName { .. }), "{error}");
    assert!(Netns::named("").is_err());
    assert!(Netns::named("..").is_err());
}
