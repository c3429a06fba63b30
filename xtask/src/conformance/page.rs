//! Owns the tables of docs/conformance.md: relays and their sums, cases and what was seen. Pure.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

/// The tables stand between these lines, which stay.
const FIRST: &str = "<!-- tables: written by `make conformance` -->";
const LAST: &str = "<!-- end of the tables -->";

/// The page, with the tables of these results: the name of each relay, and what is kept of it.
pub(super) fn with_tables(page: &str, results: &[(String, Value)]) -> anyhow::Result<String> {
    let (before, rest) = page.split_once(FIRST).context("find the line before the tables")?;
    let (_, after) = rest.split_once(LAST).context("find the line after the tables")?;
    Ok(format!("{before}{FIRST}\n\n{}\n{}\n{LAST}{after}", sums(results), cases(results)))
}

fn sums(results: &[(String, Value)]) -> String {
    let mut table =
        "| | relay | version | passed | failed | not run |\n|--:|---|---|--:|--:|--:|\n".to_owned();
    for (number, (name, kept)) in (1..).zip(results) {
        let count = |key| kept.pointer(&format!("/result/{key}")).unwrap_or(&Value::Null);
        let version = kept.get("version").and_then(Value::as_str).unwrap_or("unknown");
        // Writing into a String cannot fail.
        let _ = writeln!(
            table,
            "| {number} | {name} | {version} | {} | {} | {} |",
            count("passed"),
            count("failed"),
            count("not_run")
        );
    }
    table
}

fn cases(results: &[(String, Value)]) -> String {
    let numbers: String = (1..=results.len()).map(|number| format!(" {number} |")).collect();
    let mut table = format!("| case |{numbers}\n|---|{}\n", "---|".repeat(results.len()));
    for name in names(results) {
        let _ = write!(table, "| `{name}` |");
        for (_, kept) in results {
            let _ = write!(table, " {} |", cell(kept, name));
        }
        table.push('\n');
    }
    table
}

/// The names of all cases, in the order of the relay that knows most of them.
fn names(results: &[(String, Value)]) -> Vec<&str> {
    let most = results.iter().map(|(_, kept)| played(kept)).max_by_key(|cases| cases.len());
    most.into_iter().flatten().filter_map(|case| case.get("name")?.as_str()).collect()
}

fn played(kept: &Value) -> &[Value] {
    kept.pointer("/result/cases").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn cell(kept: &Value, name: &str) -> String {
    let is_named = |case: &&Value| case.get("name").and_then(Value::as_str) == Some(name);
    let case = played(kept).iter().find(is_named);
    let word = |key: &str| case?.get(key)?.as_str();
    match word("mark").zip(word("brief")) {
        Some(("pass", _)) => "ok".to_owned(),
        Some(("fail", brief)) => format!("**{brief}**"),
        // Neither what was not run nor what is not kept is a pass.
        _ => "-".to_owned(),
    }
}

/// The version in what a program says of itself: the first word that has a number with a point in it.
pub(super) fn version_in(said: &str) -> String {
    let has_number = |word: &&str| {
        word.contains('.')
            && word.split('.').next_back().is_some_and(starts_with_digit)
            && word.contains(|c: char| c.is_ascii_digit())
    };
    let word = said.split_whitespace().find(has_number).unwrap_or("unknown");
    let from_digit = word.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    word.get(from_digit..).unwrap_or(word).trim_end_matches('"').to_owned()
}

fn starts_with_digit(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, version) in [
            (
                "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/",
                "2.6.12-1+deb12u4",
            ),
            ("nginx version: nginx/1.22.1", "1.22.1"),
            (
                "socat by Gerhard Rieger and contributors - see www.dest-unreach.org\nsocat version 1.7.4.4 on",
                "1.7.4.4",
            ),
            ("3.3", "3.3"),
            ("version = \"1.54.0\"", "1.54.0"),
            ("simpleproxy v3.5 by lord@crocodile.org,vlad", "3.5"),
            ("usage", "unknown"),
        ] {
            assert_eq!(version_in(said), version, "{said}");
        }
    }

    #[test]
    fn tables_replace_what_stood_between_the_lines_and_nothing_else() {
        let kept = json!({"version": "1.0", "result": {"passed": 1, "failed": 1, "not_run": 1, "cases": [
            {"name": "a", "mark": "pass", "brief": "ok"},
            {"name": "b", "mark": "fail", "brief": "fin@0.0"},
            {"name": "c", "mark": "not run", "brief": "not run"},
        ]}});
        let page = format!("above\n{FIRST}\nold\n{LAST}\nbelow\n");
        let written = with_tables(&page, &[("relay".to_owned(), kept)]).unwrap();
        assert!(written.starts_with("above\n") && written.ends_with("\nbelow\n"));
        assert!(!written.contains("old"));
        for line in [
            "| 1 | relay | 1.0 | 1 | 1 | 1 |",
            "| `a` | ok |",
            "| `b` | **fin@0.0** |",
            "| `c` | - |",
        ] {
            assert!(written.lines().any(|there| there == line), "{line} in\n{written}");
        }
        assert!(with_tables("no lines", &[]).is_err());
    }
}
