//! Several runs at the same time, on the same connections.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use socket2::TcpKeepalive;

use super::stage::{Stage, options};
use crate::{json, program, requires_lab};

const CONNECTIONS: usize = 40;
const RUNS: usize = 4;
const ROUNDS: usize = 3;
/// Of so many the application has keepalive on, which probes once while this test goes on, or twice.
const KEPT: usize = 10;

/// Goal: no run takes for the application's own what another has set for a moment. Method: the peer
/// is cut off, so that nobody is answered and all of them go on; several runs begin at once, probe
/// in step, and put back what they have found; some see the connections first while others probe. Nor
/// are all their probes, which came moments apart, a silence that the kernel has proved.
#[test]
fn runs_at_the_same_time_leave_every_option_as_it_was() {
    requires_lab!();
    let mut stage = Stage::empty();
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(75))
        .with_retries(120);
    for number in 0..CONNECTIONS {
        let at = stage.connect();
        stage.actors[at].socket.set_reuse_address(true).unwrap();
        if number < KEPT {
            stage.actors[at].socket.set_tcp_keepalive(&keepalive).unwrap();
        }
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
                // Two probes prove no death, also where the kernel counts those of all runs; and no
                // run thinks that a connection is busy or gone.
                let undecided = said.matches("\"answer\": \"undecided\"").count();
                assert_eq!(undecided, CONNECTIONS, "{said}");
            }
            assert_eq!(options(&stage), before, "{method}, round {round}");
            let document = json(&["ls", "--netns", &netns, "--source", "sock-diag", "--json"]);
            let doubted = document["connections"].as_array().unwrap().iter().filter(|one| {
                assert_ne!(one["verdict"], "silent", "{one:#}");
                let mut evidence = one["evidence"].as_array().unwrap().iter();
                evidence.any(|fact: &Value| fact["kind"] == "keepalives-not-spaced")
            });
            assert_eq!(doubted.count(), KEPT, "{document:#}");
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
