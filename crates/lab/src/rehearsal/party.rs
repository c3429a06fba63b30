//! Owns the programs of one side: what they said, and how they ended. Knows nothing of networks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::process::ExitStatusExt as _,
    time::Duration,
};

use halfopen_core::Moment;

use crate::{
    pair::Told,
    program::{Line, Program},
};

/// The programs of one side.
#[derive(Debug, Default)]
pub(super) struct Party {
    program: Option<Program>,
    /// Every line, in order.
    pub(super) said: Vec<Line>,
    /// When the program ended, and how.
    pub(super) ended: Option<(Moment, String)>,
    /// How many lines of the scenario were typed.
    pub(super) typed: usize,
    /// What there was before the client came.
    pub(super) before: Option<Count>,
    /// The numbers of the built-in pair: those written, and how often each was read.
    pub(super) sent: BTreeSet<u64>,
    pub(super) read: BTreeMap<u64, u32>,
}

/// What the programs of a host hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) descriptors: i64,
    pub(super) processes: i64,
}

impl Count {
    /// Counts for these processes; those that end meanwhile count as gone.
    pub(super) fn of(pids: &[u32]) -> Self {
        let descriptors =
            pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok());
        Self {
            descriptors: descriptors.map(|entries| entries.count() as i64).sum(),
            processes: pids.len() as i64,
        }
    }
}

impl Party {
    /// Takes over a program that was started; an earlier one has ended with its host.
    pub(super) fn take(&mut self, program: Program) {
        self.program = Some(program);
        self.ended = None;
    }

    /// Lets go of a program that ended with its host.
    pub(super) fn lose(&mut self) {
        self.program = None;
    }

    /// Takes up what the program has said, and whether it has ended.
    pub(super) fn listen(&mut self) {
        let Some(program) = &mut self.program else { return };
        while let Some(line) = program.line(Duration::ZERO) {
            match Told::from_line(&line.text) {
                Some(Told::Sent(number)) => {
                    self.sent.insert(number);
                }
                Some(Told::Read(number)) => *self.read.entry(number).or_default() += 1,
                _ => {}
            }
            if self.said.len() < LINES_MAX {
                self.said.push(line);
            }
        }
        if self.ended.is_none()
            && let Ok(Some(status)) = program.ended(Duration::ZERO)
        {
            let how = match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit {code}"),
                (None, Some(signal)) => format!("killed by signal {signal}"),
                (None, None) => "ended".to_owned(),
            };
            self.ended = Some((halfopen_sys::now(), how));
        }
    }

    pub(super) fn type_line(&mut self, line: &str) -> io::Result<()> {
        match &mut self.program {
            Some(program) => program.type_line(line),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Its first line, which tells what went wrong, its last two, and how it ended; for errors. What it said
    /// at its end may still be on the way.
    pub(super) fn last_words(&mut self) -> String {
        while let Some(line) = self.program.as_mut().and_then(|program| program.line(ON_THE_WAY))
            && self.said.len() < LINES_MAX
        {
            self.said.push(line);
        }
        let skipped = self.said.len().saturating_sub(3);
        let lines = self.said.iter().enumerate();
        let told = lines.filter(|(number, _)| *number == 0 || *number > skipped);
        let ended = self.ended.as_ref().map(|(_, how)| how.as_str());
        let words: Vec<_> = told.map(|(_, line)| line.text.trim()).chain(ended).collect();
        if words.is_empty() { "it said nothing".to_owned() } else { words.join("; ") }
    }
}

/// From a pipe to us, on a busy machine.
const ON_THE_WAY: Duration = Duration::from_millis(300);

/// A program that says more than this is heard, and its words are not kept.
const LINES_MAX: usize = 20_000;
