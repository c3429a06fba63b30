//! Goal: a client written with the library notices within its objective that its server is gone, whatever
//! took it, comes back, and nothing that it says is lost or said twice.
//! Method: the examples `chat_client` and `chat_server` run on two hosts of a lab; cable pulled, server
//! rebooted, server frozen, flow forgotten by a box in between, client renumbered.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use halfopen_lab::{CLIENT, Lab, Program, SERVER, Topology, wait};

use crate::requires_lab;

/// What the client promises, and what a busy machine may add.
const NOTICES_WITHIN: Duration = Duration::from_secs(3);
const BUSY: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(30);

/// A chat between two hosts.
struct Chat {
    client: Program,
    server: Program,
    log: Log,
    lab: Lab,
}

/// The server's memory, which survives its reboots; gone with the test.
struct Log(PathBuf);

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Chat {
    fn begun(name: &str, topology: Topology) -> Self {
        let lab = Lab::build(topology).unwrap();
        let directory = example("chat_server");
        let directory = directory.parent().unwrap();
        let log = Log(directory.join(format!("{name}-{}.log", std::process::id())));
        let server = serve(&lab, &log.0);
        let address = format!("{}:7000", lab.topology().address(SERVER).unwrap());
        let client = example("chat_client");
        let client = lab.client().unwrap().spawn(client, &[&address, "alice"]).unwrap();
        let chat = Self { client, server, log, lab };
        chat.expect("acknowledged 3", SOON);
        chat
    }

    #[track_caller]
    fn expect(&self, text: &str, within: Duration) -> String {
        let line = self.client.line_with(text, within);
        line.unwrap_or_else(|| panic!("the client did not say `{text}` within {within:?}")).text
    }

    /// From now on the client must notice in time, and say what shows it.
    #[track_caller]
    fn notices(&self) -> String {
        let began = Instant::now();
        let said = self.expect("lost: ", NOTICES_WITHIN + BUSY);
        let after = began.elapsed();
        assert!(after <= NOTICES_WITHIN + BUSY, "{after:?}");
        said
    }

    /// The client comes back, and what it said arrives: each number once and in order.
    #[track_caller]
    fn recovers(&self) {
        self.expect("welcome", SOON);
        let more = self.said() + 5;
        self.expect(&format!("acknowledged {more}"), SOON);
        let log = fs::read_to_string(&self.log.0).unwrap();
        let numbers: Vec<u64> =
            log.lines().map(|line| line.strip_prefix("alice ").unwrap().parse().unwrap()).collect();
        assert!(numbers.len() as u64 >= more, "{numbers:?}");
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
    }

    fn said(&self) -> u64 {
        fs::read_to_string(&self.log.0).unwrap_or_default().lines().count() as u64
    }
}

fn serve(lab: &Lab, log: &Path) -> Program {
    let server = example("chat_server");
    let log = log.to_str().unwrap();
    let server = lab.server().unwrap().spawn(server, &["0.0.0.0:7000", log]).unwrap();
    assert!(server.line_with("listening", SOON).is_some(), "the server did not start");
    server
}

/// Built by `make test`; cargo does not build another package's examples by itself.
pub(crate) fn example(name: &str) -> PathBuf {
    let beside = std::env::current_exe().unwrap();
    let example = beside.parent().unwrap().parent().unwrap().join("examples").join(name);
    let how = "`cargo build -p halfopen --examples`";
    assert!(example.exists(), "{} is not built: run {how} first", example.display());
    example
}

#[test]
fn a_chat_outlives_a_pulled_cable() {
    requires_lab!();
    let chat = Chat::begun("cable", Topology::lan_without_arp());
    chat.lab.cable(0).unwrap().cut();
    let said = chat.notices();
    assert!(said.contains("the connection is dead"), "{said}");
    chat.lab.cable(0).unwrap().mend();
    chat.recovers();
}

#[test]
fn a_chat_outlives_a_reboot_of_its_server() {
    requires_lab!();
    let mut chat = Chat::begun("reboot", Topology::lan_without_arp());
    chat.lab.power_off(SERVER).unwrap();
    chat.notices();
    chat.lab.boot(SERVER).unwrap();
    chat.server = serve(&chat.lab, &chat.log.0);
    chat.recovers();
}

/// The server's kernel acknowledges everything; only a heartbeat sees that nobody is at home.
#[test]
fn a_chat_outlives_a_frozen_server() {
    requires_lab!();
    let chat = Chat::begun("frozen", Topology::lan_without_arp());
    signal(&chat.server, "-STOP");
    let said = chat.notices();
    assert!(said.contains("heartbeats went unanswered"), "{said}");
    signal(&chat.server, "-CONT");
    chat.recovers();
}

/// As a NAT does that has forgotten a flow: nothing of it passes any more, and new flows do.
#[test]
fn a_chat_outlives_a_box_that_forgets_its_flow() {
    requires_lab!("nft" from "nftables");
    let chat = Chat::begun("forgotten", Topology::routed());
    let router = chat.lab.host(halfopen_lab::ROUTER).unwrap();
    let port = client_port(&chat);
    let rules = format!(
        "table ip box {{ chain forward {{ type filter hook forward priority 0; \
         tcp sport {port} drop; tcp dport {port} drop; }}; }}"
    );
    run(router, "nft", &[&rules]);
    let said = chat.notices();
    assert!(said.contains("the connection is dead"), "{said}");
    chat.recovers();
}

#[test]
fn a_chat_outlives_a_new_address_of_its_client() {
    requires_lab!();
    let chat = Chat::begun("renumbered", Topology::lan());
    let host = chat.lab.client().unwrap();
    run(host, "ip", &["address", "delete", "10.0.0.1/24", "dev", "eth0"]);
    run(host, "ip", &["address", "add", "10.0.0.2/24", "dev", "eth0"]);
    chat.notices();
    chat.recovers();
}

fn run(host: &halfopen_lab::Host, program: &str, arguments: &[&str]) {
    let mut running = host.spawn(program, arguments).unwrap();
    let ended = running.ended(SOON).unwrap();
    assert!(ended.is_some_and(|status| status.success()), "{program} {arguments:?}: {ended:?}");
}

pub(crate) fn signal(program: &Program, signal: &str) {
    let pid = wait::until(SOON, || program.pid()).unwrap().to_string();
    let status = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(status.success());
}

/// The local port of the chat's connection, from its host's own table.
fn client_port(chat: &Chat) -> u16 {
    let pid = chat.lab.host(CLIENT).unwrap().pid().unwrap();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let mut established = table.lines().filter_map(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        // 7000 is 0x1B58; state 1 is ESTABLISHED.
        let is_ours = words.get(2)?.ends_with(":1B58") && *words.get(3)? == "01";
        is_ours.then(|| words[1].rsplit_once(':').unwrap().1.to_owned())
    });
    let port = established.next().unwrap();
    u16::from_str_radix(&port, 16).unwrap()
}
