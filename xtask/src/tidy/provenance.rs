//! Owns the rule that the project speaks of itself, never of how or by whom it was written.

use super::{
    finding::Finding,
    source::{line_of, whole_words},
    tree::Tree,
};

/// Words about writing programs. In halves, so that this file passes its own check.
const WORDS: [(&str, &str); 9] = [
    ("A", "I"),
    ("L", "LM"),
    ("G", "PT"),
    ("language", " model"),
    ("chat", "bot"),
    ("co", "pilot"),
    ("Co-authored", "-by"),
    ("sub-", "agent"),
    ("sub-", "helper"),
];

/// What a number after it turns into a reference that a reader of the file cannot follow.
const NUMBERED: [(&str, &str); 4] =
    [("is", "sue"), ("tic", "ket"), ("pull", " request"), ("mile", "stone")];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        if path.starts_with("LICENSE") || path == "Cargo.lock" {
            continue;
        }
        for (one, other) in WORDS {
            let word = format!("{one}{other}");
            for at in whole_words(text, &word) {
                findings.push(finding(path, text, at, format!("it says `{word}`")));
            }
        }
        let lower = text.to_ascii_lowercase();
        for (one, other) in NUMBERED {
            let word = format!("{one}{other}");
            for at in whole_words(&lower, &word).filter(|at| numbered(&lower, at + word.len())) {
                findings.push(finding(path, text, at, format!("it refers to a numbered {word}")));
            }
        }
    }
    findings
}

/// A number follows, with or without `#`.
fn numbered(text: &str, at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    let number = rest.strip_prefix(' ').unwrap_or(rest);
    number.strip_prefix('#').unwrap_or(number).starts_with(|c: char| c.is_ascii_digit())
}

fn finding(path: &str, text: &str, at: usize, what: String) -> Finding {
    Finding {
        path: path.to_owned(),
        line: line_of(text, at) + 1,
        what,
        why: "the project explains what it does and why, to readers who have nothing but its files",
        remedy: "say the reason itself, or leave it out".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn words_about_the_making_are_found_as_whole_words() {
        let (one, other) = WORDS[0];
        let text = format!("MAIN\nwritten by {one}{other}.\n");
        let tree = Tree::from([("docs/a.md", text.as_str())]);
        assert_eq!(places(&check(&tree)), ["docs/a.md:2"]);
    }

    #[test]
    fn numbered_references_are_found_and_plain_words_are_not() {
        let (one, other) = NUMBERED[0];
        let text = format!("the {one}{other} is old\n// see {one}{other} #12\n// {one}{other} 3\n");
        let tree = Tree::from([("a.rs", text.as_str())]);
        assert_eq!(places(&check(&tree)), ["a.rs:2", "a.rs:3"]);
    }
}
