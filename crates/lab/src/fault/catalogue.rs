//! Owns what is said of each fault to people: the source of `rehearse list`, `rehearse explain` and
//! docs/faults/. A test holds names, parameters and defaults to what is really read. Pure.

/// What the catalogue says of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name in scenarios.
    pub name: &'static str,
    /// What kind of thing fails.
    pub group: Group,
    /// What happens, in one sentence.
    pub what: &'static str,
    /// What passes on the wire then.
    pub wire: &'static str,
    /// What the side that is left learns.
    pub learns: &'static str,
    /// How it is done.
    pub how: &'static str,
    /// What can be chosen.
    pub parameters: &'static [Parameter],
}

/// What kind of thing fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The wire.
    Link,
    /// A host or its programs.
    Host,
    /// An address, a route or an interface.
    Address,
    /// A box on the path.
    Middlebox,
    /// The beginning of a connection.
    Birth,
    /// The end of a connection.
    Death,
}

impl Group {
    /// All, in the order of the catalogue.
    pub const ALL: [Self; 6] =
        [Self::Link, Self::Host, Self::Address, Self::Middlebox, Self::Birth, Self::Death];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Host => "host",
            Self::Address => "address",
            Self::Middlebox => "middlebox",
            Self::Birth => "birth",
            Self::Death => "death",
        }
    }
}

/// A parameter of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its key in scenarios.
    pub key: &'static str,
    /// What may stand there.
    pub values: &'static str,
    /// What holds where nothing is said, as it would be written; `None`: then it is left out.
    pub default: Option<&'static str>,
    /// What it means.
    pub means: &'static str,
}

impl Entry {
    /// The entry called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        CATALOGUE.iter().find(|entry| entry.name == name)
    }
}

const fn side(default: &'static str, means: &'static str) -> Parameter {
    Parameter { key: "side", values: "client, server", default: Some(default), means }
}

const fn direction(means: &'static str) -> Parameter {
    let default = Some("\"both\"");
    Parameter { key: "direction", values: "both, to-client, to-server", default, means }
}

const PLACE: Parameter = Parameter {
    key: "place",
    values: "client, middle, server",
    default: Some("\"middle\""),
    means: "on whose cable; `middle` is the server's",
};

const LASTS: Parameter = Parameter {
    key: "lasts",
    values: "a duration",
    default: None,
    means: "how long; without it, until the end of the rehearsal",
};

/// Every fault, by group.
pub const CATALOGUE: &[Entry] = &[
    Entry {
        name: "cut",
        group: Group::Link,
        what: "the cable passes nothing any more",
        wire: "nothing",
        learns: "what its own timers tell: retransmissions or keepalive probes run out; an idle connection without keepalive is never noticed",
        how: "the cable drops every frame; with `carrier = false` the link also goes down at the host where it is cut",
        parameters: &[
            Parameter {
                key: "place",
                values: "client, middle, server",
                default: Some("\"middle\""),
                means: "on whose cable; `middle` is the server's, beyond a switch",
            },
            Parameter {
                key: "carrier",
                values: "true, false",
                default: Some("true"),
                means: "whether the host where it is cut keeps its carrier",
            },
            direction("what is dropped"),
            LASTS,
        ],
    },
    Entry {
        name: "link",
        group: Group::Link,
        what: "frames are lost, late, doubled, bent, out of order, or too long for the path",
        wire: "what is left of the frames",
        learns: "nothing, as long as something comes through before the timers run out",
        how: "the cable itself; which frames chance takes follows from the seed",
        parameters: &[
            PLACE,
            direction("which frames"),
            Parameter {
                key: "loss",
                values: "a percentage",
                default: None,
                means: "frames that are lost",
            },
            Parameter {
                key: "burst",
                values: "a whole number",
                default: None,
                means: "how many are lost in a row, on average",
            },
            Parameter {
                key: "delay",
                values: "a duration",
                default: None,
                means: "how long each frame is on its way",
            },
            Parameter {
                key: "jitter",
                values: "a duration",
                default: None,
                means: "how much longer or shorter, at most",
            },
            Parameter {
                key: "reorder",
                values: "a percentage",
                default: None,
                means: "frames that later ones overtake",
            },
            Parameter {
                key: "duplicate",
                values: "a percentage",
                default: None,
                means: "frames that arrive twice",
            },
            Parameter {
                key: "corrupt",
                values: "a percentage",
                default: None,
                means: "frames of which one bit is turned over",
            },
            Parameter {
                key: "kbit",
                values: "a whole number",
                default: None,
                means: "how fast the link is, in kbit/s, with a queue of 64 KiB",
            },
            Parameter {
                key: "mtu",
                values: "a whole number",
                default: None,
                means: "longer packets vanish without an ICMP message",
            },
            Parameter {
                key: "tells_mtu",
                values: "true, false",
                default: Some("false"),
                means: "the sender is told the `mtu` (from 1280) by ICMP, and sends shorter packets",
            },
            LASTS,
        ],
    },
    Entry {
        name: "flap",
        group: Group::Link,
        what: "the cable is cut and mended again and again",
        wire: "something now and then",
        learns: "nothing, as long as something comes through before the timers run out",
        how: "as cut, several times",
        parameters: &[
            PLACE,
            Parameter {
                key: "down",
                values: "a duration",
                default: Some("\"1s\""),
                means: "how long it is cut each time",
            },
            Parameter {
                key: "up",
                values: "a duration",
                default: Some("\"1s\""),
                means: "how long it is whole in between",
            },
            Parameter {
                key: "times",
                values: "a whole number",
                default: Some("3"),
                means: "how often it is cut",
            },
        ],
    },
    Entry {
        name: "middlebox",
        group: Group::Middlebox,
        what: "a NAT, firewall or load balancer on the path forgets idle flows",
        wire: "as the box has it: silence, RST to who speaks next, or RST to both at once",
        learns: "depends on the box; one that drops is a cut cable for this connection alone",
        how: "a table of flows in the client's cable; with `preset`, the published numbers of a real one (docs/middleboxes.md)",
        parameters: &[
            Parameter {
                key: "preset",
                values: "a name of docs/middleboxes.md",
                default: None,
                means: "a real box; other keys change it",
            },
            Parameter {
                key: "forgets_after",
                values: "a duration",
                default: None,
                means: "how long a flow may be idle",
            },
            Parameter {
                key: "half_closed_after",
                values: "a duration",
                default: None,
                means: "the same once one end has sent FIN",
            },
            Parameter {
                key: "then",
                values: "drop, icmp, rst, rst-inside, rst-both, leak, pick-up, pick-up-or-rst",
                default: None,
                means: "what happens to a flow that is forgotten",
            },
            Parameter {
                key: "refresh",
                values: "any, data, outbound",
                default: None,
                means: "what keeps a flow from being forgotten",
            },
            Parameter {
                key: "keepalives",
                values: "count, ignore, drop, answer",
                default: None,
                means: "what keepalive probes are to it",
            },
            Parameter {
                key: "max_flows",
                values: "a whole number",
                default: None,
                means: "how many flows it has room for",
            },
        ],
    },
    Entry {
        name: "middlebox-forgets",
        group: Group::Middlebox,
        what: "a box on the path forgets every flow at once, as after its restart",
        wire: "as the box has it",
        learns: "depends on the box",
        how: "a table of flows in the client's cable, emptied",
        parameters: &[Parameter {
            key: "then",
            values: "drop, icmp, rst, rst-inside, rst-both, leak, pick-up, pick-up-or-rst",
            default: Some("\"drop\""),
            means: "what happens to a flow that it does not know",
        }],
    },
    Entry {
        name: "rst-injected",
        group: Group::Middlebox,
        what: "somebody on the path sends an RST in the name of the other side",
        wire: "an RST that no host sent",
        learns: "ECONNRESET where it is aimed at the very next byte; else nothing: a challenge ACK (RFC 5961)",
        how: "the cable makes it",
        parameters: &[
            side("\"client\"", "to whom"),
            Parameter {
                key: "aim",
                values: "valid, in-window, blind",
                default: Some("\"valid\""),
                means: "how well it is aimed",
            },
        ],
    },
    Entry {
        name: "syn-repeated",
        group: Group::Middlebox,
        what: "the SYN of the connection comes again, late, as a network may deliver it that has kept a copy",
        wire: "a SYN to the server, and the challenge ACK that answers it",
        learns: "nothing while the server knows the connection (RFC 5961 section 4). One that has forgotten it takes the SYN for a new one; the client objects to its SYN-ACK, and is answered RST: what was half-open is found (RFC 9293 section 3.5.1)",
        how: "the server's cable delivers a SYN with the number of the first, without options",
        parameters: &[],
    },
    Entry {
        name: "exit",
        group: Group::Host,
        what: "the programs of a host are asked to end (SIGTERM)",
        wire: "FIN, or RST where the program leaves data unread",
        learns: "the end of the stream, at once",
        how: "SIGTERM to every program of the host",
        parameters: &[side("\"server\"", "whose programs")],
    },
    Entry {
        name: "kill",
        group: Group::Host,
        what: "the programs of a host are killed (SIGKILL)",
        wire: "FIN; RST where data had come that nobody read",
        learns: "the end of the stream, or ECONNRESET, at once",
        how: "SIGKILL to every program of the host; with `unread = true` they are stopped first, and killed when the receive buffer holds something",
        parameters: &[
            side("\"server\"", "whose programs"),
            Parameter {
                key: "unread",
                values: "true, false",
                default: Some("false"),
                means: "with data in the receive buffer that nobody read; the other side must write for that",
            },
        ],
    },
    Entry {
        name: "freeze",
        group: Group::Host,
        what: "the programs of a host stand still; its kernel goes on",
        wire: "acknowledgements of everything: keepalive probes, data until the window is shut, then window probes",
        learns: "nothing, ever: to TCP the peer lives. Only a time limit of the application helps",
        how: "SIGSTOP to every program of the host",
        parameters: &[side("\"server\"", "whose programs"), LASTS],
    },
    Entry {
        name: "hang",
        group: Group::Host,
        what: "a host hangs, kernel and programs",
        wire: "nothing; the carrier stays",
        learns: "what its own timers tell, as with a cut cable",
        how: "SIGSTOP to every program, and the host's cable drops every frame",
        parameters: &[side("\"server\"", "which host"), LASTS],
    },
    Entry {
        name: "power-off",
        group: Group::Host,
        what: "a host loses its power",
        wire: "nothing: its connections vanish without a segment",
        learns: "what its own timers tell, as with a cut cable",
        how: "the host's sockets are silenced (TCP_REPAIR), its processes end, its links vanish",
        parameters: &[side("\"server\"", "which host")],
    },
    Entry {
        name: "reboot",
        group: Group::Host,
        what: "a host loses its power and comes back, remembering nothing",
        wire: "nothing while it is down; then RST in answer to the next segment, unless a firewall on the host drops what it does not know",
        learns: "ECONNRESET by its next segment after the boot: data, a retransmission or a keepalive probe. An idle connection without keepalive is never noticed",
        how: "as power-off; after `down` the host boots with the same addresses and its programs start again",
        parameters: &[
            side("\"server\"", "which host"),
            Parameter {
                key: "down",
                values: "a duration",
                default: Some("\"1s\""),
                means: "from power off to power on",
            },
            Parameter {
                key: "restart",
                values: "true, false",
                default: Some("true"),
                means: "whether its programs start again",
            },
            Parameter {
                key: "firewall",
                values: "none, stateful",
                default: Some("\"none\""),
                means: "what the host does with segments of its former life; `stateful` drops them silently",
            },
        ],
    },
    Entry {
        name: "suspend",
        group: Group::Host,
        what: "a host sleeps and wakes",
        wire: "nothing while it sleeps; then life goes on where it stood",
        learns: "nothing if its timers are more patient than the sleep is long",
        how: "SIGSTOP and a silent cable, then SIGCONT. The timers of a kernel that really sleeps stand still; here they go on",
        parameters: &[
            side("\"client\"", "which host"),
            Parameter {
                key: "lasts",
                values: "a duration",
                default: Some("\"5s\""),
                means: "how long it sleeps",
            },
        ],
    },
    Entry {
        name: "abort",
        group: Group::Host,
        what: "an administrator kills the connection",
        wire: "RST",
        learns: "ECONNRESET, at once; the program on the host where it was killed gets ECONNABORTED",
        how: "`ss --kill` on the host (INET_DIAG_DESTROY)",
        parameters: &[side("\"server\"", "on which host")],
    },
    Entry {
        name: "renumber",
        group: Group::Address,
        what: "a host gets another address, as after a DHCP lease",
        wire: "from the renumbered host nothing at all; to it, segments for an address that nobody has, or RST from who has it now",
        learns: "on the renumbered host: what its retransmissions tell, and nothing while idle without keepalive. On the other: the same, or EHOSTUNREACH for ETIMEDOUT where the router says that nobody answers, or ECONNRESET where somebody else has the address",
        how: "`ip address` on the host, or with `dhcp = true` a real server (dnsmasq on the router) that forgets the lease and a real client (udhcpc of busybox) that is told to renew",
        parameters: &[
            side("\"client\"", "which host"),
            Parameter {
                key: "gap",
                values: "a duration",
                default: Some("\"0s\""),
                means: "from the old address to the new one",
            },
            Parameter {
                key: "old_owner",
                values: "none, other",
                default: Some("\"none\""),
                means: "who has the old address then; `other` is the router, so there has to be one",
            },
            Parameter {
                key: "dhcp",
                values: "true, false",
                default: Some("false"),
                means: "by DHCP; client only, needs a router, dnsmasq and busybox",
            },
        ],
    },
    Entry {
        name: "interface-down",
        group: Group::Address,
        what: "the interface of a host is switched off on the host itself",
        wire: "nothing",
        learns: "nothing at once: its sends are accepted as before. What its timers tell, though not one packet leaves",
        how: "`ip link set eth0 down` on the host; at the end of `lasts` up again, with its routes",
        parameters: &[side("\"client\"", "on which host"), LASTS],
    },
    Entry {
        name: "route-lost",
        group: Group::Address,
        what: "a host loses its default route",
        wire: "nothing from that host",
        learns: "what its timers tell, though not one packet leaves",
        how: "`ip route delete default` on the host; needs a router between the hosts",
        parameters: &[side("\"client\"", "which host"), LASTS],
    },
    Entry {
        name: "icmp",
        group: Group::Address,
        what: "the router refuses what goes to one side, and says so by ICMP",
        wire: "an ICMP error in answer to each segment",
        learns: "no sooner than by silence: Linux takes ICMP as a hint and only renames the error of retransmissions that ran out: EHOSTUNREACH; over IPv6 ENETUNREACH, or EACCES where it is prohibited",
        how: "an `unreachable` or `prohibit` route on the router",
        parameters: &[
            side("\"server\"", "what goes to this side is refused"),
            Parameter {
                key: "answer",
                values: "host-unreachable, prohibited",
                default: Some("\"host-unreachable\""),
                means: "which ICMP error",
            },
            LASTS,
        ],
    },
    Entry {
        name: "forget",
        group: Group::Middlebox,
        what: "the router's connection tracking forgets every flow, as after its restart",
        wire: "depends on who speaks first and on the router's filter: the flow is picked up again, dropped, or reset",
        learns: "depends on the filter: nothing, silence, or RST",
        how: "`conntrack --flush` on the router of the topology `nat`",
        parameters: &[],
    },
    Entry {
        name: "syn-flood",
        group: Group::Birth,
        what: "the server is given SYNs of senders that do not exist",
        wire: "SYNs without end, and SYN-ACKs that nobody answers",
        learns: "without SYN cookies (off), ETIMEDOUT on connect once the queue of embryonic connections is full; with them it connects, once the queue is full (when-full) or in any case (always, which queues nobody)",
        how: "a thread in the client host's network sends SYNs from 10.99.0.0/16, which the path drops on the way back",
        parameters: &[
            Parameter {
                key: "rate",
                values: "a whole number",
                default: Some("400"),
                means: "SYNs in a second",
            },
            Parameter {
                key: "cookies",
                values: "off, when-full, always",
                default: Some("\"when-full\""),
                means: "tcp_syncookies of the server: 0, 1, 2",
            },
            Parameter {
                key: "backlog",
                values: "a whole number",
                default: Some("16"),
                means: "tcp_max_syn_backlog and net.core.somaxconn of the server",
            },
        ],
    },
    Entry {
        name: "accept-stall",
        group: Group::Birth,
        what: "the server's programs stand still before the client connects: nobody accepts",
        wire: "a complete handshake while the accept queue has room; then SYNs without answer",
        learns: "\"connected\" says nothing about the application: nothing else is ever learnt",
        how: "SIGSTOP to every program of the server before the client starts",
        parameters: &[Parameter {
            key: "backlog",
            values: "a whole number",
            default: Some("16"),
            means: "the longest accept queue (net.core.somaxconn), read when the program listens",
        }],
    },
    Entry {
        name: "syn-dropped",
        group: Group::Birth,
        what: "SYNs to the server are dropped",
        wire: "the client's SYN, again and again",
        learns: "ETIMEDOUT on connect when its SYN retries run out (127 s and more by default)",
        how: "a filter on the cable, from before the client starts",
        parameters: &[LASTS],
    },
    Entry {
        name: "third-ack-lost",
        group: Group::Birth,
        what: "the client's last word of the handshake is lost, and all that follows it",
        wire: "SYN, SYN-ACK; nothing of the client's after that reaches the server",
        learns: "the client believes that it is connected; the server forgets the embryonic connection when its SYN-ACK retries run out, and answers RST after that: half-open from birth",
        how: "a filter on the cable, from before the client starts",
        parameters: &[LASTS],
    },
    Entry {
        name: "fin-lost",
        group: Group::Death,
        what: "the programs of a host end, and their FIN never arrives",
        wire: "FIN, again and again, dropped",
        learns: "the other side: what its own timers tell, until the orphan's kernel forgets and answers RST",
        how: "a filter on the cable drops the host's FINs; then SIGTERM",
        parameters: &[side("\"server\"", "whose FIN")],
    },
    Entry {
        name: "half-close",
        group: Group::Death,
        what: "one direction is closed for ever, and the other stays open",
        wire: "one FIN, acknowledged",
        learns: "the other side reads the end of the stream and may go on writing. The kernel ends neither half by itself",
        how: "shutdown(SHUT_WR) on the program's own socket, through a duplicate of its descriptor",
        parameters: &[side("\"client\"", "who closes")],
    },
    Entry {
        name: "zero-window",
        group: Group::Death,
        what: "one side stops reading until its window is shut",
        wire: "window probes, each acknowledged with a window of zero",
        learns: "nothing, ever (RFC 9293 section 3.8.6.1), except with TCP_USER_TIMEOUT, which ends the living connection",
        how: "SIGSTOP to the reader; the other side must write",
        parameters: &[side("\"server\"", "who stops reading"), LASTS],
    },
    Entry {
        name: "rst-lost",
        group: Group::Death,
        what: "a connection is killed, and its RST is lost",
        wire: "one RST, dropped; the next segment of the other side is answered by RST too, which is also lost",
        learns: "what its own timers tell: half-open as seen from outside, silent as seen from inside",
        how: "a filter on the cable drops the host's RSTs; then `ss --kill`",
        parameters: &[side("\"server\"", "on which host")],
    },
];

#[cfg(test)]
mod tests {
    use std::{env, fmt::Write, fs};

    use super::*;

    /// The page of a fault, as docs/faults has it.
    fn page(entry: &Entry) -> String {
        let mut page = format!(
            "# {}\n\nGroup: {}. {}.\n\n- **On the wire:** {}.\n- **What is learnt:** {}.\n- **How it is done:** {}.\n",
            entry.name,
            entry.group.word(),
            capital(entry.what),
            entry.wire,
            entry.learns,
            entry.how
        );
        if !entry.parameters.is_empty() {
            page += "\n| key | values | default | meaning |\n|---|---|---|---|\n";
            for Parameter { key, values, default, means } in entry.parameters {
                let default = default.map_or_else(String::new, |default| format!("`{default}`"));
                writeln!(page, "| `{key}` | {values} | {default} | {means} |").unwrap();
            }
        }
        let when = if ["syn-flood", "accept-stall", "syn-dropped", "third-ack-lost"]
            .contains(&entry.name)
        {
            "before the client starts"
        } else {
            "2s after established"
        };
        let name = entry.name;
        page + &format!("\n```toml\n[[at]]\nwhen = \"{when}\"\nfault = \"{name}\"\n```\n")
    }

    fn capital(text: &str) -> String {
        let mut letters = text.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default()
    }

    #[test]
    fn the_documentation_has_a_page_for_every_fault_that_says_what_the_catalogue_says() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/faults");
        let writes = env::var_os("HALFOPEN_WRITE_EXAMPLES").is_some();
        for entry in CATALOGUE {
            let path = format!("{folder}/{}.md", entry.name);
            if writes {
                fs::write(&path, page(entry)).unwrap();
            }
            let there = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(there, page(entry), "{path}: HALFOPEN_WRITE_EXAMPLES=1 writes it anew");
        }
        let pages = fs::read_dir(folder).unwrap().count();
        assert_eq!(pages, CATALOGUE.len(), "a page in {folder} is about no fault");
    }
}
