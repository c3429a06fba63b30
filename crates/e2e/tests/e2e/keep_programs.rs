//! Real programs that know nothing of us, clients and servers: in C, also linked statically, in Go,
//! and in Java. Each runs in a pid and a network namespace of its host's, as in a container.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use halfopen_lab::{Host, Lab, Program, Topology, requirements, wait};
use halfopen_sys::SocketDiag;
use serde_json::Value;

use crate::{json, keep::Files, pair::inside, requires_lab};

/// Longer than any of these programs takes to start on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Goal: programs that only wait, for a row, a message, a key, learn that the other side is gone.
/// Method: each with its own server on the other host; prove, keep, cut, and measure when the kernel
/// tells each of them, clients and servers alike.
#[test]
fn real_programs_are_proved_and_kept_and_learn_within_the_objective() {
    play(Duration::from_secs(8), &[]);
}

/// As above, with a Java program; tells what docs/benchmarks.md has.
#[test]
#[ignore = "needs a JDK, which is large: `make programs` installs it and runs this"]
fn real_programs_one_in_java_among_them_learn_within_each_of_two_objectives() {
    requires_lab!("java" from "default-jdk-headless");
    for objective in [8, 30] {
        play(Duration::from_secs(objective), &["java"]);
    }
}

fn play(objective: Duration, more_clients: &[&'static str]) {
    requires_lab!(
        "redis-server" from "redis-server",
        "redis-cli" from "redis-tools",
        "initdb" from "postgresql",
        "postgres" from "postgresql",
        "psql" from "postgresql-client",
        "sshd" from "openssh-server",
        "ssh" from "openssh-client",
        "ssh-keygen" from "openssh-client",
        "telnet" from "inetutils-telnet",
        "websocketd" from "websocketd",
        "cc" from "gcc"
    );
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let scene = Scene::set(&lab, more_clients);
    let clients = [&["psql", "redis-cli", "ssh", "telnet", "waits"], more_clients].concat();
    let servers = vec!["postgres", "redis-server", "sshd", "websocketd"];
    let ends = [(lab.client().unwrap(), clients), (lab.server().unwrap(), servers)];
    let mut watched: Vec<Watched> = Vec::new();
    for (host, programs) in &ends {
        for program in programs {
            prove(host, program);
        }
        watched.extend(keep(host, programs, objective));
    }
    let hosts = ends.each_ref().map(|(host, _)| *host);
    let learned = cut_and_wait(&lab, &hosts, &watched, objective);
    for (one, after) in watched.iter().zip(learned) {
        let Watched { program, so_far, .. } = one;
        let after = after.unwrap_or_else(|| panic!("{program} never learns"));
        eprintln!(
            "| {program} | {so_far} | {} s | {:.1} s |",
            objective.as_secs(),
            after.as_secs_f32()
        );
        assert!(after <= objective, "{program}: {after:?}");
    }
    scene.clients_say_so();
}

/// A connection that was kept.
struct Watched {
    program: String,
    /// When its owner would have learned, idle.
    so_far: String,
    cookie: u64,
}

/// The peer of this program lives, and is proved to.
#[track_caller]
fn prove(host: &Host, program: &str) {
    let netns = host.pid().unwrap().to_string();
    let arguments = ["prove", "--netns", &netns, "--process", program, "--json"];
    let proved = wait::until_every(Duration::from_millis(250), SOON, || {
        let document = json(&arguments);
        let one = document["connections"][0].clone();
        // Whoever was heard within a second needs no probe yet.
        (one["method"] != Value::Null).then_some(one)
    });
    let one = proved.unwrap_or_else(|| panic!("{program}: {:#}", json(&arguments)));
    assert_eq!(one["answer"], "alive", "{program}: {one:#}");
}

fn keep(host: &Host, programs: &[&str], objective: Duration) -> Vec<Watched> {
    let netns = host.pid().unwrap().to_string();
    let files = Files::new(&format!("programs-{netns}"));
    let mut all = Vec::new();
    for program in programs {
        let within = format!("{}s", objective.as_secs());
        let choose = ["--netns", &netns, "--process", program, "--detect-within", &within];
        let document = files.json(&[&choose[..], &["--apply"]].concat());
        for one in document["connections"].as_array().unwrap() {
            let is_set = one["outcome"] == "set" || one["plan"] == "met";
            assert!(is_set, "{program}: {one:#}");
            let (cookie, _) = one["id"].as_str().unwrap().split_once('@').unwrap();
            let idle = &one["before"]["learns"]["idle"];
            let so_far = match idle["max_ms"].as_u64() {
                Some(ms) => format!("within {} s", ms.div_ceil(1000)),
                None => "never".to_owned(),
            };
            all.push(Watched {
                program: (*program).to_owned(),
                so_far,
                cookie: u64::from_str_radix(cookie, 16).unwrap(),
            });
        }
    }
    assert!(all.len() >= programs.len(), "{} connections", all.len());
    all
}

/// When each connection was gone, after the cut.
fn cut_and_wait(
    lab: &Lab,
    hosts: &[&Host],
    watched: &[Watched],
    objective: Duration,
) -> Vec<Option<Duration>> {
    let mut tables: Vec<_> =
        hosts.iter().map(|host| inside(host, || SocketDiag::open().unwrap())).collect();
    lab.cable(0).unwrap().cut();
    let cut = Instant::now();
    let mut gone = vec![None; watched.len()];
    // Programs may connect again; only the cookie tells.
    wait::until_every(Duration::from_millis(10), objective * 2, || {
        let samples: Vec<_> =
            tables.iter_mut().flat_map(|table| table.dump().unwrap().samples).collect();
        for (one, gone) in watched.iter().zip(&mut gone) {
            let is_there = samples.iter().any(|sample| sample.id.cookie.0 == one.cookie);
            if !is_there && gone.is_none() {
                *gone = Some(cut.elapsed());
            }
        }
        gone.iter().all(Option::is_some).then_some(())
    });
    gone
}

/// The programs of both hosts, all connected and waiting.
struct Scene {
    // In the order in which they are to go: what is ours keeps the namespace of a host.
    _websocket: TcpStream,
    _accepted: Vec<TcpStream>,
    /// Those that end when they have learned, and say why.
    clients: Vec<(&'static str, Program)>,
    _redis: Program,
    _servers: Vec<Program>,
}

impl Scene {
    fn set(lab: &Lab, more_clients: &[&str]) -> Self {
        let (client, server) = (lab.client().unwrap(), lab.server().unwrap());
        let servers =
            vec![start_postgres(server), start_redis(server), start_sshd(server), start_go(server)];
        // Keys are made where the server runs, and /tmp is each host's own.
        let key = read_file(server, "/tmp/key");
        let write = format!("umask 077; head -n {} > /tmp/key; echo written", key.lines().count());
        let mut writing = shell(client, &write);
        key.lines().for_each(|line| writing.type_line(line).unwrap());
        drop(says(writing, "written"));
        let listener = inside(server, || TcpListener::bind("10.0.0.7:23").unwrap());
        let mut clients = vec![
            ("psql", start_psql(client)),
            ("ssh", start_ssh(client)),
            ("telnet", client.spawn("telnet", &["10.0.0.7", "23"]).unwrap()),
            ("waits", start_static(client)),
        ];
        clients.extend(more_clients.contains(&"java").then(|| ("java", start_java(client))));
        let accepted = clients.iter().skip(2).map(|_| listener.accept().unwrap().0).collect();
        let redis = client.spawn("redis-cli", &["-h", "10.0.0.7", "SUBSCRIBE", "news"]).unwrap();
        assert!(redis.line_with("subscribe", SOON).is_some());
        Self {
            _websocket: websocket(client),
            _accepted: accepted,
            clients,
            _redis: redis,
            _servers: servers,
        }
    }

    /// The clients that give up say so, each in its words; redis-cli connects again.
    fn clients_say_so(self) {
        for (name, mut program) in self.clients {
            let ended = program.ended(SOON).unwrap();
            assert!(ended.is_some(), "{name} goes on");
            let said = std::iter::from_fn(|| program.line(SOON)).last();
            let said = said.expect("it says why it ends").text;
            eprintln!("{name:<13} says {said:?}");
        }
    }
}

fn shell(host: &Host, script: &str) -> Program {
    host.spawn("sh", &["-c", script]).unwrap()
}

#[track_caller]
fn says(program: Program, word: &str) -> Program {
    let mut lines = Vec::new();
    let deadline = Instant::now() + SOON;
    while let Some(line) = program.line(deadline.saturating_duration_since(Instant::now())) {
        if line.text.contains(word) {
            return program;
        }
        lines.push(line.text);
    }
    panic!("{} does not say {word:?}: {lines:#?}", program.name());
}

fn read_file(host: &Host, path: &str) -> String {
    let cat = host.spawn("cat", &[path]).unwrap();
    let mut text = String::new();
    while let Some(line) = cat.line(SOON) {
        text += &line.text;
        text += "\n";
    }
    text
}

/// PostgreSQL refuses to run as root, so it runs as nobody.
fn start_postgres(host: &Host) -> Program {
    let directory = requirements::find("initdb", "postgresql").unwrap();
    let directory = directory.parent().unwrap().display().to_string();
    let script = format!(
        "mkdir /tmp/pg && chown 65534:65534 /tmp/pg && exec setpriv --reuid=65534 --regid=65534 \
         --clear-groups sh -c 'cd /tmp/pg && PATH={directory}:$PATH && \
         initdb -D /tmp/pg/db -A trust -U tester --no-sync --no-locale -E UTF8 > /dev/null && \
         echo \"host all all 10.0.0.0/8 trust\" >> /tmp/pg/db/pg_hba.conf && \
         exec postgres -D /tmp/pg/db -c listen_addresses=10.0.0.7 -c fsync=off \
         -c unix_socket_directories=/tmp/pg -c shared_buffers=8MB'"
    );
    says(shell(host, &script), "ready to accept connections")
}

fn start_redis(host: &Host) -> Program {
    let arguments = ["--bind", "10.0.0.7", "--save", "", "--protected-mode", "no", "--dir", "/tmp"];
    says(host.spawn("redis-server", &arguments).unwrap(), "Ready to accept")
}

fn start_sshd(host: &Host) -> Program {
    let sshd = requirements::find("sshd", "openssh-server").unwrap().display().to_string();
    let script = format!(
        "mkdir -p /run/sshd && ssh-keygen -q -t ed25519 -N '' -f /tmp/key && exec {sshd} -D -e \
         -f /dev/null -h /tmp/key -p 22 -o UsePAM=no -o StrictModes=no -o PermitRootLogin=yes \
         -o AuthorizedKeysFile=/tmp/key.pub -o PidFile=none -o ListenAddress=10.0.0.7"
    );
    says(shell(host, &script), "Server listening")
}

/// A server written in Go, which turns keepalive on by itself.
fn start_go(host: &Host) -> Program {
    let arguments = ["--address=10.0.0.7", "--port=8080", "cat"];
    says(host.spawn("websocketd", &arguments).unwrap(), "Starting WebSocket server")
}

fn start_psql(host: &Host) -> Program {
    let url = "postgresql://tester@10.0.0.7/postgres?sslmode=disable&gssencmode=disable";
    // What it writes to a pipe comes at its end; only warnings come at once.
    let arguments = ["-X", url, "-c", r"\warn asks", "-c", "select pg_sleep(1000)"];
    says(host.spawn("psql", &arguments).unwrap(), "asks")
}

fn start_ssh(host: &Host) -> Program {
    let arguments = [
        "-F",
        "none",
        "-i",
        "/tmp/key",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "root@10.0.0.7",
        "echo in; sleep 1000",
    ];
    says(host.spawn("ssh", &arguments).unwrap(), "in")
}

/// A program that needs no library of the host it runs on.
fn start_static(host: &Host) -> Program {
    let source = include_str!("keep_programs/waits.c");
    let script = format!(
        "cat > /tmp/waits.c <<'END'\n{source}END\ncc -static -o /tmp/waits /tmp/waits.c && \
         exec /tmp/waits 10.0.0.7 23"
    );
    let program = says(shell(host, &script), "connected");
    let maps = fs::read_to_string(format!("/proc/{}/maps", program.pid().unwrap())).unwrap();
    assert!(maps.contains("/waits") && !maps.contains(".so"), "{maps}");
    program
}

fn start_java(host: &Host) -> Program {
    let source = include_str!("keep_programs/Waits.java");
    let script = format!(
        "cat > /tmp/Waits.java <<'END'\n{source}END\nexec java /tmp/Waits.java 10.0.0.7 23"
    );
    says(shell(host, &script), "connected")
}

/// A web page that stays open.
fn websocket(host: &Host) -> TcpStream {
    let mut stream = inside(host, || TcpStream::connect("10.0.0.7:8080").unwrap());
    let request = "GET / HTTP/1.1\r\nHost: 10.0.0.7:8080\r\nOrigin: http://10.0.0.7:8080\r\n\
                   Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 101");
    stream
}
