//! Owns what every page of docs/verdicts/ owes: to exist, to answer the same questions as the
//! others, and to fit a terminal, since `halfopen why VERDICT` prints it.

use halfopen_core::VerdictKind;

use super::{finding::Finding, tree::Tree};

const PAGES: &str = "docs/verdicts/";

/// The headings of every page, in their order.
const HEADINGS: [&str; 9] = [
    "## Claims",
    "## Rests on",
    "## Refuted by",
    "## Comes from",
    "## Each side sees",
    "## Do now",
    "## Do for good",
    "## Limits",
    "## Sources",
];

/// Terminals are at least this wide.
const COLUMNS: usize = 80;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let words = VerdictKind::ALL.map(VerdictKind::word);
    let mut findings = Vec::new();
    for word in words {
        let path = format!("{PAGES}{word}.md");
        match tree.text(&path) {
            Some(text) => findings.extend(page(&path, word, text)),
            None => findings.push(finding(&path, 1, "the page is missing", "write it".to_owned())),
        }
    }
    for (path, _) in tree.files() {
        let Some(name) = path.strip_prefix(PAGES).and_then(|name| name.strip_suffix(".md")) else {
            continue;
        };
        if !words.contains(&name) {
            let remedy = "name it after a verdict, or move it out of docs/verdicts/".to_owned();
            findings.push(finding(path, 1, "no verdict has this name", remedy));
        }
    }
    findings
}

fn page(path: &str, word: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if text.lines().next() != Some(&format!("# {word}")) {
        let remedy = format!("begin with `# {word}`");
        findings.push(finding(path, 1, "the title is not the verdict", remedy));
    }
    let found: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
    if found != HEADINGS {
        let remedy = format!("use these, in this order: {}", HEADINGS.join(", "));
        findings.push(finding(path, 1, "the headings are not those of every page", remedy));
    }
    for (at, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS {
            let remedy = format!("wrap it: {columns} columns, {COLUMNS} are there");
            findings.push(finding(path, at + 1, "the line does not fit a terminal", remedy));
        }
    }
    findings
}

fn finding(path: &str, line: usize, what: &str, remedy: String) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        what: what.to_owned(),
        why: "`halfopen why VERDICT` prints the page to somebody in a hurry",
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(word: &str) -> String {
        format!("# {word}\n\n{}\n", HEADINGS.join("\ntext\n"))
    }

    #[test]
    fn a_page_with_all_headings_is_tidy() {
        assert_eq!(page("docs/verdicts/quiet.md", "quiet", &whole("quiet")), []);
    }

    #[test]
    fn a_wrong_title_a_lost_heading_and_a_long_line_are_found() {
        let text = whole("quiet").replace("# quiet", "# loud").replace("## Limits", "")
            + &"x".repeat(COLUMNS + 1);
        let findings = page("p", "quiet", &text);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert_eq!(page("p", "quiet", &(whole("quiet") + &"ä".repeat(COLUMNS))), []);
    }

    #[test]
    fn missing_and_surplus_pages_are_found() {
        let quiet = whole("quiet");
        let tree = Tree::from([
            ("docs/verdicts/quiet.md", quiet.as_str()),
            ("docs/verdicts/gone.md", "# gone"),
        ]);
        assert_eq!(check(&tree).len(), VerdictKind::ALL.len() - 1 + 1);
    }
}
