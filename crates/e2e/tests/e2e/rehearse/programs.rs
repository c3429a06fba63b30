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

/// A client that asks on one connection every six seconds and waits four for the answer.
const ASKS: &str = r#"python3 -c '
import http.client, time
web = http.client.HTTPConnection("server", 8000, timeout=4)
while True:
  web.request("GET", "/")
  print(len(web.getresponse().read()), flush=True)
  time.sleep(6)
'"#;

#[test]
fn a_scenario_of_a_strangers_own_tells_what_a_web_client_makes_of_a_router_that_forgets() {
    requires_lab!(
        "python3" from "python3-minimal", "nft" from "nftables", "conntrack" from "conntrack"
    );
    let path = std::env::temp_dir().join(format!("halfopen-web-{}.toml", std::process::id()));
    let server = "python3 -m http.server 8000 --protocol HTTP/1.1 --directory /tmp";
    let scenario = format!(
        "topology = \"nat\"\n[server]\ncommand = \"{server}\"\nready = \"tcp:8000\"\n\
         [client]\ncommand = '''{ASKS}'''\n[stop]\nlimit = \"13s\"\n\
         [[at]]\nwhen = \"1s after established\"\nfault = \"forget\"\n\
         [expect]\nclient_within = \"12s\"\nserver_within = \"12s\"\n"
    );
    std::fs::write(&path, scenario).unwrap();
    let output = halfopen(&["rehearse", path.to_str().unwrap(), "--json"]);
    std::fs::remove_file(&path).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let document: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
    let card = &document["cards"][0];
    let [client, server] = [0, 1].map(|side| &card["sides"][side]);
    // It asks five seconds after the fault, and has waited in vain four seconds later.
    let noticed = client["application"]["at_ms"].as_u64().unwrap();
    assert!((8_500..12_000).contains(&noticed), "{card:#}");
    assert!(client["kernel"].is_null() && server["application"].is_null(), "{card:#}");
    assert_eq!(card["state"], "idle", "{card:#}");
    assert!(card["said"].to_string().contains("TimeoutError"), "the cause comes last: {card:#}");
    let met = |number: usize| card["expectations"][number]["met"].as_bool().unwrap();
    assert_eq!((met(0), met(1)), (true, false), "{card:#}");
    assert_eq!(output.status.code(), Some(1));
}
