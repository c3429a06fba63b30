//! Goal: what a rehearsal predicts is what the kernel does, its card and exit code say so, and nothing
//! is left of it. Method: the program itself, with the built-in pair and with redis, timers of seconds.

mod clock;
mod leftovers;
mod power;
mod programs;

use std::{fmt::Write as _, thread};

use serde_json::Value;

use crate::{halfopen, json, requires_lab, says};

/// Fault, state and side, and what was predicted by what. Times differ from run to run and are judged
/// where they are measured.
fn rows(document: &Value) -> String {
    let mut table = String::new();
    for card in document["cards"].as_array().unwrap() {
        for side in card["sides"].as_array().unwrap() {
            let predicted = &side["predicted"];
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            writeln!(
                table,
                "{:<36} {:<7} {:<8} {}",
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

/// The card of a scenario.
fn card_of(name: &str, text: &str) -> Value {
    let path = std::env::temp_dir().join(format!("halfopen-{name}-{}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let output = halfopen(&["rehearse", path.to_str().unwrap(), "--json"]);
    std::fs::remove_file(&path).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{name}: {errors}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["cards"][0].clone()
}

/// Whether a card has a side of which this holds.
fn has_side(card: &Value, is: impl Fn(&Value) -> bool) -> bool {
    card["sides"].as_array().unwrap().iter().any(is)
}

#[test]
fn every_fault_in_every_state_is_measured_as_predicted() {
    requires_lab!("nft" from "nftables", "conntrack" from "conntrack");
    let document = json(&["rehearse", "all", "--json"]);
    assert!(document["not_done"].is_null(), "{:#}", document["not_done"]);
    let cards = document["cards"].as_array().unwrap();
    let missed: Vec<_> =
        cards.iter().filter(|card| has_side(card, |side| side["as_predicted"] == false)).collect();
    assert!(missed.is_empty(), "{missed:#?}");
    // On a busy machine some cannot be judged; if it were many, nothing would have been tested.
    let is_unjudged = |side: &Value| {
        let decided = ["within", "never"].contains(&side["predicted"]["kind"].as_str().unwrap());
        decided && side["as_predicted"].is_null()
    };
    let unjudged = cards.iter().filter(|card| has_side(card, is_unjudged)).count();
    assert!(unjudged * 4 < cards.len(), "{unjudged} of {} could not be judged", cards.len());
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
fn a_card_is_printed_although_its_page_cannot_be_written() {
    requires_lab!();
    let page = ["--html", "/dev/null/card.html"];
    let (said, code) =
        says(&[&["rehearse", "cable-pulled", "--set", "stop.limit=1s"][..], &page].concat());
    assert_eq!(code, 71, "{said}");
    assert!(
        said.contains("\n  as predicted  ") && said.contains("cannot write /dev/null/"),
        "{said}"
    );
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
    // Whether a SYN finds room is chance, and becomes the less likely the longer the queue is full.
    assert_eq!(client["predicted"]["kind"], "open", "{off:#}");
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

/// The rest of the matrix does too: `halfopen rehearse all --ipv6`, which takes more than a minute.
#[test]
fn over_ipv6_faults_are_measured_as_predicted() {
    requires_lab!("nft" from "nftables", "conntrack" from "conntrack");
    let faults = [
        ("routed", "fault = \"cut\""),
        ("lan", "fault = \"cut\"\nplace = \"client\"\ncarrier = false"),
        ("routed", "fault = \"power-off\""),
        ("routed", "fault = \"reboot\""),
        ("routed", "fault = \"middlebox-forgets\""),
        ("routed", "fault = \"middlebox-forgets\"\nthen = \"rst\""),
        ("routed", "fault = \"rst-injected\""),
        ("routed", "fault = \"interface-down\""),
        ("nat", "fault = \"forget\""),
    ];
    let one = |number: usize, (topology, fault): (&str, &str)| {
        let text = format!(
            "family = \"ipv6\"\ntopology = \"{topology}\"\n[pair]\nkeepalive = \"1s/1s/3\"\n\
             [[at]]\nwhen = \"1s after established\"\n{fault}\n"
        );
        let card = card_of(&format!("ipv6-{number}"), &text);
        assert_eq!(card["family"], "ipv6", "{card:#}");
        assert_eq!(card["sides"][0]["as_predicted"], true, "{fault}: {card:#}");
        assert!(!has_side(&card, |side| side["as_predicted"] == false), "{fault}: {card:#}");
    };
    thread::scope(|scope| {
        for (number, fault) in faults.into_iter().enumerate() {
            scope.spawn(move || one(number, fault));
        }
    });
}

/// A client that has nothing to say and no timer would never learn that its server was rebooted. RFC 9293,
/// section 3.5.1, tells how a SYN brings it out, and the second step is judged by what the first has done.
#[test]
fn a_syn_that_comes_again_after_a_reboot_tells_an_idle_client() {
    requires_lab!();
    let text = "[stop]\nlimit = \"14s\"\n\
                [[at]]\nwhen = \"1s after established\"\nfault = \"reboot\"\ndown = \"500ms\"\n\
                [[at]]\nwhen = \"8s after established\"\nfault = \"syn-repeated\"\n";
    let card = card_of("late-syn", text);
    let client = &card["sides"][0];
    assert_eq!(client["predicted"]["by"], "RST", "{card:#}");
    assert_eq!(client["as_predicted"], true, "{card:#}");
    assert!(client["kernel"]["at_ms"].as_u64().unwrap() >= 6900, "{card:#}");
}

#[test]
fn what_needs_ipv4_says_so_in_one_sentence() {
    let (said, code) = says(&["rehearse", "lease-lost", "--ipv6", "--dry-run"]);
    assert!(code == 2 && said.contains("gives addresses of IPv4 alone"), "{said}");
    let (said, code) = says(&["rehearse", "book", "--ipv6"]);
    assert!(code == 2 && said.contains("leave --ipv6 out"), "{said}");
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

#[test]
fn behind_a_balancer_the_client_goes_on_with_the_second_server() {
    requires_lab!("nft" from "nftables");
    let document = json(&[
        "rehearse",
        "balanced-server-dies",
        "--json",
        "--set",
        "pair.state=writing",
        "--set",
        "pair.reconnect=true",
        "--set",
        "client.sysctls.tcp_retries2=3",
    ]);
    let card = &document["cards"][0];
    assert_eq!(card["sides"][0]["as_predicted"], true, "{card:#}");
    assert!(card["sides"][0]["again"]["at_ms"].as_u64().is_some(), "{card:#}");
    let notes = card["notes"].to_string();
    assert!(notes.contains("in the end server2 holds 1 connection"), "{card:#}");
    // What the first server had not answered was said again to the second.
    assert!(card["messages"]["lost"].as_u64().unwrap() <= 1, "{card:#}");
}

#[test]
fn all_faults_with_programs_take_what_is_set_and_refuse_what_cannot_be() {
    let programs = ["rehearse", "all", "--server", "cat", "--client", "cat"];
    let with = |more: &[&str]| says(&[&programs[..], more].concat());
    let (script, code) = with(&["--dry-run", "--set", "stop.limit=41s"]);
    assert_eq!(code, 0);
    assert!(script.contains("or 41s after the first fault"), "{script}");
    assert!(!script.contains("unread"), "a program need not write");
    for (more, why) in [
        (&["--set", "stop.limt=41s"][..], "did you mean `limit`?"),
        (&["--capture", "/nowhere"], "name one scenario"),
        (&["--svg", "/nowhere"], "--html, which has the picture of each"),
        (&["--only-story"], "has no effect on `rehearse all`"),
        (&["--clock", "warp"], "cannot warp the clock"),
    ] {
        let (said, code) = with(more);
        assert!(code == 2 && said.contains(why), "{more:?}: {said}");
    }
}

#[test]
fn a_slip_in_a_command_is_told_once_and_not_for_every_fault() {
    requires_lab!();
    let slip = ["rehearse", "all", "--server", "echo no such option; exit 2", "--client", "true"];
    let output = halfopen(&slip);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(71), "{errors}");
    assert!(output.stdout.is_empty());
    let why = "the server listen, and its program has ended: no such option; exit 2";
    assert_eq!(errors.matches(why).count(), 1, "{errors}");
}
