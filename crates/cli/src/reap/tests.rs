use std::io;

use halfopen_core::{KernelTimer, TcpState, Thresholds, VerdictKind};
use jiff::Timestamp;

use super::*;
use crate::{
    counted::Seen,
    fixtures::{self, observation},
    picture::{Hidden, Lacks},
    render::Paint,
};

fn diagnosed(cookie: u64, change: impl FnOnce(&mut halfopen_core::Observation)) -> Diagnosis {
    let mut seen = observation(cookie);
    change(&mut seen);
    Diagnosis::of(seen, &Thresholds::default())
}

fn silent(cookie: u64) -> Diagnosis {
    let one = diagnosed(cookie, |seen| {
        seen.proof = Some(halfopen_core::Proof::Unanswered {
            probes: 3,
            apart: std::time::Duration::from_secs(1),
        });
        seen.sample.timer = KernelTimer::Off;
    });
    assert_eq!(one.verdict.kind(), VerdictKind::Silent);
    one
}

fn close_wait(cookie: u64) -> Diagnosis {
    diagnosed(cookie, |seen| seen.sample.state = TcpState::CloseWait)
}

fn judge(licence: Licence) -> Judge {
    Judge { licence, means: Means::Destroy, thresholds: Thresholds::default() }
}

fn reaping(connections: Vec<Diagnosis>, licence: Licence) -> Reaping {
    let judge = judge(licence);
    let fates = connections.iter().map(|one| judge.fate(one)).collect();
    let picture = Picture {
        host: "web1".to_owned(),
        taken_at: Timestamp::UNIX_EPOCH,
        namespaces: Vec::new(),
        connections: connections.into_iter().collect(),
        hidden: Hidden::default(),
        listeners: Vec::new(),
        unseen: Vec::new(),
        lacks: Lacks::default(),
        owners_unseen: 0,
        seen: Seen::default(),
    };
    Reaping {
        picture,
        fates,
        means: Means::Destroy,
        audit: None,
        trial: None,
        is_interrupted: false,
    }
}

fn text(reaping: &Reaping) -> String {
    let mut out = Vec::new();
    write_reap(&mut out, reaping, 80, Paint::when(false)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn those_with_the_same_fate_stand_together_with_what_everybody_sees() {
    let licence =
        Licence { half_closed_over: Some(std::time::Duration::from_secs(60)), unproved: false };
    let quiet = diagnosed(5, |_| {});
    let mut reaping = reaping(
        vec![silent(1), silent(2), close_wait(3), quiet.clone(), quiet.clone(), quiet],
        licence,
    );
    let before = text(&reaping);
    reaping.audit = Some("/var/log/halfopen/audit.jsonl".into());
    let Fate::WouldEnd(ending) = reaping.fates[0].clone() else { panic!("not proved") };
    reaping.fates[0] = Fate::Ended(ending);
    reaping.fates[1] = Fate::SparedAtLast(Spared::NotProved(VerdictKind::Alive));
    reaping.fates[2] = Fate::Gone;
    reaping.fates[3] = Fate::Failed("cannot end it: the kernel answered ENOMEM".to_owned());
    insta::assert_snapshot!(format!("{before}\n---- with --apply\n\n{}", text(&reaping)));
}

#[test]
fn the_document_has_every_fate() {
    let mut reaping = reaping(vec![silent(1), diagnosed(2, |_| {})], Licence::default());
    reaping.audit = Some("/tmp/audit".into());
    let mut written = Vec::new();
    json::ReapDocument::of(&reaping).write(&mut written).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(document["schema"], "halfopen.reap/1");
    let first = &document["connections"][0];
    assert_eq!(first["fate"], "would-end");
    assert_eq!(first["because"]["kind"], "proved");
    assert_eq!(first["application"]["kind"], "aborted");
    assert_eq!(first["peer"]["kind"], "reset");
    let second = &document["connections"][1];
    assert_eq!(
        (&second["fate"], &second["because"]["kind"]),
        (&"spared".into(), &"not-proved".into())
    );
    assert!(second["application"].is_null());
}

#[test]
fn without_a_selector_nothing_is_looked_at() {
    let refused = run(&Reap::default(), &mut io::sink()).unwrap_err();
    assert_eq!(refused.exit(), Exit::Usage);
    assert!(refused.to_string().contains("--all"), "{refused}");
}

/// A connection of a server to a client that was switched off while data was on its way to it.
fn ghost(cookie: u64, peer: &str) -> Diagnosis {
    let one = diagnosed(cookie, |seen| {
        at_server(seen, peer);
        seen.sample.timer = KernelTimer::Retransmit {
            retransmits: 8,
            expires_in: std::time::Duration::from_secs(31),
        };
        if let Some(info) = &mut seen.sample.info {
            info.unacked_segments = Some(1);
            info.retransmits = Some(8);
            info.backoff = Some(8);
            info.total_rto_recoveries = Some(1);
            info.total_rto_time = Some(std::time::Duration::from_secs(82));
        }
    });
    assert_eq!(one.verdict.kind(), VerdictKind::Silent);
    one
}

fn at_server(seen: &mut halfopen_core::Observation, peer: &str) {
    seen.sample.endpoints.local = "10.0.0.7:5432".parse().unwrap();
    seen.sample.endpoints.peer = peer.parse().unwrap();
    seen.owners =
        halfopen_core::Owners::Known([fixtures::owner(812, "postgres")].into_iter().collect());
}

#[test]
fn a_plan_and_what_became_of_it_name_each_connection_with_its_reason() {
    let quiet = diagnosed(0x2c, |seen| at_server(seen, "10.0.0.33:50110"));
    let left = diagnosed(0x2d, |seen| {
        at_server(seen, "10.0.0.34:41022");
        seen.sample.state = TcpState::CloseWait;
    });
    let connections =
        vec![ghost(0x2a, "10.0.0.31:47001"), ghost(0x2b, "10.0.0.32:38814"), left, quiet];
    let mut reaping = reaping(connections, Licence::default());
    insta::assert_snapshot!("reap", text(&reaping));
    reaping.audit = Some("/var/log/halfopen/audit.jsonl".into());
    for fate in &mut reaping.fates {
        if let Fate::WouldEnd(ending) = fate {
            *fate = Fate::Ended(*ending);
        }
    }
    // The second client was switched on again in between.
    reaping.fates[1] = Fate::SparedAtLast(Spared::NotProved(VerdictKind::Alive));
    *reaping.picture.connections.iter_mut().nth(1).unwrap() = diagnosed(0x2b, |seen| {
        at_server(seen, "10.0.0.32:38814");
        if let Some(info) = &mut seen.sample.info {
            let lately = std::time::Duration::from_millis(300);
            (info.last_data_received, info.last_ack_received) = (Some(lately), Some(lately));
        }
    });
    insta::assert_snapshot!("reap-apply", text(&reaping));
}

/// With `--prove`: what would be tested, what cannot be, and what came of the tests.
#[test]
fn with_prove_the_plan_says_what_would_be_tested_and_the_end_what_each_test_showed() {
    let quiet = |cookie, peer| diagnosed(cookie, |seen| at_server(seen, peer));
    let connections = vec![
        ghost(0x2a, "10.0.0.31:47001"),
        quiet(0x2c, "10.0.0.33:50110"),
        quiet(0x2e, "10.0.0.35:50322"),
        quiet(0x2f, "10.0.0.36:50114"),
    ];
    let mut reaping = reaping(connections, Licence::default());
    reaping.trial = Some(Patience::default());
    let judge = judge(Licence::default());
    let Fate::WouldEnd(ending) =
        judge.fate_if(&reaping.picture.connections[1], VerdictKind::Silent)
    else {
        panic!("silent and spared")
    };
    for fate in &mut reaping.fates[1..] {
        *fate = Fate::WouldProve(Method::WindowProbe, ending);
    }
    insta::assert_snapshot!("reap-prove", text(&reaping));
    let mut written = Vec::new();
    json::ReapDocument::of(&reaping).write(&mut written).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&written).unwrap();
    let tested = &document["connections"][1];
    assert_eq!(tested["fate"], "would-prove");
    assert_eq!(
        (tested["method"].as_str(), tested["because"].is_null()),
        (Some("window-probe"), true)
    );

    reaping.audit = Some("/var/log/halfopen/audit.jsonl".into());
    reaping.fates = vec![
        Fate::Ended(ending),
        Fate::EndedByReset,
        Fate::Spared(Spared::Answered),
        Fate::Untested("its handshake is not finished".to_owned()),
    ];
    insta::assert_snapshot!(text(&reaping));
    reaping.is_interrupted = true;
    assert!(text(&reaping).ends_with("so nothing was ended.\n"));
}
