//! Owns the script of a scenario: every act with its time, in words that `--dry-run` prints. Pure:
//! `rehearsal` carries it out. Read: docs/faults/, ip(8), nft(8).

mod address;
mod link;
mod setup;
mod words;

use std::time::Duration;

pub use words::script;

use crate::{
    fault::{Fault, HostFirewall, Side, SynCookies},
    scenario::{Plan, Scenario, When},
    topology::End,
    wire,
};

/// Something that the lab does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// Drops what comes from an end of a cable; `None`: from both.
    Cut { cable: usize, from: Option<End> },
    /// Passes frames again.
    Mend { cable: usize },
    /// Takes or gives the carrier of a host's plug.
    Carrier { cable: usize, end: End, on: bool },
    /// Drops one kind of segment that comes from an end of a cable.
    Lose { cable: usize, from: End, kind: Kind },
    /// Drops nothing by its kind any more.
    LoseNothing { cable: usize },
    /// Puts the faults of a link in force.
    Link { cable: usize, from: Option<End>, link: Box<wire::Link> },
    /// Puts a middlebox into a cable.
    Middlebox { cable: usize, middlebox: Box<wire::Middlebox> },
    /// Makes the middlebox of a cable forget every flow.
    MiddleboxForgets { cable: usize },
    /// Sends an RST to an end of a cable.
    Inject { cable: usize, to: End, aim: wire::Aim },
    /// Sends the SYN of every connection again that the client has opened through a cable.
    RepeatSyn { cable: usize },
    /// Sends a signal to every program of a host.
    Signal { side: Side, signal: Signal },
    /// Waits until the receive buffer of the connection holds something.
    AwaitUnread { side: Side },
    /// Cuts the power.
    PowerOff { side: Side },
    /// Switches the power on.
    PowerOn { side: Side },
    /// Starts the host's programs.
    Start { side: Side },
    /// Kills the connection with `ss --kill`.
    Abort { side: Side },
    /// Closes the sending direction of the connection through a duplicate of its descriptor.
    CloseWrite { side: Side },
    /// Words for `ip -batch` on a host.
    Ip { host: &'static str, script: String },
    /// Words for `nft -f` on a host.
    Nft { host: &'static str, script: String },
    /// Empties the router's connection tracking.
    Flush,
    /// Sets a sysctl of a host.
    Sysctl { host: &'static str, name: String, value: String },
    /// Starts a DHCP server on the router that has one address to give, in place of one before, and
    /// tells the client to renew.
    Lease { address: String },
    /// Sends SYNs of senders that do not exist to the server.
    Flood { rate: u32 },
}

/// A kind of segment that can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Syn,
    /// Everything but SYN.
    AllButSyn,
    Fin,
    Rst,
}

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Terminate,
    Kill,
    Stop,
    Continue,
}

/// An act and its time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cue {
    pub(crate) when: When,
    /// The step that it belongs to, from 0; `None`: setting the lab up.
    pub(crate) step: Option<usize>,
    pub(crate) act: Act,
}

/// Every act of a scenario, in the order of time.
pub(crate) fn cues(scenario: &Scenario) -> Vec<Cue> {
    let mut cues: Vec<_> = setup::acts(scenario)
        .into_iter()
        .map(|act| Cue { when: When::BeforeClient, step: None, act })
        .collect();
    for (number, step) in scenario.steps.iter().enumerate() {
        for (delay, act) in acts(&step.fault, scenario) {
            let when = match (step.when, delay) {
                (When::BeforeClient, Duration::ZERO) => When::BeforeClient,
                (When::BeforeClient, delay) => When::AfterEstablished(delay),
                (When::AfterEstablished(at), delay) => When::AfterEstablished(at + delay),
            };
            cues.push(Cue { when, step: Some(number), act });
        }
    }
    // Stable: what one step does at one time stays in its order.
    cues.sort_by_key(|cue| cue.when);
    cues
}

/// What a fault does, with the time since its beginning. Faults of birth count from the client's start.
fn acts(fault: &Fault, scenario: &Scenario) -> Vec<(Duration, Act)> {
    let plan = scenario.plan;
    let now = Duration::ZERO;
    let until = |lasts: &Option<Duration>, act: Act| lasts.map(|span| (span, act));
    let signal = |side, signal| Act::Signal { side, signal };
    match fault {
        Fault::Exit { side } => vec![(now, signal(*side, Signal::Terminate))],
        Fault::Kill { side, unread: false } => vec![(now, signal(*side, Signal::Kill))],
        Fault::Kill { side, unread: true } => vec![
            (now, signal(*side, Signal::Stop)),
            (now, Act::AwaitUnread { side: *side }),
            (now, signal(*side, Signal::Kill)),
        ],
        Fault::Freeze { side, lasts } | Fault::ZeroWindow { side, lasts } => {
            let mut acts = vec![(now, signal(*side, Signal::Stop))];
            acts.extend(until(lasts, signal(*side, Signal::Continue)));
            acts
        }
        Fault::Hang { side, lasts } => stand_still(plan, *side, *lasts),
        Fault::Suspend { side, lasts } => stand_still(plan, *side, Some(*lasts)),
        Fault::PowerOff { side } => vec![(now, Act::PowerOff { side: *side })],
        Fault::Reboot { side, down, restart, firewall } => {
            let mut acts = vec![(now, Act::PowerOff { side: *side })];
            acts.push((*down, Act::PowerOn { side: *side }));
            if *firewall == HostFirewall::Stateful {
                let script = STATEFUL.to_owned();
                acts.push((*down, Act::Nft { host: side.word(), script }));
            }
            acts.extend(restart.then_some((*down, Act::Start { side: *side })));
            acts
        }
        Fault::Abort { side } => vec![(now, Act::Abort { side: *side })],
        Fault::Forget => vec![(now, Act::Flush)],
        Fault::SynFlood { rate, .. } => vec![(now, Act::Flood { rate: *rate })],
        Fault::AcceptStall { .. } => vec![(now, signal(Side::Server, Signal::Stop))],
        Fault::SynDropped { lasts } => lose(plan, Side::Client, Kind::Syn, *lasts),
        Fault::ThirdAckLost { lasts } => lose(plan, Side::Client, Kind::AllButSyn, *lasts),
        Fault::FinLost { side } => {
            let mut acts = lose(plan, *side, Kind::Fin, None);
            acts.push((now, signal(*side, Signal::Terminate)));
            acts
        }
        Fault::RstLost { side } => {
            let mut acts = lose(plan, *side, Kind::Rst, None);
            acts.push((now, Act::Abort { side: *side }));
            acts
        }
        Fault::HalfClose { side } => vec![(now, Act::CloseWrite { side: *side })],
        Fault::Renumber { .. }
        | Fault::InterfaceDown { .. }
        | Fault::RouteLost { .. }
        | Fault::Refused { .. } => address::acts(fault, scenario),
        Fault::Cut { .. }
        | Fault::Link { .. }
        | Fault::Flap { .. }
        | Fault::Middlebox { .. }
        | Fault::MiddleboxForgets { .. }
        | Fault::ResetInjected { .. }
        | Fault::SynRepeated => link::acts(fault, plan),
    }
}

/// The host's input drops what it did not begin and does not know. Loose tracking would take up a
/// flow in the middle, so only SYN may begin one.
const STATEFUL: &str = "table inet host {
 chain input {
  type filter hook input priority 0; policy drop;
  iif lo accept
  ct state established,related accept
  meta l4proto { icmp, ipv6-icmp } accept
  tcp flags & (syn | ack | rst | fin) == syn accept
 }
}
";

/// Programs stopped and cable silent, and both undone.
fn stand_still(plan: Plan, side: Side, lasts: Option<Duration>) -> Vec<(Duration, Act)> {
    let (cable, _) = plug(plan, side);
    let signal = |signal| Act::Signal { side, signal };
    let mut acts = vec![
        (Duration::ZERO, Act::Cut { cable, from: None }),
        (Duration::ZERO, signal(Signal::Stop)),
    ];
    if let Some(span) = lasts {
        acts.extend([(span, signal(Signal::Continue)), (span, Act::Mend { cable })]);
    }
    acts
}

fn lose(plan: Plan, side: Side, kind: Kind, lasts: Option<Duration>) -> Vec<(Duration, Act)> {
    let (cable, from) = plug(plan, side);
    let begin = (Duration::ZERO, Act::Lose { cable, from, kind });
    std::iter::once(begin).chain(lasts.map(|span| (span, Act::LoseNothing { cable }))).collect()
}

/// The cable of a side, and its end there (Topology::lan, routed and balanced).
pub(crate) const fn plug(plan: Plan, side: Side) -> (usize, End) {
    match (side, plan) {
        (Side::Client, _) => (0, End::Left),
        (Side::Server, Plan::Lan) => (0, End::Right),
        (Side::Server, _) => (1, End::Right),
    }
}

impl Kind {
    /// The same in the words of the wire.
    pub(crate) const fn of_wire(self) -> &'static [wire::Kind] {
        use wire::Kind as K;
        match self {
            Self::Syn => &[K::Syn],
            Self::AllButSyn => &[
                K::SynAck,
                K::ThirdAck,
                K::Fin,
                K::Rst,
                K::Keepalive,
                K::KeepaliveAnswer,
                K::Data,
                K::Ack,
            ],
            Self::Fin => &[K::Fin],
            Self::Rst => &[K::Rst],
        }
    }
}

/// The value of tcp_syncookies.
const fn cookies_value(cookies: SynCookies) -> u32 {
    match cookies {
        SynCookies::Off => 0,
        SynCookies::WhenFull => 1,
        SynCookies::Always => 2,
    }
}

#[cfg(test)]
mod tests {
    use halfopen_core::Span;

    use super::*;
    use crate::scenario::{builtin, builtin_names};

    #[test]
    fn the_scripts_of_all_that_is_built_in() {
        let scripts: Vec<_> = builtin_names()
            .map(|name| script(&builtin(name, &[]).unwrap().unwrap()) + "\n")
            .collect();
        insta::assert_snapshot!(scripts.concat());
    }

    #[test]
    fn a_fault_that_lasts_is_undone_after_its_time() {
        let text = "topology = \"routed\"\n[[at]]\nwhen = \"2s after established\"\nfault = ";
        let faults = [
            "\"cut\"\nlasts = \"3s\"\nplace = \"client\"\ncarrier = false",
            "\"freeze\"\nlasts = \"3s\"",
            "\"hang\"\nlasts = \"3s\"",
            "\"interface-down\"\nlasts = \"3s\"",
            "\"route-lost\"\nlasts = \"3s\"",
            "\"icmp\"\nlasts = \"3s\"\nanswer = \"prohibited\"",
            "\"renumber\"\ngap = \"3s\"\nold_owner = \"other\"",
        ];
        let shown: Vec<_> = faults
            .iter()
            .map(|fault| {
                let scenario = Scenario::read("a.toml", &format!("{text}{fault}\n"), &[]).unwrap();
                let timed = |cue: &Cue| matches!(cue.when, When::AfterEstablished(_));
                let cues = cues(&scenario);
                let lines = cues.iter().filter(|cue| timed(cue)).map(|cue| {
                    let When::AfterEstablished(at) = cue.when else { unreachable!("filtered") };
                    format!("  {} {}\n", Span(at), cue.act)
                });
                format!("{}\n{}", scenario.steps[0].fault.name(), lines.collect::<String>())
            })
            .collect();
        insta::assert_snapshot!(shown.concat());
    }
}
