//! Network namespaces, with one that the test makes.

use std::{path::Path, thread};

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
