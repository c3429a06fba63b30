//! Limits and operation: places, drain, reload.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use halfopen_relay::{Cause, Ending, Notice};
use rustix::net::{SendFlags, send};

use crate::stage::{End, PATIENCE, Stage, eventually, rest};

#[test]
fn one_client_too_many_is_turned_away_by_a_reset_and_the_others_live() {
    let stage = Stage::with(|plan| plan.max_connections = Some(2));
    let (mut one, mut its) = stage.pair();
    let two = stage.pair();
    let mut three = stage.client();
    assert_eq!(rest(&mut three), (0, End::Rst));
    let notice = stage.notices.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(notice, Notice::TurnedAway { cause: Cause::TooMany, .. }), "{notice:?}");
    one.write_all(b"x").unwrap();
    its.read_exact(&mut [0]).unwrap();
    drop(two);
    eventually("a place is free", || stage.gauges().open_pairs() == 1);
    stage.pair();
    assert_eq!(stage.gauges().totals().turned_away, 1);
}

/// Goal: readers who stop do not fill the memory. Method: one buffer, and one stalled stream that holds it: the
/// next client is refused, who is there goes on, and once it is read there is room again.
#[test]
fn without_a_buffer_a_client_is_turned_away_by_a_reset_and_the_others_live() {
    let stage = Stage::with(|plan| plan.max_buffers = 1);
    let (mut lively, mut its) = stage.pair();
    let (mut sending, mut stalled) = stage.pair();
    // A stream with an urgent byte is copied to its end; others would be spliced.
    send(&sending, b"!", SendFlags::OOB).unwrap();
    sending.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    while let Ok(more) = sending.write(&[1; 65_536]) {
        sent += more;
    }
    assert_eq!(stage.gauges().buffers(), 1);
    let mut refused = stage.client();
    assert_eq!(rest(&mut refused), (0, End::Rst));
    let notice = stage.notices.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(notice, Notice::TurnedAway { cause: Cause::NoMemory, .. }), "{notice:?}");
    lively.write_all(&[2; 100_000]).unwrap();
    lively.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(&mut its), (100_000, End::Fin));
    sending.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stalled), (sent, End::Fin));
    eventually("there is room again", || stage.gauges().buffers() == 0);
    stage.pair();
}

#[test]
fn a_relay_that_drains_lets_pairs_end_by_themselves_and_lets_nobody_in() {
    let mut stage = Stage::new();
    let (mut client, mut upstream) = stage.pair();
    stage.relay().drain();
    eventually("nobody is let in", || TcpStream::connect(stage.address).is_err());
    client.write_all(b"still here").unwrap();
    drop(client);
    assert_eq!(rest(&mut upstream), (10, End::Fin));
    drop(upstream);
    assert!(matches!(stage.ending(), Ending::Finished { .. }));
}

#[test]
fn a_relay_that_stops_tells_both_ends_by_a_reset() {
    let mut stage = Stage::new();
    let (mut client, mut upstream) = stage.pair();
    stage.relay().drain();
    let (mut late, mut its) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    drop(stage);
    assert_eq!(rest(&mut client), (0, End::Rst));
    assert_eq!(rest(&mut upstream), (0, End::Rst));
    assert!(late.write(b"x").is_err() && its.write(b"x").is_err());
}

#[test]
fn a_reload_brings_new_upstreams_and_old_pairs_live_on() {
    let mut stage = Stage::new();
    let (mut client, mut upstream) = stage.pair();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = stage.plan.clone();
    plan.services[0].upstreams = vec![other.local_addr().unwrap()];
    stage.relay().reload(&plan).unwrap();
    assert_eq!(stage.relay().addresses(), [stage.address]);
    eventually("clients reach the new one", || {
        let _client = stage.client();
        other.set_nonblocking(true).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_millis(500);
        let mut found = false;
        while !found && std::time::Instant::now() < deadline {
            found = other.accept().is_ok();
        }
        found
    });
    client.write_all(b"old").unwrap();
    upstream.read_exact(&mut [0; 3]).unwrap();
}

#[test]
fn a_plan_that_cannot_be_had_changes_nothing() {
    let mut stage = Stage::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = stage.plan.clone();
    let mut second = plan.services[0].clone();
    second.listen = halfopen_relay::Listen::On(taken.local_addr().unwrap());
    plan.services.push(second);
    let error = stage.relay().reload(&plan).unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
    stage.pair();
}
