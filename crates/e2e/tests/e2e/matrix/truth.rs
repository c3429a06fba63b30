//! What really happened, whatever the program said: what the application is told when it asks, and
//! what the peer's kernel has.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Write as _},
    mem::MaybeUninit,
    time::Duration,
};

use halfopen_core::{Sample, TcpState};
use socket2::Socket;

use super::{
    condition::Condition,
    kind::Kind,
    stage::{Actor, Stage, look_until},
};

/// Longer than a peer that is there takes to acknowledge, its reset included.
const ANSWER: Duration = Duration::from_millis(1_500);

/// What the application finds, for every connection in the order of the actors.
pub(super) fn applications(stage: &Stage) -> Vec<String> {
    let first: Vec<_> = stage.actors.iter().map(first_call).collect();
    // A word into each that has not said anything wrong, and then the answers to all of them.
    let spoke = |(actor, first): (&Actor, &Option<String>)| {
        let open = first.as_deref().is_some_and(|said| said == WAITS || said == END_OF_FILE);
        (open && actor.kind.may_send()).then(|| send(actor.socket.as_ref()?).err()).flatten()
    };
    let sent: Vec<_> = stage.actors.iter().zip(&first).map(spoke).collect();
    let is_answered = |actor: &Actor, samples: &[Sample]| {
        actor.in_table(samples).is_none_or(|sample| sample.in_flight() == Some(false))
    };
    let speaks = |actor: &&Actor| actor.kind.may_send();
    let _ = look_until(ANSWER, || {
        let samples = stage.near_samples();
        let mut speaking = stage.actors.iter().filter(speaks);
        speaking.all(|actor| is_answered(actor, &samples)).then_some(())
    });
    let samples = stage.near_samples();
    stage
        .actors
        .iter()
        .zip(first.into_iter().zip(sent))
        .map(|(actor, (first, sent))| {
            let Some(first) = first else { return "nobody".to_owned() };
            if let Some(error) = sent {
                return format!("{first}, then {error}");
            }
            let sample = actor.in_table(&samples);
            match actor.kind {
                _ if first != WAITS && first != END_OF_FILE => first,
                kind if kind.may_send() && sample.is_none() => {
                    format!("{first}, its next word is reset")
                }
                kind if kind.may_send() || kind == Kind::DataOutstanding => {
                    let answered = is_answered(actor, &samples);
                    let told = if answered { "its words arrive" } else { "its words are lost" };
                    format!("{first}, {told}")
                }
                Kind::SynSent => "still connects".to_owned(),
                _ => first,
            }
        })
        .collect()
}

const WAITS: &str = "waits";
const END_OF_FILE: &str = "end of file";

/// What reading says. `None` where no process is left to read.
fn first_call(actor: &Actor) -> Option<String> {
    let socket = actor.socket.as_ref()?;
    socket.set_nonblocking(true).unwrap();
    Some(match socket.peek(&mut [MaybeUninit::uninit(); 1]) {
        Ok(0) => END_OF_FILE.to_owned(),
        Ok(_) => "data".to_owned(),
        Err(error) if error.kind() == ErrorKind::WouldBlock => WAITS.to_owned(),
        Err(error) => name(&error),
    })
}

fn send(mut socket: &Socket) -> Result<(), String> {
    socket.write(b"?").map(drop).map_err(|error| name(&error))
}

fn name(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionAborted => "ECONNABORTED".to_owned(),
        ErrorKind::ConnectionReset => "ECONNRESET".to_owned(),
        ErrorKind::ConnectionRefused => "ECONNREFUSED".to_owned(),
        ErrorKind::TimedOut => "ETIMEDOUT".to_owned(),
        ErrorKind::BrokenPipe => "EPIPE".to_owned(),
        ErrorKind::NotConnected => "ENOTCONN".to_owned(),
        _ => error.to_string(),
    }
}

/// The peer's end of each connection, before: state, and how many bytes its application was sent.
pub(super) struct Far(Vec<Option<(TcpState, Option<u64>)>>);

impl Far {
    pub(super) fn of(stage: &Stage) -> Self {
        stage.settle();
        let samples = stage.far_samples();
        let seen = |actor: &Actor| {
            let sample = actor.in_far_table(&samples)?;
            let bytes = sample.info.as_ref().and_then(|info| info.bytes_received);
            Some((sample.state, bytes))
        };
        Self(stage.actors.iter().map(seen).collect())
    }

    /// What became of the peer's ends since.
    pub(super) fn since(&self, stage: &Stage) -> Vec<String> {
        let Self(before) = self;
        let Self(after) = Self::of(stage);
        let told = |(before, after): (&Option<(TcpState, _)>, Option<(TcpState, _)>)| match (
            before, after,
        ) {
            (None, _) if stage.condition == Condition::Rebooted => "has none".to_owned(),
            (None, None) => "has none".to_owned(),
            (None, Some((state, _))) => format!("now {state}"),
            (Some(_), None) => "was reset".to_owned(),
            (Some((before, _)), Some((after, _))) if *before == after => "has it".to_owned(),
            (Some(_), Some((state, _))) => format!("now {state}"),
        };
        before.iter().zip(after).map(told).collect()
    }

    /// The bytes that each peer's application has got.
    pub(super) fn bytes(&self) -> BTreeMap<usize, u64> {
        let Self(ends) = self;
        ends.iter().enumerate().filter_map(|(at, end)| Some((at, end.as_ref()?.1?))).collect()
    }
}
