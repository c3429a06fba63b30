//! Owns the rule that tests wait for conditions, never for luck. A pause between two looks of a loop
//! that has a deadline is waiting for a condition.

use super::{
    finding::Finding,
    source::{line_of, whole_words},
    tree::Tree,
};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.rust() {
        let tests = source.test_lines();
        for at in whole_words(&source.code, "sleep") {
            let line = line_of(&source.code, at);
            let called = source.code.get(at..).is_some_and(|rest| rest.starts_with("sleep("));
            let is_test = tests.iter().any(|lines| lines.contains(&line));
            if called && is_test && !has_deadline(&source.code, line) {
                findings.push(Finding {
                    path: source.path.to_owned(),
                    line: line + 1,
                    what: "a test sleeps".to_owned(),
                    why: "too short on a busy machine, too long on an idle one",
                    remedy: "wait for the condition itself, with a deadline".to_owned(),
                });
            }
        }
    }
    findings
}

/// Whether a few lines above, where a loop that polls begins, a deadline is spoken of.
fn has_deadline(code: &str, line: usize) -> bool {
    let above = line.saturating_sub(LOOP_LINES);
    code.lines().skip(above).take(line - above).any(|line| line.contains("deadline"))
}

/// A loop that polls fits into this many lines, or it does more than polling.
const LOOP_LINES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn a_pause_of_a_loop_with_a_deadline_is_waiting() {
        let code = "fn eventually() {\n    let deadline = soon();\n    while now() < deadline {\n        sleep(pause);\n    }\n}\n";
        assert_eq!(check(&Tree::from([("crates/a/tests/c.rs", code)])).len(), 0);
    }

    #[test]
    fn sleeping_is_found_in_tests_alone() {
        let body = "thread::sleep(pause);";
        let code = format!(
            "fn a() {{ {body} }}\n#[cfg(test)]\nmod tests {{\n    fn b() {{ {body} }}\n}}\n"
        );
        let tree = Tree::from([
            ("crates/a/src/a.rs", code.as_str()),
            ("crates/e2e/src/b.rs", body),
            (
                "crates/a/tests/c.rs",
                "// never sleep(1)\nasleep(1); sleep_until(x); \"sleep(1)\";\n",
            ),
        ]);
        assert_eq!(places(&check(&tree)), ["crates/a/src/a.rs:4", "crates/e2e/src/b.rs:1"]);
    }
}
