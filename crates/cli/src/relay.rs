//! Owns the verb `relay`: starts the relay that flags or a file ask for, writes its log, and does what
//! signals say. What a relay does is in `halfopen-relay`.

mod config;
mod log;
mod metrics;
mod supervisor;
mod wanted;
mod writer;

use std::{
    io::{self, Write},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use halfopen_relay::{Inherited, Relay, StartError};
use halfopen_sys::activation;
use jiff::Timestamp;
use signal_hook::consts::SIGHUP;

use crate::{
    args,
    exit::{Exit, Failure},
    render::counted,
    signals,
};
use log::Entry;
use supervisor::{Phase, Pulse};
use wanted::{Wanted, wanted};
use writer::Writer;

/// Relays until SIGTERM or SIGINT, then until the last connection has ended or the time to drain is
/// over; another of them ends it at once. SIGHUP reads the configuration again.
///
/// # Errors
/// [`Failure`] where it cannot start.
pub(crate) fn run(arguments: &args::Relay, out: &mut impl Write) -> Result<Exit, Failure> {
    let wanted = wanted(arguments)?;
    if arguments.check {
        let listeners = counted(wanted.plan.services.len(), "listener", "listeners");
        writeln!(out, "{listeners}, nothing to find fault with")?;
        return Ok(Exit::Fine);
    }
    let signals = signals::listen(false)?;
    let (relay, notices) =
        Relay::start(&wanted.plan, inherited()?).map_err(|error| failure(&error))?;
    let gauges = relay.gauges();
    let mut running =
        Running { relay, wanted, log: Writer::start()?, as_json: arguments.face.json };
    if let Some(address) = running.wanted.metrics {
        let served = metrics::serve(address, gauges.clone());
        let address = served.map_err(|error| {
            Failure::System(format!("cannot serve metrics on {address}: {error}"))
        })?;
        running.tell(&Entry::Metrics(address));
    }
    running.tell_listeners();
    running.log.follow(notices, gauges, arguments.face.json)?;
    supervisor::tell(Phase::Ready);
    let mut pulse = Pulse::wanted(Instant::now());
    while let Some(SIGHUP) = running.wait(&signals, &mut pulse) {
        supervisor::tell(Phase::Reloading);
        running.reload(arguments);
        supervisor::tell(Phase::Ready);
    }
    running.drain(&signals, &mut pulse);
    let stopped = running.relay.stop();
    running.log.end();
    stopped.map_err(|error| Failure::System(format!("the relay failed: {error}")))?;
    Ok(Exit::Fine)
}

/// A relay and what it was asked for.
struct Running {
    relay: Relay,
    wanted: Wanted,
    log: Writer,
    as_json: bool,
}

impl Running {
    /// The next signal; the watchdog is told meanwhile.
    fn wait(&self, signals: &Receiver<i32>, pulse: &mut Pulse) -> Option<i32> {
        loop {
            let Some(due) = pulse.due() else { return signals.recv().ok() };
            match signals.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => pulse.beat(&self.relay, Instant::now()),
                signal => return signal.ok(),
            }
        }
    }

    fn reload(&mut self, arguments: &args::Relay) {
        let taken = wanted(arguments).and_then(|wanted| {
            self.relay.reload(&wanted.plan).map_err(|error| failure(&error))?;
            Ok(wanted)
        });
        match taken {
            Ok(wanted) => {
                self.wanted = wanted;
                self.tell(&Entry::Reloaded);
                self.tell_listeners();
            }
            Err(error) => self.tell(&Entry::NotReloaded(&error.to_string())),
        }
    }

    fn drain(&mut self, signals: &Receiver<i32>, pulse: &mut Pulse) {
        supervisor::tell(Phase::Stopping);
        self.relay.drain();
        let gauges = self.relay.gauges();
        let within = self.wanted.drain_within;
        self.tell(&Entry::Draining { open: gauges.open_pairs(), within });
        let deadline = Instant::now() + within;
        while gauges.open_pairs() > 0 && Instant::now() < deadline {
            pulse.beat(&self.relay, Instant::now());
            match signals.recv_timeout(LOOK_EVERY) {
                Err(RecvTimeoutError::Timeout) | Ok(SIGHUP) => {}
                _ => break,
            }
        }
    }

    fn tell_listeners(&self) {
        for (service, address) in self.wanted.plan.services.iter().zip(self.relay.addresses()) {
            self.tell(&Entry::Listening { service, address });
        }
    }

    fn tell(&self, entry: &Entry<'_>) {
        self.log.tell(log::line(entry, Timestamp::now(), self.as_json));
    }
}

/// The sockets that the process was started with.
fn inherited() -> Result<Vec<Inherited>, Failure> {
    let sockets = activation::inherited_sockets().map_err(|error| {
        Failure::System(format!("a socket that LISTEN_FDS announces cannot be used: {error}"))
    })?;
    let named = |(name, socket)| Inherited { name, socket: Arc::new(socket) };
    Ok(sockets.into_iter().map(named).collect())
}

fn failure(error: &StartError) -> Failure {
    let sentence = error.to_string();
    match error {
        StartError::Listen { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
            Failure::Privilege(format!(
                "{sentence}; ports below 1024 need CAP_NET_BIND_SERVICE, or a socket unit of systemd"
            ))
        }
        StartError::NotInherited { .. } => Failure::Usage(sentence),
        _ => Failure::System(sentence),
    }
}

/// How often to see whether the last connection has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
