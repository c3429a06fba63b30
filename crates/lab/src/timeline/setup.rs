//! Owns what is done before any program starts: sysctls, the router's translation and its filter. Pure.

use super::{Act, address::Address, cookies_value};
use crate::{
    fault::{Fault, Side},
    scenario::{Filter, Plan, Router, Scenario},
    topology::{IpFamily, NOBODY, ROUTER, SECOND_SERVER, SERVER},
};

/// What to do to begin with, in order.
pub(super) fn acts(scenario: &Scenario) -> Vec<Act> {
    let mut acts = router(scenario);
    for side in Side::BOTH {
        let party = if side == Side::Client { &scenario.client } else { &scenario.server };
        let has_second = side == Side::Server && scenario.plan == Plan::Balanced;
        for host in [Some(side.word()), has_second.then_some(SECOND_SERVER)].into_iter().flatten() {
            let set = |(name, value): &(String, String)| sysctl(host, name, value.clone());
            acts.extend(party.sysctls.iter().map(set));
        }
    }
    for step in &scenario.steps {
        match step.fault {
            Fault::SynFlood { cookies, backlog, .. } => {
                let cookies = cookies_value(cookies).to_string();
                acts.push(sysctl(SERVER, "net.ipv4.tcp_syncookies", cookies));
                acts.push(sysctl(SERVER, "net.ipv4.tcp_max_syn_backlog", backlog.to_string()));
                acts.push(sysctl(SERVER, "net.core.somaxconn", backlog.to_string()));
                // Their SYN-ACKs would find no way, and the router would say so to the server.
                let nobody = scenario.family.of(NOBODY);
                let prefix = scenario.family.prefix(16);
                let blackhole = format!("route add blackhole {nobody}/{prefix}\n");
                acts.push(Act::Ip { host: ROUTER, script: blackhole });
            }
            Fault::AcceptStall { backlog } => {
                acts.push(sysctl(SERVER, "net.core.somaxconn", backlog.to_string()));
            }
            Fault::Renumber { dhcp: true, .. } => {
                let address = Address::of(scenario, Side::Client).now();
                acts.push(Act::Lease { address: address.to_string() });
            }
            _ => {}
        }
    }
    acts
}

fn sysctl(host: &'static str, name: &str, value: String) -> Act {
    Act::Sysctl { host, name: name.to_owned(), value }
}

fn router(scenario: &Scenario) -> Vec<Act> {
    match scenario.plan {
        Plan::Lan | Plan::Routed => Vec::new(),
        Plan::Nat => nat(&scenario.router, scenario.family),
        Plan::Balanced => vec![Act::Nft { host: ROUTER, script: balancer(scenario) }],
    }
}

/// The client hides behind the router's address on the server's side (eth1).
fn nat(router: &Router, family: IpFamily) -> Vec<Act> {
    let table = table(family);
    let unknown = match router.filter {
        Filter::None => "",
        Filter::Drop => {
            "  ct state invalid drop\n  ct state new tcp flags & (syn | ack) != syn drop\n"
        }
        Filter::Reset => {
            "  ct state invalid reject with tcp reset\n  ct state new tcp flags & (syn | ack) != syn reject with tcp reset\n"
        }
    };
    // A server that speaks to a forgotten flow speaks to the router itself, which would answer with RST.
    let own = match router.filter {
        Filter::Drop => {
            " chain own {\n  type filter hook input priority 0;\n  iif eth1 meta l4proto tcp drop\n }\n"
        }
        Filter::None | Filter::Reset => "",
    };
    let ports = if router.random_ports { " fully-random" } else { "" };
    let script = format!(
        "table {table} lab {{\n chain hide {{\n  type nat hook postrouting priority 100;\n  oif eth1 masquerade{ports}\n }}\n \
         chain known {{\n  type filter hook forward priority 0;\n{unknown} }}\n{own}}}\n"
    );
    // The sysctls are there once connection tracking is.
    let mut acts = vec![Act::Nft { host: ROUTER, script }];
    let tracking = |name: &str| format!("net.netfilter.nf_conntrack_tcp_{name}");
    let loose = u32::from(router.picks_up).to_string();
    acts.push(sysctl(ROUTER, &tracking("loose"), loose));
    if let Some(span) = router.forgets_after {
        let seconds = span.as_secs().to_string();
        acts.push(sysctl(ROUTER, &tracking("timeout_established"), seconds));
    }
    acts
}

/// Connections to the router go to one server, the next one to the other, and so on.
fn balancer(scenario: &Scenario) -> String {
    let (table, topology) = (table(scenario.family), scenario.topology());
    let address =
        |name| topology.address(name).map(|address| address.to_string()).unwrap_or_default();
    format!(
        "table {table} lab {{\n chain spread {{\n  type nat hook prerouting priority -100;\n  \
         iif eth0 meta l4proto tcp dnat to numgen inc mod 2 map {{ 0 : {}, 1 : {} }}\n }}\n}}\n",
        address(SERVER),
        address(SECOND_SERVER)
    )
}

/// What nft calls the tables of a family.
const fn table(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "ip",
        IpFamily::V6 => "ip6",
    }
}
