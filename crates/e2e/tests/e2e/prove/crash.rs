//! A run that is killed at any moment leaves nothing changed once another has begun.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    peer::SOON,
    stage::{Stage, options},
};
use crate::{halfopen, program, requires_lab};

/// Kills, of each method half: some anywhere in a run, most after its journal has appeared.
const KILLS: u32 = 100;
/// A connection that was heard within a second is not probed, so that the groups take turns.
const GROUPS: usize = 8;
const IN_A_GROUP: usize = 40;

/// Goal: SIGKILL at any moment changes no option for good. Method: kill runs by the clock alone, and
/// look at the options after one `ls`. Where the journal appears, options are about to be touched.
#[test]
fn a_run_that_is_killed_at_any_moment_leaves_every_option_as_it_was_after_the_next_run() {
    requires_lab!();
    let mut stage = Stage::empty();
    let mut groups = vec![String::new(); GROUPS];
    for number in 0..GROUPS * IN_A_GROUP {
        let at = stage.connect();
        stage.actors[at].socket.set_reuse_address(true).unwrap();
        groups[number % GROUPS] += &format!("{},", stage.actors[at].local.port());
    }
    stage.wait_until_idle();
    let netns = stage.netns();
    let before = options(&stage);
    // From the first kill to the last about as long as a batch takes.
    let steps =
        [("keepalive", Duration::from_micros(200)), ("window-probe", Duration::from_micros(30))];
    for (method, step) in steps {
        let mut left_changed = 0;
        for kill in 0..KILLS / 2 {
            let group = &groups[kill as usize % GROUPS];
            let ports = group.trim_end_matches(',');
            let mut child = Command::new(program())
                .args(["prove", "--netns", &netns, "--source", "sock-diag"])
                .args(["--method", method, "--port", ports])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            if kill % 5 != 0 {
                wait_for_journal(&mut child);
            }
            // A moment, not a condition: the moment is what is tried out. The deadline ends it.
            let deadline = Instant::now() + step * kill;
            while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
                thread::yield_now();
            }
            child.kill().unwrap();
            child.wait().unwrap();
            left_changed += u32::from(options(&stage) != before);
            let said = halfopen(&["ls", "--netns", &netns]);
            assert_eq!(options(&stage), before, "{method}, kill {kill}: {said:?}");
        }
        eprintln!("{method}: {left_changed} of {} kills left something to put back", KILLS / 2);
        // A one-shot touches for milliseconds: kills that all miss it would have tried nothing. A
        // window probe does for a microsecond, which kills by the clock seldom meet.
        assert!(left_changed > 0 || method == "window-probe", "{method}");
    }
}

/// Until the run has written its journal, or is over.
fn wait_for_journal(child: &mut Child) {
    let prefix = format!("{}-", child.id());
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        let files = std::fs::read_dir("/run/halfopen").into_iter().flatten().flatten();
        if files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with(&prefix)) {
            return;
        }
    }
}
