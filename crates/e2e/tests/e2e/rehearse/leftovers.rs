//! Nothing is left of a rehearsal: not after its end, nor a failure, nor Ctrl-C, nor SIGKILL.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use halfopen_lab::wait;
use rustix::process::{Pid, Signal, kill_process};

use crate::{program, requires_lab};

/// Far longer than a lab takes to go.
const SOON: Duration = Duration::from_secs(10);

/// A rehearsal whose processes can be told from all others, since they inherit its environment.
struct Marked {
    mark: String,
    child: Child,
}

impl Marked {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mark = format!("HALFOPEN_MARK={name}-{}", std::process::id());
        let (key, value) = mark.split_once('=').unwrap();
        let child = Command::new(program())
            .arg("rehearse")
            .args(arguments)
            .env(key, value)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { mark, child }
    }

    /// The processes of the rehearsal, the program itself among them.
    fn processes(&self) -> Vec<String> {
        let has_mark = |pid: &String| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == self.mark.as_bytes())
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
        pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(has_mark)
            .collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end, and for that of everything that it started.
    fn leaves_nothing(mut self, how: &str) -> Option<i32> {
        let ended = wait::until(SOON * 3, || self.child.try_wait().unwrap());
        let gone = wait::until(SOON, || self.processes().is_empty().then_some(()));
        assert!(gone.is_some(), "after {how}: {:?} live on", self.processes());
        ended.unwrap_or_else(|| panic!("after {how} it still runs")).code()
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both programs of the pair run: hosts, cables and all.
fn wait_until_in_full_swing(run: &Marked) {
    let many = wait::until(SOON, || (run.processes().len() >= 8).then_some(()));
    assert!(many.is_some(), "{:?}", run.processes());
}

#[test]
fn nothing_is_left_of_a_rehearsal_however_it_ends() {
    requires_lab!();
    let done = Marked::start("success", &["server-killed"]);
    assert_eq!(done.leaves_nothing("success"), Some(0));
    let failed = Marked::start("failure", &["server-killed", "--client", "exit 3"]);
    assert_eq!(failed.leaves_nothing("failure"), Some(71));
    let interrupted = Marked::start("interrupt", &["cable-pulled"]);
    wait_until_in_full_swing(&interrupted);
    interrupted.signal(Signal::INT);
    assert_eq!(interrupted.leaves_nothing("SIGINT"), Some(71));
}

#[test]
fn nothing_is_left_of_ten_rehearsals_that_were_killed() {
    requires_lab!();
    killed_again_and_again(10);
}

/// For `make hundred`.
#[test]
#[ignore = "takes minutes"]
fn nothing_is_left_of_a_hundred_rehearsals_that_were_killed() {
    requires_lab!();
    killed_again_and_again(100);
}

#[test]
fn the_machine_is_as_it_was_after_some_rehearsals() {
    requires_lab!("nft" from "nftables", "conntrack" from "conntrack");
    in_a_world_of_its_own("3");
}

/// For `make hundred`.
#[test]
#[ignore = "takes minutes"]
fn the_machine_is_as_it_was_after_a_hundred_rehearsals() {
    requires_lab!("nft" from "nftables", "conntrack" from "conntrack");
    in_a_world_of_its_own("100");
}

/// Runs [`a_world_before_and_after_rehearsals`] where nobody else makes processes, links, mounts or files,
/// so that whatever is there afterwards was left by a rehearsal.
fn in_a_world_of_its_own(times: &str) {
    let this = std::env::current_exe().unwrap();
    let built = this.parent().and_then(Path::parent).unwrap();
    let this = Path::new("/mnt").join(this.strip_prefix(built).unwrap());
    // What was built may lie below /tmp, so it is seen elsewhere. The first process of a pid namespace
    // inherits orphans; a shell that waits buries them. In the background it would have its commands
    // ignore SIGINT.
    let script = "mount --bind \"$BUILT\" /mnt && mount -t tmpfs tmpfs /tmp \
                  && mount -t tmpfs tmpfs /run && ip link set lo up || exit 1; \"$@\"; exit $?";
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", script, "world"])
        .arg(this)
        .args(["--exact", "rehearse::leftovers::a_world_before_and_after_rehearsals"])
        .args(["--ignored", "--nocapture"])
        .env("BUILT", built)
        .env(TIMES, times)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    // Or it was skipped.
    assert!(said.contains("as it was"), "{said}");
}

const TIMES: &str = "HALFOPEN_REHEARSALS";

/// No test: what the two above run.
#[test]
#[ignore = "changes nothing only where it is alone"]
fn a_world_before_and_after_rehearsals() {
    let Some(times) = std::env::var(TIMES).ok().and_then(|times| times.parse::<u32>().ok()) else {
        return;
    };
    let before = World::seen();
    // Of each kind of topology one; the first fault comes soon.
    let scenarios = ["server-killed", "cable-pulled", "nat-forgets"];
    let soon = ["--set", "at.0.when=100ms after established", "--set", "stop.limit=500ms"];
    for (number, scenario) in (0..times).zip(scenarios.iter().cycle()) {
        let run = Marked::start(&format!("success{number}"), &[&[*scenario][..], &soon].concat());
        assert_eq!(run.leaves_nothing("success"), Some(0), "{scenario}");
    }
    for number in 0..times.div_ceil(4) {
        let run = Marked::start(&format!("interrupt{number}"), &["cable-pulled"]);
        let wanted = 1 + number as usize % 9;
        let there = wait::until(SOON, || (run.processes().len() >= wanted).then_some(()));
        assert!(there.is_some(), "{:?}", run.processes());
        run.signal(Signal::INT);
        // Before it listens for signals it ends as any program does: by the signal.
        assert!(matches!(run.leaves_nothing("SIGINT"), Some(71) | None), "{number}");
    }
    let after = wait::until(SOON, || Some(World::seen()).filter(|after| *after == before));
    let after = after.unwrap_or_else(World::seen);
    for (what, was) in &before.0 {
        let is = &after.0[what];
        let new: Vec<_> = is.difference(was).collect();
        let lost: Vec<_> = was.difference(is).collect();
        assert!(new.is_empty() && lost.is_empty(), "{what}: new {new:#?}, lost {lost:#?}");
    }
    eprintln!("after {times} rehearsals and a quarter as many interruptions all is as it was");
}

/// What rehearsals could leave behind, by kind.
#[derive(PartialEq)]
struct World(BTreeMap<&'static str, BTreeSet<String>>);

impl World {
    fn seen() -> Self {
        let lines = |path: &str| -> BTreeSet<String> {
            fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
        };
        let pids = || {
            let entries = fs::read_dir("/proc").unwrap().flatten();
            let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
            pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let namespaces = pids().flat_map(|pid| {
            let kinds = ["net", "mnt", "pid", "ipc", "uts", "user"];
            kinds.map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")))
        });
        let links = lines("/proc/net/dev");
        let links = links.iter().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
        let mut files = BTreeSet::new();
        for directory in ["/tmp", "/run", "/dev/shm", "/var/tmp"] {
            paths(Path::new(directory), &mut files);
        }
        let mut sysctls = BTreeSet::new();
        for directory in ["/proc/sys/net", "/proc/sys/user", "/proc/sys/kernel/yama"] {
            let mut names = BTreeSet::new();
            paths(Path::new(directory), &mut names);
            let value = |name: &String| fs::read_to_string(name).unwrap_or_default();
            sysctls.extend(names.iter().map(|name| format!("{name} = {}", value(name).trim())));
        }
        Self(BTreeMap::from([
            ("processes", pids().collect()),
            (
                "namespaces",
                namespaces.flatten().map(|link| link.to_string_lossy().into_owned()).collect(),
            ),
            ("links", links.collect()),
            ("mounts", lines("/proc/self/mountinfo")),
            ("files", files),
            ("sysctls", sysctls),
        ]))
    }
}

/// Every path below a directory.
fn paths(directory: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            paths(&path, into);
        }
        into.insert(path.to_string_lossy().into_owned());
    }
}

/// Kills at another moment of the life of a rehearsal each time.
fn killed_again_and_again(times: usize) {
    for number in 0..times {
        let run = Marked::start(&format!("kill{number}"), &["cable-pulled"]);
        let wanted = 1 + number % 9;
        let there = wait::until(SOON, || (run.processes().len() >= wanted).then_some(()));
        assert!(there.is_some(), "{:?}", run.processes());
        run.signal(Signal::KILL);
        assert_eq!(run.leaves_nothing("SIGKILL"), None);
    }
}
