//! The sessions of docs/tasks, played word for word in the lab. What a page shows was really printed,
//! and is printed again: see `session` for what may differ from run to run.

mod session;

use std::time::Duration;

use halfopen_core::TcpState;
use halfopen_lab::{
    CLIENT, CablePlan, End, EndPlan, FrameSeen, Host, HostPlan, IpFamily, Lab, Program, ROUTER,
    Topology, wait,
};
use halfopen_sys::SocketDiag;
use rustix::fs::FlockOperation;

use self::session::play;
use crate::{keep_future::hold_cgroups, pair::inside, requires_lab};

/// Far longer than anything here takes; what takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host in the middle, `client`, and others behind a router, each on a cable of its own. Cable 0 is
/// that of `client`, and cable 1 that of the first of the others.
fn star(others: &[&str]) -> Topology {
    let host = |name: &str, router: [u8; 4]| HostPlan {
        name: name.to_owned(),
        is_router: false,
        default_route: Some(router.into()),
    };
    let end = |host: &str, address: [u8; 4]| EndPlan {
        host: host.to_owned(),
        address: address.into(),
        prefix: 24,
    };
    let router = HostPlan { name: ROUTER.to_owned(), is_router: true, default_route: None };
    let mut topology = Topology {
        hosts: vec![router, host(CLIENT, [10, 0, 1, 254])],
        cables: vec![CablePlan {
            ends: [end(CLIENT, [10, 0, 1, 1]), end(ROUTER, [10, 0, 1, 254])],
            without_arp: true,
        }],
        family: IpFamily::V4,
    };
    for (net, name) in (2..).zip(others) {
        topology.hosts.push(host(name, [10, 0, net, 254]));
        topology.cables.push(CablePlan {
            ends: [end(name, [10, 0, net, 7]), end(ROUTER, [10, 0, net, 254])],
            without_arp: true,
        });
    }
    topology
}

/// A copy of `program`, so that it has the name of what it plays.
fn called(host: &Host, program: &str, name: &str, arguments: &[&str]) -> Program {
    let script = format!("cp \"$(command -v {program})\" /tmp/{name} && exec /tmp/{name} \"$@\"");
    host.spawn("sh", &[&["-c", &script, "sh"], arguments].concat()).unwrap()
}

/// Accepts whatever comes to this port of all addresses, and says and reads nothing.
fn listener(host: &Host, name: &str, port: u16) -> Program {
    let script = format!(
        "use Socket; $| = 1; socket(L, PF_INET, SOCK_STREAM, 0); setsockopt(L, SOL_SOCKET, \
         SO_REUSEADDR, 1); bind(L, sockaddr_in({port}, INADDR_ANY)) && listen(L, 64) or die $!; \
         print \"listens\\n\"; while (accept(my $s, L)) {{ push @held, $s }}"
    );
    let program = called(host, "perl", name, &["-e", &script]);
    assert!(program.line_with("listens", PATIENCE).is_some(), "{name} does not listen");
    program
}

/// Connects to each of these, and then waits for a word of the first.
fn connected(host: &Host, name: &str, to: &[&str]) -> Program {
    let open = |(number, to): (usize, &&str)| format!("exec {number}<>/dev/tcp/{to};");
    let opens: String = (3..).zip(to).map(open).collect();
    let program =
        called(host, "bash", name, &["-c", &format!("{opens} echo connected; read -u 3")]);
    assert!(program.line_with("connected", PATIENCE).is_some(), "{name} does not connect");
    program
}

/// Until nobody has been heard on this host for a second: then a probe is worth something.
fn wait_until_idle(host: &Host) {
    let mut diag = inside(host, || SocketDiag::open().unwrap());
    let idle = wait::until_every(Duration::from_millis(50), PATIENCE, || {
        let samples = diag.dump().unwrap().samples;
        let mut open = samples.iter().filter(|sample| sample.state != TcpState::Listen);
        let is_idle = |ago: Duration| ago > Duration::from_millis(1_100);
        open.all(|sample| sample.last_heard().is_none_or(is_idle)).then_some(())
    });
    assert!(idle.is_some(), "never idle");
}

fn cut_power_and_boot(lab: &mut Lab, host: &str) {
    lab.power_off(host).unwrap();
    lab.boot(host).unwrap();
}

#[test]
fn the_page_my_client_hangs_is_a_session_of_the_lab() {
    requires_lab!("perl" from "perl-base", "bash" from "bash");
    let mut lab = Lab::build(star(&["db1", "db2", "db3"])).unwrap();
    let databases: Vec<_> = ["db1", "db2", "db3"]
        .map(|name| listener(lab.host(name).unwrap(), "postgres", 5432))
        .into();
    let to = ["10.0.2.7/5432", "10.0.3.7/5432", "10.0.4.7/5432"];
    let worker = connected(lab.client().unwrap(), "worker", &to);
    cut_power_and_boot(&mut lab, "db2");
    lab.cable(3).unwrap().cut();
    wait_until_idle(lab.client().unwrap());
    play("my-client-hangs", lab.client().unwrap(), &mut |event| panic!("no event {event}"));
    drop((worker, databases));
}

#[test]
fn the_page_my_server_holds_ghosts_is_a_session_of_the_lab() {
    requires_lab!("perl" from "perl-base", "bash" from "bash");
    let laptops = ["desk", "closed", "off", "rebooted"];
    let mut lab = Lab::build(star(&laptops)).unwrap();
    let shop = listener(lab.client().unwrap(), "shop", 8080);
    let mut browsers: Vec<_> = laptops
        .iter()
        .map(|name| connected(lab.host(name).unwrap(), "browser", &["10.0.1.1/8080"; 2]))
        .collect();
    // Its owner has left the page; the server has not noticed that it is to close too.
    browsers.remove(1).kill().unwrap();
    lab.power_off("off").unwrap();
    cut_power_and_boot(&mut lab, "rebooted");
    wait_until_idle(lab.client().unwrap());
    play("my-server-holds-ghosts", lab.client().unwrap(), &mut |event| panic!("no event {event}"));
    drop((shop, browsers));
}

#[test]
fn the_page_connections_die_after_quiet_is_a_session_of_the_lab() {
    requires_lab!("perl" from "perl-base", "bash" from "bash", "nft" from "nftables");
    let _alone = hold_cgroups(FlockOperation::LockExclusive);
    let lab = Lab::build(star(&["db1"])).unwrap();
    let router = lab.host(ROUTER).unwrap();
    let rules = "table inet nat {
          chain out { type nat hook postrouting priority 100
            oifname eth1 masquerade
          }
          chain passing { type filter hook forward priority 0; policy drop
            ct state established,related accept
            tcp flags & (syn|ack) == syn accept
          }
        }";
    assert!(router.spawn("nft", &[rules]).unwrap().ended(PATIENCE).unwrap().unwrap().success());
    router.set_sysctl("net.netfilter.nf_conntrack_tcp_loose", "0").unwrap();
    let database = listener(lab.host("db1").unwrap(), "postgres", 5432);
    let worker = connected(lab.client().unwrap(), "worker", &["10.0.2.7/5432"]);
    play("connections-die-after-quiet", lab.client().unwrap(), &mut |event| match event {
        "more than six seconds, with keepalive" => {
            // Only now, so that a slow machine may take its time for the commands before. It holds for
            // the entry from its next segment on.
            let patience = "net.netfilter.nf_conntrack_tcp_timeout_established";
            router.set_sysctl(patience, "6").unwrap();
            // Probes come every two seconds, so five of them span eight.
            let cable = lab.cable(0).unwrap();
            let mut from = cable.next_number();
            for _ in 0..5 {
                let is_probe =
                    |seen: &FrameSeen| seen.from == End::Left && seen.frame.segment().is_some();
                let seen = cable.wait_for(from, PATIENCE, is_probe);
                from = seen.expect("a keepalive probe").number + 1;
            }
        }
        "more than six seconds, without" => {
            let forgotten = wait::until_every(Duration::from_millis(50), PATIENCE, || {
                let read = || std::fs::read_to_string("/proc/thread-self/net/nf_conntrack");
                let table = inside(router, read).unwrap();
                (!table.contains("dport=5432")).then_some(())
            });
            assert!(forgotten.is_some(), "the router does not forget");
        }
        other => panic!("no event {other}"),
    });
    drop((worker, database));
}
