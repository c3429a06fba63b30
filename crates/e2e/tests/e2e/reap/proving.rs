//! `reap --prove`: what is not proved yet is tested first, and only what comes out dead is ended.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    process::{Command, Stdio},
};

use halfopen_lab::{SERVER, wait};
use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, fate, reap};
use crate::{json, only, pair::Pair, program, record::Record, requires_lab, says};

/// Three probes are enough where nothing is lost but on purpose.
const QUICK: [&str; 4] = ["--port", "80", "--probes", "3"];

/// Connected, and not heard for a second: a peer that was heard just now needs no test.
fn idle() -> Pair {
    let pair = Pair::connected();
    let netns = pair.client();
    let idle = wait::until(PATIENCE, || {
        let document = json(&["ls", "--netns", &netns, "--json"]);
        (only(&document)["last_heard_ms"].as_u64()? > 1_100).then_some(())
    });
    assert!(idle.is_some());
    pair
}

/// Goal: looking changes nothing, though `--prove` is given. Method: every frame on the cable counts.
#[test]
fn without_apply_no_probe_is_sent_and_the_plan_is_shown() {
    requires_lab!();
    let pair = idle();
    let netns = pair.client();
    let cable = pair.lab.cable(0).unwrap();
    let frames = cable.next_number();
    let shown = reap(&netns, &[&QUICK[..], &["--prove"]].concat());
    let (would, one) = fate(&shown);
    assert_eq!((would, &one["method"]), ("would-prove", &"window-probe".into()), "{one:#}");
    assert!(one["because"].is_null(), "{one:#}");
    assert_eq!(one["application"]["kind"], "aborted");
    let (text, code) = says(&[&["reap", "--netns", &netns, "--prove"], &QUICK[..]].concat());
    assert_eq!(code, 0, "{text}");
    for said in
        ["would be tested (window-probe)", "no probe was sent", "up to 3 probes", "ECONNRESET"]
    {
        assert!(text.contains(said), "no {said:?} in:\n{text}");
    }
    assert_eq!(cable.next_number(), frames, "something was sent");
}

#[test]
fn a_peer_that_answers_spares_its_connection() {
    requires_lab!();
    let mut pair = idle();
    let netns = pair.client();
    let record = Record::new();
    let arguments = ["--prove", "--apply", "--audit", record.path()];
    let done = reap(&netns, &[&QUICK[..], &arguments].concat());
    let (what, one) = fate(&done);
    assert_eq!((what, &one["because"]["kind"]), ("spared", &"answered".into()), "{one:#}");
    assert_eq!(one["connection"]["verdict"], "alive");
    pair.client.write_all(b"x").unwrap();
    pair.server.read_exact(&mut [0]).unwrap();
    // What was about to be tested is on record, and no act.
    let lines = record.lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!((&lines[0]["event"], &lines[0]["verb"]), (&"begin".into(), &"reap --prove".into()));
}

#[test]
fn a_peer_that_is_silent_loses_its_connection_at_once() {
    requires_lab!();
    let mut pair = idle();
    let netns = pair.client();
    pair.lab.cable(0).unwrap().cut();
    let record = Record::new();
    let arguments = ["--prove", "--apply", "--audit", record.path()];
    let done = reap(&netns, &[&QUICK[..], &arguments].concat());
    let (what, one) = fate(&done);
    assert_eq!((what, &one["because"]["text"]), ("ended", &"proved silent".into()), "{one:#}");
    assert_eq!(one["connection"]["evidence"][0]["kind"], "probes-unanswered");
    let told = pair.client.read(&mut [0]).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::ConnectionAborted);
    let lines = record.lines();
    let verbs: Vec<_> = lines.iter().map(|line| line["verb"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["reap --prove", "reap", "reap"], "{lines:#?}");
    assert_eq!((&lines[2]["result"], &lines[2]["after"]), (&"done".into(), &"GONE".into()));
}

#[test]
fn a_peer_that_has_forgotten_ends_the_connection_with_its_answer_and_that_is_on_record() {
    requires_lab!();
    let mut pair = idle();
    let netns = pair.client();
    pair.lab.power_off(SERVER).unwrap();
    pair.lab.boot(SERVER).unwrap();
    let record = Record::new();
    let arguments = ["--prove", "--apply", "--audit", record.path()];
    let done = reap(&netns, &[&QUICK[..], &arguments].concat());
    let (what, one) = fate(&done);
    assert_eq!(what, "ended-by-reset", "{one:#}");
    assert_eq!(one["connection"]["verdict"], "half-open");
    let told = pair.client.read(&mut [0]).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::ConnectionReset);
    let lines = record.lines();
    let act = lines.last().unwrap();
    assert_eq!((&act["event"], &act["verb"]), (&"act".into(), &"reap --prove".into()));
    assert_eq!((&act["before"], &act["after"]), (&"ESTABLISHED".into(), &"GONE".into()));
}

/// Goal: whoever interrupts a test gets nothing ended. Method: SIGINT while the second probe of a
/// connection whose peer is silent is due.
#[test]
fn an_interrupted_test_ends_nothing() {
    requires_lab!();
    let pair = idle();
    let netns = pair.client();
    let cable = pair.lab.cable(0).unwrap();
    cable.cut();
    let sent = cable.next_number();
    let record = Record::new();
    let child = Command::new(program())
        .args(["reap", "--netns", &netns, "--port", "80", "--prove", "--apply"])
        .args(["--audit", record.path()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let probed = wait::until(PATIENCE, || (cable.next_number() > sent).then_some(()));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(probed.is_some(), "no probe was sent");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("nothing was ended"), "{text}");
    let document = json(&["ls", "--netns", &netns, "--json"]);
    assert_eq!(only(&document)["state"], "ESTABLISHED");
}

#[test]
fn flags_that_contradict_each_other_are_a_slip() {
    for (flags, word) in
        [(&["--probes", "3"][..], "--prove"), (&["--prove", "--unproved"], "--unproved")]
    {
        let (text, code) = says(&[&["reap", "--port", "80"], flags].concat());
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(word), "{text}");
    }
    let (text, code) = says(&["reap", "--port", "80", "--prove", "--interval", "10ms"]);
    assert_eq!(code, 2, "{text}");
}
