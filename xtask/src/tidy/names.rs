//! Owns the names that say nothing, for files, modules and types.

use super::{finding::Finding, source::line_of, tree::Tree};

/// Words that fit anything, and so name nothing.
const BANNED: [&str; 8] =
    ["util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.rust() {
        let stem = source.path.trim_end_matches(".rs");
        if let Some(word) = stem.split('/').find_map(banned) {
            findings.push(finding(source.path, 1, "the file's path", word));
        }
        for keyword in ["struct", "enum", "trait", "type", "mod", "union"] {
            for at in source.words(keyword) {
                let rest = source.code.get(at + keyword.len()..).unwrap_or_default().trim_start();
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                if let Some(word) = banned(name) {
                    let line = line_of(&source.code, at) + 1;
                    findings.push(finding(source.path, line, &format!("`{name}`"), word));
                }
            }
        }
    }
    findings
}

/// The banned word in `name`, which may be snake_case, kebab-case or CamelCase.
fn banned(name: &str) -> Option<&'static str> {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    BANNED.into_iter().find(|word| snake.split(['_', '-']).any(|part| part == *word))
}

fn finding(path: &str, line: usize, what: &str, word: &str) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        what: format!("{what} says `{word}`"),
        why: "a name that fits anything hides what is in it",
        remedy: "name it after the one thing that it owns".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn names_that_say_nothing_are_found_in_paths_and_types() {
        let tree = Tree::from([
            ("crates/a/src/net_util.rs", ""),
            ("crates/common/src/lib.rs", ""),
            ("crates/a/src/b.rs", "pub struct Utility;\nstruct SocketManager;\nmod helpers {}\n"),
        ]);
        let found = places(&check(&tree));
        assert_eq!(
            found,
            [
                "crates/a/src/b.rs:2",
                "crates/a/src/b.rs:3",
                "crates/a/src/net_util.rs:1",
                "crates/common/src/lib.rs:1",
            ]
        );
    }
}
