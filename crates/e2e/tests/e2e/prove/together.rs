//! Several runs at the same time, on the same connections.

use std::process::{Child, Command, Stdio};

use super::stage::{Stage, options};
use crate::{program, requires_lab};

const CONNECTIONS: usize = 40;
const RUNS: usize = 4;
const ROUNDS: usize = 4;

/// Goal: no run takes for the application's own what another has set for a moment. Method: the peer
/// is cut off, so that nobody is answered and all of them go on; several runs begin at once, probe
/// in step, and put back what they have found; some see the connections first while others probe.
#[test]
fn runs_at_the_same_time_leave_every_option_as_it_was() {
    requires_lab!();
    let mut stage = Stage::empty();
    for _ in 0..CONNECTIONS {
        let at = stage.connect();
        stage.actors[at].socket.set_reuse_address(true).unwrap();
    }
    stage.wait_until_idle();
    stage.lab.cable(0).unwrap().cut();
    let (netns, before) = (stage.netns(), options(&stage));
    for method in ["keepalive", "window-probe"] {
        for round in 0..ROUNDS {
            let runs: Vec<_> = (0..RUNS).map(|_| begin(&netns, method)).collect();
            for run in runs {
                let output = run.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&output.stdout);
                // Two probes prove no death, unless the kernel counts those of the other runs, too;
                // and no run thinks that a connection is busy or gone.
                let is = |answer: &str| said.matches(&format!("\"answer\": \"{answer}\"")).count();
                assert_eq!(is("undecided") + is("silent"), CONNECTIONS, "{said}");
            }
            assert_eq!(options(&stage), before, "{method}, round {round}");
        }
    }
}

fn begin(netns: &str, method: &str) -> Child {
    Command::new(program())
        .args(["prove", "--netns", netns, "--all", "--source", "sock-diag", "--json"])
        .args(["--method", method, "--probes", "2", "--interval", "1s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
