//! Owns words that are put together where they are written, since there may be very many of them.

use std::fmt::Display;

use serde::{Serialize, Serializer};

/// The string that something displays as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_string_that_it_displays_as_escaped() {
        let written = |text: &str| serde_json::to_string(&Text(text)).unwrap();
        for text in ["", "1f3a@4026531840", "a \"quoted\" one\n\u{1b}[2J \u{fffd}"] {
            assert_eq!(written(text), serde_json::to_string(text).unwrap());
        }
    }
}
