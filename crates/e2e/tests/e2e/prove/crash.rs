//! A run that is killed at any moment leaves nothing changed once another has begun.

use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use socket2::Socket;

use super::{peer::HOLDS, stage::Stage};
use crate::{halfopen, program, requires_lab};

/// Kills, spread over the length of a whole run.
const KILLS: u32 = 100;

/// Goal: SIGKILL at any moment changes no option for good. Method: kill runs after every delay from
/// the start to the end of one, by the clock alone, and look at the options after one `ls`.
#[test]
fn a_run_that_is_killed_at_any_moment_leaves_every_option_as_it_was_after_the_next_run() {
    requires_lab!();
    let mut stage = Stage::empty();
    for _ in 0..20 {
        let at = stage.add("established", "ipv4", HOLDS);
        stage.socket(at).set_reuse_address(true).unwrap();
    }
    stage.wait_until_idle();
    let netns = stage.netns();
    let before = options(&stage);
    for method in ["keepalive", "window-probe"] {
        let arguments = ["prove", "--netns", &netns, "--method", method, "--source", "sock-diag"];
        let whole = Instant::now();
        halfopen(&arguments);
        let whole = whole.elapsed();
        let mut left_changed = 0;
        for kill in 0..KILLS / 2 {
            let mut child = Command::new(program())
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // A moment, not a condition: the moment is what is tried out. The deadline ends it.
            let deadline = Instant::now() + whole * kill / (KILLS / 2);
            while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
                thread::sleep(Duration::from_micros(100));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            left_changed += u32::from(options(&stage) != before);
            let said = halfopen(&["ls", "--netns", &netns]);
            assert_eq!(options(&stage), before, "{method}, kill {kill}: {said:?}");
        }
        eprintln!("{method}: {left_changed} of {} kills left something to put back", KILLS / 2);
    }
}

fn options(stage: &Stage) -> Vec<(bool, bool, Duration, u32)> {
    let read = |socket: &Socket| {
        (
            socket.reuse_address().unwrap(),
            socket.keepalive().unwrap(),
            socket.tcp_keepalive_time().unwrap(),
            socket.tcp_keepalive_retries().unwrap(),
        )
    };
    stage.actors.iter().filter_map(|actor| actor.socket.as_ref()).map(read).collect()
}
