//! Owns the examples of output in pages: each is the text of a file that the tests write, word for
//! word. In a page, a line `<!-- docs/examples/NAME.txt -->` precedes the fenced block.

use super::{finding::Finding, tree::Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        let mut rest = text.lines().enumerate();
        while let Some((at, line)) = rest.next() {
            let Some(name) = embedded(line) else { continue };
            let shown: Vec<&str> = rest
                .by_ref()
                .map(|(_, line)| line)
                .skip_while(|line| line.is_empty() || line.starts_with("```"))
                .take_while(|line| !line.starts_with("```"))
                .collect();
            let what = match tree.text(name) {
                None => format!("{name} does not exist"),
                Some(file) if file.lines().eq(shown.iter().copied()) => continue,
                Some(_) => format!("the block is not the text of {name}"),
            };
            findings.push(Finding {
                path: path.to_owned(),
                line: at + 1,
                what,
                why: "an example that the program does not print is a promise it does not keep",
                remedy: format!("copy {name} into the block"),
            });
        }
    }
    findings
}

fn embedded(line: &str) -> Option<&str> {
    let name = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
    name.starts_with("docs/examples/").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn an_example_must_be_what_the_tests_wrote() {
        let page = "<!-- docs/examples/ls.txt -->\n```text\nalive  a\nquiet  b\n```\nmore\n";
        let with =
            |file: &str| check(&Tree::from([("README.md", page), ("docs/examples/ls.txt", file)]));
        assert_eq!(with("alive  a\nquiet  b\n"), []);
        assert_eq!(places(&with("alive  a\n")), ["README.md:1"]);
        assert_eq!(places(&check(&Tree::from([("README.md", page)]))), ["README.md:1"]);
    }
}
