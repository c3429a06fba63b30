//! `keep --survive-idle` against a real box that forgets: connection tracking with a short memory and
//! a policy that drops what it does not know, over IPv4 and IPv6.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use halfopen_core::Route;
use halfopen_lab::{CLIENT, Host, Lab, ROUTER, SERVER, Topology, wait};
use halfopen_sys::Conntrack;

use crate::{json, keep::Files, requires_lab};

/// After how many seconds of silence the box forgets.
const MEMORY_S: &str = "6";

/// Far more than the box's memory, and all that happens meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// A firewall that knows connections by their SYN alone, and swallows what it has forgotten.
const RULES: &str = "add table inet box; \
     add chain inet box pass { type filter hook forward priority 0; policy drop; }; \
     add rule inet box pass ct state invalid drop; \
     add rule inet box pass ct state established,related accept; \
     add rule inet box pass meta l4proto ipv6-icmp accept; \
     add rule inet box pass tcp flags & (syn | ack) == syn accept";

/// A connection through the box.
struct Through {
    family: &'static str,
    client: TcpStream,
    server: TcpStream,
}

impl Through {
    fn route(&self) -> Route {
        Route { from: self.client.local_addr().unwrap(), to: self.client.peer_addr().unwrap() }
    }

    /// For `--local`.
    fn local(&self) -> String {
        self.client.local_addr().unwrap().to_string()
    }

    fn passes(&mut self) {
        self.client.write_all(b"x").unwrap();
        self.server.set_read_timeout(Some(PATIENCE)).unwrap();
        self.server.read_exact(&mut [0]).unwrap();
    }
}

/// Two hosts with the box between them.
struct Scene {
    // In the order in which they are to go.
    kept: Vec<Through>,
    forgotten: Vec<Through>,
    table: Conntrack,
    lab: Lab,
}

impl Scene {
    fn set() -> Self {
        let lab = Lab::build(Topology::routed()).unwrap();
        let router = lab.host(ROUTER).unwrap();
        for host in [CLIENT, SERVER, ROUTER] {
            lab.give_ipv6(host).unwrap();
        }
        router.set_sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
        run(router, RULES);
        for (name, value) in [
            ("net.netfilter.nf_conntrack_tcp_loose", "0"),
            ("net.netfilter.nf_conntrack_tcp_timeout_established", MEMORY_S),
        ] {
            router.set_sysctl(name, value).unwrap();
        }
        let table = router.enter(Conntrack::open).unwrap().unwrap();
        let mut scene = Self { kept: Vec::new(), forgotten: Vec::new(), table, lab };
        for family in ["ipv4", "ipv6"] {
            let (kept, forgotten) = (scene.connect(family), scene.connect(family));
            scene.kept.push(kept);
            scene.forgotten.push(forgotten);
        }
        scene
    }

    fn connect(&self, family: &'static str) -> Through {
        let end = self.lab.topology().ends_of(SERVER).next().unwrap().2;
        let address: IpAddr =
            if family == "ipv4" { end.address.into() } else { end.address6().into() };
        let server = self.lab.server().unwrap();
        let listen = || TcpListener::bind(SocketAddr::new(address, 0)).unwrap();
        let listener = server.enter(listen).unwrap();
        let to = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&to, PATIENCE).unwrap();
        let client = self.lab.client().unwrap().enter(connect).unwrap();
        Through { family, client, server: listener.accept().unwrap().0 }
    }

    fn netns(&self) -> String {
        self.lab.client().unwrap().pid().unwrap().to_string()
    }
}

/// Gives the rules to the host's nft(8).
fn run(host: &Host, rules: &str) {
    let mut running = host.spawn("nft", &[rules]).unwrap();
    let ended = running.ended(PATIENCE).unwrap();
    assert!(ended.is_some_and(|status| status.success()), "nft {rules}");
}

/// Goal: with `--survive-idle` a connection outlives the memory of the box, without it the same
/// connection dies. Method: both through the same box, at the same time; what the box remembers is
/// read from its own table.
#[test]
fn a_box_that_forgets_swallows_the_idle_connection_and_not_the_kept_one() {
    requires_lab!("nft" from "nftables");
    let mut scene = Scene::set();
    let netns = scene.netns();
    let files = Files::new("survive");
    let kept: Vec<_> = scene.kept.iter().map(Through::local).collect();
    let chosen = kept.iter().flat_map(|local| ["--local", local]).collect::<Vec<_>>();
    let wanted = ["--detect-within", "12s", "--survive-idle", "6s", "--apply"];
    let (text, code) = files.keep(&[&["--netns", &netns], &chosen[..], &wanted].concat());
    assert_eq!(code, 0, "{text}");

    for one in scene.kept.iter_mut().chain(&mut scene.forgotten) {
        one.passes();
    }
    let (table, forgotten) = (&mut scene.table, &scene.forgotten);
    let are_gone = wait::until(PATIENCE, || {
        let mut routes = forgotten.iter().map(Through::route);
        routes.all(|route| table.look_up(&route).unwrap().is_none()).then_some(())
    });
    assert!(are_gone.is_some(), "the box has not forgotten the idle ones");
    for one in &scene.kept {
        let entry = scene.table.look_up(&one.route()).unwrap();
        assert!(entry.is_some(), "the box has forgotten the kept one of {}", one.family);
    }
    for one in &mut scene.kept {
        one.passes();
    }

    for one in &mut scene.forgotten {
        one.client.write_all(b"into the void").unwrap();
    }
    let straining = wait::until(PATIENCE, || {
        let document = json(&["ls", "--netns", &netns, "--verdict", "silent", "--json"]);
        let silent = document["connections"].as_array()?;
        let is_silent = |one: &Through| silent.iter().any(|it| it["local"] == one.local());
        scene.forgotten.iter().all(is_silent).then_some(())
    });
    assert!(straining.is_some(), "the box let something through");
    for one in &mut scene.forgotten {
        one.server.set_nonblocking(true).unwrap();
        let nothing = one.server.read(&mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock, "{}", one.family);
    }
    files.keep(&["--netns", &netns, "--undo"]);
}
