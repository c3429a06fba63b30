//! Goal: SIGKILL at any step of an acting verb changes nothing for good. Method: strace(1) kills the
//! run on entering the n-th call of each kind that touches something, for every n; the state after
//! that is the same until the next such call, so every state in which a run can be killed is met.

use std::{
    collections::BTreeMap,
    fs,
    net::{TcpListener, TcpStream},
    os::{fd::AsFd as _, unix::process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use halfopen_core::{SocketOptions, keeping::KeepOptions};
use halfopen_lab::{Lab, Topology, wait};
use halfopen_sys::options;
use rustix::net::sockopt;

use crate::{halfopen, json, keep::Files, program, requires_lab};

/// The calls by which options, the journal, the record and the audit are changed, and those right
/// before: a duplicate of a descriptor, a lock.
const TOUCHING: [&str; 8] =
    ["setsockopt", "pidfd_getfd", "linkat", "unlink", "rename", "flock", "write", "fchmod"];

/// Enough that the first is done and the last is not, in the middle of a run.
const CONNECTIONS: usize = 3;

/// Connections to a peer that does not answer any more, of a program that has set some options itself.
struct Scene {
    // In the order in which they are to go.
    clients: Vec<TcpStream>,
    _servers: Vec<TcpStream>,
    lab: Lab,
    strace: Strace,
}

impl Scene {
    fn set(test: &str) -> Self {
        let lab = Lab::build(Topology::lan_without_arp()).unwrap();
        let server = lab.server().unwrap();
        let listener = server.enter(|| TcpListener::bind("10.0.0.7:80").unwrap()).unwrap();
        let connect = || TcpStream::connect("10.0.0.7:80").unwrap();
        let client = lab.client().unwrap();
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| client.enter(connect).unwrap()).collect();
        let servers = clients.iter().map(|_| listener.accept().unwrap().0).collect();
        for client in &clients {
            sockopt::set_socket_reuseaddr(client, true).unwrap();
            sockopt::set_tcp_keepcnt(client, 7).unwrap();
        }
        let scene = Self { clients, _servers: servers, lab, strace: Strace::new(test) };
        // From now on nobody answers, so that every run finds them as the one before did.
        scene.lab.cable(0).unwrap().cut();
        let idle = wait::until(Duration::from_secs(20), || {
            let document = json(&["ls", "--netns", &scene.netns(), "--json"]);
            let each = document["connections"].as_array()?;
            each.iter().all(|one| one["last_heard_ms"].as_u64() > Some(1_100)).then_some(())
        });
        assert!(idle.is_some());
        scene
    }

    fn netns(&self) -> String {
        self.lab.client().unwrap().pid().unwrap().to_string()
    }

    fn options(&self) -> Vec<SocketOptions> {
        self.clients.iter().map(|client| options::read(client.as_fd()).unwrap()).collect()
    }
}

/// Runs the program under strace(1).
pub(crate) struct Strace(PathBuf);

impl Strace {
    pub(crate) fn new(test: &str) -> Self {
        let name = format!("kills-{test}-{}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    fn traced(&self, strace: &[&str], arguments: &[String]) -> Output {
        Command::new("strace")
            .args(["--follow-forks", "--output"])
            .arg(&self.0)
            .args(strace)
            .arg(program())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// How often each of the calls is made by the thread that makes most of it.
    pub(crate) fn calls(&self, touching: &[&str], arguments: &[String]) -> BTreeMap<String, usize> {
        let trace = format!("trace={}", touching.join(","));
        self.traced(&["-e", &trace], arguments);
        let log = fs::read_to_string(&self.0).unwrap();
        let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for line in log.lines() {
            let Some((thread, line)) = line.split_once(' ') else { continue };
            let Some((call, _)) = line.trim_start().split_once('(') else { continue };
            if touching.contains(&call) {
                *by_thread.entry((call, thread)).or_default() += 1;
            }
        }
        let mut calls = BTreeMap::new();
        for ((call, _), count) in by_thread {
            let most = calls.entry(call.to_owned()).or_insert(0);
            *most = count.max(*most);
        }
        calls
    }

    /// Kills a run on entering the n-th call of this kind. Says whether it came to that.
    pub(crate) fn kill(&self, call: &str, nth: usize, arguments: &[String]) -> bool {
        let (only, inject) =
            (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={nth}"));
        // Not with --seccomp-bpf: strace then loses count of signals.
        let ended = self.traced(&["-e", &only, "-e", &inject], arguments).status;
        // strace ends as the program did. One call fewer than in the first run is no fault.
        assert!(ended.signal() == Some(9) || ended.success(), "{call} {nth}: {ended}");
        ended.signal() == Some(9)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Every call of every kind, with its number.
pub(crate) fn steps(calls: &BTreeMap<String, usize>) -> impl Iterator<Item = (&str, usize)> {
    calls.iter().flat_map(|(call, count)| (1..=*count).map(move |nth| (call.as_str(), nth)))
}

#[test]
fn a_prove_that_is_killed_at_any_step_leaves_every_option_as_it_was_after_the_next_run() {
    requires_lab!("strace" from "strace");
    let scene = Scene::set("prove");
    let (netns, before) = (scene.netns(), scene.options());
    for method in ["window-probe", "keepalive"] {
        let prove = ["prove", "--netns", &netns, "--source", "sock-diag", "--probes", "1"];
        let prove = words(&[&prove[..], &["--method", method]].concat());
        let calls = scene.strace.calls(&TOUCHING, &prove);
        assert_eq!(scene.options(), before, "{method}, not killed");
        assert!(calls["setsockopt"] >= CONNECTIONS && calls["linkat"] >= 1, "{calls:?}");
        let (mut killed, mut left_changed) = (0, 0);
        for (call, nth) in steps(&calls) {
            killed += usize::from(scene.strace.kill(call, nth, &prove));
            let left = scene.options();
            left_changed += usize::from(left != before);
            let said = halfopen(&["ls", "--netns", &netns]);
            assert_eq!(scene.options(), before, "{method}, {call} {nth}: {said:?}");
        }
        eprintln!("{method}: {left_changed} of {killed} kills left something to put back");
        // Between the probe and the word that gives SO_REUSEADDR back there is no way around it.
        assert!(left_changed > 0, "{method}: {left_changed} of {killed}");
    }
}

/// What is to be kept, and where that is written down.
fn keeping(files: &Files, netns: &str, last: &[&str]) -> Vec<String> {
    let all = ["--netns", netns, "--all", "--source", "sock-diag"];
    words(&[&["keep"][..], &files.named(), &all, last].concat())
}

const WANTED: [&str; 4] = ["--detect-within", "60s", "--user-timeout", "--apply"];

#[test]
fn a_keep_that_is_killed_at_any_step_is_undone_exactly() {
    requires_lab!("strace" from "strace");
    let scene = Scene::set("keep");
    let (netns, before) = (scene.netns(), scene.options());
    let files = Files::new("kills-keep");
    let keep = keeping(&files, &netns, &WANTED);
    let calls = scene.strace.calls(&TOUCHING, &keep);
    assert!(calls["setsockopt"] >= 4 * CONNECTIONS, "{calls:?}");
    let undo = ["--netns", &netns, "--undo"];
    let (text, code) = files.keep(&undo);
    assert_eq!((scene.options() == before, code), (true, 0), "{text}");
    let (mut killed, mut left_half_done) = (0, 0);
    for (call, nth) in steps(&calls) {
        killed += usize::from(scene.strace.kill(call, nth, &keep));
        let left: Vec<_> =
            scene.options().iter().map(|one| KeepOptions::of(one).unwrap()).collect();
        left_half_done += usize::from(left.iter().any(|one| *one != left[0]));
        let (text, code) = files.keep(&undo);
        assert_eq!(code, 0, "{call} {nth}: {text}");
        assert_eq!(scene.options(), before, "{call} {nth}: {text}");
        let (text, _) = files.keep(&undo);
        assert!(text.contains("nothing to put back"), "{call} {nth}: {text}");
    }
    eprintln!("{left_half_done} of {killed} kills left it half done");
    assert!(left_half_done > 0);
}

#[test]
fn an_undo_that_is_killed_at_any_step_is_finished_by_the_next_one() {
    requires_lab!("strace" from "strace");
    let scene = Scene::set("undo");
    let (netns, before) = (scene.netns(), scene.options());
    let files = Files::new("kills-undo");
    // Without TCP_USER_TIMEOUT, which would be set as long only as they have not been idle for long.
    let apply = ["--netns", &netns, "--detect-within", "60s", "--apply"];
    let (text, code) = files.keep(&apply);
    assert_eq!(code, 0, "{text}");
    let kept = scene.options();
    assert_ne!(kept, before);
    let undo = keeping(&files, &netns, &["--undo"]);
    let calls = scene.strace.calls(&TOUCHING, &undo);
    assert_eq!(scene.options(), before, "not killed");
    assert!(calls["setsockopt"] >= 4 * CONNECTIONS, "{calls:?}");
    let (mut killed, mut left_half_done) = (0, 0);
    for (call, nth) in steps(&calls) {
        let (text, code) = files.keep(&apply);
        assert_eq!(code, 0, "{call} {nth}: {text}");
        assert_eq!(scene.options(), kept, "{call} {nth}");
        killed += usize::from(scene.strace.kill(call, nth, &undo));
        let left = scene.options();
        left_half_done += usize::from(left != before && left != kept);
        let (text, code) = files.keep(&["--netns", &netns, "--undo"]);
        assert_eq!(code, 0, "{call} {nth}: {text}");
        assert_eq!(scene.options(), before, "{call} {nth}: {text}");
    }
    eprintln!("{left_half_done} of {killed} kills left it half done");
    assert!(left_half_done > 0);
}
