//! `ls` on a host of its own: what is listed, how it is chosen, and how it ends.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::Shutdown,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{json, only, pair::Pair, program, requires_lab, says};

#[test]
fn a_connection_is_listed_from_both_ends_with_its_owner() {
    requires_lab!();
    let pair = Pair::connected();
    for (netns, local) in [(pair.client(), "10.0.0.1:"), (pair.server(), "10.0.0.7:80")] {
        let document = json(&["ls", "--netns", &netns, "--json"]);
        assert_eq!(document["schema"], "halfopen.ls/1");
        let one = only(&document);
        assert_eq!(one["verdict"], "alive");
        assert!(one["local"].as_str().unwrap().starts_with(local), "{one:#}");
        assert_eq!(one["owners"][0]["pid"], std::process::id());
    }
    drop(pair.listener);
}

#[test]
fn a_half_closed_connection_says_who_is_to_act() {
    requires_lab!();
    let mut pair = Pair::connected();
    pair.client.shutdown(Shutdown::Write).unwrap();
    let state = |netns: &str, expected: &str| {
        let found = halfopen_lab::wait::until(std::time::Duration::from_secs(10), || {
            let document = json(&["ls", "--netns", netns, "--json"]);
            let one = only(&document).clone();
            (one["state"] == expected).then_some(one)
        });
        found.unwrap_or_else(|| panic!("never {expected}"))
    };
    let ours = state(&pair.client(), "FIN-WAIT-2");
    assert_eq!(ours["verdict"], "half-closed");
    assert!(ours["headline"].as_str().unwrap().contains("we closed"), "{ours:#}");
    let theirs = state(&pair.server(), "CLOSE-WAIT");
    assert_eq!(theirs["verdict"], "half-closed");
    assert!(theirs["headline"].as_str().unwrap().contains("has not read the end"), "{theirs:#}");
    // The other direction still carries data.
    pair.server.write_all(b"still here\n").unwrap();
    let mut line = String::new();
    BufReader::new(&pair.client).read_line(&mut line).unwrap();
    assert_eq!(line, "still here\n");
}

/// Goal: a cut cable is told for what it is, and monitoring sees it. Method: write into the void
/// and wait until enough retransmissions are unanswered.
#[test]
fn check_exits_one_once_a_peer_is_proved_silent() {
    requires_lab!();
    let mut pair = Pair::connected();
    let netns = pair.client();
    assert_eq!(says(&["ls", "--netns", &netns, "--check"]).1, 0);
    pair.lab.cable(0).unwrap().cut();
    pair.client.write_all(b"into the void").unwrap();
    let verdict = || {
        let document = json(&["ls", "--netns", &netns, "--json"]);
        only(&document)["verdict"].as_str().unwrap().to_owned()
    };
    let within = std::time::Duration::from_secs(20);
    let straining = halfopen_lab::wait::until(within, || (verdict() == "straining").then_some(()));
    assert!(straining.is_some());
    let silent = halfopen_lab::wait::until(within, || (verdict() == "silent").then_some(()));
    assert!(silent.is_some());
    let (text, code) = says(&["ls", "--netns", &netns, "--check"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("silent"), "{text}");
}

#[test]
fn selectors_choose_and_a_choice_that_fits_nothing_is_empty() {
    requires_lab!();
    let pair = Pair::connected();
    let netns = pair.client();
    let count = |more: &[&str]| {
        let mut arguments = vec!["ls", "--netns", &netns, "--json"];
        arguments.extend(more);
        json(&arguments)["connections"].as_array().unwrap().len()
    };
    let own = std::process::id().to_string();
    for chosen in [
        &["--peer", "10.0.0.7"][..],
        &["--peer", "10.0.0.0/24:80"],
        &["--local", "10.0.0.1"],
        &["--port", "80"],
        &["--state", "established"],
        &["--verdict", "alive"],
        &["--process", &own],
    ] {
        assert_eq!(count(chosen), 1, "{chosen:?}");
    }
    for left_out in [
        &["--peer", "10.0.0.8"][..],
        &["--peer", "10.0.0.7:81"],
        &["--verdict", "silent"],
        &["--idle-over", "1h"],
        &["--process", "1"],
    ] {
        assert_eq!(count(left_out), 0, "{left_out:?}");
    }
    drop(pair.server);
}

#[test]
fn every_namespace_is_looked_at_when_asked() {
    requires_lab!();
    let pair = Pair::connected();
    let document = json(&["ls", "-A", "--json", "--peer", "10.0.0.7:80"]);
    let namespace: Vec<&Value> = document["connections"].as_array().unwrap().iter().collect();
    let client = pair.lab.client().unwrap().netns().unwrap().0;
    assert!(namespace.iter().any(|one| one["netns"] == client), "{document:#}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(program())
        .args(["why", "half-open"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure_of_every_verb() {
    for verb in [
        &["ls"][..],
        &["why", "half-open"],
        &["rehearse", "list"],
        &["rehearse", "explain", "cut"],
        &["rehearse", "cable-pulled", "--dry-run"],
        &["relay", "--listen", ":1", "--to", "10.0.0.7:1", "--check"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(program()).args(verb).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(71), "{verb:?}: {said}");
        assert!(said.contains("cannot write the answer"), "{verb:?}: {said}");
    }
}

#[test]
fn slips_of_the_command_line_exit_two_and_say_what_is_valid() {
    for (slip, hint) in [
        (&["ls", "--verdict", "dead"][..], "half-open"),
        (&["ls", "--peer", "300.1.1.1"], "300.1.1.1"),
        (&["ls", "--idle-over", "5"], "unit"),
        (&["ls", "--netns", "no-such-namespace"], "no-such-namespace"),
        (&["why", "nonsense"], "COOKIE@NETNS"),
    ] {
        let (text, code) = says(slip);
        assert_eq!(code, 2, "{slip:?}: {text}");
        assert!(text.contains(hint), "{slip:?} does not say {hint:?}: {text}");
    }
}
