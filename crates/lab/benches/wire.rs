//! What the lab's cable costs: bytes in a second and round trips through it, beside a plain veth pair in
//! the same run. `cargo bench -p halfopen-lab --bench wire`; needs root. Both ends are sockets of this
//! process; each way is measured in turns, and the median of the rounds is told.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed, and says where")]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use halfopen_lab::{
    Host, Lab, Topology,
    wire::{Direction, Keepalives, Link, Middlebox, Rate, Refresh, Then},
};
use halfopen_sys::offload;

const ROUNDS: usize = 5;
const BULK: Duration = Duration::from_secs(2);
const ROUND_TRIPS: usize = 5_000;

fn main() {
    let plain = Pair::plain();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let cable = lab.cable(0).unwrap();
    let wired = Pair::of(lab.client().unwrap(), lab.server().unwrap(), "10.0.0.7");
    let capture =
        std::env::temp_dir().join(format!("halfopen-bench-{}.pcapng", std::process::id()));
    let ways: [(&str, &dyn Fn() -> Figures); 4] = [
        ("plain veth pair, offloads off as the cable's", &|| plain.pair.measure()),
        ("cable", &|| {
            cable.mend();
            cable.set_middlebox(None);
            wired.measure()
        }),
        ("cable with a middlebox, a fast link and its queue", &|| {
            let rate = Some(Rate { bits_per_second: 10_000_000_000, queue: 1 << 20 });
            cable.set_link(Direction::Both, Link { rate, ..Link::default() });
            cable.set_middlebox(Some(Middlebox {
                expire_after: Some(Duration::from_secs(350)),
                then: Then::RstBothNow,
                refresh: Refresh::Data,
                keepalives: Keepalives::Ignore,
                ..Middlebox::default()
            }));
            wired.measure()
        }),
        ("cable that is captured to a file", &|| {
            cable.mend();
            cable.set_middlebox(None);
            cable.capture_to(&capture).unwrap();
            wired.measure()
        }),
    ];
    let mut figures = ways.each_ref().map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, measure), figures) in ways.iter().zip(&mut figures) {
            figures.push(measure());
        }
    }
    fs::remove_file(&capture).unwrap();
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    println!("median of {ROUNDS} (least .. most); load at the end: {}", load.trim());
    println!("| | Mbit/s | round trip, median us | 99th percentile us |\n|---|--:|--:|--:|");
    for ((name, _), figures) in ways.iter().zip(&figures) {
        let [rate, median, late] = [
            figures.iter().map(|one| one.megabits).collect::<Vec<_>>(),
            figures.iter().map(|one| one.median).collect(),
            figures.iter().map(|one| one.late).collect(),
        ]
        .map(told);
        println!("| {name} | {rate} | {median} | {late} |");
    }
}

/// What one way did in one round.
struct Figures {
    megabits: f64,
    /// Microseconds.
    median: f64,
    late: f64,
}

fn told(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let [least, median, most] =
        [0, values.len() / 2, values.len() - 1].map(|at| values.get(at).unwrap());
    format!("{median:.0} ({least:.0} .. {most:.0})")
}

/// A connection between two hosts.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

/// One that runs over a veth pair from host to host.
struct Plain {
    pair: Pair,
    _hosts: [Host; 2],
}

impl Pair {
    fn of(client: &Host, server: &Host, address: &str) -> Self {
        let listener = server.enter(|| TcpListener::bind((address, 0))).unwrap().unwrap();
        let to = listener.local_addr().unwrap();
        let client = client.enter(|| TcpStream::connect(to)).unwrap().unwrap();
        let server = listener.accept().unwrap().0;
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        Self { client, server }
    }

    fn plain() -> Plain {
        let hosts = ["near", "far"].map(|name| Host::boot(name).unwrap());
        let [near, far] = &hosts;
        let (near_pid, far_pid) = (near.pid().unwrap(), far.pid().unwrap());
        let link = format!("link add eth0 type veth peer name eth0 netns {far_pid}");
        ip(near_pid, &link);
        for (host, address) in [(near, "10.9.0.1/24"), (far, "10.9.0.7/24")] {
            let pid = host.pid().unwrap();
            ip(pid, &format!("address add {address} dev eth0"));
            ip(pid, "link set eth0 up");
            host.enter(|| offload::turn_off("eth0")).unwrap().unwrap();
        }
        let pair = Self::of(near, far, "10.9.0.7");
        Plain { pair, _hosts: hosts }
    }

    fn measure(&self) -> Figures {
        let megabits = self.bulk();
        let mut trips = self.round_trips();
        trips.sort_unstable();
        let at = |share: usize| trips.get(trips.len() * share / 100).unwrap().as_secs_f64() * 1e6;
        Figures { megabits, median: at(50), late: at(99) }
    }

    fn bulk(&self) -> f64 {
        let block = vec![7; 1 << 16];
        let began = Instant::now();
        let sent = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut sent = 0;
                while began.elapsed() < BULK {
                    (&self.client).write_all(&block).unwrap();
                    sent += block.len();
                }
                // A last byte that is like no other ends it, so that no close is needed.
                (&self.client).write_all(&[1]).unwrap();
                sent
            });
            let mut buffer = vec![0; 1 << 18];
            loop {
                let length = (&self.server).read(&mut buffer).unwrap();
                if buffer.get(..length).unwrap().last() == Some(&1) {
                    break;
                }
            }
            sender.join().unwrap()
        });
        sent as f64 * 8.0 / began.elapsed().as_secs_f64() / 1e6
    }

    fn round_trips(&self) -> Vec<Duration> {
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUND_TRIPS {
                    (&self.server).read_exact(&mut [0]).unwrap();
                    (&self.server).write_all(&[2]).unwrap();
                }
            });
            (0..ROUND_TRIPS)
                .map(|_| {
                    let began = Instant::now();
                    (&self.client).write_all(&[2]).unwrap();
                    (&self.client).read_exact(&mut [0]).unwrap();
                    began.elapsed()
                })
                .collect()
        })
    }
}

/// Runs `ip` in the network namespace of `pid`.
fn ip(pid: u32, words: &str) {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string(), "--net", "--", "ip"]);
    let status = command.args(words.split(' ')).status().unwrap();
    assert!(status.success(), "ip {words}");
}
