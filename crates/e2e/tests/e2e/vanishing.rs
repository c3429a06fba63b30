//! Goal: a listing of a host on which everything comes and goes is a listing, and what stays is in it.
//! Method: processes with sockets, and namespaces with and without names, are made and ended all the
//! time, on a host of their own, while `ls -A` looks again and again.

use std::{
    collections::BTreeSet,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use halfopen_lab::Host;
use serde_json::Value;

use crate::{program, requires_lab};

/// Connects and ends, makes a namespace with a connection in it and ends that, and makes a namespace
/// that has a name and takes it away: all at once, for ever.
const CHURN: &str = r#"
mkdir -p /run/netns
short() { while :; do bash -c "exec 3<>/dev/tcp/127.0.0.1/$1" 2>/dev/null; done; }
spaces() { while :; do unshare --net sh -c 'ip link set lo up'; done; }
names() { while :; do ip netns add passing && ip netns delete passing; done; }
short "$1" & short "$1" & spaces & spaces & names
"#;

/// How often is looked. Each look meets some hundred calls at which something may be gone.
const LOOKS: usize = 12;

fn inside(host: &Host, command: &[&str]) -> Command {
    let mut entry = Command::new("nsenter");
    let pid = host.pid().unwrap().to_string();
    entry.args(["--target", &pid, "--net", "--mount", "--pid", "--"]).args(command);
    entry
}

/// Ends with the host that it runs on, which has to be gone before it is waited for.
struct Churn(Child);

impl Drop for Churn {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_host_on_which_everything_comes_and_goes_is_listed_and_what_stays_is_in_the_list() {
    requires_lab!("bash" from "bash", "timeout" from "coreutils");
    let mut host = Host::boot("churn").unwrap();
    assert!(inside(&host, &["ip", "link", "set", "lo", "up"]).status().unwrap().success());
    let listener = host.enter(|| TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port().to_string();
    let staying = host.enter(|| TcpStream::connect(address).unwrap()).unwrap();
    let (_accepted, end) = listener.accept().unwrap();
    let closing = listener.try_clone().unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let accepting = thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let _ = closing.accept();
        }
    });
    let churn = inside(&host, &["bash", "-c", CHURN, "churn", &port])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let churn = Churn(churn.unwrap());

    let looks: Vec<Output> = (0..LOOKS)
        .map(|_| {
            let mut look = inside(&host, &["timeout", "--signal=KILL", "30"]);
            look.arg(program()).args(["ls", "-A", "--json", "--loopback"]).output().unwrap()
        })
        .collect();
    is_over.store(true, Ordering::Relaxed);
    // One more, so that the thread comes to see it.
    drop(host.enter(|| TcpStream::connect(address)).unwrap());
    accepting.join().unwrap();
    host.power_off().unwrap();
    drop(churn);

    let mut passing = BTreeSet::new();
    for output in &looks {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let connections = document["connections"].as_array().unwrap();
        let stays = |one: &&Value| one["local"] == end.to_string() && one["state"] == "ESTABLISHED";
        assert_eq!(connections.iter().filter(stays).count(), 1, "{document:#}");
        let others = connections.iter().filter(|one| !stays(one));
        passing.extend(others.map(|one| one["id"].to_string()));
        let namespaces = document["namespaces"].as_array().unwrap();
        passing.extend(namespaces.iter().map(|one| one["id"].to_string()));
    }
    assert!(passing.len() > LOOKS, "nothing came and went: {passing:?}");
    drop(staying);
}
