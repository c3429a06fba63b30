//! Owns what the terminal is and may be given: its width, whether to colour, the screen of `--watch`.
//! Read: <https://no-color.org>, ECMA-48 (the sequences), console_codes(4).

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{args::Color, render::Paint};

/// What the answer is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Standard output is a terminal.
    pub is_terminal: bool,
    /// Columns, also for a pipe.
    pub width: usize,
    /// Rows, if it is a terminal that says so.
    pub height: Option<usize>,
}

/// What is assumed of a pipe: the width that mail, tickets and small screens have in common.
const WIDTH_OF_A_PIPE: usize = 80;

/// Narrower than this, no table can be drawn, and what claims to be narrower is mostly wrong (0).
const WIDTH_MIN: usize = 40;

impl Terminal {
    /// What standard output is now.
    pub(crate) fn of_stdout() -> Self {
        let stdout = io::stdout();
        let size =
            if stdout.is_terminal() { rustix::termios::tcgetwinsize(&stdout).ok() } else { None };
        let known = size.filter(|size| size.ws_col > 0);
        Self {
            is_terminal: stdout.is_terminal(),
            width: known.map_or(WIDTH_OF_A_PIPE, |size| usize::from(size.ws_col)).max(WIDTH_MIN),
            height: known.map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0),
        }
    }

    /// Whether to colour, by what was asked for, what NO_COLOR says, and where the answer goes.
    pub(crate) fn paint(&self, color: Color) -> Paint {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Paint::when(match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => self.is_terminal && !refused,
        })
    }
}

/// Whether the alternate screen is up, for whoever has to end the process from elsewhere.
static SCREEN_IS_UP: AtomicBool = AtomicBool::new(false);

/// The terminal's alternate screen, without a cursor. Dropping it brings back what was there before.
#[derive(Debug)]
pub(crate) struct Screen(());

impl Screen {
    /// Takes the screen.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn enter() -> io::Result<Self> {
        SCREEN_IS_UP.store(true, Ordering::SeqCst);
        let screen = Self(());
        put("\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J")?;
        Ok(screen)
    }

    /// Draws `frame` over the last one, cut at `height` rows, without a flicker in between.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn draw(&self, frame: &str, height: usize) -> io::Result<()> {
        put(&fitted(frame, height))
    }
}

/// One frame as the terminal wants it: each line erases what stood behind it, and the rest of the
/// screen is erased below. What does not fit is counted on the last row.
fn fitted(frame: &str, height: usize) -> String {
    let lines: Vec<_> = frame.lines().collect();
    let rows = height.max(2);
    let shown = if lines.len() > rows { rows - 1 } else { lines.len() };
    let mut out = String::from("\x1b[H");
    for (at, line) in lines.iter().take(shown).enumerate() {
        out.push_str(line);
        out.push_str("\x1b[K");
        if at + 1 < lines.len() {
            out.push_str("\r\n");
        }
    }
    if shown < lines.len() {
        out.push_str(&format!("{} lines more than fit this screen\x1b[K", lines.len() - shown));
    }
    out.push_str("\x1b[J");
    out
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was, if the alternate screen is up.
pub(crate) fn restore() {
    if SCREEN_IS_UP.swap(false, Ordering::SeqCst) {
        // If the terminal is gone there is nothing left to restore.
        let _ = put("\x1b[?25h\x1b[?1049l");
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_fits_is_drawn_whole() {
        assert_eq!(fitted("a\nb\n", 2), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J");
    }

    #[test]
    fn a_frame_that_does_not_fit_says_what_is_missing() {
        let drawn = fitted("a\nb\nc\nd\n", 3);
        assert_eq!(
            drawn,
            "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n2 lines more than fit this screen\x1b[K\x1b[J"
        );
    }

    #[test]
    fn asking_for_colour_is_stronger_than_a_pipe() {
        let pipe = Terminal { is_terminal: false, width: 80, height: None };
        assert_eq!(pipe.paint(Color::Always), Paint::when(true));
        assert_eq!(pipe.paint(Color::Auto), Paint::when(false));
    }
}
