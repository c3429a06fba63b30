//! Connection tracking of real rules: client, router and server in namespaces of their own, with
//! translation of addresses at each of them. A namespace that ends takes all of it along.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use halfopen_core::{
    Diagnosis, Evidence, Observation, Severity, TcpState, Thresholds, TrackedEntry, TrackedFlow,
    TrackedState, Tracking,
};
use halfopen_sys::{Activity, Conntrack, ConntrackError, Scope, Survey, survey, tracking};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::{elsewhere::Elsewhere, eventually, is_root, skip};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// What the client's own rules make of its address.
const CLIENT_OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const ROUTER_OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 254);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 7);
/// What the client calls the server; its own rules know better.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// Exempt from tracking at the client.
const UNTRACKED_PORT: u16 = 9;
const FIRST_PORT: u16 = 80;
/// Where the server's rules send what comes for [`FIRST_PORT`].
const LAST_PORT: u16 = 8080;

const CLIENT_RULES: &str = "table ip lab { \
    chain raw { type filter hook output priority -300; tcp dport 9 notrack; }; \
    chain raw_in { type filter hook prerouting priority -300; tcp sport 9 notrack; }; \
    chain out { type nat hook output priority -100; ip daddr 10.9.9.9 dnat to 10.0.1.7; }; \
    chain post { type nat hook postrouting priority 100; ip daddr 10.0.1.7 snat to 10.0.0.2; }; }";
const ROUTER_RULES: &str = "table ip lab { chain post { \
    type nat hook postrouting priority 100; oifname \"eth1\" masquerade; }; }";
const SERVER_RULES: &str = "table ip lab { chain pre { \
    type nat hook prerouting priority -100; tcp dport { 80, 9 } redirect to :8080; }; }";

struct Hosts {
    client: Elsewhere,
    router: Elsewhere,
    server: Elsewhere,
}

impl Hosts {
    /// `None` where they cannot be made.
    fn start() -> Option<Self> {
        if !is_root("to make network namespaces") {
            return None;
        }
        if Command::new("nft").arg("--version").output().is_err() {
            skip("nft, of the package nftables");
            return None;
        }
        let hosts = Self {
            client: Elsewhere::start_with("true"),
            router: Elsewhere::start_with("true"),
            server: Elsewhere::start_with("true"),
        };
        hosts.lay_cables();
        Some(hosts)
    }

    fn lay_cables(&self) {
        let (client, router, server) = (self.client.pid(), self.router.pid(), self.server.pid());
        shell(&format!(
            "ip link add eth0 netns {client} type veth peer name eth0 netns {router} && \
             ip link add eth1 netns {router} type veth peer name eth0 netns {server}"
        ));
        self.client.run(&format!(
            "ip addr add 10.0.0.1/24 dev eth0 && ip addr add 10.0.0.2/24 dev eth0 && \
             ip link set eth0 up && ip route add default via 10.0.0.254 && nft '{CLIENT_RULES}'"
        ));
        self.router.run(&format!(
            "ip addr add 10.0.0.254/24 dev eth0 && ip addr add 10.0.1.254/24 dev eth1 && \
             ip link set eth0 up && ip link set eth1 up && \
             sysctl -qw net.ipv4.ip_forward=1 && nft '{ROUTER_RULES}'"
        ));
        self.server.run(&format!(
            "ip addr add 10.0.1.7/24 dev eth0 && ip link set eth0 up && \
             ip route add default via 10.0.1.254 && nft '{SERVER_RULES}'"
        ));
    }

    fn listen(&self) -> TcpListener {
        self.server.inside(|| TcpListener::bind((SERVER, LAST_PORT)).unwrap())
    }

    /// The client's end of a connection to `port` of the service, and the server's.
    fn connect(&self, listener: &TcpListener, port: u16) -> (TcpStream, TcpStream) {
        let client = self.client.inside(|| {
            let service = SocketAddr::from((SERVICE, port));
            TcpStream::connect_timeout(&service, Duration::from_secs(5)).unwrap()
        });
        let (server, _) = listener.accept().unwrap();
        (client, server)
    }

    fn tracking_at_client(&self, stream: &TcpStream) -> Tracking {
        of(&self.client.look(), stream).tracking
    }
}

impl Elsewhere {
    fn run(&self, script: &str) {
        shell(&format!("nsenter -t {} -n sh -c {}", self.pid(), quoted(script)));
    }

    fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.netns().enter(work).unwrap()
    }

    fn look(&self) -> Survey {
        survey(&Scope::Named(self.pid().to_string())).unwrap()
    }

    fn flows(&self) -> Vec<TrackedFlow> {
        self.inside(|| {
            let mut flows = Vec::new();
            let malformed = Conntrack::open().unwrap().dump(|flow| flows.push(flow)).unwrap();
            assert_eq!(malformed, []);
            flows
        })
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn shell(script: &str) {
    let done = Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}

fn of(survey: &Survey, stream: &TcpStream) -> Observation {
    let ends = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let is_it =
        |seen: &&Observation| (seen.sample.endpoints.local, seen.sample.endpoints.peer) == ends;
    survey.observations.iter().find(is_it).expect("the survey has the connection").clone()
}

fn entry(seen: &Observation) -> &TrackedEntry {
    seen.tracking.entry().unwrap_or_else(|| panic!("it has an entry: {:?}", seen.tracking))
}

fn remaining(seen: &Observation) -> Duration {
    entry(seen).remaining.unwrap()
}

fn say(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"x").unwrap();
    to.read_exact(&mut [0]).unwrap();
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddrV4::new(address, port).into()
}

#[test]
fn a_connection_is_found_behind_translation_at_client_router_and_server() {
    let Some(hosts) = Hosts::start() else { return };
    let listener = hosts.listen();
    let (mut client, mut server) = hosts.connect(&listener, FIRST_PORT);
    say(&mut client, &mut server);

    let near = of(&hosts.client.look(), &client);
    assert_eq!(near.sample.endpoints.local.ip(), CLIENT);
    let near = entry(&near);
    assert_eq!(near.state, Some(TrackedState::Established));
    assert_eq!((near.assured, near.offloaded, near.zone), (Some(true), Some(false), None));
    assert!(!near.opened_by_peer);
    let outside = near.translation.as_deref().expect("it is translated");
    assert_eq!(outside.local.ip(), CLIENT_OUTSIDE);
    assert_eq!(outside.peer, at(SERVER, FIRST_PORT));

    let far = of(&hosts.server.look(), &server);
    assert_eq!(far.sample.endpoints.peer.ip(), ROUTER_OUTSIDE);
    let far = entry(&far);
    assert!(far.opened_by_peer);
    let wire = far.translation.as_deref().expect("its port is translated");
    assert_eq!(wire.local, at(SERVER, FIRST_PORT));
    assert_eq!(wire.peer, server.peer_addr().unwrap());

    let between = hosts.router.flows();
    let [flow] = &between[..] else { panic!("{between:?}") };
    assert_eq!(flow.original.from, outside.local);
    assert_eq!((flow.original.to, flow.reply.from), (wire.local, wire.local));
    assert_eq!(flow.reply.to, server.peer_addr().unwrap());
    // The router has no connection of its own.
    assert!(hosts.router.look().observations.is_empty());
}

#[test]
fn the_life_that_is_left_counts_down_and_a_segment_renews_it() {
    let Some(hosts) = Hosts::start() else { return };
    let listener = hosts.listen();
    let (mut client, mut server) = hosts.connect(&listener, FIRST_PORT);
    say(&mut client, &mut server);
    let look = || remaining(&of(&hosts.client.look(), &client));
    let began = Instant::now();
    let first = look();
    let whole = Duration::from_secs(432_000);
    assert!(first <= whole && first >= whole - Duration::from_secs(10), "{first:?}");
    let second = eventually("the life to grow shorter", || {
        let now = look();
        (now + Duration::from_secs(2) <= first).then_some(now)
    });
    assert!(first - second <= began.elapsed() + Duration::from_secs(1));
    say(&mut client.try_clone().unwrap(), &mut server);
    assert!(look() > second);
}

#[test]
fn a_half_closed_connection_is_remembered_for_a_minute_only() {
    let Some(hosts) = Hosts::start() else { return };
    let listener = hosts.listen();
    let (client, server) = hosts.connect(&listener, FIRST_PORT);
    server.shutdown(Shutdown::Write).unwrap();
    let seen = eventually("the entry to be half-closed", || {
        let seen = of(&hosts.client.look(), &client);
        (entry(&seen).state == Some(TrackedState::CloseWait)).then_some(seen)
    });
    assert_eq!(seen.sample.state, TcpState::CloseWait);
    assert!(remaining(&seen) <= Duration::from_secs(60));
    let verdict = Diagnosis::of(seen, &Thresholds::default()).verdict;
    let told = verdict.evidence().find(|told| told.kind() == "tracking-expires").unwrap();
    assert!(matches!(told, Evidence::TrackingExpires { expires_in } if expires_in.as_secs() <= 60));
}

/// Waits until the client's tracking has forgotten `idle`, while `busy` goes on.
fn until_forgotten(
    hosts: &Hosts,
    idle: &TcpStream,
    (client, server): &mut (TcpStream, TcpStream),
) -> Observation {
    eventually("the entry to be forgotten", || {
        say(client, server);
        let seen = of(&hosts.client.look(), idle);
        matches!(seen.tracking, Tracking::Forgotten { .. }).then_some(seen)
    })
}

#[test]
fn an_entry_that_ran_out_is_forgotten_and_the_next_segment_brings_it_back() {
    let Some(hosts) = Hosts::start() else { return };
    hosts.client.run("sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=2");
    let listener = hosts.listen();
    let (mut client, mut server) = hosts.connect(&listener, FIRST_PORT);
    say(&mut client, &mut server);
    let mut busy = hosts.connect(&listener, FIRST_PORT);
    let seen = until_forgotten(&hosts, &client, &mut busy);
    assert_eq!(seen.tracking, Tracking::Forgotten { others: 1 });
    let verdict = Diagnosis::of(seen, &Thresholds::default()).verdict;
    assert_eq!(verdict.severity(), Severity::Notice);
    assert!(verdict.evidence().any(|told| told.kind() == "tracking-forgot"));
    // nf_conntrack_tcp_loose: what is sent from inside is picked up again.
    client.write_all(b"x").unwrap();
    eventually("a new entry", || hosts.tracking_at_client(&client).entry().cloned());
}

#[test]
fn an_entry_that_was_deleted_is_forgotten_at_once() {
    let Some(hosts) = Hosts::start() else { return };
    if Command::new("conntrack").arg("--version").output().is_err() {
        return skip("conntrack, of the package conntrack");
    }
    let listener = hosts.listen();
    let (mut client, mut server) = hosts.connect(&listener, FIRST_PORT);
    say(&mut client, &mut server);
    let mut busy = hosts.connect(&listener, FIRST_PORT);
    let port = client.local_addr().unwrap().port();
    hosts.client.run(&format!("conntrack -D -p tcp --orig-port-src {port} 2>&1"));
    let seen = until_forgotten(&hosts, &client, &mut busy);
    assert_eq!(seen.tracking, Tracking::Forgotten { others: 1 });
}

#[test]
fn what_a_rule_exempts_is_not_tracked_and_never_forgotten() {
    let Some(hosts) = Hosts::start() else { return };
    let listener = hosts.listen();
    // Translation needs tracking, so the exempt connection goes by the server's own address.
    let exempt = hosts.client.inside(|| TcpStream::connect((SERVER, UNTRACKED_PORT)).unwrap());
    let _exempt_there = listener.accept().unwrap();
    let (mut client, mut server) = hosts.connect(&listener, FIRST_PORT);
    let began = Instant::now();
    eventually("tracking to be at work for a second", || {
        say(&mut client, &mut server);
        let survey = hosts.client.look();
        assert!(of(&survey, &client).tracking.entry().is_some());
        assert_eq!(of(&survey, &exempt).tracking, Tracking::NotTracked);
        (began.elapsed() > Duration::from_secs(1)).then_some(())
    });
}

#[test]
fn entries_are_the_same_whether_looked_up_one_by_one_or_dumped() {
    let Some(hosts) = Hosts::start() else { return };
    let listener = hosts.listen();
    let (client, _server) = hosts.connect(&listener, FIRST_PORT);
    hosts.client.inside(|| {
        // Flows of another protocol, which a dump passes over.
        for _ in 0..40 {
            let socket = UdpSocket::bind((CLIENT, 0)).unwrap();
            socket.send_to(b"x", (SERVER, 7)).unwrap();
        }
        let Activity::Entries(entries) = Activity::of_this_namespace() else { panic!("none") };
        assert!(entries > 40);
        let sample = of(&survey(&Scope::Current).unwrap(), &client).sample;
        let few = tracking(std::slice::from_ref(&sample));
        // So many connections that a dump costs less.
        let many = tracking(&vec![sample; 100_000]);
        assert_eq!((&few.missed, &many.missed), (&None, &None));
        let mut expected = few.each[0].entry().expect("it is tracked").clone();
        let Some(Tracking::Entry(dumped)) = many.each.first() else { panic!("not tracked") };
        assert!(many.each.iter().all(|told| *told == many.each[0]));
        // A second may have passed.
        expected.remaining = dumped.remaining;
        assert_eq!(expected, **dumped);
    });
}

#[test]
fn a_namespace_without_rules_tracks_nothing_and_that_is_no_lack_of_sight() {
    let Some(elsewhere) = Elsewhere::start() else { return };
    let (_listener, client) = elsewhere.inside(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener, client)
    });
    let activity = elsewhere.inside(Activity::of_this_namespace);
    assert!(matches!(activity, Activity::Absent | Activity::Entries(0)), "{activity:?}");
    let survey = elsewhere.look();
    assert_eq!(of(&survey, &client).tracking, Tracking::NotTracked);
    assert!(!survey.unseen.iter().any(|unseen| unseen.what.contains("tracking")));
}

#[test]
fn without_the_capability_the_survey_says_what_is_missing_and_shows_the_rest() {
    let Some(hosts) = Hosts::start() else { return };
    let listener = hosts.listen();
    let (client, _server) = hosts.connect(&listener, FIRST_PORT);
    let netns = hosts.client.netns();
    let (survey, refusal) = netns
        .enter(|| {
            // The thread ends with this work, and its capabilities with it.
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::NET_ADMIN);
            set_capabilities(None, sets).unwrap();
            let refusal = Conntrack::open().and_then(|mut table| table.dump(drop));
            (survey(&Scope::Current).unwrap(), refusal.unwrap_err())
        })
        .unwrap();
    assert!(matches!(refusal, ConntrackError::NotPermitted), "{refusal}");
    let seen = of(&survey, &client);
    let Tracking::Unseen(why) = &seen.tracking else { panic!("{:?}", seen.tracking) };
    assert!(why.contains("CAP_NET_ADMIN"), "{why}");
    let mut told = survey.unseen.iter().filter(|unseen| unseen.what.contains("tracking"));
    assert!(told.next().unwrap().why.contains("CAP_NET_ADMIN"));
    assert!(told.next().is_none(), "it is said once for the namespace");
    assert!(seen.sample.info.is_some());
}
