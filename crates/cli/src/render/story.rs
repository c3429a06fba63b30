//! Owns the text face of a story.

use std::io::{self, Write};

use super::{Paint, cell::wrapped};
use crate::story::{Line, Story};

/// Writes `story` for a page of `width` columns.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_story(
    out: &mut impl Write,
    story: &Story,
    width: usize,
    paint: Paint,
) -> io::Result<()> {
    writeln!(out, "{}", paint.heading(wrapped("", &story.title, width).trim_end()))?;
    for section in &story.sections {
        writeln!(out, "\n{}", paint.heading(section.heading))?;
        for line in &section.lines {
            match line {
                Line::Text(text) => write!(out, "{}", wrapped("  ", text, width))?,
                Line::Item(text) => write!(out, "{}", wrapped("  - ", text, width))?,
                Line::Command(command) => writeln!(out, "      {command}")?,
            }
        }
    }
    Ok(())
}
