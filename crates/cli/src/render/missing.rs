//! Owns how a text tells what is missing from it, below what it shows.

use std::io::{self, Write};

use super::cell::{escaped, wrapped};
use crate::picture::Picture;

/// Writes what could not be seen, as far as it concerns what is shown.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_missing(
    out: &mut impl Write,
    picture: &Picture,
    width: usize,
) -> io::Result<()> {
    picture.missing().try_for_each(|unseen| {
        let text = format!("{}: {}", escaped(&unseen.what), escaped(&unseen.why));
        write!(out, "{}", wrapped("not seen: ", &text, width))
    })
}
