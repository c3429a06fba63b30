//! Owns the detection trials: what `halfopen-core` predicts for a connection, from nothing but
//! what the tool can see, beside what the kernel then really does.
//! Read: docs/detection-time.md, linux net/ipv4/tcp_timer.c.
//!
//! A trial is one [`Case`] in a lab of its own: a connection is brought into a state, the cable is
//! cut, the client's application does something or nothing, the client host is surveyed, and from
//! then on a clock runs until the kernel gives the connection up.

mod cases;
mod connection;
mod measure;
mod outcome;
mod random;
mod summary;
mod table;

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

pub use cases::cases;
pub use outcome::{Ended, Finding, Outcome, RESOLUTION};
pub use random::random;
pub use summary::{Summary, WIDTH_MAX};
pub use table::table;

use halfopen_core::{Diagnosis, KernelTimer, Moment, Observation, Thresholds, detection::Learns};
use halfopen_sys::{Scope, SocketDiagError, SurveyError, survey};
use rustix::process::setpriority_process;

use self::connection::Connection;
use crate::{
    host::HostError,
    lab::{Lab, LabError},
    topology::{End, Topology},
};

/// One trial, as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it is about, in a few words.
    pub name: String,
    /// Sysctls of the client host: name with dots, value.
    pub sysctls: Vec<(String, String)>,
    /// Keepalive of the client's socket; `None` is off.
    pub keepalive: Option<Keepalive>,
    /// TCP_USER_TIMEOUT of the client's socket; `None` is not set.
    pub user_timeout: Option<Duration>,
    /// Where the connection stands when the cable is cut.
    pub begin: Begin,
    /// How the cable is cut.
    pub fault: Fault,
    /// What the client's application does after that.
    pub deed: Deed,
    /// When the client host is surveyed.
    pub sampled: Sampled,
    /// Which of the three predictions is on trial.
    pub view: View,
    /// For how long to wait for the end.
    pub watch: Duration,
}

/// The keepalive options of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// TCP_KEEPIDLE.
    pub idle: Duration,
    /// TCP_KEEPINTVL.
    pub interval: Duration,
    /// TCP_KEEPCNT.
    pub probes: u32,
}

/// Where a connection stands when the cable is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Begin {
    /// There is none yet.
    Unconnected,
    /// Established, nothing in flight.
    Established,
    /// The peer has closed its direction: CLOSE-WAIT.
    PeerClosed,
    /// Our application has closed its direction, the peer has acknowledged and not closed: FIN-WAIT-2.
    WeClosed,
    /// The peer does not read, its window is shut to the last byte, and data of ours waits. (With a
    /// window too small for a segment the same timer runs, but what it sends is data.)
    WindowShut,
    /// As [`Begin::WindowShut`], and both sides have closed their direction since; our FIN waits
    /// behind the data: CLOSING.
    BothClosed,
    /// Our application has closed, the peer has acknowledged and does not close: FIN-WAIT-2 without an owner.
    Abandoned,
}

/// How the cable is cut. To the client it is all one: nothing comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// In both directions.
    Cut,
    /// The server hears nothing more.
    CutToServer,
    /// The server hears everything, and its answers are lost.
    CutToClient,
}

/// What the client's application does once the cable is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Nothing.
    Nothing,
    /// Connects.
    Connect,
    /// Writes a few bytes.
    Write,
    /// Closes its direction and keeps the descriptor: shutdown(SHUT_WR).
    ShutDown,
    /// Closes the descriptor.
    Close,
}

/// When the client host is surveyed. The clock of the measurement starts there, but for
/// [`Sampled::BeforeDeed`], where it starts at the deed: that prediction says "if it writes now".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sampled {
    /// When the cable is cut, before the deed.
    BeforeDeed,
    /// Right after the deed.
    AfterDeed,
    /// Once the kernel's timer shows so many unanswered retransmissions or probes.
    Unanswered(u8),
}

/// Which prediction is on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// `learns.idle`.
    Idle,
    /// `learns.busy`.
    Busy,
    /// `learns.now`.
    Now,
}

impl Begin {
    /// Data waits behind the peer's shut window.
    const fn shuts_the_window(self) -> bool {
        matches!(self, Self::WindowShut | Self::BothClosed)
    }
}

impl View {
    /// The word for tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Now => "now",
        }
    }
}

impl Case {
    /// An established connection with every option untouched, on which nothing happens.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            sysctls: Vec::new(),
            keepalive: None,
            user_timeout: None,
            begin: Begin::Established,
            fault: Fault::Cut,
            deed: Deed::Nothing,
            sampled: Sampled::BeforeDeed,
            view: View::Idle,
            watch: Duration::from_secs(15),
        }
    }

    /// With a sysctl of the client host, named below `net.ipv4`.
    #[must_use]
    pub fn sysctl(mut self, name: &str, value: u32) -> Self {
        self.sysctls.push((format!("net.ipv4.{name}"), value.to_string()));
        self
    }
}

/// Runs all cases, [`AT_ONCE`] at a time, each in a lab of its own. The outcomes are in the order of
/// the cases; a case that could not be arranged says so in its outcome.
pub fn run(cases: &[Case]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((number, case)) = take(cases, &next) {
            done.push((number, Outcome { case: case.clone(), result: attempt(case) }));
        }
        done
    };
    let mut outcomes: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE.min(cases.len())).map(|_| scope.spawn(work)).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().flat_map(join).collect()
    });
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn take<'a>(cases: &'a [Case], next: &AtomicUsize) -> Option<(usize, &'a Case)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    Some((number, cases.get(number)?))
}

/// 32 labs: about a hundred processes that sleep; two cores still serve every timer in time.
pub const AT_ONCE: usize = 32;

/// One trial, from an empty machine to an empty machine.
fn attempt(case: &Case) -> Result<Finding, TrialError> {
    // Without ARP, only TCP decides when a dead peer is given up.
    let lab = Lab::build(Topology::lan_without_arp())?;
    let client = lab.client()?;
    for (name, value) in &case.sysctls {
        client.set_sysctl(name, value)?;
    }
    let mut connection = Connection::bring_to(&lab, case)?;
    go_first();
    let (observation, from) = fail_and_look(&lab, &mut connection, case)?;
    let predicted = prediction(observation, case.view);
    let watch = if predicted.is_never() { case.watch.min(NEVER) } else { case.watch };
    let ended = connection.watch(from, watch)?;
    Ok(Finding { predicted, ended })
}

/// Who is said to wait for ever is watched for this long.
pub const NEVER: Duration = Duration::from_secs(10);

/// Cuts the cable, acts, and surveys, in the order that the case wants. Returns the observation,
/// and the moment from which its prediction counts.
fn fail_and_look(
    lab: &Lab,
    connection: &mut Connection,
    case: &Case,
) -> Result<(Observation, Moment), TrialError> {
    let mut turn = take_turn();
    break_cable(lab, case.fault)?;
    if case.sampled == Sampled::BeforeDeed {
        let observation = connection.observe()?;
        let sampled_at = observation.sample.taken_at;
        let did_at = connection.act(case.deed)?;
        return Ok((observation, did_at.unwrap_or(sampled_at)));
    }
    connection.act(case.deed)?;
    if let Sampled::Unanswered(count) = case.sampled {
        drop(turn);
        connection.wait_for_unanswered(count)?;
        turn = take_turn();
    }
    let observation = connection.observe()?;
    drop(turn);
    let sampled_at = observation.sample.taken_at;
    Ok((observation, sampled_at))
}

/// The client is at the left end (Topology::lan_without_arp).
fn break_cable(lab: &Lab, fault: Fault) -> Result<(), LabError> {
    let cable = lab.cable(0)?;
    match fault {
        Fault::Cut => cable.cut(),
        Fault::CutToServer => cable.cut_from(End::Left),
        Fault::CutToClient => cable.cut_from(End::Right),
    }
    Ok(())
}

/// One survey at a time: each looks at every process of the machine, and thirty at once would take
/// seconds, in which short timers run out unseen.
fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the calling thread run as soon as it may, whatever else the machine does: the end of a
/// connection is to be noticed when it happens. Only the thread: Linux keeps priorities by thread.
pub(crate) fn go_first() {
    // Without the privilege the measurement is only coarser.
    let _ = setpriority_process(None, NICE);
}

/// The highest priority of ordinary scheduling (sched(7)).
const NICE: i32 = -20;

fn prediction(observation: Observation, view: View) -> Learns {
    let learns = Diagnosis::of(observation, &Thresholds::default()).learns;
    match view {
        View::Idle => learns.idle,
        View::Busy => learns.busy,
        View::Now => learns.now.unwrap_or(Learns::NotApplicable("nothing runs out")),
    }
}

/// How many retransmissions or probes the kernel says are unanswered.
const fn unanswered(timer: KernelTimer) -> u8 {
    match timer {
        KernelTimer::Retransmit { retransmits: count, .. }
        | KernelTimer::Keepalive { probes: count, .. }
        | KernelTimer::WindowProbe { probes: count, .. } => count,
        _ => 0,
    }
}

/// The observation of the connection whose local end is `local`, in the network namespace of the
/// process `pid`, exactly as the tool would get it.
fn observation_of(
    pid: u32,
    local: std::net::SocketAddr,
) -> Result<Option<Observation>, TrialError> {
    let seen = survey(&Scope::Named(pid.to_string()))?;
    Ok(seen.observations.into_iter().find(|seen| seen.sample.endpoints.local == local))
}

/// Why a trial could not be held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// The lab could not be built.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A host did not do what it was asked to.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The client host could not be surveyed.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The client's socket could not be looked up.
    #[error(transparent)]
    SocketDiag(#[from] SocketDiagError),
    /// A socket refused something.
    #[error("{doing}: {cause}")]
    Socket {
        /// What was being done.
        doing: &'static str,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The connection did not come into the state that the case wants.
    #[error("bring the connection to where {wanted}; instead: {instead}")]
    NotReached {
        /// What was waited for.
        wanted: &'static str,
        /// What was seen last.
        instead: String,
    },
}
