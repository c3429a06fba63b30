//! `keep` on real programs that know nothing of it.

use std::time::{Duration, Instant};

use halfopen_lab::{Lab, Topology, wait};
use halfopen_sys::SocketDiag;

use crate::{keep::Files, requires_lab};

/// Goal: a subscriber that only waits learns that its server is gone. Method: redis-cli SUBSCRIBE
/// on one host, redis-server on the other; keep, cut, and wait for what redis-cli says.
#[test]
fn a_redis_subscriber_learns_within_the_objective() {
    requires_lab!("redis-server" from "redis-server", "redis-cli" from "redis-tools");
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let files = Files::new("redis");
    let server = lab
        .server()
        .unwrap()
        .spawn(
            "redis-server",
            &["--bind", "10.0.0.7", "--save", "", "--protected-mode", "no", "--dir", "/tmp"],
        )
        .unwrap();
    server.line_with("Ready to accept", Duration::from_secs(10)).unwrap();
    let client =
        lab.client().unwrap().spawn("redis-cli", &["-h", "10.0.0.7", "SUBSCRIBE", "news"]).unwrap();
    client.line_with("subscribe", Duration::from_secs(10)).unwrap();
    let netns = lab.client().unwrap().pid().unwrap().to_string();
    let choose = ["--netns", &netns, "--process", "redis-cli", "--detect-within", "8s"];
    // redis-cli turns keepalive on by itself, with an idle time of 15 s.
    let document = files.json(&[&choose[..], &["--apply"]].concat());
    let kept = &document["connections"][0];
    assert_eq!(kept["outcome"], "set", "{document:#}");
    let id = kept["id"].as_str().unwrap();
    let cookie = u64::from_str_radix(id.split('@').next().unwrap(), 16).unwrap();
    let mut diag = lab.client().unwrap().enter(SocketDiag::open).unwrap().unwrap();
    lab.cable(0).unwrap().cut();
    let cut = Instant::now();
    // redis-cli then tries to connect again, so only the cookie tells.
    let learned = wait::until(Duration::from_secs(30), || {
        let samples = diag.dump().unwrap().samples;
        let gone = !samples.iter().any(|sample| sample.id.cookie.0 == cookie);
        gone.then(|| cut.elapsed())
    });
    let learned = learned.expect("the connection ends");
    assert!(learned <= Duration::from_secs(8), "{learned:?}");
}
