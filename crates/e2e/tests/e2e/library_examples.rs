//! Goal: the library's examples do what their first lines say, with the peers that they are written for.
//! Method: the pools and the WebSocket bring both ends themselves, on loopback; the subscriber meets a
//! Redis in a lab, which is then frozen.

use std::{process::Command, time::Duration};

use halfopen_lab::{Lab, SERVER, Topology};

use crate::{
    library::{example, signal},
    requires_lab,
};

const SOON: Duration = Duration::from_secs(30);

/// What an example prints until it ends, which it must do well.
fn prints(name: &str) -> String {
    let output = Command::new(example(name)).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Each asserts itself that a connection that lives is used again.
#[test]
fn the_pools_hand_out_no_connection_whose_peer_is_gone() {
    for name in ["pool_bb8", "pool_deadpool"] {
        let said = prints(name);
        assert!(said.contains(" was replaced by "), "{name}: {said}");
    }
}

#[test]
fn the_websocket_hears_three_pongs_missing() {
    let said = prints("websocket_heartbeat");
    assert!(said.starts_with("hello\nlost: "), "{said}");
    assert!(said.contains("3 heartbeats went unanswered"), "{said}");
}

#[test]
fn a_subscriber_learns_that_its_redis_stands_still() {
    requires_lab!("redis-server" from "redis-server", "redis-cli" from "redis-tools");
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let server = lab.server().unwrap();
    let redis = server.spawn("redis-server", &["--protected-mode", "no", "--save", ""]).unwrap();
    assert!(redis.line_with("Ready to accept", SOON).is_some());
    let address = format!("{}:6379", lab.topology().address(SERVER).unwrap());
    let subscriber =
        lab.client().unwrap().spawn(example("redis_heartbeat"), &[&address, "news"]).unwrap();
    assert!(subscriber.line_with("subscribe news", SOON).is_some());

    // Any bytes may come: line ends, and what is no text.
    let publish = "printf 'one\\r\\n\\377two' | redis-cli -x PUBLISH news";
    let mut published = server.spawn("sh", &["-c", publish]).unwrap();
    assert!(published.ended(SOON).unwrap().is_some_and(|status| status.success()));
    assert!(subscriber.line_with("message news one", SOON).is_some());
    assert!(subscriber.line_with("\u{fffd}two", SOON).is_some());

    signal(&redis, "-STOP");
    let lost = subscriber.line_with("lost: ", SOON);
    let lost = lost.expect("the subscriber did not say that its server is lost").text;
    assert!(lost.contains("heartbeats went unanswered"), "{lost}");
}
