//! Owns the verb `relay`: turns flags into a plan, runs the relay, and writes its log.
//! What a relay does is in `halfopen-relay`.

mod log;
mod wanted;

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use halfopen_relay::{Notice, Relay, StartError};

use crate::{
    args,
    exit::{Exit, Failure},
    signals,
};

/// Relays until SIGTERM or SIGINT, then until the last connection has ended or the time to drain is
/// over. A second signal ends it at once.
///
/// # Errors
/// [`Failure`] where it cannot start.
pub(crate) fn run(arguments: &args::Relay, out: &mut impl Write) -> Result<Exit, Failure> {
    let plan = wanted::plan(arguments)?;
    let signals = signals::listen(false)?;
    let (relay, notices) = Relay::start(&plan).map_err(failure)?;
    for (service, address) in plan.services.iter().zip(relay.addresses()) {
        let line = log::listening(service, *address, arguments.face.json);
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    let json = arguments.face.json;
    let writer = thread::Builder::new().name("log".to_owned());
    let refused = |error| Failure::System(format!("cannot start the log's thread: {error}"));
    let writer = writer.spawn(move || write_log(&notices, json)).map_err(refused)?;
    wait_for(&signals);
    relay.drain();
    let drain_within = arguments.bounds.drain_within.map_or(DRAIN_WITHIN, |given| given.0);
    let deadline = Instant::now() + drain_within;
    while relay.open_pairs() > 0 && Instant::now() < deadline {
        match signals.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => break,
        }
    }
    let stopped =
        relay.stop().map_err(|error| Failure::System(format!("the relay failed: {error}")));
    // The log ends when the last worker has gone.
    let _ = writer.join();
    stopped.map(|()| Exit::Fine)
}

fn wait_for(signals: &Receiver<i32>) {
    // Its sender lives as long as the process.
    let _ = signals.recv();
}

/// A line for every notice, on standard output.
fn write_log(notices: &Receiver<Notice>, json: bool) {
    let mut out = io::stdout().lock();
    while let Ok(notice) = notices.recv() {
        let line = log::line(&notice, json);
        let more = notices.try_iter().map(|notice| log::line(&notice, json));
        let text: String = std::iter::once(line).chain(more).map(|line| line + "\n").collect();
        // A log that nobody reads any more stops no connection.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn failure(error: StartError) -> Failure {
    let sentence = format!("the relay cannot start: {error}");
    match &error {
        StartError::Listen { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
            Failure::Privilege(format!(
                "{sentence}; ports below 1024 need CAP_NET_BIND_SERVICE, or a socket unit of systemd"
            ))
        }
        _ => Failure::System(sentence),
    }
}

/// What systemd gives a service at most is three times this.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// How often to see whether the last connection has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
