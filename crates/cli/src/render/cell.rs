//! Owns what may stand in a line of text: foreign text escaped, widths measured, lines cut and wrapped.
//! Read: Unicode UAX #11 (width) and UAX #9 (the marks that turn text around).

use unicode_width::UnicodeWidthStr as _;

/// `text` with everything escaped that could move the cursor, turn text around or hide itself:
/// a process may call itself what it likes.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || is_invisible(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// Marks that change how their neighbours are shown, or that show nothing.
const fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// How many columns `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// `text` padded with spaces to `columns`.
pub(super) fn padded(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// The beginning of `text`, with `…` where something is missing.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = head(text, columns.saturating_sub(1));
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// Both ends of `text`, with `…` between: of an address, the network and the port tell most.
pub(super) fn cut_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let reversed: String = text.chars().rev().collect();
    let tail: String = head(&reversed, room.div_ceil(2)).chars().rev().collect();
    format!("{}…{tail}", head(text, room - room.div_ceil(2)))
}

fn head(text: &str, columns: usize) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        out.push(letter);
        if width(&out) > columns {
            out.pop();
            break;
        }
    }
    out
}

/// `text` in lines of at most `columns`, the first after `first`, the others after as many spaces.
/// A word longer than a line stays whole: commands are to be pasted.
pub(crate) fn wrapped(first: &str, text: &str, columns: usize) -> String {
    let indent = width(first);
    let (mut out, mut used, mut fresh) = (first.to_owned(), indent, true);
    for word in text.split_whitespace() {
        if !fresh && used + 1 + width(word) > columns {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            (used, fresh) = (indent, true);
        }
        if !fresh {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += width(word);
        fresh = false;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn foreign_text_cannot_reach_the_terminal() {
        assert_eq!(escaped("evil\x1b[2Jname"), "evil\\u{1b}[2Jname");
        assert_eq!(escaped("a\nb\u{9b}c\u{202e}d"), "a\\nb\\u{9b}c\\u{202e}d");
        assert_eq!(escaped("café 東京"), "café 東京");
    }

    #[test]
    fn cutting_says_that_something_is_missing() {
        assert_eq!(cut("keepalive is off", 12), "keepalive i…");
        assert_eq!(cut("keepalive is off", 16), "keepalive is off");
        assert_eq!(cut("東京東京", 4), "東…");
        assert_eq!(cut_middle("[2001:db8:85a3::8a2e:370:7334]:443", 17), "[2001:db…334]:443");
    }

    #[test]
    fn wrapping_indents_and_keeps_words_whole() {
        assert_eq!(wrapped("a: ", "one two three", 9), "a: one\n   two\n   three\n");
        assert_eq!(wrapped("- ", "averyveryverylongword x", 8), "- averyveryverylongword\n  x\n");
    }

    proptest! {
        #[test]
        fn no_cut_is_wider_than_asked(text in "\\PC*", columns in 1usize..60) {
            prop_assert!(width(&cut(&text, columns)) <= columns);
            prop_assert!(width(&cut_middle(&text, columns)) <= columns);
        }

        #[test]
        fn nothing_escaped_is_a_control(text in any::<String>()) {
            prop_assert!(!escaped(&text).chars().any(char::is_control));
        }
    }
}
