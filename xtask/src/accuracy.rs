//! Owns the chore `accuracy`: random connections, predicted, broken and measured.
//! Read: docs/detection-time.md; the cases are drawn in `crates/lab/src/trial/random.rs`.

use std::{
    process::ExitCode,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use halfopen_lab::{
    requirements,
    trial::{Summary, random, run as hold, table},
};

/// Runs the trials, prints a line for each and a summary; fails on any miss.
pub(crate) fn run(options: &[&str]) -> ExitCode {
    let plan = match Plan::read(options) {
        Ok(plan) => plan,
        Err(slip) => {
            eprintln!("accuracy: {slip}");
            return ExitCode::from(2);
        }
    };
    if let Err(missing) = requirements::check() {
        eprintln!("accuracy: failed to {missing}");
        return ExitCode::from(3);
    }
    let mut cases = random(plan.cases.max(plan.only.map_or(0, |only| only + 1)), plan.seed);
    if let Some(only) = plan.only {
        cases = cases.into_iter().skip(only).take(1).collect();
    }
    eprintln!("{} connections from seed {}; this takes minutes", cases.len(), plan.seed);
    let began = Instant::now();
    let outcomes = hold(&cases);
    print!("{}", table(&outcomes));
    let summary = Summary::of(&outcomes);
    println!("{summary}\nseed {}, {} s", plan.seed, began.elapsed().as_secs());
    for (number, _) in outcomes.iter().enumerate().filter(|(_, outcome)| !outcome.is_hit()) {
        let number = plan.only.unwrap_or(number);
        println!("again: cargo xtask accuracy --seed {} --only {number}", plan.seed);
    }
    if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Debug, PartialEq, Eq)]
struct Plan {
    cases: usize,
    seed: u64,
    only: Option<usize>,
}

impl Plan {
    fn read(options: &[&str]) -> Result<Self, String> {
        let today = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut plan = Self { cases: 200, seed: today, only: None };
        for pair in options.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} needs a value", pair.concat()));
            };
            let number =
                |what| value.parse().map_err(|_| format!("{name} needs {what}, and got `{value}`"));
            match *name {
                "--cases" => plan.cases = number("a number of cases")? as usize,
                "--seed" => plan.seed = number("a number")?,
                "--only" => plan.only = Some(number("the number of a case")? as usize),
                other => return Err(format!("there is no option `{other}`")),
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_pairs_and_are_numbers() {
        let plan = Plan::read(&["--seed", "7", "--cases", "20"]).unwrap();
        assert_eq!(plan, Plan { cases: 20, seed: 7, only: None });
        assert!(Plan::read(&["--seed"]).is_err());
        assert!(Plan::read(&["--seed", "x"]).is_err());
        assert!(Plan::read(&["--speed", "7"]).is_err());
    }
}
