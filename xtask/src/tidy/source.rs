//! Owns the view of one Rust file as code without its comments and strings, comments without their
//! code, and which lines are tests.
//! A plain scanner: it knows comments, strings, characters and braces, and no grammar. Macros that
//! unbalance braces would confuse it; rustfmt does not write such.

mod scan;

use std::ops::Range;

/// One Rust file, taken apart. `code` and `comments` have the length and the lines of the text;
/// whatever belongs to the other is blanked out.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    /// The path from the project's root.
    pub(crate) path: &'a str,
    /// The text as it is.
    pub(crate) text: &'a str,
    /// The code, without comments and without what is inside strings.
    pub(crate) code: String,
    /// The comments alone.
    pub(crate) comments: String,
}

impl<'a> Source<'a> {
    /// Takes `text` apart.
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        let (code, comments) = scan::split(text);
        Self { path, text, code, comments }
    }

    /// The file has nothing but tests in it.
    pub(crate) fn is_all_tests(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
            || self.path.starts_with("crates/e2e/")
    }

    /// The lines of `#[cfg(test)]` items, from 0. The whole file if it is all tests.
    pub(crate) fn test_lines(&self) -> Vec<Range<usize>> {
        if self.is_all_tests() {
            return std::iter::once(0..self.code.lines().count()).collect();
        }
        let mut found: Vec<Range<usize>> = Vec::new();
        for (at, attribute) in self.code.match_indices("#[cfg(test)]") {
            let first = line_of(&self.code, at);
            if found.last().is_some_and(|last| last.contains(&first)) {
                continue;
            }
            let end = item_end(&self.code, at + attribute.len());
            found.push(first..line_of(&self.code, end) + 1);
        }
        found
    }

    /// Where `word` stands in the code as a whole word, as byte offsets.
    pub(crate) fn words<'b>(&'b self, word: &'b str) -> impl Iterator<Item = usize> + 'b {
        whole_words(&self.code, word)
    }
}

/// Where `word` stands in `text` as a whole word, as byte offsets.
pub(crate) fn whole_words<'b>(text: &'b str, word: &'b str) -> impl Iterator<Item = usize> + 'b {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// The line of a byte offset, from 0.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

/// Where the item that begins at `from` ends: at its closing brace, or at a semicolon before any brace.
pub(crate) fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            // Brackets count too, so that the semicolon of `[u8; 4]` ends nothing.
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && byte == b'}' {
                    return at;
                }
            }
            b';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_lines(path: &str, text: &str) -> Vec<(usize, usize)> {
        let lines = Source::new(path, text).test_lines();
        lines.into_iter().map(|lines| (lines.start, lines.end)).collect()
    }

    #[test]
    fn a_test_module_is_found_with_its_last_brace() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        assert_eq!(test_lines("a.rs", text), [(1, 5)]);
    }

    #[test]
    fn a_test_module_in_its_own_file_is_one_line_here_and_all_lines_there() {
        let here = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn c() {}\n";
        assert_eq!(test_lines("a.rs", here), [(1, 3)]);
        assert_eq!(test_lines("crates/core/src/a/tests.rs", here), [(0, 4)]);
    }

    #[test]
    fn a_word_is_found_only_as_a_whole() {
        let source = Source::new("a.rs", "unsafe_code; unsafe { }");
        assert_eq!(source.words("unsafe").collect::<Vec<_>>(), [13]);
    }

    #[test]
    fn the_semicolon_of_an_array_type_does_not_end_an_item() {
        let code = "fn a() -> [u8; 2] { [0; 2] } fn b() {}";
        assert_eq!(item_end(code, 0), 27);
    }
}
