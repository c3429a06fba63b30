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
    time::{Duration, Instant},
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

/// Other tests want some of the cores too.
const WORKERS: usize = 2;

/// All faults take two cores 40 s if they have nothing else to do. Each call fails once however long that
/// takes, as a rule some 10 s; then as often again as this allows.
const ENOUGH: Duration = Duration::from_secs(30);

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
    /// The core that listings run on.
    core: String,
    /// Where strace writes.
    log: PathBuf,
}

impl Scene {
    fn set(core: String) -> Self {
        let host = Host::boot("faults").unwrap();
        assert!(inside(&host, &["ip", "link", "set", "lo", "up"]).status().unwrap().success());
        let listener = host.enter(|| TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let client = host.enter(|| TcpStream::connect(address).unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let name = format!("faults-{}-{core}", std::process::id());
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut scene = Self { holders: Vec::new(), host, port: address.port(), core, log };
        scene.hold(&client, &server, &["cat"]);
        scene.hold(&client, &server, &["cat"]);
        scene.hold(&client, &server, &["unshare", "--net", "cat"]);
        scene
    }

    /// Starts a program that holds both ends as its standard input and output.
    fn hold(&mut self, client: &TcpStream, server: &TcpStream, command: &[&str]) {
        let end = |stream: &TcpStream| Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
        let child =
            inside(&self.host, command).stdin(end(client)).stdout(end(server)).spawn().unwrap();
        self.holders.push(child);
    }

    /// A listing on one core, so that the n-th call is the same one each time, and what strace wrote.
    fn listing(&self, traced: &[&str]) -> (Output, String) {
        let mut command = inside(
            &self.host,
            &["timeout", "--signal=KILL", "120", "taskset", "--cpu-list", &self.core],
        );
        command.args(["strace", "--follow-forks", "--output"]).arg(&self.log).args(traced);
        command.arg(program()).args([
            "ls",
            "-A",
            "--json",
            "--loopback",
            "--alive-within",
            "1d",
            "--port",
        ]);
        let output = command.arg(self.port.to_string()).output().unwrap();
        (output, fs::read_to_string(&self.log).unwrap_or_default())
    }

    /// What is listed when nothing fails, and the calls that it takes.
    fn undisturbed(&self) -> (Value, String) {
        let listed = wait::until(Duration::from_secs(20), || {
            let (output, log) = self.listing(&[]);
            let document: Value = serde_json::from_slice(&output.stdout).ok()?;
            let owned = |one: &Value| {
                one["owners"].as_array().is_some_and(|all| all.len() == self.holders.len())
            };
            let connections = document["connections"].as_array()?;
            let namespaces = document["namespaces"].as_array()?.len();
            (connections.len() == 2 && connections.iter().all(owned) && namespaces >= 2)
                .then_some((document, log))
        });
        listed.expect("the scene is listed as it is")
    }
}

fn inside(host: &Host, command: &[&str]) -> Command {
    let mut entry = Command::new("nsenter");
    let pid = host.pid().unwrap().to_string();
    entry.args(["--target", &pid, "--net", "--mount", "--pid", "--"]).args(command);
    entry
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.host.power_off();
        for holder in &mut self.holders {
            let _ = holder.wait();
        }
        let _ = fs::remove_file(&self.log);
    }
}

#[derive(Debug, Clone)]
struct Fault {
    call: String,
    error: &'static str,
    nth: usize,
}

/// For each call that a listing makes after it has begun to look: how many of it come before, where the
/// loader and the runtime start the program, and how many there are in the thread that makes most of it.
/// For strace each thread has an n of its own.
fn calls(log: &str) -> BTreeMap<String, (usize, usize)> {
    let mut before: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut is_looking = false;
    for line in log.lines() {
        let Some((thread, line)) = line.split_once(' ') else { continue };
        let Some((call, _)) = line.trim_start().split_once('(') else { continue };
        is_looking |= line.contains("/ns/net\"");
        *before.entry(call).or_default() += usize::from(!is_looking);
        *by_thread.entry((call, thread)).or_default() += 1;
    }
    assert!(is_looking, "the listing did not look for its namespace");
    let mut calls = BTreeMap::new();
    for ((call, _), total) in by_thread {
        // What is no name is the second half of a call that another thread interrupted.
        let is_name = call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_name && !SPARED.contains(&call) {
            let before = before.get(call).copied().unwrap_or_default();
            let (_, most) = calls.entry(call.to_owned()).or_insert((before, 0));
            *most = total.max(*most);
        }
    }
    calls
}

/// One error for every call, then another one for every call, and so on: what comes first is tried on
/// every machine.
fn faults(log: &str) -> Vec<Fault> {
    let mut nths = Vec::new();
    for (call, (before, total)) in calls(log) {
        let is_tried = |nth: &usize| nth - before <= COMPLETE || nth.is_multiple_of(SAMPLED);
        nths.extend((before + 1..=total).filter(is_tried).map(|nth| (call.clone(), nth)));
    }
    let round = |round: usize| {
        nths.iter().enumerate().map(move |(index, (call, nth))| {
            let error = ERRORS[(index + round) % ERRORS.len()];
            Fault { call: call.clone(), error, nth: *nth }
        })
    };
    (0..ERRORS.len()).flat_map(round).collect()
}

#[test]
fn a_listing_of_which_any_system_call_fails_is_true_or_says_what_it_lacks() {
    requires_lab!("strace" from "strace", "taskset" from "util-linux");
    let deadline = Instant::now() + ENOUGH;
    let (next, lies) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let (tried, all) = thread::scope(|scope| {
        let workers: Vec<_> = cores()
            .into_iter()
            .take(WORKERS)
            .map(|core| scope.spawn(|| try_all(core, &next, deadline, &lies)))
            .collect();
        let tried = workers.into_iter().map(|worker| worker.join().unwrap());
        tried.fold((0, 0), |(sum, _), (tried, all)| (sum + tried, all))
    });
    let lies = lies.into_inner().unwrap();
    assert!(lies.is_empty(), "{} of {tried} faults:\n{}", lies.len(), lies.join("\n"));
    if tried < all {
        eprintln!("{tried} of {all} faults were tried in {ENOUGH:?}");
    }
}

/// Takes fault after fault to a scene of its own. Returns how many it tried, and how many there are.
fn try_all(
    core: String,
    next: &AtomicUsize,
    deadline: Instant,
    lies: &Mutex<Vec<String>>,
) -> (usize, usize) {
    let scene = Scene::set(core);
    let (reference, log) = scene.undisturbed();
    let faults = faults(&log);
    let first_round = faults.len() / ERRORS.len();
    let mut tried = 0;
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(fault) = faults.get(index) else { break };
        if index >= first_round && Instant::now() >= deadline {
            break;
        }
        tried += 1;
        if let Err(lie) = under(fault, &scene, &reference) {
            lies.lock().unwrap().push(format!("{fault:?}: {lie}"));
        }
    }
    (tried, faults.len())
}

/// The numbers of the cores that this process may use.
fn cores() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    };
    list.trim().split(',').flat_map(range).map(|core| core.to_string()).collect()
}

fn under(fault: &Fault, scene: &Scene, reference: &Value) -> Result<(), String> {
    let Fault { call, error, nth } = fault;
    let (only, inject) =
        (format!("trace={call}"), format!("inject={call}:error={error}:when={nth}"));
    let (output, log) = scene.listing(&["--seccomp-bpf", "-e", &only, "-e", &inject]);
    if !log.contains("(INJECTED)") {
        // A scene that has changed a little: the call was one of the last.
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {
            let document: Value = serde_json::from_slice(&output.stdout)
                .map_err(|error| format!("no JSON ({error}); it said {said:?}"))?;
            compare(&document, reference, error)
        }
        // The system or the lack of privilege is named in one sentence.
        Some(3 | 71) if said.starts_with("halfopen: ") && output.stdout.is_empty() => Ok(()),
        Some(71) if call == "write" => Ok(()),
        code => Err(format!("it ends with {code:?} and says {said:?}")),
    }
}

/// Whether what is said of the scene's connections is what was said undisturbed, or unknown, or missing
/// and named.
fn compare(document: &Value, reference: &Value, error: &str) -> Result<(), String> {
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
        // A process that /proc says has ended owns nothing.
        let has_ended = error == "ESRCH";
        if one["owners"] != wanted["owners"]
            && !is_owned_as_far_as_seen(one, wanted, has_ended || unseen.contains("owners"))
        {
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
fn is_owned_as_far_as_seen(one: &Value, wanted: &Value, may_lack_some: bool) -> bool {
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
    let is_complete = owners.len() == wanted.len() || may_lack_some;
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
