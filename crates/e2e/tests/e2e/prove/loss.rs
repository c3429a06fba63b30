//! A bad path is not a dead peer.

use serde_json::Value;

use super::stage::Stage;
use crate::{halfopen, requires_lab};

/// 100 connections, ten times each.
const CONNECTIONS: usize = 100;
const ROUNDS: u64 = 10;

/// Goal: 1,000 proofs of peers behind 30 % loss in each direction, and not one is called dead.
/// Method: default settings; the seed decides what is lost of each connection, so a failure repeats.
#[test]
fn a_peer_behind_thirty_percent_loss_is_never_called_dead() {
    requires_lab!();
    let mut stage = Stage::empty();
    for _ in 0..CONNECTIONS {
        stage.connect();
    }
    let (mut proofs, mut most) = (0, 0);
    for round in 0..ROUNDS {
        stage.wait_until_idle();
        stage.lab.cable(0).unwrap().lose(30, round);
        let output = halfopen(&["prove", "--netns", &stage.netns(), "--json"]);
        stage.lab.cable(0).unwrap().mend();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        for one in document["connections"].as_array().unwrap() {
            assert_eq!(one["answer"], "alive", "round {round}: {one:#}");
            most = most.max(one["probes_sent"].as_u64().unwrap());
            proofs += 1;
        }
    }
    assert_eq!(proofs, CONNECTIONS * usize::try_from(ROUNDS).unwrap());
    // Without loss one probe would have been enough.
    assert!(most > 3, "at most {most} probes");
}
