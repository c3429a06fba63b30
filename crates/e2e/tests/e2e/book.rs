//! TCP/IP Illustrated, volume 1, 13.6.3, with the program looking inside at every step.

use std::time::Duration;

use halfopen_lab::{
    Lab,
    book::{self, Options, Stage, Step},
    wait,
};
use serde_json::Value;

use crate::{halfopen, json, only, requires_lab, says};

const JSON_PAGE: &str = include_str!("../../../../docs/json.md");

/// Far longer than a connection takes to be quiet for a second.
const PATIENCE: Duration = Duration::from_secs(10);

struct Inside {
    netns: String,
}

impl Inside {
    fn client_of(lab: &Lab) -> Self {
        Self { netns: lab.client().unwrap().pid().unwrap().to_string() }
    }

    fn ls(&self) -> Value {
        json(&["ls", "--netns", &self.netns, "--alive-within", "1s", "--json"])
    }

    fn why(&self, subject: &str) -> (String, i32) {
        says(&["why", subject, "--netns", &self.netns, "--alive-within", "1s"])
    }
}

/// Goal: `ls` and `why` tell, at every step, what can be known and no more. Method: the real
/// telnet, the real rpcbind, and the program started in between as an operator would.
#[test]
fn the_program_tells_the_books_story_with_the_books_ending() {
    requires_lab!("telnet" from "inetutils-telnet", "rpcbind" from "rpcbind");
    let mut id = String::new();
    let report = book::run(&Options::default(), &mut |step: &Step, lab: &Lab| {
        let inside = Inside::client_of(lab);
        match step.stage {
            Stage::Reset => gone_by_reset(&inside, &id),
            Stage::CableBack => quiet_and_never_told(&inside),
            _ => {
                let document = inside.ls();
                let one = only(&document);
                assert_eq!(one["verdict"], "alive", "{step:?}: {one:#}");
                assert_eq!(one["state"], "ESTABLISHED");
                assert_eq!(one["peer"], "10.0.0.7:111");
                assert_eq!(one["learns"]["idle"]["never"], true);
                assert_eq!(one["owners"][0]["command"], "telnet");
                id = one["id"].as_str().unwrap().to_owned();
            }
        }
    })
    .unwrap();
    assert_eq!(report.telnet_said.as_deref(), Some("Connection closed by foreign host."));
}

fn quiet_and_never_told(inside: &Inside) {
    let quiet = wait::until(PATIENCE, || {
        let document = inside.ls();
        (only(&document)["verdict"] == "quiet").then_some(document)
    });
    let document = quiet.expect("the connection becomes quiet");
    let one = only(&document);
    assert_eq!(one["learns"]["idle"]["never"], true, "{one:#}");
    assert_eq!(one["learns"]["now"], Value::Null);
    let (text, code) = inside.why(":111");
    assert_eq!(code, 0, "{text}");
    for told in ["quiet", "ESTABLISHED", "No timer runs", "our side would never learn", "telnet"] {
        assert!(text.contains(told), "{told:?} is not told:\n{text}");
    }
}

fn gone_by_reset(inside: &Inside, id: &str) {
    let document = inside.ls();
    assert_eq!(document["connections"].as_array().unwrap().len(), 0, "{document:#}");
    let (text, code) = inside.why(id);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("resets (EstabResets) 1"), "{text}");
}

/// The verb does all of that by itself, and says so in one document.
#[test]
fn rehearse_book_goes_from_alive_by_quiet_to_half_open() {
    requires_lab!("telnet" from "inetutils-telnet", "rpcbind" from "rpcbind");
    let capture = std::env::temp_dir().join(format!("halfopen-e2e-{}.pcapng", std::process::id()));
    let path = capture.to_str().unwrap();
    let output = halfopen(&["rehearse", "book", "--only-story", "--json", "--capture", path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts: Vec<_> = document["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["connection"]["verdict"].as_str().unwrap_or("gone"))
        .collect();
    assert_eq!(verdicts, ["alive", "alive", "alive", "alive", "alive", "quiet", "gone"]);
    assert_eq!(document["end"]["verdict"], "half-open");
    let steps = document["steps"][0].as_object().unwrap().keys();
    let steps = steps.map(|key| format!("steps[].{key}"));
    for key in document.as_object().unwrap().keys().cloned().chain(steps) {
        assert!(JSON_PAGE.contains(&format!("| `{key}` |")), "{key} is not in docs/json.md");
    }
    assert_eq!(document["established_resets"], 1);
    let ladder = document["ladder"].as_str().unwrap();
    assert!(ladder.contains("RST seq=1"), "{ladder}");
    let captured = std::fs::read(&capture).unwrap();
    std::fs::remove_file(&capture).unwrap();
    assert!(captured.len() > 8 * 90, "{} bytes", captured.len());
}
