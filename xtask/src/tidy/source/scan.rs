//! Owns the division of Rust text into code and comments, byte by byte.
//! Read: the Rust reference, "Comments" and "Tokens".

/// The code and the comments of `text`, each with the other blanked out, lines kept.
pub(super) fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut comments = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, _)) = rest.split_first() {
        let part = Part::at(rest, code.last().copied());
        let length = part.length(rest).clamp(1, rest.len());
        let (taken, left) = rest.split_at(length);
        match part {
            Part::Code => {
                code.push(first);
                comments.push(if first == b'\n' { b'\n' } else { b' ' });
            }
            Part::Comment => {
                comments.extend_from_slice(taken);
                code.extend(taken.iter().copied().map(blank));
            }
            Part::Literal => {
                code.extend(taken.iter().copied().map(blank));
                comments.extend(taken.iter().copied().map(blank));
            }
        }
        rest = left;
    }
    // Blanking replaces whole literals and comments, so what is left is valid text.
    (String::from_utf8_lossy(&code).into_owned(), String::from_utf8_lossy(&comments).into_owned())
}

fn blank(byte: u8) -> u8 {
    if byte == b'\n' { b'\n' } else { b' ' }
}

#[derive(Clone, Copy)]
enum Part {
    Code,
    Comment,
    Literal,
}

impl Part {
    fn at(rest: &[u8], before: Option<u8>) -> Self {
        if rest.starts_with(b"//") || rest.starts_with(b"/*") {
            return Self::Comment;
        }
        let inside_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let literal = rest.starts_with(b"\"")
            || (!inside_word && raw_hashes(rest).is_some())
            || character(rest).is_some();
        if literal { Self::Literal } else { Self::Code }
    }

    fn length(self, rest: &[u8]) -> usize {
        match self {
            Self::Code => 1,
            Self::Comment if rest.starts_with(b"//") => {
                rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
            }
            Self::Comment => block_comment(rest),
            Self::Literal => {
                if let Some((opening, hashes)) = raw_hashes(rest) {
                    raw_string(rest, opening, hashes)
                } else {
                    character(rest).unwrap_or_else(|| string(rest))
                }
            }
        }
    }
}

/// The length of a block comment; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if tail.starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of a string from its opening quote.
fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match rest.get(at) {
            None => return rest.len(),
            Some(b'\\') => at += 2,
            Some(b'"') => return at + 1,
            Some(_) => at += 1,
        }
    }
}

/// For a raw string: the length of its opening up to and with the quote, and its number of hashes.
fn raw_hashes(rest: &[u8]) -> Option<(usize, usize)> {
    let prefix = [b"br".as_slice(), b"cr", b"r"].into_iter().find(|p| rest.starts_with(p))?.len();
    let hashes = rest.get(prefix..)?.iter().take_while(|&&byte| byte == b'#').count();
    (rest.get(prefix + hashes) == Some(&b'"')).then_some((prefix + hashes + 1, hashes))
}

fn raw_string(rest: &[u8], opening: usize, hashes: usize) -> usize {
    let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    rest.get(opening..)
        .and_then(|tail| tail.windows(closing.len()).position(|window| window == closing))
        .map_or(rest.len(), |at| opening + at + closing.len())
}

/// The length of a character literal, or `None` for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.first() != Some(&b'\'') {
        return None;
    }
    // '\u{10ffff}' is the longest; a lifetime has no second quote that near, unless another
    // character literal follows, and then its name is longer than one character.
    match rest.get(1)? {
        b'\\' => rest.get(3..12.min(rest.len()))?.iter().position(|&b| b == b'\'').map(|at| at + 4),
        first => {
            let width = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code() {
        let (code, comments) = split("a(\"x // y\"); // b\n/* c /* d */ e */ f('\\'', '\"');");
        assert_eq!(code.split_whitespace().collect::<String>(), "a();f(,);");
        assert_eq!(comments.split_whitespace().collect::<String>(), "//b/*c/*d*/e*/");
    }

    #[test]
    fn raw_strings_end_at_their_own_number_of_hashes() {
        let (code, _) = split("let a = r##\"x \"# y\"##; let b = br\"\\\"; c");
        assert_eq!(code.split_whitespace().collect::<String>(), "leta=;letb=;c");
    }

    #[test]
    fn lifetimes_are_code_and_characters_are_not() {
        let (code, _) = split("fn a<'b>(c: &'b str) -> char { 'ä' }");
        assert_eq!(code.split_whitespace().collect::<String>(), "fna<'b>(c:&'bstr)->char{}");
    }

    #[test]
    fn nothing_moves_to_another_line() {
        let text = "a\n\"b\nc\" // d\n/* e\nf */ g\n";
        let (code, comments) = split(text);
        assert_eq!((code.len(), comments.len()), (text.len(), text.len()));
        assert_eq!(code.lines().count(), text.lines().count());
        assert_eq!(code.lines().nth(4).map(str::trim), Some("g"));
    }

    #[test]
    fn unfinished_text_is_taken_as_it_is() {
        for text in ["\"a", "/* a", "r#\"a", "'", "'\\", "b'"] {
            let (code, comments) = split(text);
            assert_eq!((code.len(), comments.len()), (text.len(), text.len()), "{text:?}");
        }
    }
}
