//! Every kind of connection against every condition of its peer, as one table.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use halfopen_lab::{SERVER, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::Socket;

use super::{peer::SOON, stage::Stage};
use crate::{halfopen, requires_lab};

/// Conditions of the peer, each brought about after every connection is idle.
const CONDITIONS: [&str; 4] = ["alive", "frozen", "silent", "rebooted"];

/// Goal: one table that shows what `prove` says in every case, and that it leaves every option as it
/// was. Method: the program itself, on one lab for each condition of the peer; without BPF, so that
/// the table is the same for every build.
#[test]
fn every_kind_of_connection_gets_the_answer_that_its_peer_deserves() {
    requires_lab!();
    let mut table: BTreeMap<(String, &str), [String; 4]> = BTreeMap::new();
    for (column, condition) in CONDITIONS.into_iter().enumerate() {
        let mut stage = Stage::of_all_kinds();
        let before = options(&stage);
        bring_about(&mut stage, condition);
        let document = prove(&stage, &["--source", "sock-diag"]);
        assert_eq!(options(&stage), before, "{condition}");
        for actor in &stage.actors {
            let cell = match cell(&document, &actor.local.to_string()) {
                // The kernel asks by itself and is answered; when last is a matter of moments.
                either if actor.kind == "zero window" && either != "gone" => {
                    assert!(["alive (heard)", "unprovable (in flight)"].contains(&either.as_str()));
                    "heard, or in flight".to_owned()
                }
                cell => cell,
            };
            let row = (actor.kind.to_owned(), actor.family);
            table.entry(row).or_default()[column] = cell;
        }
    }
    let mut text = format!("{:<32} {:<6}", "", "");
    for condition in CONDITIONS {
        text += &format!("{condition:<34}");
    }
    for ((kind, family), cells) in &table {
        text += &format!("\n{kind:<32} {family:<6}");
        for cell in cells {
            text += &format!("{cell:<34}");
        }
    }
    let text: Vec<_> = text.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(text.join("\n"));
}

fn bring_about(stage: &mut Stage, condition: &str) {
    match condition {
        "frozen" => {
            let pid = stage.program.as_ref().unwrap().pid().unwrap();
            let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            kill_process(pid, Signal::STOP).unwrap();
        }
        "silent" => stage.lab.cable(0).unwrap().cut(),
        "rebooted" => {
            stage.lab.cable(0).unwrap().cut();
            stage.lab.power_off(SERVER).unwrap();
            stage.lab.boot(SERVER).unwrap();
            stage.lab.give_ipv6(SERVER).unwrap();
        }
        _ => {}
    }
    for actor in stage.actors.iter().filter(|actor| actor.kind == "data outstanding") {
        let mut socket = actor.socket.as_ref().unwrap();
        socket.write_all(b"a word").unwrap();
    }
    if condition == "rebooted" {
        stage.lab.cable(0).unwrap().mend();
        // What the kernel itself sends again meets the new life of the host, and is reset.
        stage.wait_until_gone("data outstanding");
        stage.wait_until_gone("zero window");
        stage.wait_until_gone("embryonic");
    }
}

/// Goal: what no process holds is tested too, where BPF tells sequence numbers. Method: the same
/// stage, with segments made by the program itself; for builds that have BPF.
#[test]
fn what_no_process_holds_is_tested_by_crafted_segments() {
    requires_lab!();
    if !halfopen(&["ls", "--source", "bpf"]).status.success() {
        eprintln!("skipped: needs a build with BPF, and a kernel that allows it");
        return;
    }
    let mut lines = Vec::new();
    for condition in ["alive", "silent", "rebooted"] {
        let mut stage = Stage::of_all_kinds();
        let before = options(&stage);
        bring_about(&mut stage, condition);
        let document = prove(&stage, &["--source", "bpf", "--method", "crafted-ack"]);
        assert_eq!(options(&stage), before, "{condition}");
        for actor in &stage.actors {
            let kinds = ["un-accepted", "orphan", "fin-wait-2", "close-wait", "established"];
            if kinds.contains(&actor.kind) {
                let cell = cell(&document, &actor.local.to_string());
                lines.push(format!("{condition:<9} {:<12} {} {cell}", actor.kind, actor.family));
            }
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

fn prove(stage: &Stage, how: &[&str]) -> Value {
    let netns = stage.netns();
    let mut arguments = vec!["prove", "--netns", &netns, "--probes", "3", "--json"];
    arguments.extend(how);
    let output = halfopen(&arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// The answer and how it came about; a connection that is not there any more has been reset.
fn cell(document: &Value, local: &str) -> String {
    let all = document["connections"].as_array().unwrap();
    let Some(one) = all.iter().find(|one| one["local"] == *local) else { return "gone".to_owned() };
    let answer = one["answer"].as_str().unwrap();
    let how = one["method"].as_str().unwrap_or_else(|| {
        let why = one["why"].as_str().unwrap();
        let reasons = [
            ("heard within", "heard"),
            ("data of ours", "in flight"),
            ("handshake", "handshake"),
            ("no process", "no descriptor"),
        ];
        reasons.iter().find(|(text, _)| why.contains(text)).map_or(why, |(_, word)| word)
    });
    format!("{answer} ({how})")
}

/// Everything that a probe may touch, of every socket that is held here.
fn options(stage: &Stage) -> Vec<(bool, bool, Duration, Duration, u32, Option<Duration>)> {
    let read = |socket: &Socket| {
        (
            socket.reuse_address().unwrap(),
            socket.keepalive().unwrap(),
            socket.tcp_keepalive_time().unwrap(),
            socket.tcp_keepalive_interval().unwrap(),
            socket.tcp_keepalive_retries().unwrap(),
            socket.tcp_user_timeout().unwrap(),
        )
    };
    stage.actors.iter().filter_map(|actor| actor.socket.as_ref()).map(read).collect()
}

/// Goal: a window probe does not cost a server its address. Method: prove the accepted side, end
/// the server while the connection lives, and bind again.
#[test]
fn a_server_that_was_proved_can_be_started_again() {
    requires_lab!();
    let lab = halfopen_lab::Lab::build(halfopen_lab::Topology::lan_without_arp()).unwrap();
    let listen =
        || lab.server().unwrap().enter(|| std::net::TcpListener::bind("10.0.0.7:80")).unwrap();
    let listener = listen().unwrap();
    let client = lab.client().unwrap().enter(|| std::net::TcpStream::connect("10.0.0.7:80"));
    let client = client.unwrap().unwrap();
    let (server, _) = listener.accept().unwrap();
    let netns = lab.server().unwrap().pid().unwrap().to_string();
    let answered = wait::until(SOON, || {
        let arguments = ["prove", "--netns", &netns, "--json", "--method", "window-probe"];
        let document: Value = serde_json::from_slice(&halfopen(&arguments).stdout).unwrap();
        let one = &document["connections"][0];
        (one["method"] == "window-probe").then(|| one["answer"].as_str().unwrap().to_owned())
    });
    assert_eq!(answered.as_deref(), Some("alive"));
    drop(listener);
    listen().unwrap();
    drop((client, server));
}
