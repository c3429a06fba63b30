//! Nothing is left of a rehearsal: not after its end, nor a failure, nor Ctrl-C, nor SIGKILL.

use std::{
    fs,
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
