//! A bad path is not a dead peer.

use serde_json::Value;

use super::stage::Stage;
use crate::{halfopen, requires_lab};

/// 100 connections, ten times each.
const CONNECTIONS: usize = 100;
const ROUNDS: u64 = 10;

/// Goal: 1,000 proofs of peers behind 30 % loss in each direction, and they are not called dead.
/// Method: default settings. A probe and its answer come through with 0.7 * 0.7, so fifteen in a row
/// are lost with 0.51^15: one proof of 24,000 is wrong. One of 1,000 is to be expected in every 24th
/// run of this test, two of them in every 1,200th.
#[test]
fn a_peer_behind_thirty_percent_loss_is_called_dead_as_rarely_as_chance_has_it() {
    requires_lab!();
    let mut stage = Stage::empty();
    for _ in 0..CONNECTIONS {
        stage.connect();
    }
    let (mut proofs, mut most, mut wrong) = (0, 0, Vec::new());
    for round in 0..ROUNDS {
        stage.wait_until_idle();
        stage.lab.cable(0).unwrap().lose(30, round);
        let output = halfopen(&["prove", "--netns", &stage.netns(), "--json"]);
        stage.lab.cable(0).unwrap().mend();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        for one in document["connections"].as_array().unwrap() {
            if one["answer"] != "alive" {
                assert_eq!(one["probes_sent"], 15, "round {round}: {one:#}");
                wrong.push(format!("round {round}: {one:#}"));
            }
            most = most.max(one["probes_sent"].as_u64().unwrap());
            proofs += 1;
        }
    }
    assert_eq!(proofs, CONNECTIONS * usize::try_from(ROUNDS).unwrap());
    assert!(wrong.len() <= 1, "{}", wrong.join("\n"));
    // Without loss one probe would have been enough.
    assert!(most > 3, "at most {most} probes");
}
