//! Predicted and measured detection time, through the verb.

use crate::{json, requires_lab};

/// Goal: every case that the documentation promises lies within its prediction on this kernel.
/// Method: the verb itself, once; a miss prints its case.
#[test]
fn rehearse_detection_predicts_every_case() {
    requires_lab!();
    let document = json(&["rehearse", "detection", "--json"]);
    let cases = document["detection"].as_array().unwrap();
    assert!(cases.len() >= 9, "{document:#}");
    let missed: Vec<_> = cases.iter().filter(|case| case["hit"] != true).collect();
    assert!(missed.is_empty(), "{missed:#?}");
    for promised in [
        "keepalive off",
        "keepalive 2/1/3",
        "busy",
        "user timeout",
        "half-closed",
        "zero window",
        "SYN",
        "orphan",
    ] {
        let is_there = |case: &serde_json::Value| case["name"].as_str().unwrap().contains(promised);
        assert!(cases.iter().any(is_there), "no case for {promised}");
    }
}
