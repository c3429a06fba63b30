//! Very many probes of connections that are in use: no application may notice one.

mod traffic;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use halfopen_lab::{CLIENT, Lab, Program, SERVER, Topology};
use serde_json::Value;

use self::traffic::{Summary, Talk};
use crate::{json, requires_lab};

/// How much is done.
struct Plan {
    /// Processes on each host.
    processes: usize,
    /// Connections of each process.
    connections: usize,
    /// Ends once so many probes have been sent.
    probes: u64,
    /// It has failed if that takes longer.
    within: Duration,
}

#[test]
fn some_thousand_probes_disturb_no_application() {
    requires_lab!();
    play(&Plan { processes: 2, connections: 600, probes: 3_000, within: Duration::from_secs(90) });
}

#[test]
#[ignore = "takes minutes: `make stress` runs it"]
fn two_hundred_thousand_probes_disturb_no_application() {
    requires_lab!();
    play(&Plan {
        processes: 6,
        connections: 1_500,
        probes: 200_000,
        within: Duration::from_secs(1_800),
    });
}

/// Goal: not one byte is lost, doubled or changed, no call fails, and no peer that lives is called
/// dead. Method: programs that check every byte they get, over both families, each connection quiet
/// for a second or three at a time, so that it is probed while others, and then itself,
/// are busy; the program itself, one run after the other.
fn play(plan: &Plan) {
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    for host in [CLIENT, SERVER] {
        lab.give_ipv6(host).unwrap();
    }
    let servers: Vec<_> =
        (0..plan.processes).map(|nth| traffic::serve(lab.server().unwrap(), nth)).collect();
    let mut talkers: Vec<_> = (0..plan.processes)
        .map(|nth| {
            let talk = Talk::of(nth);
            let (_, _, server) = lab.topology().ends_of(SERVER).next().unwrap();
            let is_four = (nth / 2 + nth).is_multiple_of(2);
            let ip = if is_four { server.address.into() } else { server.address6().into() };
            // Every byte passes the cable, which is a program: bulk comes on fewer connections.
            let connections = match talk {
                Talk::PingPong => plan.connections,
                Talk::Bulk => plan.connections / 10,
            };
            let program = traffic::talk(lab.client().unwrap(), talk, ip, nth, connections);
            (talk, program)
        })
        .collect();
    let netns = lab.client().unwrap().pid().unwrap().to_string();
    let began = Instant::now();
    let mut answers: BTreeMap<String, u64> = BTreeMap::new();
    let (mut probes, mut runs) = (0, 0);
    while probes < plan.probes {
        assert!(began.elapsed() < plan.within, "only {probes} probes: {answers:?}");
        let document = json(&["prove", "--netns", &netns, "--source", "sock-diag", "--json"]);
        for one in document["connections"].as_array().unwrap() {
            probes += one["probes_sent"].as_u64().unwrap();
            *answers.entry(answer(one)).or_default() += 1;
        }
        runs += 1;
    }
    eprintln!("{probes} probes in {runs} runs, {:?}: {answers:?}", began.elapsed());
    let summaries: Vec<_> =
        talkers.iter_mut().map(|(talk, program)| (*talk, traffic::stop(program))).collect();
    for (talk, Summary { exchanges, bytes }) in summaries {
        eprintln!("{talk:?}: {exchanges} exchanges, {bytes} bytes, all of them right");
        assert!(exchanges > plan.connections as u64 / 10, "{talk:?} has hardly talked");
    }
    servers.into_iter().for_each(|mut server: Program| traffic::assert_runs(&mut server));
}

/// What was said of one connection: nothing but that its peer lives, or that it is in use.
fn answer(one: &Value) -> String {
    let answer = one["answer"].as_str().unwrap();
    let why = one["why"].as_str().unwrap();
    let in_use = answer == "unprovable" && why.contains("the kernel itself is probing");
    assert!(answer == "alive" || in_use, "{one:#}");
    let probed = one["method"].as_str().unwrap_or("not probed");
    format!("{answer}, {probed}")
}
