//! Owns what the TOML files of all verbs share: values that are written as texts, and how a slip is told.
//! Reads no file.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// A value that is written as a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Text<T>(pub(crate) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

/// What is wrong with `text`, in one line: `LINE: WHAT`, and what to do where the library does not say it.
pub(crate) fn slip(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    let what = error.message().replace('\n', " ");
    let remedy = if what.contains("unknown field") {
        "; correct the name, or remove the line"
    } else if what.contains("expected a nonzero u32") {
        "; write a whole number from 1 to 4294967295"
    } else if what.contains("expected u32") {
        "; write a whole number up to 4294967295"
    } else if what.contains("expected a string") {
        "; put it in double quotes"
    } else {
        ""
    };
    format!("{line}: {what}{remedy}")
}
