use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::{counted::Gone, fixtures, story::Story};

fn ls_document() -> Value {
    let picture = fixtures::picture();
    let first = &picture.connections[0];
    let gone = Gone {
        id: first.observation.sample.id,
        local: "10.0.0.1:53124".to_owned(),
        peer: "10.0.0.7:111".to_owned(),
        verdict: first.verdict.kind(),
        counters: vec!["resets (EstabResets) rose by 1".to_owned()],
    };
    let mut out = Vec::new();
    LsDocument::of(&picture).with_gone(&[gone]).write(&mut out, Layout::Lines).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn why_document(cookie: u64) -> Value {
    let picture = fixtures::picture();
    let mut all = picture.connections.iter();
    let one = all.find(|one| one.observation.sample.id.cookie.0 == cookie).unwrap();
    let story = Story::of(one, &picture.place(one.observation.sample.id.netns));
    serde_json::to_value(WhyDocument::of(one, &story, &picture)).unwrap()
}

/// Every path of keys in `value`, e.g. `connections[].learns.idle.never`.
fn paths(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                into.insert(path.clone());
                paths(&path, value, into);
            }
        }
        Value::Array(items) => {
            for item in items {
                paths(&format!("{prefix}[]"), item, into);
            }
        }
        _ => {}
    }
}

const PAGE: &str = include_str!("../../../../../docs/json.md");

/// The fields that a section of docs/json.md documents: the first cell of each row of its tables.
fn documented(section: &str) -> BTreeSet<String> {
    let body = PAGE.split("\n## ").find(|part| part.starts_with(section)).unwrap();
    body.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(field, _)| field.to_owned())
        .collect()
}

/// `{"unknown": WHY}` may stand for any value, and is documented once for all.
fn without_unknown(paths: BTreeSet<String>) -> BTreeSet<String> {
    paths.into_iter().filter(|path| !path.ends_with(".unknown")).collect()
}

#[test]
fn every_field_of_ls_is_documented_and_every_documented_field_is_there() {
    let mut seen = BTreeSet::new();
    paths("", &ls_document(), &mut seen);
    let seen: BTreeSet<_> =
        without_unknown(seen).into_iter().filter(|path| !is_connection_field(path)).collect();
    assert_eq!(seen, documented("`halfopen.ls/1`"));
}

#[test]
fn every_field_of_a_connection_is_documented_and_every_documented_field_is_there() {
    let mut seen = BTreeSet::new();
    for connection in ls_document()["connections"].as_array().unwrap() {
        paths("", connection, &mut seen);
    }
    // The three detection times look alike and are documented once.
    let seen: BTreeSet<_> = without_unknown(seen)
        .into_iter()
        .map(|path| {
            path.replace("learns.busy.", "learns.idle.").replace("learns.now.", "learns.idle.")
        })
        .filter(|path| !is_number_of_evidence(path))
        .collect();
    assert_eq!(seen, documented("A connection"));
}

#[test]
fn every_field_of_why_is_documented_and_every_documented_field_is_there() {
    let mut seen = BTreeSet::new();
    for cookie in [0xd1, 0xd2] {
        paths("", &why_document(cookie), &mut seen);
    }
    let seen: BTreeSet<_> =
        without_unknown(seen).into_iter().filter(|path| !path.starts_with("connection.")).collect();
    assert_eq!(seen, documented("`halfopen.why/1`"));
}

#[test]
fn every_verdict_is_documented() {
    for kind in halfopen_core::VerdictKind::ALL {
        assert!(PAGE.contains(&format!("`{kind}`")), "{kind}");
    }
}

#[test]
fn every_kind_of_evidence_in_use_is_documented_with_its_numbers() {
    let rows: Vec<_> = PAGE.lines().filter(|line| line.starts_with("| `")).collect();
    for connection in ls_document()["connections"].as_array().unwrap() {
        for evidence in connection["evidence"].as_array().unwrap() {
            let kind = evidence["kind"].as_str().unwrap();
            let row = rows.iter().find(|row| row.starts_with(&format!("| `{kind}` |"))).unwrap();
            for name in evidence.as_object().unwrap().keys().filter(|key| is_number(key)) {
                assert!(row.contains(&format!("`{name}`")), "{kind}: {name}");
            }
        }
    }
}

#[test]
fn what_is_not_known_is_never_a_number() {
    let document = ls_document();
    let unknown = document["connections"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["verdict"] == "unknown")
        .unwrap();
    for field in [&unknown["last_heard_ms"], &unknown["learns"]["idle"], &unknown["owners"]] {
        assert!(field["unknown"].is_string(), "{field}");
    }
    assert!(unknown["learns"]["now"].is_null());
}

#[test]
fn a_frame_of_a_watch_is_one_line() {
    let mut out = Vec::new();
    let picture = fixtures::picture();
    LsDocument::of(&picture).with_gone(&[]).write(&mut out, Layout::OneLine).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    assert!(text.ends_with('\n'));
}

#[test]
fn the_documents_stay_as_they_are() {
    insta::assert_snapshot!("ls", serde_json::to_string_pretty(&ls_document()).unwrap());
    insta::assert_snapshot!("why", serde_json::to_string_pretty(&why_document(0xd2)).unwrap());
}

fn is_connection_field(path: &str) -> bool {
    path.starts_with("connections[].")
}

fn is_number_of_evidence(path: &str) -> bool {
    path.strip_prefix("evidence[].").is_some_and(is_number)
}

/// What is not one of the two fields that all evidence has.
fn is_number(field: &str) -> bool {
    field != "kind" && field != "text"
}
