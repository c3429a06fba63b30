//! Goal: numbers that the kernel gives out again never make one socket pass for another. Method: a
//! pid namespace, in which a test may choose the next pid, and a look for options that comes too late.

use std::{
    collections::HashSet,
    fs,
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    process::{Child, Command, Stdio},
};

use halfopen_core::Cookie;
use halfopen_sys::{OptionsError, options, owners};
use rustix::net::sockopt;

use crate::{eventually, is_root};

/// Set in the copy of this test that runs in a pid namespace of its own.
const INSIDE: &str = "HALFOPEN_TEST_IN_A_PID_NAMESPACE";

fn cookie(socket: impl AsFd) -> Cookie {
    Cookie(sockopt::socket_cookie(socket).unwrap())
}

/// A process that holds the socket as descriptor 0 and nothing else of ours.
fn holder(socket: OwnedFd) -> Child {
    Command::new("cat").stdin(Stdio::from(socket)).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_pid_that_another_process_got_since_is_told_by_the_cookie_of_its_socket() {
    if std::env::var_os(INSIDE).is_some() {
        return take_a_pid_again();
    }
    if !is_root("to make a pid namespace") {
        return;
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let outcome = Command::new("unshare")
        .args(["--pid", "--mount-proc", "--fork", "--kill-child=KILL"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success() && said.contains("1 passed"), "{said}");
}

fn take_a_pid_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (first, second) = (connect(), connect());
    let (asked_for, other) = (cookie(&first), cookie(&second));
    let mut holding = holder(first.try_clone().unwrap().into());
    let pid = holding.id();
    let inode = fs::metadata(format!("/proc/{pid}/fd/0")).unwrap().ino();
    let table = owners(Some(&HashSet::from([inode]))).unwrap();
    assert!(table.of(inode).any(|owner| (owner.process.pid, owner.fd) == (pid, 0)));
    assert!(options::of_process(pid, 0, asked_for).is_ok());

    holding.kill().unwrap();
    holding.wait().unwrap();
    let gone = options::of_process(pid, 0, asked_for).unwrap_err();
    assert!(matches!(gone, OptionsError::Gone { .. }), "{gone}");
    // Threads of this process take pids too, so more than one attempt may be needed.
    let mut imposter = eventually("the same pid again", || {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut child = holder(second.try_clone().unwrap().into());
        if child.id() == pid {
            return Some(child);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        None
    });
    let error = options::of_process(pid, 0, asked_for).unwrap_err();
    assert!(matches!(error, OptionsError::AnotherSocket { .. }), "{error}");
    assert!(options::of_process(pid, 0, other).is_ok());
    imposter.kill().unwrap();
    imposter.wait().unwrap();
}

#[test]
fn no_cookie_comes_twice_though_ports_and_inodes_and_descriptors_do() {
    let mut cookies = HashSet::new();
    for _ in 0..5000 {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(cookies.insert(cookie(&socket).0), "a cookie came twice");
    }
}
