//! Owns where `unsafe` may stand: in the files of halfopen-sys that make system calls.

use super::{finding::Finding, source::line_of, tree::Tree};

const ALLOWED: &str = "crates/sys/src/syscall";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.rust().filter(|source| !source.path.starts_with(ALLOWED)) {
        findings.extend(source.words("unsafe").map(|at| Finding {
            path: source.path.to_owned(),
            line: line_of(&source.code, at) + 1,
            what: "`unsafe` outside crates/sys/src/syscall*".to_owned(),
            why: "what the compiler cannot check must fit into one review",
            remedy: "put a safe function around the call in crates/sys/src/syscall/".to_owned(),
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn unsafe_is_found_in_code_and_not_in_words_about_it() {
        let text = "//! Never unsafe.\n#![forbid(unsafe_code)]\nfn a() { unsafe { b() } }\n";
        let tree = Tree::from([
            ("crates/cli/src/a.rs", text),
            ("crates/sys/src/syscall.rs", text),
            ("crates/sys/src/syscall/netns.rs", text),
        ]);
        assert_eq!(places(&check(&tree)), ["crates/cli/src/a.rs:3"]);
    }
}
