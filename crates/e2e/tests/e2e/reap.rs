//! `reap` on real kernels: the proved dead are ended, everything else is spared, and all is on record.

mod proving;
mod states;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    halfopen, json, only, pair::Pair, record::Record, requires_lab, says, unprivileged::as_nobody,
};

/// Far longer than anything here takes; what takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The document of `reap` in this namespace.
#[track_caller]
fn reap(netns: &str, more: &[&str]) -> Value {
    let mut arguments = vec!["reap", "--netns", netns, "--json"];
    arguments.extend(more);
    json(&arguments)
}

/// The one connection of the document is wanted, with what becomes of it.
#[track_caller]
fn fate(document: &Value) -> (&str, &Value) {
    let one = only(document);
    (one["fate"].as_str().unwrap(), one)
}

/// Cuts the cable, writes into the void, and waits until retransmissions prove the peer silent.
fn fall_silent(pair: &mut Pair) {
    let netns = pair.client();
    pair.lab.cable(0).unwrap().cut();
    pair.client.write_all(b"into the void").unwrap();
    let silent = halfopen_lab::wait::until(PATIENCE, || {
        let document = json(&["ls", "--netns", &netns, "--json"]);
        (only(&document)["verdict"] == "silent").then_some(())
    });
    assert!(silent.is_some(), "never silent");
}

fn state(netns: &str) -> String {
    let document = json(&["ls", "--netns", netns, "--json"]);
    only(&document)["state"].as_str().unwrap().to_owned()
}

/// Goal: a ghost is ended, whoever waits on it learns at once, and the record tells it all. Method:
/// cut the cable, let the kernel's own retransmissions prove the silence, reap.
#[test]
fn a_silent_connection_is_shown_then_ended_and_its_blocked_reader_learns() {
    requires_lab!();
    let mut pair = Pair::connected();
    let netns = pair.client();
    fall_silent(&mut pair);
    let mut reading = pair.client.try_clone().unwrap();
    let reader = thread::spawn(move || reading.read(&mut [0; 1]).unwrap_err().kind());

    let record = Record::new();
    let shown = reap(&netns, &["--port", "80", "--audit", record.path()]);
    assert_eq!(shown["schema"], "halfopen.reap/1");
    assert_eq!(shown["applied"], false);
    let (would, one) = fate(&shown);
    assert_eq!((would, &one["because"]["text"]), ("would-end", &"proved silent".into()));
    assert_eq!(one["application"]["kind"], "aborted");
    assert_eq!(state(&netns), "ESTABLISHED");
    assert!(!record.exists(), "looking left a record");

    let done = reap(&netns, &["--port", "80", "--apply", "--audit", record.path()]);
    assert_eq!(fate(&done).0, "ended", "{done:#}");
    assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionAborted);
    assert_eq!(says(&["reap", "--netns", &netns, "--port", "80", "--apply"]).1, 4);
    complete(&record, &done);
}

/// The record has an announcement and an act, with everything that was promised.
#[track_caller]
fn complete(record: &Record, done: &Value) {
    let lines = record.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    let (begin, act) = (&lines[0], &lines[1]);
    let id = &only(done)["connection"]["id"];
    assert_eq!((&begin["event"], &begin["connections"][0]), (&"begin".into(), id));
    assert_eq!((&act["event"], &act["verb"]), (&"act".into(), &"reap".into()));
    assert_eq!((&act["result"], &act["why"]), (&"done".into(), &Value::Null));
    assert_eq!((&act["before"], &act["after"]), (&"ESTABLISHED".into(), &"GONE".into()));
    assert!(act["by"]["command_line"].to_string().contains("--apply"), "{act:#}");
    let connection = &act["connection"];
    assert_eq!((&connection["id"], &connection["verdict"]), (id, &"silent".into()));
    assert_eq!(connection["evidence"][0]["kind"], "retransmissions-unanswered");
    assert_eq!(connection["owners"][0]["pid"], std::process::id());
}

#[test]
fn a_quiet_connection_is_spared_unless_the_user_takes_the_responsibility() {
    requires_lab!();
    let mut pair = Pair::connected();
    let netns = pair.client();
    let record = Record::new();
    let spared = reap(&netns, &["--all", "--apply", "--audit", record.path()]);
    let (what, one) = fate(&spared);
    assert_eq!((what, &one["because"]["kind"]), ("spared", &"not-proved".into()));
    assert!(record.lines().is_empty());
    pair.client.write_all(b"x").unwrap();
    pair.server.read_exact(&mut [0]).unwrap();

    let ended = reap(&netns, &["--all", "--unproved", "--apply", "--audit", record.path()]);
    assert_eq!(fate(&ended).0, "ended");
    pair.server.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = pair.server.read(&mut [0]).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_half_closed_connection_is_ended_over_the_limit_and_spared_below() {
    requires_lab!();
    let pair = Pair::connected();
    let netns = pair.client();
    pair.server.shutdown(Shutdown::Write).unwrap();
    let over = |limit| reap(&netns, &["--port", "80", "--half-closed-over", limit]);
    let reached = halfopen_lab::wait::until(PATIENCE, || {
        (fate(&over("300ms")).0 == "would-end").then_some(())
    });
    assert!(reached.is_some());
    assert_eq!(state(&netns), "CLOSE-WAIT");
    assert_eq!(fate(&over("1h")).0, "spared");
    let record = Record::new();
    let arguments = ["--port", "80", "--half-closed-over", "300ms", "--apply", "--audit"];
    let done = reap(&netns, &[&arguments[..], &[record.path()]].concat());
    let (what, one) = fate(&done);
    assert_eq!((what, &one["because"]["kind"]), ("ended", &"half-closed".into()));
    assert_eq!(record.lines()[1]["before"], "CLOSE-WAIT");
}

/// Goal: no selector and no licence reaches a listener. Method: select it by its port with
/// everything allowed; the connection through it is ended, and it goes on accepting.
#[test]
fn a_listener_is_never_touched_even_if_its_port_is_selected() {
    requires_lab!();
    let pair = Pair::connected();
    let netns = pair.server();
    let record = Record::new();
    let arguments = ["--port", "80", "--unproved", "--apply", "--audit", record.path()];
    let done = reap(&netns, &arguments);
    assert_eq!(fate(&done).0, "ended");
    assert_eq!(done["listeners"][0]["local"], "10.0.0.7:80");
    let client =
        crate::pair::inside(pair.lab.client().unwrap(), || TcpStream::connect("10.0.0.7:80"));
    client.unwrap();
    pair.listener.accept().unwrap();
    let (text, code) = says(&["reap", "--netns", &netns, "--port", "80"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("listeners are never ended"), "{text}");
}

#[test]
fn gently_both_sides_see_the_end_of_the_stream_and_no_error() {
    requires_lab!();
    let mut pair = Pair::connected();
    let netns = pair.client();
    let record = Record::new();
    let arguments = ["--all", "--unproved", "--gentle", "--apply", "--audit", record.path()];
    let done = reap(&netns, &arguments);
    let (what, one) = fate(&done);
    assert_eq!((what, &one["application"]["kind"]), ("ended", &"end-of-file".into()));
    for stream in [&mut pair.client, &mut pair.server] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    let after = record.lines()[1]["after"].as_str().unwrap().to_owned();
    assert!(after.starts_with("FIN-WAIT"), "{after}");
}

#[test]
fn without_privilege_nothing_is_ended_and_the_capability_is_named() {
    requires_lab!();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let record = Record::new();
    let selected = ["reap", "--port", &port, "--loopback", "--unproved", "--apply", "--audit"];
    let output = as_nobody(&[&selected[..], &[record.path()]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("CAP_NET_ADMIN"), "{said}");
    let lines = record.lines();
    assert_eq!(lines[1]["result"], "failed", "{lines:#?}");
    client.write_all(b"still here").unwrap();
    assert!(listener.accept().is_ok());
}

#[test]
fn an_act_that_cannot_be_recorded_is_not_done() {
    requires_lab!();
    let pair = Pair::connected();
    let netns = pair.client();
    for (file, words) in
        [("/no/such/place", "nothing is done"), ("/dev/full", "nothing more is done")]
    {
        let arguments =
            ["reap", "--netns", &netns, "--all", "--unproved", "--apply", "--audit", file];
        let output = halfopen(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(71), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(state(&netns), "ESTABLISHED");
    }
}

#[test]
fn reap_without_a_selector_is_a_slip() {
    let (text, code) = says(&["reap", "--apply"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("--all"), "{text}");
}
