//! `keep` on very many connections at once: the outage that it must never make.

use std::time::{Duration, Instant};

use halfopen_core::TcpState;
use halfopen_e2e::crowd;
use halfopen_lab::{Host, wait};
use halfopen_sys::{SocketDiag, backlog_drops, counters};

use crate::{keep::Files, requires_lab};

/// As many as died before, when keepalive was turned on for all of them at once: 13,594 of 19,600.
const CONNECTIONS: usize = 20_000;
/// Both ends are files of one process, which may have some 20,000.
const HOLDERS: usize = 4;

/// Goal: keeping a crowd ends none of them. Method: 20,000 connections over loopback, whose probes
/// all pass the backlog of one processor; kept with the spread; held until each has probed at least
/// twice; then all must live, and the kernel must have ended none.
#[test]
#[ignore = "takes a minute and 40,000 sockets: `make outage` runs it"]
fn twenty_thousand_connections_are_kept_without_one_death() {
    requires_lab!();
    let host = Host::boot("crowd").unwrap();
    let _holders = crowd::gather(&host, CONNECTIONS, HOLDERS).unwrap();
    let netns = host.pid().unwrap().to_string();
    let before = host.enter(|| counters().unwrap()).unwrap();
    let drops_before = backlog_drops().unwrap();

    let files = Files::new("crowd");
    let began = Instant::now();
    let peers =
        (0..HOLDERS).flat_map(|number| ["--peer".to_owned(), format!(":{}", crowd::port(number))]);
    let peers: Vec<_> = peers.collect();
    let mut arguments = vec!["--netns", &netns, "--loopback", "--detect-within", "60s", "--apply"];
    arguments.extend(peers.iter().map(String::as_str));
    let document = files.json(&arguments);
    let took = began.elapsed();
    let set = document["connections"].as_array().unwrap().iter();
    assert_eq!(set.filter(|one| one["outcome"] == "set").count(), CONNECTIONS);
    assert_eq!(document["watched"]["rolled_back"], false, "{}", document["watched"]);

    // Every wait is 16 s at the most, and the last began 10 s after the first: in three times as
    // long each has probed twice, and whoever lost its probes would have lost three of them.
    let hold_until = began + Duration::from_secs(10 + 3 * 16);
    let ended = || {
        let now = host.enter(|| counters().unwrap()).unwrap();
        (now.aborts_on_timeout != before.aborts_on_timeout).then_some(())
    };
    wait::until(hold_until.saturating_duration_since(Instant::now()), ended);
    let alive = || host.enter(alive_clients).unwrap();
    let after = host.enter(|| counters().unwrap()).unwrap();
    let drops = backlog_drops().unwrap() - drops_before;
    eprintln!(
        "kept {CONNECTIONS} in {took:?}; spread {}; watched {}; {} alive after {:?}; {drops} drops",
        document["spread"],
        document["watched"],
        alive(),
        began.elapsed(),
    );
    assert_eq!(alive(), CONNECTIONS);
    assert_eq!(after.aborts_on_timeout, before.aborts_on_timeout);
    let (text, code) = files.keep(&["--netns", &netns, "--undo"]);
    assert_eq!(code, 0, "{text}");
}

/// How many of the clients are still connected.
fn alive_clients() -> usize {
    let samples = SocketDiag::open().unwrap().dump().unwrap().samples;
    let is_client = |sample: &&halfopen_core::Sample| {
        let peer = sample.endpoints.peer.port();
        sample.state == TcpState::Established
            && (0..HOLDERS).any(|number| crowd::port(number) == peer)
    };
    samples.iter().filter(is_client).count()
}
