//! Programs that nobody here wrote, with a box that forgets: the card and the exit code.

use serde_json::Value;

use crate::{halfopen, requires_lab};

#[test]
fn a_forgetful_router_is_noticed_by_keepalive_alone_and_the_exit_code_says_who_was_late() {
    requires_lab!(
        "redis-server" from "redis-server", "redis-cli" from "redis-tools",
        "nft" from "nftables", "conntrack" from "conntrack"
    );
    // Keepalive of one second, every third of a second (one whole), three probes.
    let server = "redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save '' \
                  --dir /tmp --tcp-keepalive 1";
    let arguments = [
        "rehearse",
        "nat-forgets",
        "--json",
        "--server",
        server,
        "--client",
        "redis-cli -h server BLPOP queue 0",
        "--set",
        "stop.limit=9s",
        "--set",
        "expect.server_within=8s",
        "--set",
        "expect.client_within=8s",
    ];
    let output = halfopen(&arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let document: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
    let card = &document["cards"][0];
    let [client, server] = [0, 1].map(|side| &card["sides"][side]);
    assert!(server["began"].as_str().unwrap().contains("keepalive 1s/1s/3"), "{card:#}");
    assert_eq!(server["as_predicted"], true, "{card:#}");
    assert!(server["kernel"]["at_ms"].as_u64().unwrap() < 8_000, "{card:#}");
    assert!(client["began"].as_str().unwrap().contains("keepalive 15s/5s/3"), "{card:#}");
    assert!(client["kernel"].is_null(), "{card:#}");
    let met: Vec<_> = card["expectations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["met"].as_bool().unwrap())
        .collect();
    assert_eq!(met, [false, true], "{card:#}");
    assert_eq!(output.status.code(), Some(1));
}
