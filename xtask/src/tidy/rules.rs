//! Owns what every rule of the core owes its reader: a header that says what it rests on, a page,
//! a unit test; and every verdict its rule.

use halfopen_core::VerdictKind;

use super::{finding::Finding, tree::Tree};

const RULES: &str = "crates/core/src/rules/";

/// The words that begin a line of a rule's header.
const HEADER: [(&str, &str); 4] = [
    ("Owns", "which judgement and which numbers are its own"),
    ("Read", "the RFC sections and kernel functions that it relies on"),
    ("Refuted by", "what would prove the verdict wrong"),
    ("Proved by", "the lab scenario or test that shows it on a real kernel"),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut rules = Vec::new();
    for (path, text) in tree.files() {
        let Some(name) = path.strip_prefix(RULES).and_then(|name| name.strip_suffix(".rs")) else {
            continue;
        };
        // `rules/tests.rs` holds the tests of all rules together.
        if !name.contains('/') && name != "tests" {
            rules.push(name);
            findings.extend(one(tree, path, name, text));
        }
    }
    // A tree without a single rule is one where the rules have not been written yet.
    let missing = VerdictKind::ALL.iter().map(|kind| kind.word().replace('-', "_"));
    for name in missing.filter(|name| !rules.is_empty() && !rules.contains(&name.as_str())) {
        let remedy = format!("write {RULES}{name}.rs");
        findings.push(finding("crates/core/src/rules.rs", format!("no rule `{name}`"), remedy));
    }
    findings
}

fn one(tree: &Tree, path: &str, name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let header: Vec<&str> =
        text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim_start).collect();
    for (word, what) in HEADER {
        if !header.iter().any(|line| line.starts_with(word)) {
            let remedy = format!("add `//! {word} …`: {what}");
            findings.push(finding(path, format!("the header has no line `{word}`"), remedy));
        }
    }
    let page = format!("docs/verdicts/{}.md", name.replace('_', "-"));
    if !tree.has(&page) {
        findings.push(finding(
            path,
            format!("its page {page} is missing"),
            format!("write {page}"),
        ));
    }
    if !is_tested(tree, name, text) {
        let remedy = "test the boundary: it holds at t and fails at t + 1 ms".to_owned();
        findings.push(finding(path, "it has no unit test".to_owned(), remedy));
    }
    findings
}

/// Tests stand in the rule's own file, beside it, or in the file for all rules, where they name the
/// rule's verdict.
fn is_tested(tree: &Tree, name: &str, text: &str) -> bool {
    let beside = tree.text(&format!("{RULES}{name}/tests.rs")).unwrap_or_default();
    let together = tree.text(&format!("{RULES}tests.rs")).unwrap_or_default();
    let kind = VerdictKind::from_word(&name.replace('_', "-"));
    let named = kind.is_some_and(|kind| together.contains(&format!("VerdictKind::{kind:?}")));
    let tests = |text: &str| text.contains("#[test]") || text.contains("proptest!");
    tests(text) || tests(beside) || (named && tests(together))
}

fn finding(path: &str, what: String, remedy: String) -> Finding {
    Finding {
        path: path.to_owned(),
        line: 1,
        what,
        why: "a verdict is only as good as what a stranger can check about it",
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "//! Judges silence.\n//! Owns the numbers.\n//! Read RFC 9293.\n\
                         //! Refuted by an ACK.\n//! Proved by `silent-drop`.\n#[test]\nfn a() {}\n";

    fn whats(tree: &Tree) -> Vec<String> {
        let about_a_file = |found: &Finding| found.path.starts_with(RULES);
        check(tree).into_iter().filter(about_a_file).map(|found| found.what).collect()
    }

    #[test]
    fn a_rule_with_header_page_and_test_is_tidy() {
        let page = ("docs/verdicts/half-open.md", "");
        let path = "crates/core/src/rules/half_open.rs";
        assert_eq!(whats(&Tree::from([(path, WHOLE), page])), [""; 0]);

        let without = WHOLE.replace("#[test]", "");
        let tests = ("crates/core/src/rules/half_open/tests.rs", "#[test]\nfn a() {}");
        assert_eq!(whats(&Tree::from([(path, without.as_str()), tests, page])), [""; 0]);
    }

    #[test]
    fn tests_of_all_rules_together_count_for_the_verdicts_that_they_name() {
        let path = "crates/core/src/rules/half_open.rs";
        let without = WHOLE.replace("#[test]", "");
        let page = ("docs/verdicts/half-open.md", "");
        let together = |text| {
            let tests = ("crates/core/src/rules/tests.rs", text);
            whats(&Tree::from([(path, without.as_str()), tests, page]))
        };
        assert_eq!(together("#[test]\nfn a() { expect(VerdictKind::HalfOpen) }"), [""; 0]);
        assert_eq!(
            together("#[test]\nfn a() { expect(VerdictKind::Silent) }"),
            ["it has no unit test"]
        );
    }

    #[test]
    fn each_thing_that_a_rule_lacks_is_named() {
        let tree = Tree::from([("crates/core/src/rules/silent.rs", "//! Owns the numbers.\n")]);
        assert_eq!(
            whats(&tree),
            [
                "the header has no line `Read`",
                "the header has no line `Refuted by`",
                "the header has no line `Proved by`",
                "its page docs/verdicts/silent.md is missing",
                "it has no unit test",
            ]
        );
    }

    #[test]
    fn once_there_is_one_rule_every_verdict_needs_its_own() {
        let page = ("docs/verdicts/silent.md", "");
        let findings = check(&Tree::from([("crates/core/src/rules/silent.rs", WHOLE), page]));
        assert_eq!(findings.len(), VerdictKind::ALL.len() - 1);
        assert_eq!(check(&Tree::default()), []);
    }
}
