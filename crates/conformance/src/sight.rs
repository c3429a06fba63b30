//! Owns what one end saw of its connection: bytes, how it ended, and when; and how that is judged and
//! put into words. Pure.

use std::{io, time::Duration};

use rustix::io::Errno;

use crate::{case::Side, outcome::Miss};

/// What an end saw, from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Whose.
    pub side: Side,
    /// Bytes of the stream that arrived meanwhile.
    pub bytes: u64,
    /// The first place in the stream where a byte is not what was sent.
    pub wrong_at: Option<u64>,
    /// How the connection ended, if it did.
    pub ending: Option<Ending>,
    /// When that was, or how long it was watched.
    pub at: Duration,
}

/// How an end learns that nothing more will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// End of the stream: the other side has said all (RFC 9293 3.6).
    Fin,
    /// Broken off: ECONNRESET, or EPIPE after a FIN (RFC 9293 3.10.7.4; linux net/ipv4/tcp_input.c `tcp_reset`).
    Reset,
    /// This host's own kernel gave up, and was not told anything.
    GaveUp,
    /// Another error.
    Error(i32),
}

impl Ending {
    /// What an error of a system call means.
    pub(crate) fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::CONNRESET | Errno::PIPE) => Self::Reset,
            Some(Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH) => Self::GaveUp,
            other => Self::Error(other.map_or(0, Errno::raw_os_error)),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset => "rst",
            Self::GaveUp => "gave up",
            Self::Error(_) => "error",
        }
    }

    fn said(self) -> String {
        match self {
            Self::Fin => "a clean FIN".to_owned(),
            Self::Reset => "RST".to_owned(),
            Self::GaveUp => "the time-out of its own kernel".to_owned(),
            Self::Error(number) => format!("the error {number}"),
        }
    }
}

impl Sight {
    /// What was seen, for a table: `fin@20.4`, `rst@0.0`, `never`.
    pub fn brief(&self) -> String {
        let at = self.at.as_secs_f64();
        self.ending.map_or_else(|| "never".to_owned(), |end| format!("{}@{at:.1}", end.word()))
    }

    /// Demands these bytes, all right, and then FIN.
    ///
    /// # Errors
    /// [`Miss::Failed`] with what was seen.
    pub fn fin_after(self, bytes: u64) -> Result<Self, Miss> {
        if self.ending == Some(Ending::Fin) && self.bytes == bytes && self.wrong_at.is_none() {
            return Ok(self);
        }
        let brief = match self.ending {
            Some(Ending::Fin) if self.wrong_at.is_some() => format!("corrupt: {}", self.brief()),
            Some(Ending::Fin) | None => format!("{} of {bytes} B: {}", self.bytes, self.brief()),
            Some(_) => self.brief(),
        };
        Err(Miss::failed(brief, format!("{}; {bytes} bytes and then FIN were due", self.said())))
    }

    /// Demands these bytes, all right, and no end.
    ///
    /// # Errors
    /// [`Miss::Failed`] with what was seen.
    pub fn open_after(self, bytes: u64) -> Result<Self, Miss> {
        if self.ending.is_none() && self.bytes == bytes && self.wrong_at.is_none() {
            return Ok(self);
        }
        let brief = match self.ending {
            None => format!("{} of {bytes} B", self.bytes),
            Some(_) => self.brief(),
        };
        let due = format!("{bytes} bytes and a connection that stays open were due");
        Err(Miss::failed(brief, format!("{}; {due}", self.said())))
    }

    /// Demands a reset. Bytes before it have to be right, however many they are: a reset may overtake some.
    ///
    /// # Errors
    /// [`Miss::Failed`] with what was seen.
    pub fn reset(self) -> Result<Self, Miss> {
        match self.ending {
            Some(Ending::Reset) if self.wrong_at.is_none() => Ok(self),
            Some(Ending::Fin) => Err(Miss::failed(
                self.brief(),
                format!(
                    "the {} was told after {}, but by a clean FIN: what it got looks complete",
                    self.side,
                    seconds(self.at)
                ),
            )),
            _ => Err(Miss::failed(self.brief(), format!("{}; RST was due", self.said()))),
        }
    }

    /// What was seen, in words.
    pub fn said(&self) -> String {
        let Self { side, bytes, .. } = self;
        let wrong = self.wrong_at.map_or_else(String::new, |at| format!(", wrong from byte {at}"));
        let at = seconds(self.at);
        match self.ending {
            None => format!("the {side} saw {bytes} bytes{wrong} and no end in {at}"),
            Some(end) => {
                format!("the {side} saw {bytes} bytes{wrong} and {} after {at}", end.said())
            }
        }
    }
}

/// A time as cases tell it: `0.02 s`, `20.4 s`.
pub(crate) fn seconds(time: Duration) -> String {
    let digits = if time < Duration::from_secs(1) { 2 } else { 1 };
    format!("{:.digits$} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Sight = Sight {
        side: Side::Client,
        bytes: 10,
        wrong_at: None,
        ending: Some(Ending::Fin),
        at: Duration::from_millis(20_420),
    };

    fn missed(judged: Result<Sight, Miss>) -> String {
        match judged.unwrap_err() {
            Miss::Failed { brief, said } => format!("{brief}: {said}"),
            other => other.to_string(),
        }
    }

    #[test]
    fn a_clean_end_where_a_reset_is_due_says_when_and_by_what() {
        assert_eq!(
            missed(BASE.reset()),
            "fin@20.4: the client was told after 20.4 s, but by a clean FIN: what it got looks complete"
        );
        assert!(Sight { ending: Some(Ending::Reset), ..BASE }.reset().is_ok());
    }

    #[test]
    fn the_kernel_that_gives_up_by_itself_was_not_told() {
        let sight = Sight { ending: Some(Ending::GaveUp), ..BASE };
        assert!(missed(sight.reset()).starts_with("gave up@20.4: "));
    }

    #[test]
    fn silence_where_a_reset_is_due_is_never() {
        let said = missed(Sight { ending: None, bytes: 0, ..BASE }.reset());
        assert_eq!(said, "never: the client saw 0 bytes and no end in 20.4 s; RST was due");
    }

    #[test]
    fn a_stream_has_to_be_whole_and_right_to_end_well() {
        assert!(BASE.fin_after(10).is_ok());
        assert!(missed(BASE.fin_after(11)).starts_with("10 of 11 B: fin@20.4: "));
        let wrong = Sight { wrong_at: Some(4), ..BASE };
        assert!(missed(wrong.fin_after(10)).starts_with("corrupt: "));
        assert!(missed(BASE.open_after(10)).starts_with("fin@20.4: "));
    }

    #[test]
    fn right_bytes_before_a_reset_may_be_few_but_wrong_ones_are_a_failure() {
        let reset = Sight { ending: Some(Ending::Reset), ..BASE };
        assert!(Sight { bytes: 0, ..reset }.reset().is_ok());
        assert!(Sight { wrong_at: Some(3), ..reset }.reset().is_err());
    }
}
