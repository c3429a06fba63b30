//! Owns how the process ends: the one table of exit codes, and what happens on a panic.

use std::{io, process::ExitCode};

/// The exit codes. Part of the interface: a number never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Nothing is wrong, or nobody asked whether something is.
    Fine = 0,
    /// Something is wrong with a connection or a listener, and `--check` or `prove` asked.
    Problem = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// What was asked needs more privilege than this process has.
    Privilege = 3,
    /// There is no such connection.
    NoSuchConnection = 4,
    /// A bug of halfopen (EX_SOFTWARE of sysexits.h).
    Bug = 70,
    /// The system refused something that it should not need privilege for (EX_OSERR).
    System = 71,
    /// It could not be judged, and may be if it is tried again (EX_TEMPFAIL).
    TryAgain = 75,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb could not do what was asked. Each message is one sentence: what failed, why, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The operator has to lend more privilege.
    #[error("{0}")]
    Privilege(String),
    /// Nothing matches.
    #[error("{0}")]
    NoSuchConnection(String),
    /// The kernel could not be asked.
    #[error("{0}")]
    System(String),
    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The code that this failure ends with. A reader that went away (`| head`) has had enough, which is fine.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Privilege(_) => Exit::Privilege,
            Self::NoSuchConnection(_) => Exit::NoSuchConnection,
            Self::System(_) => Exit::System,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
            Self::Output(_) => Exit::System,
        }
    }
}

/// Makes a panic, on whichever thread, end the process with code 70 and one sentence that asks for a report.
pub fn report_bugs() {
    std::panic::set_hook(Box::new(|panic| {
        crate::terminal::restore();
        let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        let payload = panic.payload();
        let what = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        eprintln!(
            "halfopen: this is a bug{}: {what}; please report it with the command you ran, to {}",
            place.unwrap_or_default(),
            env!("CARGO_PKG_REPOSITORY"),
        );
        std::process::exit(Exit::Bug as i32);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_fine_and_a_full_disk_is_not() {
        let output = |kind| Failure::Output(io::Error::from(kind)).exit();
        assert_eq!(output(io::ErrorKind::BrokenPipe), Exit::Fine);
        assert_eq!(output(io::ErrorKind::StorageFull), Exit::System);
    }

    #[test]
    fn the_numbers_are_the_documented_ones() {
        let numbers = [
            Exit::Fine,
            Exit::Problem,
            Exit::Usage,
            Exit::Privilege,
            Exit::NoSuchConnection,
            Exit::Bug,
            Exit::System,
            Exit::TryAgain,
        ]
        .map(|exit| exit as u8);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 70, 71, 75]);
    }
}
