//! Owns the words that start one of the pair, and the lines that it tells. Pure.

use std::{net::SocketAddr, time::Duration};

use halfopen_core::Span;

use crate::{
    fault::Side,
    scenario::{Keepalive, Pair, State},
};

/// Which of the pair a process is to be, and how it is to behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Client or server.
    pub side: Side,
    /// Where the client connects to, and the server listens.
    pub address: SocketAddr,
    /// The server keeps its direction open when the client has closed the other.
    pub keeps_open: bool,
    /// How both behave.
    pub pair: Pair,
}

impl Role {
    /// The arguments that stand for it on a command line.
    pub fn words(&self) -> Vec<String> {
        let Pair { state, keepalive, user_timeout, every, reconnect } = &self.pair;
        let millis = |span: Duration| format!("{}ms", span.as_millis());
        let keepalive = keepalive.map_or_else(
            || "off".to_owned(),
            |keepalive| {
                let Keepalive { idle, interval, probes } = keepalive;
                format!("{}s/{}s/{probes}", idle.as_secs(), interval.as_secs())
            },
        );
        let user_timeout = user_timeout.map_or_else(|| "off".to_owned(), millis);
        vec![
            self.side.word().to_owned(),
            self.address.to_string(),
            state.word().to_owned(),
            keepalive,
            user_timeout,
            millis(*every),
            if *reconnect { "reconnects" } else { "gives-up" }.to_owned(),
            if self.keeps_open { "keeps-open" } else { "closes" }.to_owned(),
        ]
    }

    /// The role that `words` stand for; `None` where they are not as [`Role::words`] writes them.
    pub fn from_words(words: &[String]) -> Option<Self> {
        let [side, address, state, keepalive, user_timeout, every, reconnect, keeps_open] = words
        else {
            return None;
        };
        let span = |text: &str| Some(text.parse::<Span>().ok()?.0);
        let pair = Pair {
            state: State::ALL.into_iter().find(|known| known.word() == state)?,
            keepalive: match keepalive.as_str() {
                "off" => None,
                text => Some(text.parse().ok()?),
            },
            user_timeout: match user_timeout.as_str() {
                "off" => None,
                text => Some(span(text)?),
            },
            every: span(every)?,
            reconnect: reconnect == "reconnects",
        };
        Some(Self {
            side: Side::BOTH.into_iter().find(|known| known.word() == side)?,
            address: address.parse().ok()?,
            keeps_open: keeps_open == "keeps-open",
            pair,
        })
    }
}

/// What a line of the pair tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// The client wrote message N (again, if it has before).
    Sent(u64),
    /// The server read message N.
    Read(u64),
    /// The client read the answer to message N.
    Answered(u64),
    /// A connection ended, and how.
    Ended(&'a str),
}

impl<'a> Told<'a> {
    /// From a line; `None` for those that tell something else.
    pub fn from_line(line: &'a str) -> Option<Self> {
        let (verb, rest) = line.split_once(' ')?;
        match verb {
            "sent" => Some(Self::Sent(rest.parse().ok()?)),
            "read" => Some(Self::Read(rest.parse().ok()?)),
            "answered" => Some(Self::Answered(rest.parse().ok()?)),
            "ended:" => Some(Self::Ended(rest)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_back_as_it_was_written() {
        for side in Side::BOTH {
            for state in State::ALL {
                let keepalive = Keepalive {
                    idle: Duration::from_secs(1),
                    interval: Duration::from_secs(2),
                    probes: 3,
                };
                let pair = Pair {
                    state,
                    keepalive: (state == State::Idle).then_some(keepalive),
                    user_timeout: (state == State::Writing).then_some(Duration::from_millis(2500)),
                    reconnect: state == State::Waiting,
                    ..Pair::default()
                };
                let address = match side {
                    Side::Client => "10.0.0.7:7000".parse().unwrap(),
                    Side::Server => "[fd00::a00:207]:7000".parse().unwrap(),
                };
                let role = Role { side, address, keeps_open: side == Side::Server, pair };
                assert_eq!(Role::from_words(&role.words()), Some(role));
            }
        }
        assert_eq!(Role::from_words(&["client".to_owned()]), None);
    }

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(Told::from_line("sent 3"), Some(Told::Sent(3)));
        assert_eq!(Told::from_line("ended: ETIMEDOUT"), Some(Told::Ended("ETIMEDOUT")));
        assert_eq!(Told::from_line("connected"), None);
    }
}
