//! Owns how links, headings and names of pages are read out of text. No more of Markdown than that.
//! Read: GitHub Flavored Markdown, "Links"; code spans and fenced code hold no links.

/// The targets of `[text](target)`, with their byte offsets.
pub(super) fn link_targets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let blocks = fenced(text);
    text.match_indices("](").filter_map(move |(at, _)| {
        let start = at + 2;
        let target = text.get(start..)?.split_once(')')?.0;
        let line_start = text.get(..at)?.rfind('\n').map_or(0, |before| before + 1);
        let in_code_span = text.get(line_start..at)?.matches('`').count() % 2 == 1;
        let in_block = blocks.iter().any(|block| block.contains(&at));
        (!in_code_span && !in_block && !target.is_empty() && !target.contains(char::is_whitespace))
            .then_some((start, target))
    })
}

/// The byte ranges of fenced code.
fn fenced(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut blocks = Vec::new();
    let (mut at, mut open) = (0, None);
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            match open.take() {
                None => open = Some(at),
                Some(start) => blocks.push(start..at),
            }
        }
        at += line.len();
    }
    blocks
}

/// The headings of a page, as links name them.
pub(super) fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let title: String = line.trim_start_matches('#').trim().chars().filter(kept).collect();
        title.to_lowercase().replace(' ', "-")
    })
}

/// Names of pages in running text, such as `docs/verdicts/silent.md`, with their byte offsets.
pub(super) fn named_pages(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    text.match_indices("docs/").filter_map(move |(at, _)| {
        let before = text.get(..at)?.chars().next_back();
        if before.is_some_and(inside) {
            return None;
        }
        let rest = text.get(at..)?;
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let page = rest.get(..end)?.trim_end_matches('.');
        page.ends_with(".md").then_some((at, page))
    })
}

/// The path that `target`, a link in the file `from`, leads to.
pub(super) fn join(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_are_not_links() {
        let text = "[a](b.md) `[c](d.md)` [e](f.md)\n```\n[g](h.md)\n```\n[i](j.md)\n";
        let targets: Vec<&str> = link_targets(text).map(|(_, target)| target).collect();
        assert_eq!(targets, ["b.md", "f.md", "j.md"]);
    }

    #[test]
    fn headings_are_named_as_links_name_them() {
        let text = "# Half-open, and `half-closed`\ntext\n## TCP_INFO\n";
        assert_eq!(headings(text).collect::<Vec<_>>(), ["half-open-and-half-closed", "tcp_info"]);
    }

    #[test]
    fn a_page_is_named_without_the_full_stop_behind_it() {
        let text = "See docs/a.md. Not linux/docs/b.md, nor docs/c.rs, nor docs/verdicts/.";
        assert_eq!(named_pages(text).collect::<Vec<_>>(), [(4, "docs/a.md")]);
    }

    #[test]
    fn a_link_is_followed_from_its_own_directory() {
        assert_eq!(join("docs/tasks/a.md", "../b.md"), "docs/b.md");
        assert_eq!(join("README.md", "./docs/"), "docs");
    }
}
