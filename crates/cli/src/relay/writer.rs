//! Owns the way of the log's lines to standard output: out of threads of its own, so that a reader that has
//! stopped stops neither a connection nor a signal. What a line says is in `log`.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use halfopen_relay::{Gauges, Notice};
use jiff::Timestamp;

use super::log::{self, Entry};
use crate::exit::Failure;

/// Writes the lines of a relay.
#[derive(Debug)]
pub(super) struct Writer {
    out: Arc<Mutex<File>>,
    own: Sender<String>,
    threads: Vec<JoinHandle<()>>,
}

impl Writer {
    /// Begins with the lines that [`Writer::tell`] is given.
    ///
    /// # Errors
    /// [`Failure::System`] where there is no descriptor or thread for it.
    pub(super) fn start() -> Result<Self, Failure> {
        // Not by `io::stdout`: whoever else needs its lock would wait for the reader, too.
        let out = io::stdout().as_fd().try_clone_to_owned().map_err(|error| refused(&error))?;
        let out = Arc::new(Mutex::new(File::from(out)));
        let (own, lines) = mpsc::channel::<String>();
        let mut writer = Self { out, own, threads: Vec::new() };
        let out = Arc::clone(&writer.out);
        writer.spawn(move || lines.iter().for_each(|line| write(&out, [line].into_iter())))?;
        Ok(writer)
    }

    /// Goes on with a line for every notice, too.
    ///
    /// # Errors
    /// As [`Writer::start`].
    pub(super) fn follow(
        &mut self,
        notices: Receiver<Notice>,
        gauges: Gauges,
        as_json: bool,
    ) -> Result<(), Failure> {
        let out = Arc::clone(&self.out);
        self.spawn(move || {
            let mut lost = 0;
            while let Ok(first) = notices.recv() {
                let at = Timestamp::now();
                let told = std::iter::once(first).chain(notices.try_iter().take(LINES_AT_A_TIME));
                write(&out, told.map(|notice| log::line(&Entry::Notice(&notice), at, as_json)));
                let dropped = gauges.dropped_notices();
                if dropped > lost {
                    write(&out, [log::line(&Entry::Lost(dropped - lost), at, as_json)].into_iter());
                    lost = dropped;
                }
                // Lines of a busy relay are written together: a wake-up for each costs as much as a tenth
                // of a connection.
                thread::sleep(LINES_TOGETHER);
            }
        })
    }

    /// Has a line written, and does not wait for it.
    pub(super) fn tell(&self, line: String) {
        // Its thread ends with this sender.
        let _ = self.own.send(line);
    }

    /// Waits until all is written, or until nobody has read for too long. The relay is gone by now.
    pub(super) fn end(self) {
        let Self { out: _, own, threads } = self;
        drop(own);
        let deadline = Instant::now() + LAST_LINES;
        while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn spawn(&mut self, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        let thread = thread::Builder::new().name("log".to_owned());
        self.threads.push(thread.spawn(work).map_err(|error| refused(&error))?);
        Ok(())
    }
}

fn refused(error: &io::Error) -> Failure {
    Failure::System(format!("cannot start the log: {error}"))
}

fn write(out: &Mutex<File>, lines: impl Iterator<Item = String>) {
    let text: String = lines.map(|line| line + "\n").collect();
    // A log that nobody reads any more stops no connection.
    let _ = out.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes());
}

/// One write for a burst of lines.
const LINES_AT_A_TIME: usize = 4096;
/// Nobody who reads along sees the difference, and the queue holds what comes meanwhile.
const LINES_TOGETHER: Duration = Duration::from_millis(20);
/// A reader that is only slow has taken a pipe's worth of lines within it.
const LAST_LINES: Duration = Duration::from_secs(2);
