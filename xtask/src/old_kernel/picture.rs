//! Owns what `ls` and `why` must say of the connections that `staged_connections` holds. Pure.
//! Read: docs/json.md, crates/lab/examples/staged_connections.rs.

use serde_json::Value;

use halfopen_lab::warp::Record;

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
    faults
}

/// Why BPF gave no list, if the program said so in good order: a kernel may lack what it takes.
pub(super) fn refusal_of_bpf(record: &Record) -> Option<&str> {
    let is_refusal = record.stdout.is_empty() && !record.stderr.is_empty();
    // 3 and 71 of the program's exit codes: privilege, and what the system refused.
    (is_refusal && matches!(record.code, Some(3 | 71))).then_some(&record.stderr)
}

/// What is wrong with the output of `why --json` about the connection with keepalive.
pub(super) fn faults_of_why(record: &Record) -> Vec<String> {
    document(record, "halfopen.why/1").err().into_iter().collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(document: &Value) -> Record {
        let stdout = document.to_string();
        Record { name: "ls".to_owned(), stdout, stderr: String::new(), code: Some(0) }
    }

    fn as_expected() -> Value {
        let connections: Vec<Value> = EXPECTED
            .iter()
            .map(|one| {
                let idle = match one.idle {
                    Idle::Never => json!({"never": true}),
                    Idle::NotApplicable => Value::Null,
                    Idle::Within(min, max) => json!({"min_ms": min, "max_ms": max}),
                };
                json!({
                    "local": one.local, "peer": one.peer, "state": one.state,
                    "verdict": one.verdict, "learns": {"idle": idle},
                })
            })
            .collect();
        let listeners = LISTENERS.map(|local| json!({"local": local}));
        json!({
            "schema": "halfopen.ls/1", "unseen": [], "listeners": listeners,
            "connections": connections,
        })
    }

    #[test]
    fn what_is_expected_has_no_faults() {
        assert_eq!(faults_of_ls(&record(&as_expected())), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_prediction_a_missing_connection_and_a_lack_of_sight_are_faults() {
        let mut document = as_expected();
        document["connections"][0]["learns"]["idle"] = json!({"never": true});
        document["connections"][1]["local"] = json!("127.0.0.1:1");
        document["unseen"] = json!([{"what": "owners of 1 socket", "why": "not root"}]);
        document["listeners"] = json!([]);
        let faults = faults_of_ls(&record(&document));
        assert_eq!(faults.len(), 5, "{faults:#?}");
    }

    #[test]
    fn another_schema_no_json_or_a_failure_is_one_fault() {
        let failed = Record { code: Some(3), ..record(&as_expected()) };
        let text = Record { stdout: "VERDICT PEER".to_owned(), ..record(&as_expected()) };
        for record in [failed, text, record(&json!({"schema": "halfopen.ls/2"}))] {
            assert_eq!(faults_of_ls(&record).len(), 1);
        }
    }

    #[test]
    fn a_kernel_may_refuse_bpf_and_the_program_may_not_crash_over_it() {
        let said = |code| Record {
            stderr: "the kernel has no iter/tcp".to_owned(),
            code: Some(code),
            ..Record::default()
        };
        assert!(refusal_of_bpf(&said(71)).is_some());
        assert!(refusal_of_bpf(&said(70)).is_none());
        assert!(refusal_of_bpf(&record(&as_expected())).is_none());
    }

    #[test]
    fn sysctls_that_a_kernel_lacks_are_named() {
        let listed = |text: &str| Record { stdout: text.to_owned(), ..Record::default() };
        let all = listed("tcp_rto_max_ms\ntcp_rto_min_us\ntcp_syn_linear_timeouts\n");
        assert_eq!(missing_sysctls(&all), "it has every sysctl that is read");
        let old = listed("tcp_rto_min_us\ntcp_retries2\n");
        assert_eq!(missing_sysctls(&old), "it has no tcp_syn_linear_timeouts, no tcp_rto_max_ms");
    }
}
