//! Owns reading a fault and its parameters from a table of a scenario. Pure.

mod link;
mod middlebox;

use std::time::Duration;

use super::{CATALOGUE, Direction, Fault, HostFirewall, Icmp, OldOwner, Place, Side, SynCookies};
use crate::{
    scenario::reading::{Node, Slip, Table, remedy_for},
    wire::{Aim, Then},
};

const PLACES: [(&str, Place); 3] =
    [("client", Place::Client), ("middle", Place::Middle), ("server", Place::Server)];

const DIRECTIONS: [(&str, Direction); 3] = [
    ("both", Direction::Both),
    ("to-client", Direction::ToClient),
    ("to-server", Direction::ToServer),
];

const AIMS: [(&str, Aim); 3] =
    [("valid", Aim::Valid), ("in-window", Aim::InWindow), ("blind", Aim::Blind)];

const SIDES: [(&str, Side); 2] = [("client", Side::Client), ("server", Side::Server)];

impl Fault {
    /// The fault called `name`, with every parameter as the catalogue has it.
    ///
    /// # Errors
    /// The name, where there is no such fault.
    pub fn plain(name: &str) -> Result<Self, String> {
        let entry = [("fault".to_owned(), Node::text(name))];
        let node = Node::table(entry.into());
        let read = Table::new("[[at]]", &node).and_then(|table| Self::read(&table));
        read.map_err(|_| name.to_owned())
    }

    /// Reads the fault that `table` names, and its parameters. Other keys are left to the caller.
    pub(crate) fn read(table: &Table<'_>) -> Result<Self, Slip> {
        let Some(name) = table.text("fault")? else {
            let what = "a step needs a fault";
            return Err(Slip::new(
                table.origin,
                what,
                "write fault = \"cut\", or another of `halfopen rehearse list`",
            ));
        };
        let side = |default| Ok(table.word("side", &SIDES)?.unwrap_or(default));
        let lasts = || table.span("lasts");
        Ok(match name {
            "cut" => Self::cut(table)?,
            "link" => link::link(table)?,
            "flap" => link::flap(table)?,
            "middlebox" => middlebox::middlebox(table)?,
            "middlebox-forgets" => Self::MiddleboxForgets {
                then: table.word("then", &middlebox::THEN)?.unwrap_or(Then::Drop),
            },
            "rst-injected" => Self::ResetInjected {
                side: side(Side::Client)?,
                aim: table.word("aim", &AIMS)?.unwrap_or(Aim::Valid),
            },
            "syn-repeated" => Self::SynRepeated,
            "exit" => Self::Exit { side: side(Side::Server)? },
            "kill" => Self::Kill {
                side: side(Side::Server)?,
                unread: table.truth("unread")?.unwrap_or(false),
            },
            "freeze" => Self::Freeze { side: side(Side::Server)?, lasts: lasts()? },
            "hang" => Self::Hang { side: side(Side::Server)?, lasts: lasts()? },
            "power-off" => Self::PowerOff { side: side(Side::Server)? },
            "reboot" => Self::reboot(table, side(Side::Server)?)?,
            "suspend" => Self::Suspend {
                side: side(Side::Client)?,
                lasts: lasts()?.unwrap_or(Duration::from_secs(5)),
            },
            "abort" => Self::Abort { side: side(Side::Server)? },
            "renumber" => Self::renumber(table, side(Side::Client)?)?,
            "interface-down" => Self::InterfaceDown { side: side(Side::Client)?, lasts: lasts()? },
            "route-lost" => Self::RouteLost { side: side(Side::Client)?, lasts: lasts()? },
            "icmp" => Self::Refused {
                side: side(Side::Server)?,
                answer: table.word("answer", &ICMP)?.unwrap_or(Icmp::HostUnreachable),
                lasts: lasts()?,
            },
            "forget" => Self::Forget,
            "syn-flood" => Self::SynFlood {
                rate: table.whole("rate", RATE_MAX)?.unwrap_or(400),
                cookies: table.word("cookies", &COOKIES)?.unwrap_or(SynCookies::WhenFull),
                backlog: table.whole("backlog", BACKLOG_MAX)?.unwrap_or(16),
            },
            "accept-stall" => {
                Self::AcceptStall { backlog: table.whole("backlog", BACKLOG_MAX)?.unwrap_or(16) }
            }
            "syn-dropped" => Self::SynDropped { lasts: lasts()? },
            "third-ack-lost" => Self::ThirdAckLost { lasts: lasts()? },
            "fin-lost" => Self::FinLost { side: side(Side::Server)? },
            "half-close" => Self::HalfClose { side: side(Side::Client)? },
            "zero-window" => Self::ZeroWindow { side: side(Side::Server)?, lasts: lasts()? },
            "rst-lost" => Self::RstLost { side: side(Side::Server)? },
            other => {
                let known: Vec<_> = CATALOGUE.iter().map(|entry| entry.name).collect();
                let what = format!("there is no fault `{other}`");
                return Err(Slip::new(&table.origin_of("fault"), what, remedy_for(other, &known)));
            }
        })
    }

    fn cut(table: &Table<'_>) -> Result<Self, Slip> {
        let place = table.word("place", &PLACES)?.unwrap_or(Place::Middle);
        let carrier = table.truth("carrier")?.unwrap_or(true);
        let direction = table.word("direction", &DIRECTIONS)?.unwrap_or(Direction::Both);
        if !carrier && (place == Place::Middle || direction != Direction::Both) {
            return Err(Slip::new(
                &table.origin_of("carrier"),
                "only a whole plug has a carrier to lose",
                "with `carrier = false` write place = \"client\" or \"server\", and leave `direction` out",
            ));
        }
        Ok(Self::Cut { place, carrier, direction, lasts: table.span("lasts")? })
    }

    fn reboot(table: &Table<'_>, side: Side) -> Result<Self, Slip> {
        let firewalls = [("none", HostFirewall::None), ("stateful", HostFirewall::Stateful)];
        Ok(Self::Reboot {
            side,
            down: table.span("down")?.unwrap_or(Duration::from_secs(1)),
            restart: table.truth("restart")?.unwrap_or(true),
            firewall: table.word("firewall", &firewalls)?.unwrap_or(HostFirewall::None),
        })
    }

    fn renumber(table: &Table<'_>, side: Side) -> Result<Self, Slip> {
        let owners = [("none", OldOwner::None), ("other", OldOwner::Other)];
        let dhcp = table.truth("dhcp")?.unwrap_or(false);
        if dhcp && side == Side::Server {
            let what = "only the client gets its address by DHCP";
            return Err(Slip::new(&table.origin_of("dhcp"), what, "write side = \"client\""));
        }
        let gap = table.span("gap")?.unwrap_or(Duration::ZERO);
        if dhcp && gap > Duration::ZERO {
            let what = "with DHCP the gap is what the programs make of it";
            return Err(Slip::new(&table.origin_of("gap"), what, "leave `gap` out"));
        }
        let old_owner = table.word("old_owner", &owners)?.unwrap_or(OldOwner::None);
        Ok(Self::Renumber { side, gap, old_owner, dhcp })
    }
}

const ICMP: [(&str, Icmp); 2] =
    [("host-unreachable", Icmp::HostUnreachable), ("prohibited", Icmp::Prohibited)];

const COOKIES: [(&str, SynCookies); 3] =
    [("off", SynCookies::Off), ("when-full", SynCookies::WhenFull), ("always", SynCookies::Always)];

/// 20,000 SYNs in a second: more than one thread of the lab sends in its pauses.
const RATE_MAX: u32 = 20_000;

/// 65,535: what listen(2) and its sysctls take on every kernel.
const BACKLOG_MAX: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::reading::parse;

    fn read(text: &str) -> Result<Fault, Slip> {
        let node = parse(text)?;
        let table = Table::new("[[at]]", &node)?;
        let fault = Fault::read(&table)?;
        table.finish()?;
        Ok(fault)
    }

    #[test]
    fn what_the_catalogue_says_of_defaults_is_what_is_read() {
        for entry in CATALOGUE {
            let plain = format!("fault = \"{}\"\n", entry.name);
            let with_defaults = entry.parameters.iter().filter_map(|parameter| {
                let default = parameter.default?;
                let quoted = default.starts_with(['"', 't', 'f']) || default.parse::<u32>().is_ok();
                Some(if quoted {
                    format!("{} = {default}\n", parameter.key)
                } else {
                    format!("{} = \"{default}\"\n", parameter.key)
                })
            });
            // With DHCP off, a gap of nothing is as good as none.
            let spelt_out: String = std::iter::once(plain.clone()).chain(with_defaults).collect();
            let fault = read(&plain).unwrap();
            assert_eq!(fault.name(), entry.name);
            assert_eq!(read(&spelt_out), Ok(fault), "{spelt_out}");
        }
    }

    #[test]
    fn every_value_that_the_catalogue_offers_is_taken() {
        for entry in CATALOGUE {
            for parameter in entry.parameters {
                let values: Vec<String> = match parameter.values {
                    "a duration" => vec!["\"3s\"".to_owned()],
                    "a whole number" => vec!["700".to_owned()],
                    "a percentage" => vec!["7".to_owned()],
                    "a name of docs/middleboxes.md" => vec!["\"azure-lb\"".to_owned()],
                    "true, false" => vec!["true".to_owned(), "false".to_owned()],
                    words => words.split(", ").map(|word| format!("\"{word}\"")).collect(),
                };
                for value in values {
                    let more = match parameter.key {
                        "carrier" => "place = \"client\"\n",
                        "tells_mtu" => "mtu = 1280\n",
                        _ => "",
                    };
                    let text =
                        format!("fault = \"{}\"\n{} = {value}\n{more}", entry.name, parameter.key);
                    assert!(read(&text).is_ok(), "{text}: {:?}", read(&text));
                }
            }
        }
    }

    #[test]
    fn slips_name_the_line_and_the_remedy() {
        let slips = [
            "fault = \"cutt\"",
            "\nfault = \"cut\"\nlats = \"3s\"",
            "fault = \"cut\"\nlasts = \"3\"",
            "fault = \"cut\"\nlasts = 3",
            "fault = \"cut\"\ncarrier = false",
            "fault = \"kill\"\nside = \"both\"",
            "fault = \"syn-flood\"\nrate = 0",
            "fault = \"renumber\"\nside = \"server\"\ndhcp = true",
            "side = \"client\"",
            "fault = \"link\"\nmtu = 1279\ntells_mtu = true",
            "fault = \"link\"\ntells_mtu = true",
        ];
        let told: Vec<_> = slips
            .iter()
            .map(|text| read(text).unwrap_err().in_file("a.toml").to_string() + "\n")
            .collect();
        insta::assert_snapshot!(told.concat());
    }
}
