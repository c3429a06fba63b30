//! Owns the links: every page that a file names exists, every heading that a link names exists, and
//! every page below docs/ can be reached from docs/README.md.

mod target;

use super::{finding::Finding, source::line_of, tree::Tree};
use target::{headings, join, link_targets, named_pages};

const INDEX: &str = "docs/README.md";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        if path.ends_with(".md") {
            for (at, target) in link_targets(text) {
                if let Some(what) = broken(tree, path, target) {
                    findings.push(finding(path, line_of(text, at) + 1, what));
                }
            }
        }
        // The checker's own tests name pages that do not exist.
        if path.ends_with(".rs") && !path.starts_with("xtask/") {
            for (at, page) in named_pages(text).filter(|(_, page)| !tree.has(page)) {
                let what = format!("{page} does not exist");
                findings.push(finding(path, line_of(text, at) + 1, what));
            }
        }
    }
    findings.extend(unreachable_pages(tree));
    findings
}

/// What is wrong with a link in `path`, if anything is.
fn broken(tree: &Tree, path: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { path.to_owned() } else { join(path, file) };
    if !tree.has(&file) {
        return Some(format!("{file} does not exist"));
    }
    let text = tree.text(&file).unwrap_or_default();
    let there = heading.is_empty() || headings(text).any(|name| name == heading);
    (!there).then(|| format!("{file} has no heading `#{heading}`"))
}

fn unreachable_pages(tree: &Tree) -> Vec<Finding> {
    let Some(index) = tree.text(INDEX) else { return Vec::new() };
    let linked: Vec<String> = link_targets(index).map(|(_, target)| join(INDEX, target)).collect();
    tree.files()
        .map(|(path, _)| path)
        .filter(|path| path.starts_with("docs/") && path.ends_with(".md") && *path != INDEX)
        .filter(|path| !linked.iter().any(|target| target == path))
        .map(|path| Finding {
            path: path.to_owned(),
            line: 1,
            what: format!("{INDEX} has no link to it"),
            why: "a page that nothing leads to is not read",
            remedy: format!("add a line to {INDEX}"),
        })
        .collect()
}

fn finding(path: &str, line: usize, what: String) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        what,
        why: "a link that leads nowhere costs its reader's trust in the others",
        remedy: "correct the link, or write the page".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn links_to_missing_pages_and_headings_are_found() {
        let tree = Tree::from([
            ("docs/a.md", "[b](b.md)\n[c](c.md)\n[d](b.md#two-words)\n[e](b.md#three)\n[f](#x)\n"),
            ("docs/b.md", "# Two words\n[up](../README.md), [a](https://example.org/x.md)\n"),
            ("README.md", "[docs](docs/)\n"),
        ]);
        assert_eq!(places(&check(&tree)), ["docs/a.md:2", "docs/a.md:4", "docs/a.md:5"]);
    }

    #[test]
    fn pages_named_in_code_must_exist() {
        let tree = Tree::from([
            ("docs/b.md", ""),
            ("crates/a/src/a.rs", "//! Read docs/b.md, docs/c.md.\n"),
        ]);
        assert_eq!(places(&check(&tree)), ["crates/a/src/a.rs:1"]);
    }

    #[test]
    fn a_page_that_the_index_does_not_name_is_found() {
        let tree = Tree::from([
            ("docs/README.md", "[a](tasks/a.md)\n"),
            ("docs/tasks/a.md", ""),
            ("docs/tasks/b.md", ""),
        ]);
        assert_eq!(places(&check(&tree)), ["docs/tasks/b.md:1"]);
    }
}
