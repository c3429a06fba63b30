//! Network namespaces, with one that the test makes.

use std::{path::Path, process::Command, thread};

use halfopen_sys::{Netns, NetnsError, census};

use crate::elsewhere::Elsewhere;

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
fn a_namespace_that_is_mounted_goes_by_its_name_and_its_path() {
    let Some(registered) = Registered::new() else { return };
    let by_name = Netns::named(&registered.0).unwrap();
    let by_path = Netns::at_path(&Path::new("/run/netns").join(&registered.0)).unwrap();
    assert_eq!(by_name.id(), by_path.id());
    assert_eq!(by_name.name(), Some(registered.0.as_str()));
    assert_eq!(by_name.enter(|| Netns::current().unwrap().id()).unwrap(), by_name.id());
    let census = census().unwrap();
    let found = census.namespaces.iter().find(|netns| netns.id() == by_name.id()).unwrap();
    assert_eq!(found.name(), Some(registered.0.as_str()));
}

/// A namespace that `ip netns` has made, and that is gone with this value.
struct Registered(String);

impl Registered {
    fn new() -> Option<Self> {
        if !crate::is_root("to make a network namespace") {
            return None;
        }
        let name = format!("halfopen-test-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).status().unwrap();
        assert!(made.success(), "ip netns add {name}");
        Some(Self(name))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
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
