//! Goal: `relay-check` finds what a relay does wrong, and finds nothing at ours. Method: our relay in the lab,
//! all cases; and a relay as one writes it in ten minutes, which copies bytes and knows no reset.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use serde_json::Value;

use crate::{json, program, requires_lab, says};

fn case<'a>(document: &'a Value, name: &str) -> &'a Value {
    let cases = document["cases"].as_array().unwrap();
    cases.iter().find(|case| case["name"] == name).unwrap()
}

#[test]
fn our_relay_passes_every_case_in_the_lab() {
    requires_lab!();
    let relay = format!(
        "{} relay --listen {{listen}} --to {{to}} --detect-within 10s",
        program().display()
    );
    let document = json(&[
        "relay-check",
        "--lab",
        "--relay",
        &relay,
        "--slow",
        "6s",
        "--notice-within",
        "30s",
        "--crowd",
        "300",
        "--json",
    ]);
    let not_passed: Vec<_> = document["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["mark"] != "pass")
        .collect();
    assert!(not_passed.is_empty(), "{not_passed:#?}");
    assert_eq!(document["schema"], "halfopen.relay-check/1");
    assert!(document["passed"].as_u64().unwrap() >= 60);
}

/// Copies bytes and FIN both ways, and takes every error for an end.
fn naive_relay(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let twins = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || copy(client, server));
            thread::spawn(move || copy(twins.1, twins.0));
        }
    });
    port
}

/// A port that nothing listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_relay_that_makes_fins_of_resets_fails_those_cases_and_passes_the_others() {
    let upstream = free_port();
    let through = format!("127.0.0.1:{}", naive_relay(upstream));
    let upstream = upstream.to_string();
    let document = json(&[
        "relay-check",
        "--through",
        &through,
        "--upstream-port",
        &upstream,
        "--json",
        "--only",
        "half-close-client,reset-idle-server,refused,vanish-idle-client",
    ]);
    assert_eq!(case(&document, "half-close-client")["mark"], "pass");
    let reset = case(&document, "reset-idle-server");
    assert_eq!(reset["mark"], "fail");
    assert!(reset["brief"].as_str().unwrap().starts_with("fin@"), "{reset}");
    assert_eq!(case(&document, "refused")["mark"], "fail");
    assert_eq!(case(&document, "vanish-idle-client")["mark"], "not run");
}

#[test]
fn the_exit_code_says_whether_a_case_failed() {
    let upstream = free_port();
    let through = format!("127.0.0.1:{}", naive_relay(upstream));
    let upstream = upstream.to_string();
    let check = |only| {
        says(&["relay-check", "--through", &through, "--upstream-port", &upstream, "--only", only])
    };
    let (text, code) = check("half-close-zero-bytes-client");
    assert_eq!(code, 0, "{text}");
    let (text, code) = check("reset-idle-client");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("FAIL  reset-idle-client"), "{text}");
    assert!(text.contains("0 passed, 1 failed, 0 not run"), "{text}");
}

#[test]
fn a_relay_that_is_not_there_is_no_failure_of_the_cases() {
    let (text, code) = says(&[
        "relay-check",
        "--through",
        &format!("127.0.0.1:{}", free_port()),
        "--upstream-port",
        &free_port().to_string(),
        "--only",
        "reset-idle-client",
    ]);
    assert_eq!(code, 71, "{text}");
    assert!(text.contains("is the relay running"), "{text}");
}

#[test]
fn slips_of_the_command_line_say_what_to_write() {
    let (text, code) = says(&["relay-check"]);
    assert!(code == 2 && text.contains("--through HOST:PORT"), "{code} {text}");
    let (text, code) = says(&["relay-check", "--direct", "--only", "half-clsoe"]);
    assert!(code == 2 && text.contains("--list"), "{code} {text}");
    let (text, code) = says(&["relay-check", "--list", "--only", "reset-idle-server"]);
    assert!(code == 0 && text.contains("source  RFC 9293"), "{code} {text}");
}

/// Goal: whatever the cables do, nothing that is not whole looks whole, nothing breaks in fair weather, and
/// nothing is left. `make soak-relay` does it for an hour.
#[test]
fn a_soak_with_faults_leaves_nothing_behind() {
    requires_lab!();
    let span = std::env::var("HALFOPEN_SOAK").unwrap_or_else(|_| "45s".to_owned());
    let relay =
        format!("{} relay --listen {{listen}} --to {{to}} --detect-within 5s", program().display());
    let (text, code) = says(&[
        "relay-check",
        "--lab",
        "--relay",
        &relay,
        "--soak",
        &span,
        "--notice-within",
        "10s",
    ]);
    println!("{text}");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("nothing is left behind"), "{text}");
}
