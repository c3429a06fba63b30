use std::net::{TcpListener, TcpStream};

use super::*;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_untouched_connection_never_learns_and_one_with_an_objective_does_in_time() {
    let (client, _server) = pair();
    assert_eq!(client.detection().unwrap().idle, Learns::Never);
    let promised = client.detect_within(secs(60)).unwrap();
    let Learns::Within { earliest, latest } = promised.idle else { panic!("{promised}") };
    assert!(earliest > secs(45) && latest <= secs(60), "{promised}");
    assert_eq!(client.detection().unwrap().idle, promised.idle);
}

#[test]
fn every_objective_down_to_the_least_is_met_and_less_is_refused_with_the_least() {
    let (client, _server) = pair();
    let DetectError::TooShort { least, .. } =
        client.detect_within(Duration::from_millis(100)).unwrap_err()
    else {
        panic!("a tenth of a second cannot be promised");
    };
    for within in [least, least + secs(1), secs(10), secs(15), secs(120), secs(3600), secs(86_400)]
    {
        let (client, _server) = pair();
        let promised = client.detect_within(within).unwrap();
        assert!(promised.idle.is_within(within), "{within:?}: {promised}");
    }
    assert!(matches!(
        client.detect_within(least - Duration::from_millis(1001)).unwrap_err(),
        DetectError::TooShort { .. }
    ));
    assert_eq!(client.detection().unwrap().idle, Learns::Never);
}

#[test]
fn busy_is_bounded_only_when_it_is_asked_for() {
    let (client, _server) = pair();
    let promised = client.detect_within(secs(30)).unwrap();
    assert!(!promised.busy.is_within(secs(30)), "{promised}");
    let promised = client.detect_within(Objective::within(secs(30)).by_user_timeout()).unwrap();
    assert!(promised.idle.is_within(secs(30)) && promised.busy.is_within(secs(30)), "{promised}");
}

#[test]
fn a_forgetful_box_is_reminded_before_it_forgets() {
    let (client, _server) = pair();
    let objective = Objective::within(secs(3600)).survive_idle(secs(350));
    client.detect_within(objective).unwrap();
    let probed = socket2::SockRef::from(&client).tcp_keepalive_time().unwrap();
    assert!(probed < secs(350), "{probed:?}");
}

#[test]
fn a_connection_that_is_over_is_refused() {
    let (client, server) = pair();
    halfopen_sys::own::reset(std::os::fd::AsFd::as_fd(&server)).unwrap();
    halfopen_sys::own::hangup(std::os::fd::AsFd::as_fd(&client), secs(5)).unwrap();
    let error = client.detect_within(secs(60)).unwrap_err();
    assert!(matches!(error, DetectError::NotOpen { .. } | DetectError::System { .. }), "{error}");
}

#[test]
fn a_reader_of_the_error_is_told_what_to_do() {
    let error = DetectError::TooShort { wanted: secs(1), least: secs(6) };
    assert_eq!(
        error.to_string(),
        "detect within 1s: the kernel's timers can promise 6s at the best; ask for that, or use a heartbeat"
    );
}
