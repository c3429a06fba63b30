//! Owns `ls --watch`: frame after frame until interrupted, with what is gone since the last one.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use halfopen_core::Span;
use signal_hook::consts::SIGWINCH;

use crate::{
    args::Ls,
    counted::{self, CountersByNetns, Gone},
    exit::{Exit, Failure},
    look::Look,
    ls,
    picture::Picture,
    render::{TableView, json, wrapped},
    signals,
    terminal::{Screen, Terminal},
};

/// Shorter intervals would watch little but halfopen itself.
const EVERY_MIN: Duration = Duration::from_millis(100);

/// Looks every `every` until SIGINT, SIGTERM or SIGHUP comes, or as often as was asked.
///
/// # Errors
/// [`Failure`] where the host cannot be looked at or a frame cannot be written.
pub(crate) fn run(
    arguments: &Ls,
    look: &Look,
    every: Duration,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let every = every.max(EVERY_MIN);
    let on_terminal = Terminal::of_stdout().is_terminal && !arguments.face.json;
    let signals = signals::listen(on_terminal)?;
    let screen = if on_terminal { Some(Screen::enter()?) } else { None };
    let mut last: Option<(Picture, CountersByNetns)> = None;
    let mut frames = 0u64;
    loop {
        let due = Instant::now() + every;
        let picture = look.take()?;
        let counted = counted::read(&picture);
        let gone = last.as_ref().map_or_else(Vec::new, |(before, counted_before)| {
            counted::gone(before, &picture, counted_before, &counted)
        });
        frames += 1;
        let is_last = arguments.count.is_some_and(|count| frames >= count);
        loop {
            match &screen {
                Some(screen) => redraw(arguments, screen, every, &picture, &gone)?,
                None => append(arguments, &picture, &gone, out)?,
            }
            if is_last {
                return Ok(Exit::Fine);
            }
            match wait(&signals, due) {
                Woken::Due => break,
                Woken::Resized => {}
                Woken::Ended => return Ok(Exit::Fine),
            }
        }
        last = Some((picture, counted));
    }
}

/// Draws a frame over the last one.
fn redraw(
    arguments: &Ls,
    screen: &Screen,
    every: Duration,
    picture: &Picture,
    gone: &[Gone],
) -> Result<(), Failure> {
    let terminal = Terminal::of_stdout();
    let mut frame = Vec::new();
    writeln!(frame, "{}  every {}, Ctrl-C ends", picture.taken_at_text(), Span(every))?;
    write_frame(&mut frame, picture, gone, ls::view(arguments, terminal))?;
    let rows = terminal.height.unwrap_or(ROWS_UNKNOWN);
    screen.draw(&String::from_utf8_lossy(&frame), rows)?;
    Ok(())
}

/// The classic terminal's rows, for one that does not say.
const ROWS_UNKNOWN: usize = 24;

/// Writes a frame below the last one.
fn append(
    arguments: &Ls,
    picture: &Picture,
    gone: &[Gone],
    out: &mut impl Write,
) -> Result<(), Failure> {
    if arguments.face.json {
        json::LsDocument::of(picture).with_gone(gone).write(out, json::Layout::OneLine)?;
    } else {
        writeln!(out, "--- {}", picture.taken_at_text())?;
        write_frame(out, picture, gone, ls::view(arguments, Terminal::of_stdout()))?;
    }
    out.flush()?;
    Ok(())
}

/// Writes what is there, and what is gone.
pub(crate) fn write_frame(
    out: &mut impl Write,
    picture: &Picture,
    gone: &[Gone],
    view: TableView,
) -> io::Result<()> {
    for one in gone {
        let counters = one.counters.join(", ");
        let text = format!("{} -> {}, was {}; {counters}", one.local, one.peer, one.verdict);
        write!(out, "{}", wrapped("gone: ", &text, view.width))?;
    }
    ls::write_text(out, picture, view)
}

/// Why a wait was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    Due,
    Resized,
    Ended,
}

fn wait(signals: &Receiver<i32>, due: Instant) -> Woken {
    match signals.recv_timeout(due.saturating_duration_since(Instant::now())) {
        Err(RecvTimeoutError::Timeout) => Woken::Due,
        Ok(SIGWINCH) => Woken::Resized,
        Ok(_) | Err(RecvTimeoutError::Disconnected) => Woken::Ended,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use signal_hook::consts::SIGINT;

    use super::*;

    #[test]
    fn a_wait_ends_when_it_is_due_or_a_signal_comes() {
        let (sender, receiver) = mpsc::channel();
        assert_eq!(wait(&receiver, Instant::now()), Woken::Due);
        let far = Instant::now() + Duration::from_secs(3600);
        sender.send(SIGWINCH).unwrap();
        assert_eq!(wait(&receiver, far), Woken::Resized);
        sender.send(SIGINT).unwrap();
        assert_eq!(wait(&receiver, far), Woken::Ended);
        drop(sender);
        assert_eq!(wait(&receiver, far), Woken::Ended);
    }
}
