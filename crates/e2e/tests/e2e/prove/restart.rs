//! What a probe touches is put back, so that nothing is noticed later.

use halfopen_lab::{Lab, Topology, wait};
use serde_json::Value;

use super::peer::SOON;
use crate::{halfopen, requires_lab};

/// Goal: a window probe does not cost a server its address. Method: prove the accepted side, end
/// the server while the connection lives, and bind again.
#[test]
fn a_server_that_was_proved_can_be_started_again() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let listen =
        || lab.server().unwrap().enter(|| std::net::TcpListener::bind("10.0.0.7:80")).unwrap();
    let listener = listen().unwrap();
    let client = lab.client().unwrap().enter(|| std::net::TcpStream::connect("10.0.0.7:80"));
    let client = client.unwrap().unwrap();
    let (server, _) = listener.accept().unwrap();
    let netns = lab.server().unwrap().pid().unwrap().to_string();
    let answered = wait::until(SOON, || {
        let arguments = ["prove", "--netns", &netns, "--json", "--method", "window-probe"];
        let document: Value = serde_json::from_slice(&halfopen(&arguments).stdout).unwrap();
        let one = &document["connections"][0];
        (one["method"] == "window-probe").then(|| one["answer"].as_str().unwrap().to_owned())
    });
    assert_eq!(answered.as_deref(), Some("alive"));
    drop(listener);
    listen().unwrap();
    drop((client, server));
}
