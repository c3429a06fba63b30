//! Goal: an age that the kernel counts in 32 bits is told for what it is. Method: a time namespace, in
//! which the host has been up for 60 days more.

use std::{
    net::{TcpListener, TcpStream},
    process::Command,
};

use serde_json::Value;

use crate::{program, requires_lab};

/// `halfopen` on a host that is up for so many seconds more.
fn later(seconds: u32, arguments: &[&str]) -> String {
    let output = Command::new("unshare")
        .args(["--time", "--fork", &format!("--boottime={seconds}"), "--"])
        .arg(program())
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_age_is_said_to_be_the_least_that_is_possible_only_where_it_may_have_wrapped() {
    requires_lab!();
    if !std::path::Path::new("/proc/self/ns/time").exists() {
        assert!(std::env::var_os("CI").is_none(), "needs time namespaces (Linux 5.6)");
        eprintln!("skipped: needs time namespaces (Linux 5.6)");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let port = client.local_addr().unwrap().port().to_string();
    let wrapped = |seconds| {
        // BPF, which a busy host would choose, counts four times as far.
        let arguments = ["ls", "--json", "--loopback", "--source", "sock-diag", "--port", &port];
        let document: Value = serde_json::from_str(&later(seconds, &arguments)).unwrap();
        let evidence = document["connections"][0]["evidence"].as_array().unwrap().clone();
        evidence.into_iter().find(|fact| fact["kind"] == "age-may-have-wrapped")
    };
    let days = |days: u32| days * 86_400;
    let fact = wrapped(days(60)).expect("60 days are more than 49.7");
    assert_eq!(fact["wraps_ms"], 1_u64 << 32);
    assert!(fact["up_ms"].as_u64().unwrap() > u64::from(days(60)) * 1000, "{fact}");
    // The machine of the test itself may be up for long.
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = text.split('.').next().unwrap().parse().unwrap();
    if uptime < f64::from(days(48)) {
        assert_eq!(wrapped(days(1)), None);
    }
    let story = later(days(60), &["why", "--loopback", "--local", &format!("127.0.0.1:{port}")]);
    assert!(story.contains("a multiple of 49d17h longer ago"), "{story}");
}
