//! So many connections that two threads share them.

use std::net::{TcpListener, TcpStream};

use halfopen_lab::{Lab, SERVER, Topology, wait};

use super::peer::SOON;
use crate::{json, requires_lab};

/// More than one thread takes (`prove::fleet`).
const CROWD: usize = 2_200;

/// Goal: what one thread has found out is not told of a connection of the other, and none is lost.
/// Method: the peer of a crowd was rebooted, and every one of them is answered with a reset.
#[test]
fn a_crowd_whose_peer_was_rebooted_is_half_open_to_the_last() {
    requires_lab!();
    let mut lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let server = lab.server().unwrap();
    let listener = server.enter(|| TcpListener::bind("10.0.0.7:80").unwrap()).unwrap();
    let client = lab.client().unwrap();
    let netns = client.pid().unwrap().to_string();
    let connect = || TcpStream::connect("10.0.0.7:80").unwrap();
    let mut accepted = Vec::with_capacity(CROWD);
    let mut crowd = Vec::with_capacity(CROWD);
    while crowd.len() < CROWD {
        let some = client.enter(|| (0..100).map(|_| connect()).collect::<Vec<_>>()).unwrap();
        accepted.extend(some.iter().map(|_| listener.accept().unwrap()));
        crowd.extend(some);
    }
    lab.power_off(SERVER).unwrap();
    lab.boot(SERVER).unwrap();
    let idle = wait::until(SOON, || {
        let document = json(&["ls", "--netns", &netns, "--no-owners", "--json"]);
        let each = document["connections"].as_array()?;
        each.iter().all(|one| one["last_heard_ms"].as_u64() > Some(1_100)).then_some(())
    });
    assert!(idle.is_some());
    let document = json(&["prove", "--netns", &netns, "--all", "--json"]);
    let each = document["connections"].as_array().unwrap();
    let half_open = each.iter().filter(|one| one["answer"] == "half-open").count();
    let other = each.iter().find(|one| one["answer"] != "half-open");
    assert_eq!((each.len(), half_open), (CROWD, CROWD), "{other:#?}");
}
