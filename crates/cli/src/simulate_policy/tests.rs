use std::path::PathBuf;

use super::*;
use crate::args::Face;

fn example(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples")).join(name)
}

fn simulated(json: bool) -> String {
    let face = Face { json, ..Face::default() };
    let arguments = SimulatePolicy { file: example("fleet.toml"), seed: 1, face };
    let mut out = Vec::new();
    assert_eq!(run(&arguments, &mut out).unwrap(), Exit::Fine);
    String::from_utf8(out).unwrap()
}

/// docs/examples/simulate-policy.txt is what is printed. Run with HALFOPEN_WRITE_EXAMPLES=1 to write it
/// anew.
#[test]
fn the_example_of_the_documentation_is_what_is_printed() {
    let printed = simulated(false);
    let path = example("simulate-policy.txt");
    if std::env::var_os("HALFOPEN_WRITE_EXAMPLES").is_some() {
        fs::write(&path, &printed).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), printed);
}

#[test]
fn the_document_says_the_same_as_the_text() {
    let document: serde_json::Value = serde_json::from_str(&simulated(true)).unwrap();
    assert_eq!(document["schema"], "halfopen.simulate-policy/1");
    assert_eq!((&document["clients"], &document["outage_ms"]), (&10_000.into(), &120_000.into()));
    let seconds = document["seconds"].as_array().unwrap();
    let sum = |at: usize| seconds.iter().map(|one| one[at].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum(0), sum(1)), (document["attempts"].as_u64().unwrap(), 10_000));
    assert!(simulated(false).contains(&format!("attempts             {}", sum(0))));
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let good = fs::read_to_string(example("fleet.toml")).unwrap();
    assert!(Plan::read(&good).is_ok());
    let wrong = |from: &str, to: &str| Plan::read(&good.replace(from, to)).unwrap_err();
    let said = [
        wrong("clients = 10000", "clients = 0"),
        wrong("clients = 10000", "client = 10000"),
        wrong("outage = \"2m\"", "outage = 120"),
        wrong("watch = \"10m\"", "watch = \"10d\""),
        wrong("down = \"refused\"", "down = \"silence\""),
        wrong("down = \"refused\"", "down = \"asleep\""),
        wrong("factor = 2.0", "factor = 0.5"),
        wrong("jitter = \"full\"", "jitter = \"some\""),
    ];
    insta::assert_snapshot!(said.join("\n--\n"));
}
