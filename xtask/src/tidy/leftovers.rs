//! Owns what must not be left behind: notes to self, unwritten code, lints that are switched off
//! without a reason, and marks of a merge that was not finished.

use super::{
    finding::Finding,
    source::{line_of, whole_words},
    tree::Tree,
};

/// Notes to self. Written in halves, so that this file passes its own check.
const NOTES: [(&str, &str); 3] = [("FIX", "ME"), ("TO", "DO"), ("XX", "X")];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.rust() {
        findings.extend(notes(source.path, &source.comments));
        for name in ["todo", "unimplemented", "dbg"] {
            let called = |at: &usize| {
                source.code.get(at + name.len()..).is_some_and(|rest| rest.starts_with('!'))
            };
            findings.extend(source.words(name).filter(called).map(|at| Finding {
                path: source.path.to_owned(),
                line: line_of(&source.code, at) + 1,
                what: format!("`{name}!` is left in the code"),
                why: "what is merged is finished",
                remedy: "write it, or return a typed error that says what is not there".to_owned(),
            }));
        }
        findings.extend(source.words("allow").filter(|&at| opens_attribute(&source.code, at)).map(
            |at| Finding {
                path: source.path.to_owned(),
                line: line_of(&source.code, at) + 1,
                what: "a lint is switched off by `allow`".to_owned(),
                why: "nobody notices when it is no longer needed",
                remedy: "write #[expect(lint, reason = \"…\")]".to_owned(),
            },
        ));
    }
    for (path, text) in tree.files() {
        if is_ours(path) && !path.ends_with(".rs") {
            findings.extend(notes(path, text));
        }
        findings.extend(conflicts(path, text));
    }
    findings
}

/// Where git left both sides of a conflict. Between the sides it leaves a line that titles may have too.
fn conflicts(path: &str, text: &str) -> impl Iterator<Item = Finding> {
    let is_mark = |line: &str| ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark));
    let marks = (1..).zip(text.lines()).filter(move |(_, line)| is_mark(line));
    marks.map(|(line, _)| Finding {
        path: path.to_owned(),
        line,
        what: "the mark of a conflict between two branches".to_owned(),
        why: "both sides stand there, or what is left of them",
        remedy: "decide what is to stand there, or write the page anew".to_owned(),
    })
}

/// Licences and lock files are other people's text.
fn is_ours(path: &str) -> bool {
    !path.starts_with("LICENSE") && path != "Cargo.lock"
}

fn notes(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (one, other) in NOTES {
        let note = format!("{one}{other}");
        findings.extend(whole_words(text, &note).map(|at| Finding {
            path: path.to_owned(),
            line: line_of(text, at) + 1,
            what: format!("a note to self: {note}"),
            why: "a reader cannot tell whether it still holds",
            remedy: "do it, or say in a sentence what is not covered and why".to_owned(),
        }));
    }
    findings
}

/// `allow` at `at` is the lint attribute: `allow(`, right after `[` or as an argument of `cfg_attr`.
fn opens_attribute(code: &str, at: usize) -> bool {
    let called = code.get(at + "allow".len()..).is_some_and(|rest| rest.starts_with('('));
    let before = code.get(..at).unwrap_or_default().trim_end();
    let line = before.rsplit('\n').next().unwrap_or_default();
    called && (before.ends_with("#[") || before.ends_with("#![") || line.contains("cfg_attr("))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn notes_to_self_are_found_in_comments_and_pages() {
        let note = NOTES.map(|(one, other)| format!("{one}{other}"));
        let code = format!("fn a() {{}} // {}\nconst A: &str = \"{}\";\n", note[0], note[1]);
        let page = format!("text\n{}: write\n", note[1]);
        let tree = Tree::from([("a.rs", code.as_str()), ("docs/a.md", page.as_str())]);
        assert_eq!(places(&check(&tree)), ["a.rs:1", "docs/a.md:2"]);
    }

    #[test]
    fn a_merge_that_was_not_finished_is_found_wherever_it_is() {
        let page = "title\n=======\n<<<<<<< HEAD\none\n=======\nother\n>>>>>>> branch\n";
        let code = "fn a() {}\n<<<<<<< HEAD\n    // a <<<<<<< b\n";
        let tree = Tree::from([("a.rs", code), ("docs/a.md", page), ("Cargo.lock", page)]);
        let found = places(&check(&tree));
        assert_eq!(found, ["Cargo.lock:3", "Cargo.lock:7", "a.rs:2", "docs/a.md:3", "docs/a.md:7"]);
    }

    #[test]
    fn unwritten_code_is_found() {
        let tree = Tree::from([("a.rs", "fn a() {\n    todo!()\n}\nfn todo() {}\n")]);
        assert_eq!(places(&check(&tree)), ["a.rs:2"]);
    }

    #[test]
    fn lints_switched_off_without_a_reason_are_found() {
        let tree = Tree::from([(
            "a.rs",
            "#[allow(dead_code)]\n#![allow(x)]\n#[cfg_attr(test, allow(x))]\n\
             #[expect(x, reason = \"y\")]\nfn allow(a: u8) { allow(a) }\n",
        )]);
        assert_eq!(places(&check(&tree)), ["a.rs:1", "a.rs:2", "a.rs:3"]);
    }
}
