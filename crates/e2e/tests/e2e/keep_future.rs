//! `keep --future`: connections that a cgroup opens or accepts later get the options too, for as long
//! as nobody takes that back, and then they have their old ones again.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    time::{Duration, Instant},
};

use halfopen_lab::{Lab, Program, Topology, wait};
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::{
    keep::Files,
    kills::{Strace, steps, words},
    prove::peer::{self, HOLDS},
    requires_lab,
};

/// Two hosts, and a program on the first of them in a cgroup of its own.
struct Scene {
    // In the order in which they are to go: the cgroup can be removed once nobody is in it.
    program: Option<Program>,
    listener: TcpListener,
    lab: Lab,
    cgroup: Group,
    files: Files,
    /// Nobody undoes everything meanwhile.
    _hold: File,
}

/// `keep --undo` without a selector takes away what is attached to any cgroup of the host. So tests that attach
/// something hold this, shared, and whoever undoes everything has it alone. Released when it is dropped.
pub(crate) fn hold_cgroups(operation: FlockOperation) -> File {
    // A file that is there anyway, and the same for every process of these tests.
    let tests = File::open(std::env::current_exe().unwrap()).unwrap();
    flock(&tests, operation).unwrap();
    tests
}

/// A cgroup of version 2, made for one test.
struct Group(PathBuf);

impl Group {
    /// `None` where there is no hierarchy of version 2, or we may not make one there.
    fn new(test: &str) -> Option<Self> {
        let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let line = text.lines().find(|line| line.contains(" - cgroup2 "))?;
        let place = PathBuf::from(line.split(' ').nth(4)?)
            .join(format!("halfopen-test-{test}-{}", std::process::id()));
        std::fs::create_dir(&place).ok()?;
        Some(Self(place))
    }

    /// For `--cgroup`.
    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = wait::until(Duration::from_secs(10), || std::fs::remove_dir(&self.0).ok());
    }
}

impl Scene {
    /// `None`, with a word why, where this machine lacks cgroup v2 or this build BPF.
    fn set(test: &str) -> Option<Self> {
        let Some(cgroup) = Group::new(test) else {
            assert!(std::env::var_os("CI").is_none(), "cgroup v2 is not mounted");
            eprintln!("skipped: needs cgroup v2");
            return None;
        };
        let hold = hold_cgroups(FlockOperation::LockShared);
        let lab = Lab::build(Topology::lan_without_arp()).unwrap();
        let server = lab.server().unwrap();
        let listener = server.enter(|| TcpListener::bind("10.0.0.7:80").unwrap()).unwrap();
        // In its cgroup before it makes a socket: a socket stays with the cgroup that made it.
        let enters = format!("echo 0 > {}/cgroup.procs", cgroup.0.display());
        let mut program = peer::start_after(lab.client().unwrap(), &enters);
        peer::connect(&mut program, listener.local_addr().unwrap());
        let files = Files::new(test);
        let scene = Self { program: Some(program), listener, lab, cgroup, files, _hold: hold };
        let shown = scene.keep(&FUTURE);
        match shown["future"]["not_covered"].as_str() {
            Some(why) => {
                assert!(["has no BPF", "needs CAP_"].iter().any(|it| why.contains(it)), "{why}");
                eprintln!("skipped: {why}");
                None
            }
            None => Some(scene),
        }
    }

    fn netns(&self) -> String {
        self.lab.client().unwrap().pid().unwrap().to_string()
    }

    /// The document of `keep` for the program's connections.
    fn keep(&self, more: &[&str]) -> Value {
        let (netns, cgroup) = (self.netns(), self.cgroup.name());
        self.files.json(&[&["--netns", &netns, "--cgroup", cgroup], more].concat())
    }

    fn undo(&self) -> Value {
        self.files.json(&["--undo", "--cgroup", self.cgroup.name()])
    }

    fn connect(&mut self, to: SocketAddr) {
        peer::connect(self.program.as_mut().unwrap(), to);
    }

    /// What `keep` sees of each connection of the program's host: local end, and whether keepalive is on.
    fn kept(&self) -> Vec<(String, bool)> {
        let document = self.keep(&["--loopback", "--detect-within", "60s"]);
        let each = document["connections"].as_array().unwrap().iter().map(|one| {
            let on = one["before"]["options"]["keepalive"].as_bool().unwrap();
            (one["peer"].as_str().unwrap().to_owned(), on)
        });
        each.collect()
    }

    fn list(&self) -> Option<Value> {
        let document = self.files.json(&["--list"]);
        let cgroups = document["cgroups"].as_array().unwrap();
        let ours = |one: &&Value| one["path"].as_str().unwrap().ends_with(self.cgroup.name());
        cgroups.iter().find(ours).cloned()
    }
}

const FUTURE: [&str; 3] = ["--detect-within", "60s", "--future"];

#[test]
fn connections_that_are_opened_or_accepted_later_are_kept_until_that_is_undone() {
    requires_lab!();
    let Some(mut scene) = Scene::set("future") else { return };
    let shown = scene.keep(&FUTURE);
    let covered = &shown["future"]["cgroups"][0];
    assert!(covered["path"].as_str().unwrap().ends_with(scene.cgroup.name()), "{shown:#}");
    assert_eq!((&covered["outcome"], &covered["before"]), (&Value::Null, &Value::Null));
    let to = scene.listener.local_addr().unwrap();
    scene.connect(to);
    assert!(scene.kept().iter().all(|(_, on)| !on), "looking has changed something");
    assert!(scene.list().is_none(), "looking has attached something");

    let done = scene.keep(&[&FUTURE[..], &["--apply"]].concat());
    assert_eq!(done["future"]["cgroups"][0]["outcome"], "covered", "{done:#}");
    scene.connect(to);
    let inside: SocketAddr = ([10, 0, 0, 1], HOLDS).into();
    let server = scene.lab.server().unwrap();
    let accepted = server.enter(|| TcpStream::connect(inside).unwrap()).unwrap();
    scene.connect(inside);
    // Three to the server and the accepted one are kept; those of the host to itself are not.
    let kept = scene.kept();
    let of_server = |peer: &str| peer.starts_with("10.0.0.7:");
    let (ours, own): (Vec<_>, Vec<_>) = kept.into_iter().partition(|(peer, _)| of_server(peer));
    assert_eq!((ours.len(), own.len()), (4, 2), "{ours:?} {own:?}");
    assert!(ours.iter().all(|(_, on)| *on) && own.iter().all(|(_, on)| !on), "{ours:?} {own:?}");
    // They have what the others were given.
    let again = scene.keep(&["--detect-within", "60s"]);
    let options: Vec<_> = again["connections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["plan"], &one["before"]["options"]))
        .collect();
    assert!(options.iter().all(|one| *one == options[0]), "{again:#}");
    assert_eq!(options[0].0, "met");
    let listed = scene.list().unwrap();
    assert_eq!((&listed["covered"], &listed["open"]), (&2.into(), &2.into()), "{listed:#}");
    drop(accepted);

    let undone = scene.undo();
    assert_eq!(undone["cgroups"][0]["restored"], 2, "{undone:#}");
    assert!(scene.kept().iter().all(|(_, on)| !on));
    assert!(scene.list().is_none());
    scene.connect(to);
    assert!(scene.kept().iter().all(|(_, on)| !on), "it is undone and goes on");
}

/// Goal: a crowd that comes all at once is not made to probe all at once. Method: more connections
/// in a second than may begin to wait in one slot of two seconds.
#[test]
fn a_crowd_that_comes_at_once_is_kept_only_as_far_as_slots_hold() {
    const CROWD: u64 = 600;
    requires_lab!();
    let Some(mut scene) = Scene::set("crowd") else { return };
    let done = scene.keep(&[&FUTURE[..], &["--apply"]].concat());
    let future = &done["future"];
    let (slot, per_slot) = (&future["slot_ms"], future["per_slot"].as_u64().unwrap());
    let slot = Duration::from_millis(slot.as_u64().unwrap());
    let began = Instant::now();
    let inside: SocketAddr = ([10, 0, 0, 1], HOLDS).into();
    let server = scene.lab.server().unwrap();
    let crowd = server
        .enter(|| (0..CROWD).map(|_| TcpStream::connect(inside).unwrap()).collect::<Vec<_>>());
    let crowd = crowd.unwrap();
    let slots = u64::try_from(began.elapsed().as_nanos() / slot.as_nanos()).unwrap() + 2;
    let counted = wait::until(Duration::from_secs(10), || {
        let listed = scene.list()?;
        let (covered, crowded) = (listed["covered"].as_u64()?, listed["crowded"].as_u64()?);
        (covered + crowded == CROWD).then_some(covered)
    });
    let covered = counted.unwrap();
    assert!(covered <= slots * per_slot, "{covered} in {slots} slots");
    if slots * per_slot < CROWD {
        assert!(covered < CROWD);
    }
    drop(crowd);
    // The places of those that end are free again.
    let program = scene.program.take();
    drop(program);
    let freed = wait::until(Duration::from_secs(20), || (scene.list()?["open"] == 0).then_some(()));
    assert!(freed.is_some(), "{:?}", scene.list());
    scene.undo();
}

/// Goal: whoever kills `keep` finds the program that it has attached, and undoes it. Method: that is
/// how it always is: the command is long gone when connections are opened; what is taken away is
/// found by its name in the kernel alone, without any record.
#[test]
fn what_is_attached_is_found_and_undone_without_a_record() {
    requires_lab!();
    let Some(mut scene) = Scene::set("lost") else { return };
    scene.keep(&[&FUTURE[..], &["--apply"]].concat());
    let to = scene.listener.local_addr().unwrap();
    scene.connect(to);
    // Another objective replaces the first one; there is one program all the same.
    let again = scene.keep(&["--detect-within", "30s", "--future", "--apply"]);
    assert!(again["future"]["cgroups"][0]["before"]["idle_s"].as_u64() > Some(0), "{again:#}");
    scene.files = Files::new("lost-2");
    assert_eq!(scene.list().unwrap()["covered"], 1);
    let undone = scene.undo();
    assert_eq!(undone["cgroups"].as_array().unwrap().len(), 1, "{undone:#}");
    assert!(scene.list().is_none());
}

/// Goal: an undo that is killed at any step is finished by the next one. Method: as in `kills`, with
/// the calls by which programs are found, told and taken away.
#[test]
fn an_undo_of_the_future_that_is_killed_at_any_step_is_finished_by_the_next_one() {
    const TOUCHING: [&str; 3] = ["bpf", "pidfd_getfd", "setsockopt"];
    requires_lab!("strace" from "strace");
    let Some(mut scene) = Scene::set("killed") else { return };
    let strace = Strace::new("future");
    let keep = [&FUTURE[..], &["--apply"]].concat();
    let undo = ["--undo", "--cgroup", scene.cgroup.name()];
    let undo = words(&[&["keep"][..], &scene.files.named(), &undo].concat());
    let to = scene.listener.local_addr().unwrap();
    let prepare = |scene: &mut Scene| {
        scene.keep(&keep);
        scene.connect(to);
        assert!(scene.kept().iter().all(|(_, on)| *on));
    };
    prepare(&mut scene);
    let calls = strace.calls(&TOUCHING, &undo);
    assert!(scene.kept().iter().all(|(_, on)| !on), "not killed");
    let mut left_half_done = 0;
    for (call, nth) in steps(&calls) {
        prepare(&mut scene);
        strace.kill(call, nth, &undo);
        left_half_done += usize::from(scene.kept().iter().any(|(_, on)| !on));
        scene.undo();
        assert!(scene.kept().iter().all(|(_, on)| !on), "{call} {nth}");
        assert!(scene.list().is_none(), "{call} {nth}");
    }
    eprintln!("{left_half_done} of {} kills left it half done", calls.values().sum::<usize>());
    assert!(left_half_done > 0);
}

/// The root cgroup has every program of the host in it.
#[test]
fn the_root_cgroup_is_refused_with_what_to_do() {
    requires_lab!();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    if !text.lines().any(|line| line == "0::/") {
        eprintln!("skipped: these tests are in a cgroup of their own");
        return;
    }
    let port = stream.local_addr().unwrap().port().to_string();
    let files = Files::new("root");
    let chosen = ["--port", &port, "--loopback"];
    let (text, code) = files.keep(&[&chosen[..], &FUTURE[..]].concat());
    assert_eq!(code, 1, "{text}");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let reasons = ["is in the root cgroup", "has no BPF", "cgroup v2 is not mounted"];
    assert!(reasons.iter().any(|why| text.contains(why)), "{text}");
}
