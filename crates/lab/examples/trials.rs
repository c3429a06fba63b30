//! Owns the output of detection trials as JSON, one line a trial, for programs that compare kernels.
//! `trials short` holds those that every change has to pass; `trials default` those of the kernel's
//! own timers, untouched, which take hours unless the clock of the machine runs faster than the sun;
//! `trials random` a fixed draw of random ones. A second word narrows them down by name.
//! Read: `halfopen_lab::trial`.

use std::{env, path::Path, process::ExitCode, time::Duration};

use halfopen_core::detection::Learns;
use halfopen_lab::trial::{self, Begin, Case, Deed, Keepalive, Outcome, Sampled, View};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let cases = match env::args().nth(1).as_deref() {
        Some("short") => trial::cases(),
        Some("default") => of_default_timers(),
        Some("random") => random(),
        _ => {
            eprintln!("usage: trials short|default|random [WORD]");
            return ExitCode::from(2);
        }
    };
    let among = env::args().nth(2).unwrap_or_default();
    let mut all_hit = true;
    // One after the other, so that each is told as soon as it has ended.
    for case in cases.into_iter().filter(|case| case.name.contains(&among)) {
        for outcome in trial::run(&[case]) {
            all_hit &= outcome.is_hit();
            println!("{}", line(&outcome));
        }
    }
    if all_hit { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What ends a connection on a host where nobody has touched anything.
fn of_default_timers() -> Vec<Case> {
    let keepalive =
        Keepalive { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), probes: 9 };
    let watched = |name, seconds| Case { watch: Duration::from_secs(seconds), ..Case::named(name) };
    let counted = |name, seconds| Case {
        sampled: Sampled::AfterDeed,
        view: View::Now,
        ..watched(name, seconds)
    };
    vec![
        watched("idle, keepalive off, a day", 86_400),
        Case { keepalive: Some(keepalive), ..watched("idle, keepalive 7200/75/9", 9000) },
        Case { deed: Deed::Write, view: View::Busy, ..watched("busy, retries2=15", 1200) },
        Case {
            begin: Begin::WindowShut,
            view: View::Busy,
            ..watched("zero window, retries2=15", 2400)
        },
        Case {
            begin: Begin::Unconnected,
            deed: Deed::Connect,
            ..counted("SYN to a dead host, syn_retries=6", 200)
        },
        Case { deed: Deed::Close, ..counted("orphan, orphan_retries=0", 200) },
        Case {
            begin: Begin::Abandoned,
            ..counted("FIN-WAIT-2 without owner, fin_timeout=60", 100)
        },
    ]
}

/// Random trials, without the sysctls that this kernel does not have: their constants count then.
fn random() -> Vec<Case> {
    let mut cases = trial::random(RANDOM_CASES, RANDOM_SEED);
    for case in &mut cases {
        case.sysctls
            .retain(|(name, _)| Path::new("/proc/sys").join(name.replace('.', "/")).exists());
        // A constant may be far greater than what was drawn to be soon over.
        case.watch *= 20;
    }
    cases
}

/// Each kind of beginning and deed comes up some times.
const RANDOM_CASES: usize = 40;
/// Any number, as long as it stays: kernels are to be compared on the same cases.
const RANDOM_SEED: u64 = 61;

fn line(outcome: &Outcome) -> Value {
    let case = &outcome.case;
    let mut line = json!({
        "case": case.name,
        "view": case.view.word(),
        "watched_ms": millis(case.watch),
        "hit": outcome.is_hit(),
    });
    let more = match &outcome.result {
        Ok(finding) => json!({
            "predicted": predicted(&finding.predicted),
            "measured_ms": finding.ended.map(|ended| millis(ended.after)),
            "errno": finding.ended.and_then(|ended| ended.errno),
        }),
        Err(error) => json!({ "failed_to": error.to_string() }),
    };
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    line
}

fn predicted(learns: &Learns) -> Value {
    match learns {
        Learns::Never(_) => json!({ "never": true }),
        Learns::Within(prediction) => json!({
            "min_ms": millis(prediction.within.min()),
            "max_ms": millis(prediction.within.max()),
        }),
        Learns::Unknown(why) => json!({ "unknown": why.as_ref() }),
        Learns::NotApplicable(why) => json!({ "not_applicable": why }),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
