//! Goal: whatever a system call of a listing answers, the listing is true, or it says what it lacks.
//! Method: strace(1) lets the n-th call of each kind fail, for every n, with errors of every sort; what
//! then comes out is compared with a listing that nothing disturbed.

use std::{
    collections::BTreeMap,
    fs,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use halfopen_lab::{Host, wait};
use serde_json::Value;

use crate::{program, requires_lab};

/// A broken disk, a signal, a table that is full, a door that is closed, no memory, and a process
/// that has ended.
const ERRORS: [&str; 6] = ["EIO", "EINTR", "EMFILE", "EACCES", "ENOMEM", "ESRCH"];

/// Every n up to here is tried; beyond it one in [`SAMPLED`] of the calls of one kind.
const COMPLETE: usize = 200;
const SAMPLED: usize = 17;

/// Calls that are let through, because no program outlives their failure, or because the kernel never
/// fails them for arguments such as these.
const SPARED: [&str; 24] = [
    // Memory: Rust ends a program that gets none, before it can say more than that.
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "brk",
    // The C library and the runtime of Rust, on their own behalf.
    "futex",
    "rt_sigaction",
    "rt_sigprocmask",
    "sigaltstack",
    "set_robust_list",
    "rseq",
    "set_tid_address",
    "arch_prctl",
    "exit",
    "exit_group",
    "execve",
    "sched_yield",
    // Never fail.
    "uname",
    "gettid",
    "getpid",
    "clock_getres",
    "clock_gettime",
    "getrandom",
];

/// A host with one connection, whose client's end two processes hold, and another namespace.
struct Scene {
    // In the order in which they are to go: processes before the host that they are on.
    holders: Vec<Child>,
    host: Host,
    port: u16,
}

impl Scene {
    fn set() -> Self {
        let host = Host::boot("faults").unwrap();
        let inside = host.spawn("ip", &["link", "set", "lo", "up"]).unwrap();
        let up = || host.enter(|| TcpListener::bind("127.0.0.1:0").ok()).unwrap();
        let listener = wait::until(std::time::Duration::from_secs(10), up).expect("lo is up");
        drop(inside);
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect(address).ok();
        let client =
            wait::until(std::time::Duration::from_secs(10), || host.enter(connect).unwrap());
        let client = client.expect("lo is up");
        let (server, _) = listener.accept().unwrap();
        let mut scene = Self { holders: Vec::new(), host, port: address.port() };
        scene.hold(&client, &server, &["cat"]);
        scene.hold(&client, &server, &["cat"]);
        scene.hold(&client, &server, &["unshare", "--net", "cat"]);
        scene
    }

    /// Starts a program that holds both ends as its standard input and output.
    fn hold(&mut self, client: &TcpStream, server: &TcpStream, command: &[&str]) {
        let end = |stream: &TcpStream| Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
        let child = self.inside(command).stdin(end(client)).stdout(end(server)).spawn().unwrap();
        self.holders.push(child);
    }

    fn inside(&self, command: &[&str]) -> Command {
        let mut entry = Command::new("nsenter");
        let pid = self.host.pid().unwrap().to_string();
        entry.args(["--target", &pid, "--net", "--mount", "--pid", "--"]).args(command);
        entry
    }

    /// A listing on one core, so that the n-th call is the same one each time, and what strace wrote.
    fn listing(&self, traced: &[&str], log: &Path) -> (Output, String) {
        let mut command = self.inside(&["timeout", "--signal=KILL", "20", "taskset", "1"]);
        command
            .args(["strace", "--follow-forks", "--seccomp-bpf", "--output"])
            .arg(log)
            .args(traced);
        command.arg(program()).args(["ls", "-A", "--json", "--loopback", "--port"]);
        let output = command.arg(self.port.to_string()).output().unwrap();
        (output, fs::read_to_string(log).unwrap_or_default())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.host.power_off();
        for holder in &mut self.holders {
            let _ = holder.wait();
        }
    }
}

#[derive(Debug, Clone)]
struct Fault {
    call: String,
    error: &'static str,
    nth: usize,
}

/// For each call that a listing makes after it has begun to look: how many of it come before, where the
/// loader and the runtime start the program, and how many there are in all.
fn calls(log: &str) -> BTreeMap<String, (usize, usize)> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut is_looking = false;
    for line in log.lines() {
        let Some((_, line)) = line.split_once(' ') else { continue };
        let Some((call, _)) = line.trim_start().split_once('(') else { continue };
        is_looking |= line.contains("/ns/net\"");
        let (before, total) = counts.entry(call.to_owned()).or_default();
        *before += usize::from(!is_looking);
        *total += 1;
    }
    assert!(is_looking, "the listing did not look for its namespace");
    counts.retain(|call, (before, total)| {
        total > before
            && !SPARED.contains(&call.as_str())
            && call
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    });
    counts
}

fn faults(log: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (call, (before, total)) in calls(log) {
        for nth in before + 1..=total {
            if nth - before > COMPLETE && !nth.is_multiple_of(SAMPLED) {
                continue;
            }
            for error in ERRORS {
                faults.push(Fault { call: call.clone(), error, nth });
            }
        }
    }
    faults
}

#[test]
fn a_listing_of_which_any_system_call_fails_is_true_or_says_what_it_lacks() {
    requires_lab!("strace" from "strace", "taskset" from "util-linux");
    let scene = Scene::set();
    let place =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    let reference = wait::until(std::time::Duration::from_secs(20), || {
        let (output, log) = scene.listing(&[], &place.join("reference"));
        let document: Value = serde_json::from_slice(&output.stdout).ok()?;
        let owned = |one: &Value| one["owners"].as_array().is_some_and(|owners| owners.len() == 3);
        let all = document["connections"].as_array()?;
        let seen = document["namespaces"].as_array()?.len();
        (all.len() == 2 && all.iter().all(owned) && seen >= 2).then_some((document, log))
    });
    let (reference, log) = reference.expect("the listing shows the scene");
    let faults = faults(&log);
    let (next, lies) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for worker in 0..2 {
            let log = place.join(worker.to_string());
            let (scene, reference, faults, next, lies) =
                (&scene, &reference, &faults, &next, &lies);
            scope.spawn(move || {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(lie) = under(fault, scene, reference, &log) {
                        lies.lock().unwrap().push(format!("{fault:?}: {lie}"));
                    }
                }
            });
        }
    });
    fs::remove_dir_all(&place).unwrap();
    let lies = lies.into_inner().unwrap();
    assert!(faults.len() > 1000, "only {} faults", faults.len());
    assert!(lies.is_empty(), "{} of {} faults:\n{}", lies.len(), faults.len(), lies.join("\n"));
}

fn under(fault: &Fault, scene: &Scene, reference: &Value, log: &Path) -> Result<(), String> {
    let Fault { call, error, nth } = fault;
    let (only, inject) =
        (format!("trace={call}"), format!("inject={call}:error={error}:when={nth}"));
    let (output, log) = scene.listing(&["-e", &only, "-e", &inject], log);
    if !log.contains("(INJECTED)") {
        // A scene that has changed a little: the call was one of the last.
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {
            let document: Value = serde_json::from_slice(&output.stdout)
                .map_err(|error| format!("no JSON ({error}); it said {said:?}"))?;
            compare(&document, reference)
        }
        // The system or the lack of privilege is named in one sentence.
        Some(3 | 71) if said.starts_with("halfopen: ") && output.stdout.is_empty() => Ok(()),
        Some(71) if call == "write" => Ok(()),
        code => Err(format!("it ends with {code:?} and says {said:?}")),
    }
}

/// Whether what is said of the scene's connections is what was said undisturbed, or unknown, or missing
/// and named.
fn compare(document: &Value, reference: &Value) -> Result<(), String> {
    let list = |document: &Value| document["connections"].as_array().cloned().unwrap_or_default();
    let (found, wanted) = (list(document), list(reference));
    let unseen = document["unseen"].to_string();
    for wanted in &wanted {
        let Some(one) = found.iter().find(|one| one["id"] == wanted["id"]) else {
            if unseen.contains("connections of") || unseen.contains("sockets") {
                continue;
            }
            return Err(format!("{} is missing; unseen: {unseen}", wanted["id"]));
        };
        for field in ["state", "verdict", "local", "peer", "family", "netns"] {
            if one[field] != wanted[field] {
                return Err(format!("{field} is {} and was {}", one[field], wanted[field]));
            }
        }
        if one["owners"] != wanted["owners"] && !is_owned_as_far_as_seen(one, wanted, &unseen) {
            return Err(format!("owners are {}; unseen: {unseen}", one["owners"]));
        }
        for value in ["idle", "busy"] {
            let (learns, expected) = (&one["learns"][value], &wanted["learns"][value]);
            if !is_as_predicted(learns, expected) {
                return Err(format!("{value} is {learns} and was {expected}; unseen: {unseen}"));
            }
        }
    }
    if found.len() > wanted.len() {
        return Err(format!("{} connections", found.len()));
    }
    Ok(())
}

/// Owners are unknown, or those that are missing, or what is missing of them, is named.
fn is_owned_as_far_as_seen(one: &Value, wanted: &Value, unseen: &str) -> bool {
    if one["owners"]["unknown"].is_string() {
        return true;
    }
    let (Some(owners), Some(wanted)) = (one["owners"].as_array(), wanted["owners"].as_array())
    else {
        return false;
    };
    let true_of = |owner: &Value| {
        wanted.iter().any(|wanted| {
            ["pid", "fd", "command"].iter().all(|field| owner[field] == wanted[field])
                && ["uid", "cgroup"].iter().all(|field| {
                    owner[field] == wanted[field] || owner[field]["unknown"].is_string()
                })
        })
    };
    let is_complete = owners.len() == wanted.len() || unseen.contains("owners");
    !owners.is_empty() && is_complete && owners.iter().all(true_of)
}

/// The prediction is that of an undisturbed look, or unknown, or says what it takes for granted.
fn is_as_predicted(learns: &Value, expected: &Value) -> bool {
    let same = |field: &str| learns[field] == expected[field];
    let rests_on_less = learns["assumes"].as_array().is_some_and(|all| !all.is_empty());
    learns["unknown"].is_string()
        || rests_on_less
        || (same("never") && same("cause") && same("max_ms") && same("errno"))
}
