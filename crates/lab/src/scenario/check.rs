//! Owns whether a timeline can happen at all. Pure: a scenario and its steps in, a slip out.

use std::time::Duration;

use halfopen_core::Span;

use super::{
    Plan, Scenario, State, When,
    reading::{Origin, Slip},
};
use crate::{
    fault::{Fault, OldOwner, Side},
    topology::IpFamily,
};

type Placed = (When, Fault, Origin);

/// Complains of the first thing that cannot happen.
pub(super) fn timeline(
    scenario: &Scenario,
    steps: &[Placed],
    router: Option<&Origin>,
    whole: &Origin,
) -> Result<(), Slip> {
    if steps.is_empty() {
        let remedy = "write [[at]] with `when` and `fault`";
        return Err(Slip::new(whole, "nothing happens: there is no step", remedy));
    }
    if let (Some(origin), false) = (router, scenario.plan == Plan::Nat) {
        let remedy = "write topology = \"nat\", or leave [router] out";
        return Err(Slip::new(origin, "only the router of `nat` tracks connections", remedy));
    }
    order(scenario, steps)?;
    steps.iter().try_for_each(|step| fits(scenario, step))?;
    alive(steps)
}

/// In the order of time, within the limit.
fn order(scenario: &Scenario, steps: &[Placed]) -> Result<(), Slip> {
    let first = steps.iter().find_map(|(when, ..)| match when {
        When::AfterEstablished(at) => Some(*at),
        When::BeforeClient => None,
    });
    let mut last = When::BeforeClient;
    for (when, _, origin) in steps {
        if *when < last {
            let remedy = "put the steps in the order of their time";
            return Err(Slip::new(origin, "the step comes before the one above it", remedy));
        }
        last = *when;
        if let (When::AfterEstablished(at), Some(first)) = (when, first)
            && at.saturating_sub(first) >= scenario.stop.limit
        {
            let limit = scenario.stop.limit;
            return Err(Slip::new(
                origin,
                format!(
                    "the step comes {} after the first fault, and all is over after {}",
                    Span(at.saturating_sub(first)),
                    Span(limit)
                ),
                "raise `limit` of [stop], or let the step come sooner",
            ));
        }
    }
    Ok(())
}

/// Each fault has what it needs.
fn fits(scenario: &Scenario, (when, fault, origin): &Placed) -> Result<(), Slip> {
    let name = fault.name();
    let slip = |what: String, remedy: &str| Err(Slip::new(origin, what, remedy));
    if fault.is_of_birth() != (*when == When::BeforeClient) {
        return if fault.is_of_birth() {
            slip(
                format!("`{name}` is about the beginning of a connection"),
                "write when = \"before the client starts\"",
            )
        } else {
            slip(
                format!("`{name}` is about a connection that is there"),
                "write when = \"2s after established\"",
            )
        };
    }
    let needs_router = matches!(
        fault,
        Fault::Refused { .. }
            | Fault::RouteLost { .. }
            | Fault::SynFlood { .. }
            | Fault::Renumber { old_owner: OldOwner::Other, .. }
            | Fault::Renumber { dhcp: true, .. }
    );
    if needs_router && !scenario.plan.has_router() {
        return slip(format!("`{name}` needs a router here"), "write topology = \"routed\"");
    }
    if matches!(fault, Fault::Renumber { dhcp: true, .. }) && scenario.family == IpFamily::V6 {
        let remedy = "leave `dhcp` out, or write family = \"ipv4\"";
        return slip("the DHCP server of the lab gives addresses of IPv4 alone".to_owned(), remedy);
    }
    if *fault == Fault::Forget && scenario.plan != Plan::Nat {
        return slip("only a router that tracks can forget".to_owned(), "write topology = \"nat\"");
    }
    let needs_writer = matches!(fault, Fault::ZeroWindow { .. } | Fault::Kill { unread: true, .. });
    if needs_writer && scenario.is_of_pair() && scenario.pair.state != State::Writing {
        return slip(
            format!("`{name}` waits for unread data, and nobody writes"),
            "write state = \"writing\" below [pair]",
        );
    }
    if fault.lasts() == Some(Duration::ZERO) && !matches!(fault, Fault::Renumber { .. }) {
        return slip(format!("`{name}` lasts for no time"), "give it a time, or leave the key out");
    }
    Ok(())
}

/// Nothing happens to a host that has no power, or to programs that have ended.
fn alive(steps: &[Placed]) -> Result<(), Slip> {
    let mut gone: Vec<(Side, &'static str)> = Vec::new();
    for (_, fault, origin) in steps {
        let Some(side) = side_of(fault) else { continue };
        if let Some((_, by)) = gone.iter().find(|(there, _)| *there == side) {
            return Err(Slip::new(
                origin,
                format!(
                    "`{}` comes after `{by}` of the {side}, which nothing brings back",
                    fault.name()
                ),
                "use `reboot` where the host is to come back, or leave the later step out",
            ));
        }
        let ends = matches!(
            fault,
            Fault::PowerOff { .. }
                | Fault::Exit { .. }
                | Fault::Kill { .. }
                | Fault::FinLost { .. }
        );
        if ends {
            gone.push((side, fault.name()));
        }
    }
    Ok(())
}

/// The host that has to have power and programs for it.
const fn side_of(fault: &Fault) -> Option<Side> {
    match fault {
        Fault::Exit { side }
        | Fault::Kill { side, .. }
        | Fault::Freeze { side, .. }
        | Fault::Hang { side, .. }
        | Fault::PowerOff { side }
        | Fault::Reboot { side, .. }
        | Fault::Suspend { side, .. }
        | Fault::Abort { side }
        | Fault::FinLost { side }
        | Fault::HalfClose { side }
        | Fault::ZeroWindow { side, .. }
        | Fault::RstLost { side } => Some(*side),
        _ => None,
    }
}
