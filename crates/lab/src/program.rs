//! Owns a program that runs on a host of the lab: what it is told, what it says, how it ends.
//! Knows nothing of networks.

use std::{
    collections::VecDeque,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ExitStatus},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use halfopen_core::Moment;
use rustix::process::{Pid, Signal, kill_process};

use crate::{bell::Bell, wait};

/// A program on a host. It is killed when this value is dropped, and dies with its host.
#[derive(Debug)]
pub struct Program {
    name: String,
    /// `nsenter`, which waits for the program itself and ends as it did.
    entry: Child,
    input: Option<ChildStdin>,
    said: Arc<Said>,
}

/// A line that a program wrote to its standard output or standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was read.
    pub at: Moment,
    /// Without its end of line; what is not UTF-8 is replaced.
    pub text: String,
}

impl Program {
    /// Takes over `entry`, whose three standard streams are pipes.
    pub(crate) fn new(name: String, mut entry: Child) -> io::Result<Self> {
        let input = entry.stdin.take();
        let said = Arc::new(Said::default());
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            entry.stdout.take().map(|stream| Box::new(stream) as _),
            entry.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        let program = Self { name, entry, input, said };
        for stream in streams.into_iter().flatten() {
            let said = Arc::clone(&program.said);
            thread::Builder::new()
                .name(format!("output of {}", program.name))
                .spawn(move || said.read_all(stream))?;
        }
        Ok(program)
    }

    /// The name of the command.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes `text` and an end of line to the program's standard input.
    ///
    /// # Errors
    /// What write(2) answers; [`io::ErrorKind::BrokenPipe`] where the program has ended.
    pub fn type_line(&mut self, text: &str) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(format!("{text}\n").as_bytes())?;
        input.flush()
    }

    /// The next line that the program wrote, if it comes `within` this time.
    pub fn line(&self, within: Duration) -> Option<Line> {
        self.said.next(within)
    }

    /// Reads lines until one contains `text`, if it comes `within` this time. Lines before it are passed over.
    pub fn line_with(&self, text: &str, within: Duration) -> Option<Line> {
        let deadline = Instant::now() + within;
        loop {
            let line = self.said.next(deadline.saturating_duration_since(Instant::now()))?;
            if line.text.contains(text) {
                return Some(line);
            }
        }
    }

    /// Rings `bell` at every line from now on, and when the program says nothing more.
    pub(crate) fn rings(&self, bell: Arc<Bell>) {
        self.said.lock().bell = Some(bell);
    }

    /// How the program ended, if it ends `within` this time.
    ///
    /// # Errors
    /// What waitpid(2) answers.
    pub fn ended(&mut self, within: Duration) -> io::Result<Option<ExitStatus>> {
        wait::until(within, || self.entry.try_wait().transpose()).transpose()
    }

    /// The program's pid as this process sees it, once it runs. `None` before and after.
    pub fn pid(&self) -> Option<u32> {
        child_of(self.entry.id())
    }

    /// Ends the program with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// What waitpid(2) answers.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        // Killing `nsenter` alone would leave the program without a parent that waits for it.
        let ended = wait::until(KILL_WITHIN, || {
            if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
                // It may have ended just now, and then there is nothing left to do.
                let _ = kill_process(pid, Signal::KILL);
            }
            self.entry.try_wait().transpose()
        });
        ended.unwrap_or_else(|| {
            self.entry.kill()?;
            self.entry.wait()
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !matches!(self.entry.try_wait(), Ok(Some(_))) {
            // Nothing can be done here about a failure; the end of the host ends the program too.
            let _ = self.kill();
        }
    }
}

/// Far longer than the kernel takes to end a process, short beside a test's patience.
const KILL_WITHIN: Duration = Duration::from_secs(2);

/// The first process whose parent is `parent`.
fn child_of(parent: u32) -> Option<u32> {
    fs::read_dir("/proc").ok()?.find_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        (parent_in(&stat)? == parent).then_some(pid)
    })
}

/// The parent in the text of /proc/PID/stat, whose second field may contain spaces and brackets.
pub(crate) fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The lines that were written and not yet read.
#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<Line>,
    streams_ended: usize,
    bell: Option<Arc<Bell>>,
}

impl Said {
    fn read_all(&self, stream: impl Read) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut bytes = Vec::new();
            let read = stream.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes);
            let at = halfopen_sys::now();
            let mut lines = self.lock();
            match read {
                Ok(1..) => {
                    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                    if lines.waiting.len() >= LINES_MAX {
                        lines.waiting.pop_front();
                    }
                    lines.waiting.push_back(Line { at, text });
                }
                _ => lines.streams_ended += 1,
            }
            self.changed.notify_all();
            if let Some(bell) = &lines.bell {
                bell.ring();
            }
            if !matches!(read, Ok(1..)) {
                return;
            }
        }
    }

    fn next(&self, within: Duration) -> Option<Line> {
        let mut lines = self
            .changed
            .wait_timeout_while(self.lock(), within, |lines| {
                lines.waiting.is_empty() && lines.streams_ended < STREAMS
            })
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        lines.waiting.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Standard output and standard error.
const STREAMS: usize = 2;

/// 1,000 unread lines: no program of a rehearsal says more between two looks. The oldest go first.
const LINES_MAX: usize = 1_000;

/// 64 KiB: a longer line is cut into several, so that a program cannot fill the memory.
const LINE_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_a_name_with_brackets_and_spaces() {
        assert_eq!(parent_in("12 (a) b (c) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in("12 (a"), None);
    }

    #[test]
    fn unread_lines_are_bounded_and_the_oldest_go_first() {
        let said = Said::default();
        let text: String = (0..LINES_MAX + 5).map(|number| format!("{number}\n")).collect();
        said.read_all(text.as_bytes());
        assert_eq!(said.next(Duration::ZERO).map(|line| line.text), Some("5".to_owned()));
        assert_eq!(said.lock().waiting.len(), LINES_MAX - 1);
    }

    #[test]
    fn waiting_for_a_line_ends_when_nobody_can_write_one() {
        let said = Said::default();
        said.read_all(&b""[..]);
        said.read_all(&b""[..]);
        assert_eq!(said.next(Duration::from_secs(60)), None);
    }
}
