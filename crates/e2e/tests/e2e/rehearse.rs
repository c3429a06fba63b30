//! Goal: what a rehearsal predicts is what the kernel does, its card and exit code say so, and nothing
//! is left of it. Method: the program itself, with the built-in pair and with redis, timers of seconds.

mod clock;
mod leftovers;
mod power;
mod programs;

use std::{fmt::Write as _, thread};

use serde_json::Value;

use crate::{halfopen, json, requires_lab, says};

/// Fault, state and side; what was predicted and by what; whether the kernel did so. Times differ from
/// run to run and are judged inside.
fn rows(document: &Value) -> String {
    let mut table = String::new();
    for card in document["cards"].as_array().unwrap() {
        for side in card["sides"].as_array().unwrap() {
            let predicted = &side["predicted"];
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let fits = match side["as_predicted"].as_bool() {
                Some(true) => "hit",
                Some(false) => "MISS",
                None => "-",
            };
            writeln!(
                table,
                "{:<26} {:<7} {:<8} {:<18} {fits}",
                text(&card["scenario"]),
                text(&side["side"]),
                text(&predicted["kind"]),
                text(&predicted["by"]),
            )
            .unwrap();
        }
    }
    table
}

#[test]
fn every_fault_in_every_state_is_measured_as_predicted() {
    requires_lab!("nft" from "nftables", "conntrack" from "conntrack");
    let document = json(&["rehearse", "all", "--json"]);
    let missed = document["cards"].as_array().unwrap().iter().filter(|card| {
        card["sides"]
            .as_array()
            .unwrap()
            .iter()
            .any(|side| side["as_predicted"] == Value::Bool(false))
    });
    let missed: Vec<_> = missed.collect();
    assert!(missed.is_empty(), "{missed:#?}");
    insta::assert_snapshot!(rows(&document));
}

#[test]
fn every_scenario_that_is_built_in_can_be_done() {
    requires_lab!(
        "nft" from "nftables", "conntrack" from "conntrack",
        "dnsmasq" from "dnsmasq-base", "busybox" from "busybox"
    );
    let names: Vec<_> = halfopen_lab::scenario::builtin_names().collect();
    let one = |name: &str| {
        let mut set = vec!["--set", "pair.keepalive=2s/1s/1", "--set", "stop.limit=6s"];
        if name.starts_with("week-") {
            // By the real clock its Saturday comes soon.
            set.extend(["--set", "at.0.when=1s after established"]);
        }
        let output = halfopen(&[&["rehearse", name, "--json"][..], &set].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{name}: {errors}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let sides = document["cards"][0]["sides"].as_array().unwrap().clone();
        assert!(sides.iter().all(|side| side["as_predicted"] != false), "{name}: {document:#}");
    };
    for few in names.chunks(5) {
        thread::scope(|scope| {
            for name in few {
                scope.spawn(|| one(name));
            }
        });
    }
}

#[test]
fn a_dry_run_prints_the_script_and_needs_no_privilege() {
    let (script, code) = says(&["rehearse", "server-reboots", "--dry-run", "--set", "down=3s"]);
    assert_eq!(code, 0);
    assert!(script.contains("4s  the server boots"), "{script}");
}

#[test]
fn a_slip_in_a_scenario_is_a_usage_error_with_line_and_remedy() {
    let path = std::env::temp_dir().join(format!("halfopen-slip-{}.toml", std::process::id()));
    std::fs::write(&path, "[[at]]\nwhen = \"1s after established\"\nfault = \"cutt\"\n").unwrap();
    let (said, code) = says(&["rehearse", path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(code, 2);
    assert!(said.contains("line 3") && said.contains("did you mean `cut`?"), "{said}");
    let (said, code) = says(&["rehearse", "cable-puled"]);
    assert!(code == 2 && said.contains("rehearse list"), "{said}");
}

/// tcp_syncookies 0, 1 and 2, from the flag to the card.
#[test]
fn a_flood_keeps_the_client_out_unless_the_server_gives_cookies() {
    requires_lab!();
    let card = |cookies: &str| {
        let cookies = format!("cookies={cookies}");
        let set = ["--set", &cookies, "--set", "client.sysctls.tcp_syn_retries=2"];
        let document = json(&[&["rehearse", "syn-flood", "--json"][..], &set].concat());
        document["cards"][0].clone()
    };
    let cards = thread::scope(|scope| {
        let all = ["off", "when-full", "always"].map(|cookies| scope.spawn(move || card(cookies)));
        all.map(|card| card.join().unwrap())
    });
    // How many of the flood waited at once, and how many cookies the server's kernel gave.
    let noted = |card: &Value, words: &str| -> u64 {
        let notes = card["notes"].as_array().unwrap().iter();
        let note = notes.filter_map(Value::as_str).find(|note| note.contains(words));
        let number = note.and_then(|note| note.split(' ').find_map(|word| word.parse().ok()));
        number.unwrap_or(0)
    };
    let [off, when_full, always] = &cards;
    let client = &off["sides"][0];
    assert_eq!(client["predicted"]["kind"], "within", "{off:#}");
    assert_eq!(client["as_predicted"], true, "{off:#}");
    assert!(client["kernel"]["what"].as_str().unwrap().contains("ETIMEDOUT"), "{off:#}");
    assert!(client["began"].as_str().unwrap().starts_with("SYN-SENT"), "{off:#}");
    for card in [when_full, always] {
        let client = &card["sides"][0];
        assert_eq!(client["predicted"]["kind"], "never", "{card:#}");
        assert_eq!(client["as_predicted"], true, "{card:#}");
        assert_eq!(client["believes"], "holds it: ESTABLISHED", "{card:#}");
        assert!(noted(card, "SYN cookies") > 50, "{card:#}");
    }
    assert_eq!(noted(off, "SYN cookies"), 0, "{off:#}");
    assert!(noted(off, "embryonic") > 5 && noted(when_full, "embryonic") > 5);
    assert_eq!(noted(always, "embryonic"), 0, "{always:#}");
}

#[test]
fn what_is_lost_and_doubled_is_counted() {
    requires_lab!();
    let arguments = [
        "rehearse",
        "server-reboots",
        "--json",
        "--expect-no-loss",
        "--set",
        "pair.state=writing",
        "--set",
        "pair.reconnect=true",
        "--set",
        "down=2s",
    ];
    let output = halfopen(&arguments);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let card = &document["cards"][0];
    let messages = &card["messages"];
    // What was repeated after the reboot was not lost, and what the first life had read and not
    // answered is doubled; both are in the count.
    let count = |key: &str| messages[key].as_u64().unwrap();
    assert!(count("sent") > 10 && count("read") > 5, "{messages}");
    assert!(card["sides"][0]["again"]["at_ms"].as_u64().unwrap() >= 2000, "{card:#}");
    let met = card["expectations"][0]["met"].as_bool().unwrap();
    assert_eq!(met, count("lost") == 0 && count("doubled") == 0);
    assert_eq!(output.status.code(), Some(i32::from(!met)));
}
