//! Owns the words of the script: what each act is called, and the whole of it as people read it. Pure.

use std::{fmt, time::Duration};

use halfopen_core::Span;

use super::{Act, Kind, Signal, cues};
use crate::{
    fault::Side,
    scenario::{Plan, Scenario, When, in_one_line},
    topology::{End, ROUTER, SECOND_SERVER},
    wire::{Aim, Keepalives, Link, Middlebox, Refresh, Then},
};

/// The script as people read it: what `--dry-run` prints.
pub fn script(scenario: &Scenario) -> String {
    let mut text = format!("{}: {}\n", scenario.name, scenario.summary);
    let mut line = |when: &str, what: &str| text += &format!("{when:>22}  {what}\n");
    line("", &format!("topology {}: {}", scenario.plan.word(), hosts(scenario)));
    let cues = cues(scenario);
    for cue in cues.iter().filter(|cue| cue.step.is_none()) {
        line("to begin with", &cue.act.to_string());
    }
    for side in [Side::Server, Side::Client] {
        if side == Side::Client {
            for cue in &cues {
                if let (When::BeforeClient, Some(_)) = (cue.when, cue.step) {
                    line("before the client", &cue.act.to_string());
                }
            }
        }
        let too = match (side, scenario.plan) {
            (Side::Server, Plan::Balanced) => format!(" and {SECOND_SERVER}"),
            _ => String::new(),
        };
        line("then", &format!("on the {side}{too}, {}", start(scenario, side)));
    }
    if scenario.steps.iter().any(|step| step.fault.is_of_birth()) {
        line("", "times count from the client's start");
    } else {
        line("", "wait until both ends are established; times count from there");
    }
    let mut timed: Vec<(Duration, String)> = Vec::new();
    for cue in &cues {
        if let When::AfterEstablished(at) = cue.when {
            timed.push((at, cue.act.to_string()));
        }
    }
    for side in Side::BOTH {
        let party = if side == Side::Client { &scenario.client } else { &scenario.server };
        let typed = party.types.iter();
        timed.extend(
            typed.map(|typed| (typed.after, format!("type \"{}\" on the {side}", typed.line))),
        );
    }
    timed.sort_by_key(|(at, _)| *at);
    for (at, what) in &timed {
        line(&format!("{}", Span(*at)), what);
    }
    let limit = Span(scenario.stop.limit);
    line(
        "end",
        &if scenario.stop.when_both_noticed {
            format!("when both sides have noticed, or {limit} after the first fault")
        } else {
            format!("{limit} after the first fault")
        },
    );
    text
}

fn hosts(scenario: &Scenario) -> String {
    let topology = scenario.topology();
    let named = topology.hosts.iter().map(|host| {
        let addresses = topology
            .ends_of(&host.name)
            .map(|(_, _, end)| topology.family.of(end.address).to_string());
        format!("{} {}", host.name, addresses.collect::<Vec<_>>().join(" and "))
    });
    named.collect::<Vec<_>>().join(", ")
}

fn start(scenario: &Scenario, side: Side) -> String {
    let party = if side == Side::Client { &scenario.client } else { &scenario.server };
    match &party.command {
        Some(command) => format!("sh -c '{}'", in_one_line(command)),
        None => format!("the built-in {side}, {}", scenario.pair.state.word()),
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { cable, from: None } => write!(f, "cable {cable} drops every frame"),
            Self::Cut { cable, from: Some(End::Left) } => {
                write!(f, "cable {cable} drops every frame to the server")
            }
            Self::Cut { cable, from: Some(End::Right) } => {
                write!(f, "cable {cable} drops every frame to the client")
            }
            Self::Mend { cable } => write!(f, "cable {cable} passes frames again"),
            Self::Carrier { cable, end, on } => {
                let end = if *end == End::Left { "left" } else { "right" };
                let verb = if *on { "gets its carrier back" } else { "loses its carrier" };
                write!(f, "the {end} end of cable {cable} {verb}")
            }
            Self::Lose { cable, from, kind } => {
                let from = if *from == End::Left { "client" } else { "server" };
                write!(f, "cable {cable} drops {} of the {from}", kind.words())
            }
            Self::LoseNothing { cable } => {
                write!(f, "cable {cable} chooses no segments any more")
            }
            Self::Link { cable, from, link } => {
                let which = match from {
                    None => "",
                    Some(End::Left) => " to the server",
                    Some(End::Right) => " to the client",
                };
                write!(f, "cable {cable}{which}: {}", link_in_words(link))
            }
            Self::Middlebox { cable, middlebox } => {
                write!(f, "a box on cable {cable}: {}", middlebox_in_words(middlebox))
            }
            Self::MiddleboxForgets { cable } => {
                write!(f, "the box on cable {cable} forgets every flow")
            }
            Self::Inject { cable, to, aim } => {
                let to = if *to == End::Left { "client" } else { "server" };
                write!(f, "cable {cable} makes an RST to the {to}, {}", aim_in_words(*aim))
            }
            Self::RepeatSyn { cable } => {
                write!(f, "cable {cable} delivers the client's SYN once more")
            }
            other => other.of_hosts(f),
        }
    }
}

impl Act {
    /// The words for what is done to hosts.
    fn of_hosts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal { side, signal } => {
                write!(f, "{} to every program of the {side}", signal.word())
            }
            Self::AwaitUnread { side } => write!(f, "wait until the {side} has unread data"),
            Self::PowerOff { side } => write!(f, "the {side} loses its power, without a segment"),
            Self::PowerOn { side } => {
                write!(
                    f,
                    "the {side} boots, with its addresses and nothing else of its former life"
                )
            }
            Self::Start { side } => write!(f, "start the {side}'s programs"),
            Self::Abort { side } => write!(f, "on the {side}: ss --kill --tcp state connected"),
            Self::CloseWrite { side } => {
                write!(f, "shutdown(SHUT_WR) on the {side}'s socket, from outside")
            }
            Self::Ip { host, script } => {
                write!(f, "on the {host}: {}", by_lines(script, "ip "))
            }
            Self::Nft { host, script } => {
                let lines = script.lines().map(str::trim).collect::<Vec<_>>();
                write!(f, "on the {host}, nft: {}", lines.join(" "))
            }
            Self::Flush => write!(f, "on the {ROUTER}: conntrack --flush"),
            Self::Sysctl { host, name, value } => write!(f, "on the {host}: sysctl {name}={value}"),
            Self::Lease { address } => {
                write!(f, "a DHCP server on the {ROUTER} gives the client {address}")
            }
            Self::Flood { rate } => write!(f, "{rate} SYNs a second to the server, of no one"),
            Self::Cut { .. }
            | Self::Mend { .. }
            | Self::Carrier { .. }
            | Self::Lose { .. }
            | Self::LoseNothing { .. }
            | Self::Link { .. }
            | Self::Middlebox { .. }
            | Self::MiddleboxForgets { .. }
            | Self::Inject { .. }
            | Self::RepeatSyn { .. } => Ok(()),
        }
    }
}

fn by_lines(script: &str, before: &str) -> String {
    script.lines().map(|line| format!("{before}{line}")).collect::<Vec<_>>().join("; ")
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::Syn => "every SYN",
            Self::AllButSyn => "everything but SYN",
            Self::Fin => "every FIN",
            Self::Rst => "every RST",
        }
    }
}

impl Signal {
    const fn word(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Kill => "SIGKILL",
            Self::Stop => "SIGSTOP",
            Self::Continue => "SIGCONT",
        }
    }
}

fn link_in_words(link: &Link) -> String {
    let percent = |of: f64, what: &str| (of > 0.0).then(|| format!("{of} % {what}"));
    let span = |of: Duration, what: &str| (!of.is_zero()).then(|| format!("{what} {}", Span(of)));
    let said = [
        link.cut.then(|| "cut".to_owned()),
        link.mtu.map(|mtu| {
            let told = if link.tells_mtu { ", which ICMP tells" } else { "" };
            format!("packets over {mtu} bytes vanish{told}")
        }),
        percent(link.loss, "lost"),
        (link.burst > 1.0).then(|| format!("{} in a row", link.burst)),
        percent(link.corrupt, "with a bit turned over"),
        link.rate.map(|rate| format!("{} kbit/s", rate.bits_per_second / 1000)),
        span(link.delay, "delay"),
        span(link.jitter, "jitter"),
        percent(link.reorder, "overtaken"),
        percent(link.duplicate, "twice"),
    ];
    let said: Vec<_> = said.into_iter().flatten().collect();
    if said.is_empty() { "a perfect link".to_owned() } else { said.join(", ") }
}

fn middlebox_in_words(middlebox: &Middlebox) -> String {
    let forgets = middlebox.expire_after.map_or_else(
        || "it forgets nothing by itself".to_owned(),
        |span| format!("it forgets after {} idle", Span(span)),
    );
    let then = match middlebox.then {
        Then::Drop => "drops what it does not know",
        Then::RstOnPacket => "answers what it does not know with RST",
        Then::RstInside => "answers what it does not know with RST, towards the client alone",
        Then::Icmp => "answers what it does not know with ICMP: prohibited",
        Then::RstBothNow => "sends RST to both when it forgets",
        Then::Leak => "gives what it does not know another port",
        Then::PickUp => "takes up again what comes from the client",
        Then::PickUpOrRst => {
            "takes up again what comes from the client, and answers the server with RST"
        }
    };
    let refresh = match middlebox.refresh {
        Refresh::Any => None,
        Refresh::Data => Some("only data refreshes"),
        Refresh::Outbound => Some("only what comes from the client refreshes"),
    };
    let keepalives = match middlebox.keepalives {
        Keepalives::Count => None,
        Keepalives::Ignore => Some("keepalive probes do not refresh"),
        Keepalives::Drop => Some("keepalive probes vanish"),
        Keepalives::Answer => Some("it answers keepalive probes itself"),
    };
    let half = middlebox
        .half_closed_after
        .map(|span| format!("after {} once one end has closed", Span(span)));
    let room = middlebox.max_flows.map(|flows| format!("room for {flows} flows"));
    [
        Some(forgets),
        half,
        Some(then.to_owned()),
        refresh.map(str::to_owned),
        keepalives.map(str::to_owned),
        room,
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("; ")
}

const fn aim_in_words(aim: Aim) -> &'static str {
    match aim {
        Aim::Valid => "aimed at the next byte",
        Aim::InWindow => "aimed into the window",
        Aim::Blind => "aimed blindly",
    }
}
