//! Owns what `ls` and `why` must say of the connections that `staged_connections` holds. Pure.
//! Read: docs/json.md, crates/lab/examples/staged_connections.rs.

use serde_json::Value;

use super::record::Record;

/// A connection that must be listed.
struct Expected {
    local: &'static str,
    peer: &'static str,
    state: &'static str,
    verdict: &'static str,
    idle: Idle,
}

/// What `learns.idle` must be.
enum Idle {
    Never,
    NotApplicable,
    /// Milliseconds: the interval must lie within these, and not be empty.
    Within(u64, u64),
}

const EXPECTED: [Expected; 5] = [
    Expected {
        local: "127.0.0.1:50001",
        peer: "127.0.0.1:40111",
        state: "ESTABLISHED",
        verdict: "alive",
        // 120 s and four times 30 s, of which some time has passed, and the lateness of the timers.
        idle: Idle::Within(230_000, 255_000),
    },
    Expected {
        local: "127.0.0.1:50002",
        peer: "127.0.0.1:40111",
        state: "CLOSE-WAIT",
        verdict: "half-closed",
        idle: Idle::Never,
    },
    Expected {
        local: "127.0.0.1:50003",
        peer: "127.0.0.1:40111",
        state: "ESTABLISHED",
        verdict: "alive",
        idle: Idle::Never,
    },
    Expected {
        local: "127.0.0.1:50004",
        peer: "127.0.0.1:40111",
        state: "TIME-WAIT",
        verdict: "closing",
        idle: Idle::NotApplicable,
    },
    Expected {
        local: "[::1]:50005",
        peer: "[::1]:40112",
        state: "ESTABLISHED",
        verdict: "alive",
        idle: Idle::Never,
    },
];

const LISTENERS: [&str; 2] = ["127.0.0.1:40111", "[::1]:40112"];

/// The sysctls that `halfopen-sys` reads where they are, and replaces by constants where they are not.
const SYSCTLS: [&str; 3] = ["tcp_syn_linear_timeouts", "tcp_rto_min_us", "tcp_rto_max_ms"];

/// Which of the sysctls that came late this kernel lacks, as a sentence.
pub(super) fn missing_sysctls(record: &Record) -> String {
    let has = |name: &&str| record.stdout.split_whitespace().any(|word| word == *name);
    let missing: Vec<&str> = SYSCTLS.into_iter().filter(|name| !has(name)).collect();
    match missing.as_slice() {
        [] => "it has every sysctl that is read".to_owned(),
        missing => format!("it has no {}", missing.join(", no ")),
    }
}

/// What is wrong with the output of `ls --json`.
pub(super) fn faults_of_ls(record: &Record) -> Vec<String> {
    let document = match document(record, "halfopen.ls/1") {
        Ok(document) => document,
        Err(fault) => return vec![fault],
    };
    let list = |name| document.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let connections = list("connections");
    let mut faults: Vec<String> =
        EXPECTED.iter().filter_map(|expected| fault_of(expected, &connections)).collect();
    let listeners = list("listeners");
    for local in LISTENERS {
        if !listeners.iter().any(|one| text(one, "local") == local) {
            faults.push(format!("ls: the listener {local} is not listed"));
        }
    }
    for unseen in list("unseen") {
        faults.push(format!("ls: not seen: {}: {}", text(&unseen, "what"), text(&unseen, "why")));
    }
    println!("{} connections and {} listeners", connections.len(), listeners.len());
    faults
}

/// What is wrong with the output of `why --json` about the connection with keepalive.
pub(super) fn faults_of_why(record: &Record) -> Vec<String> {
    match document(record, "halfopen.why/1") {
        Ok(_) => {
            println!("told");
            Vec::new()
        }
        Err(fault) => vec![fault],
    }
}

fn document(record: &Record, schema: &str) -> Result<Value, String> {
    let Record { name, stdout, stderr, code } = record;
    if *code != Some(0) {
        return Err(format!("{name}: ended with {code:?}: {stderr}"));
    }
    let document: Value =
        serde_json::from_str(stdout).map_err(|error| format!("{name}: no JSON: {error}"))?;
    if text(&document, "schema") == schema {
        Ok(document)
    } else {
        Err(format!("{name}: not of the schema {schema}: {}", text(&document, "schema")))
    }
}

fn fault_of(expected: &Expected, connections: &[Value]) -> Option<String> {
    let Expected { local, peer, state, verdict, idle } = expected;
    let found =
        connections.iter().find(|one| text(one, "local") == *local && text(one, "peer") == *peer);
    let Some(found) = found else { return Some(format!("ls: {local} -> {peer} is not listed")) };
    let learns = found.pointer("/learns/idle").unwrap_or(&Value::Null);
    let millis = |name| learns.get(name).and_then(Value::as_u64);
    let idle_fits = match *idle {
        Idle::Never => learns.get("never") == Some(&Value::Bool(true)),
        Idle::NotApplicable => learns.is_null(),
        Idle::Within(least, most) => millis("min_ms")
            .zip(millis("max_ms"))
            .is_some_and(|(min, max)| least <= min && min < max && max <= most),
    };
    if text(found, "state") == *state && text(found, "verdict") == *verdict && idle_fits {
        return None;
    }
    Some(format!(
        "ls: {local} -> {peer} should be {state}, {verdict}; it says {}, {}, idle {learns}",
        text(found, "state"),
        text(found, "verdict")
    ))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
