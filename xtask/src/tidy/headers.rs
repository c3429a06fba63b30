//! Owns the rule that every Rust file begins by saying what it owns.

use super::{finding::Finding, tree::Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let owes = |path: &str| {
        // A file of tests belongs to the file that it stands beside.
        path.ends_with(".rs") && !path.ends_with("/tests.rs")
    };
    tree.files()
        .filter(|(path, text)| owes(path) && !text.starts_with("//!"))
        .map(|(path, _)| Finding {
            path: path.to_owned(),
            line: 1,
            what: "the file has no header".to_owned(),
            why: "a reader decides by the first lines whether this is the file they look for",
            remedy: "begin with `//! Owns …`: what is decided here, what it must not touch, what to read"
                .to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn a_file_that_begins_with_code_is_found() {
        let tree = Tree::from([
            ("a.rs", "//! Owns a.\nfn a() {}\n"),
            ("b.rs", "fn b() {}\n"),
            ("b/tests.rs", "use super::*;\n"),
            ("c.md", "text"),
        ]);
        assert_eq!(places(&check(&tree)), ["b.rs:1"]);
    }
}
