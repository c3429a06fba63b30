//! Very many probes of connections that are in use: no application may notice one.

mod traffic;

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};

use halfopen_lab::{CLIENT, Host, Lab, Program, SERVER, Topology};
use serde_json::Value;

use self::traffic::{Summary, Talk};
use crate::{program, requires_lab};

/// How much is done.
struct Plan {
    /// Processes on each host.
    processes: usize,
    /// Connections of each process that plays ping-pong.
    ping_pong: usize,
    /// Connections of each process that sends in bulk. Every byte passes the cable, which is a
    /// program: more than it carries would leave hardly a connection quiet for long enough.
    bulk: usize,
    /// Ends once so many probes have been sent.
    probes: u64,
    /// It has failed if that takes longer.
    within: Duration,
}

impl Plan {
    /// Connections of each process that talks like this.
    const fn of(&self, talk: Talk) -> usize {
        match talk {
            Talk::PingPong => self.ping_pong,
            Talk::Bulk => self.bulk,
        }
    }
}

#[test]
fn some_thousand_probes_disturb_no_application() {
    requires_lab!();
    play(&Plan {
        processes: 2,
        ping_pong: 600,
        bulk: 20,
        probes: 3_000,
        within: Duration::from_secs(90),
    });
}

#[test]
#[ignore = "takes minutes: `make stress` runs it"]
fn two_hundred_thousand_probes_disturb_no_application() {
    requires_lab!();
    play(&Plan {
        processes: 6,
        ping_pong: 1_500,
        bulk: 50,
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
            let program = traffic::talk(lab.client().unwrap(), talk, ip, nth, plan.of(talk));
            (talk, program)
        })
        .collect();
    let began = Instant::now();
    let mut answers: BTreeMap<String, u64> = BTreeMap::new();
    let (mut probes, mut bulk_probes, mut runs) = (0, 0, 0);
    while probes < plan.probes {
        assert!(began.elapsed() < plan.within, "only {probes} probes: {answers:?}");
        let document = prove_all(lab.client().unwrap());
        for one in document["connections"].as_array().unwrap() {
            let sent = one["probes_sent"].as_u64().unwrap();
            probes += sent;
            if Talk::with(one["peer"].as_str().unwrap()) == Talk::Bulk {
                bulk_probes += sent;
            }
            *answers.entry(answer(one)).or_default() += 1;
        }
        runs += 1;
    }
    let took = began.elapsed();
    eprintln!("{probes} probes, {bulk_probes} to bulk, in {runs} runs, {took:?}: {answers:?}");
    assert!(bulk_probes > 0, "no connection that sends in bulk was ever probed");
    let summaries: Vec<_> =
        talkers.iter_mut().map(|(talk, program)| (*talk, traffic::stop(program))).collect();
    for (talk, Summary { exchanges, bytes }) in summaries {
        eprintln!("{talk:?}: {exchanges} exchanges, {bytes} bytes, all of them right");
        assert!(exchanges > plan.of(talk) as u64 / 10, "{talk:?} has hardly talked");
    }
    servers.into_iter().for_each(|mut server: Program| traffic::assert_runs(&mut server));
}

/// Started on the host itself: other processes of this machine, which may have very many descriptors,
/// are none of its business.
fn prove_all(host: &Host) -> Value {
    let enter = ["--net", "--mount", "--pid", "--target"];
    let mut command = Command::new("nsenter");
    command.args(enter).arg(host.pid().unwrap().to_string()).arg("--").arg(program());
    command.args(["prove", "--all", "--source", "sock-diag", "--json"]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
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
