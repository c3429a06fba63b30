//! Owns what is said on standard error around a run: beforehand what a reset does, and while it
//! takes long how far it has come. Never writes to standard output.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use halfopen_core::{Span, proving::Patience};

use super::{Case, Plan};

/// Tells how far a run has come.
#[derive(Debug)]
pub(crate) struct Progress {
    due: Instant,
    on_terminal: bool,
    /// A line without an end stands on the terminal.
    is_up: bool,
    all: usize,
}

impl Progress {
    /// Says what is about to happen, if anything is.
    pub(crate) fn begin(cases: &[Case], patience: Patience) -> Self {
        let probed = cases.iter().filter(|case| matches!(case.plan, Plan::Probe(..))).count();
        if probed > 0 {
            let connections = if probed == 1 {
                "1 connection".to_owned()
            } else {
                format!("{probed} connections")
            };
            say(&format!(
                "halfopen: testing {connections} with up to {} probes, {} apart; a peer that has \
                 forgotten its connection answers with a reset, and the application then gets \
                 ECONNRESET\n",
                patience.probes(),
                Span(patience.interval()),
            ));
        }
        Self {
            due: Instant::now() + SILENT_FOR,
            on_terminal: io::stderr().is_terminal(),
            is_up: false,
            all: cases.len(),
        }
    }

    /// So many connections are left; said now and then.
    pub(crate) fn tell(&mut self, left: usize) {
        if Instant::now() < self.due || left == 0 {
            return;
        }
        let known = self.all.saturating_sub(left);
        let text = format!("halfopen: {known} of {} connections known", self.all);
        if self.on_terminal {
            say(&format!("\r{text}\x1b[K"));
            self.is_up = true;
        } else {
            say(&format!("{text}\n"));
        }
        self.due = Instant::now() + if self.on_terminal { REDRAWN } else { REPEATED };
    }

    /// Removes the line, to make room for what is written to standard output.
    pub(crate) fn clear(&mut self) {
        if self.is_up {
            say("\r\x1b[K");
            self.is_up = false;
        }
    }
}

fn say(text: &str) {
    // Nowhere is left to complain.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Shorter runs need no company.
const SILENT_FOR: Duration = Duration::from_secs(2);
const REDRAWN: Duration = Duration::from_millis(200);
/// A log is no place for a line every moment.
const REPEATED: Duration = Duration::from_secs(5);
