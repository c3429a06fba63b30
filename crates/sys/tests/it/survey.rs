//! The survey of connections that the test itself holds.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use halfopen_core::{
    Cookie, Family, KernelTimer, Listener, Observation, OptionsSeen, Owners, Source, TcpState,
};
use halfopen_sys::{
    Netns, NetnsError, Scope, Sources, Survey, SurveyError, look_up, survey, survey_from,
};
use rustix::net::sockopt;

use crate::{elsewhere::Elsewhere, eventually, is_root, skip, syn};

/// By sock_diag, whatever else this host allows: that is what these tests are about.
fn look(scope: &Scope) -> Survey {
    survey_from(scope, Sources::SockDiag).unwrap()
}

fn cookie(socket: impl AsFd) -> Cookie {
    Cookie(sockopt::socket_cookie(socket).unwrap())
}

fn of(survey: &Survey, socket: impl AsFd) -> Observation {
    let cookie = cookie(socket);
    let found = survey.observations.iter().find(|seen| seen.sample.id.cookie == cookie);
    found.expect("the survey has the connection").clone()
}

fn listener_at(survey: &Survey, local: SocketAddr) -> Listener {
    survey.listeners.iter().find(|listener| listener.local == local).unwrap().clone()
}

/// A listener, a client's end and the server's end.
fn connected(address: &str) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (listener, client, server)
}

#[test]
fn a_connection_is_seen_with_its_state_its_owner_and_its_listener() {
    let (listener, client, server) = connected("127.0.0.1:0");
    let survey = look(&Scope::Current);
    let (near, far) = (of(&survey, &client), of(&survey, &server));
    for seen in [&near, &far] {
        assert_eq!(seen.sample.source, Source::SockDiag);
        assert_eq!(seen.sample.state, TcpState::Established);
        assert_eq!(seen.sample.family, Family::V4);
        assert!(seen.sample.taken_at >= survey.taken_at);
        assert!(seen.sysctls.retries2.is_some());
    }
    assert_eq!(near.sample.endpoints.peer, listener.local_addr().unwrap());
    let Owners::Known(owners) = &near.owners else { panic!("{:?}", near.owners) };
    assert_eq!(owners[0].process.pid, std::process::id());
    assert_eq!(owners[0].fd, u32::try_from(client.as_raw_fd()).unwrap());
    assert_eq!(far.listener.unwrap().local, listener.local_addr().unwrap());
    assert_eq!(near.listener, None);
    assert_eq!(near.proof, None);
}

#[test]
fn options_that_the_application_set_are_seen() {
    let (_listener, client, server) = connected("127.0.0.1:0");
    sockopt::set_socket_keepalive(&client, true).unwrap();
    sockopt::set_tcp_keepidle(&client, Duration::from_secs(61)).unwrap();
    sockopt::set_tcp_user_timeout(&client, 31_000).unwrap();
    let survey = look(&Scope::Current);
    let OptionsSeen::Read(near) = of(&survey, &client).options else { panic!("not read") };
    assert_eq!(near.keepalive, Some(true));
    assert_eq!(near.keepalive_idle, Some(Duration::from_secs(61)));
    assert_eq!(near.user_timeout, Some(Duration::from_secs(31)));
    let OptionsSeen::Read(far) = of(&survey, &server).options else { panic!("not read") };
    assert_eq!(far.keepalive, Some(false));
}

#[test]
fn ipv4_over_an_ipv6_socket_is_seen_as_mapped_with_its_listener() {
    let Ok(listener) = TcpListener::bind("[::]:0") else { return skip("IPv6") };
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let (server, _) = listener.accept().unwrap();
    let survey = look(&Scope::Current);
    let far = of(&survey, &server);
    assert_eq!(far.sample.family, Family::V4Mapped);
    assert_eq!(far.sample.endpoints.peer, client.local_addr().unwrap());
    assert_eq!(far.listener.unwrap().local, listener.local_addr().unwrap());
    assert_eq!(of(&survey, &client).sample.family, Family::V4);
}

#[test]
fn a_connection_that_nobody_has_accepted_is_in_the_queue_and_has_no_owner() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let here = client.local_addr().unwrap();
    let survey = look(&Scope::Current);
    assert_eq!(listener_at(&survey, listener.local_addr().unwrap()).accept_queue, 1);
    let far = survey.observations.iter().find(|seen| seen.sample.endpoints.peer == here).unwrap();
    assert_eq!((&far.owners, far.sample.uid), (&Owners::None, None));
    assert!(matches!(far.options, OptionsSeen::Unread(_)));
    assert!(survey.unseen.iter().any(|unseen| unseen.what.starts_with("options of")));
}

#[test]
fn half_closing_and_time_wait_are_seen_as_such() {
    let (_listener, client, mut server) = connected("127.0.0.1:0");
    let (here, there) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    server.write_all(b"last words").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    let told = eventually("CLOSE-WAIT", || {
        let seen = of(&look(&Scope::Current), &client);
        (seen.sample.state == TcpState::CloseWait).then_some(seen)
    });
    // Ten bytes and the end.
    assert_eq!(told.sample.receive_queue, 11);
    assert!(told.sample.shutdown.unwrap().receive);

    let mut client = client;
    std::io::copy(&mut client, &mut std::io::sink()).unwrap();
    drop(client);
    let waiting = eventually("TIME-WAIT", || {
        look(&Scope::Current).observations.into_iter().find(|seen| {
            let ends = seen.sample.endpoints;
            (ends.local, ends.peer) == (there, here) && seen.sample.state == TcpState::TimeWait
        })
    });
    assert!(waiting.sample.is_mini());
    assert_eq!(waiting.owners, Owners::None);
    assert_eq!(waiting.options, OptionsSeen::Unread("no process holds it".into()));
}

#[test]
fn a_connection_is_looked_up_by_its_id_and_gone_when_it_is_closed() {
    let (_listener, client, server) = connected("127.0.0.1:0");
    let id = of(&look(&Scope::Current), &client).sample.id;
    let found = look_up(id).unwrap().unwrap();
    assert_eq!(found.sample.id, id);
    assert_eq!(found.owners.seen()[0].process.pid, std::process::id());
    drop(server);
    drop(client);
    eventually("the end of the connection", || look_up(id).unwrap().is_none().then_some(()));
}

#[test]
fn embryonic_connections_are_counted_at_their_listener() {
    if !is_root("to send a SYN by hand") {
        return;
    }
    // Packets to 10.9.9.9 leave through loopback and are dropped as they come back.
    let elsewhere =
        Elsewhere::start_with("ip address add 10.9.9.1/32 dev lo && ip route add 10.9.9.9 dev lo");
    let to = SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 1), 80);
    let listener = elsewhere.netns().enter(|| {
        let listener = TcpListener::bind(to).unwrap();
        for port in [4001, 4002, 4003] {
            syn::send(SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 9), port), to);
        }
        listener
    });
    let _listener = listener.unwrap();
    let scope = Scope::Named(elsewhere.pid().to_string());
    let survey = eventually("three embryonic connections", || {
        let survey = look(&scope);
        (listener_at(&survey, to.into()).embryonic == Some(3)).then_some(survey)
    });
    assert_eq!(survey.observations.len(), 3);
    for seen in &survey.observations {
        assert_eq!(seen.sample.state, TcpState::SynReceived);
        assert!(seen.sample.is_mini() && seen.sample.uid.is_none());
        assert!(matches!(seen.sample.timer, KernelTimer::Retransmit { .. }));
        assert_eq!(seen.listener.as_ref().and_then(|listener| listener.embryonic), Some(3));
    }
}

#[test]
fn a_namespace_that_does_not_exist_is_an_error_that_says_so() {
    let error = survey(&Scope::Named("no-such-place".to_owned())).unwrap_err();
    let SurveyError::Namespace(inner) = &error else { panic!("{error}") };
    assert!(matches!(inner, NetnsError::NoSuchName { .. }));
    assert!(error.to_string().contains("no-such-place"));
}

#[test]
fn sysctls_and_counters_are_those_of_the_namespace_that_is_looked_at() {
    let Some(elsewhere) = Elsewhere::start() else { return };
    let set = |name: &str, value: &str| fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
    let (own, other) = (Netns::current().unwrap(), elsewhere.netns());
    let (_listener, client, _server) = other
        .enter(|| {
            set("tcp_retries2", "7").unwrap();
            set("tcp_keepalive_time", "99").unwrap();
            connected("127.0.0.1:0")
        })
        .unwrap();
    let inside = look(&Scope::Named(elsewhere.pid().to_string()));
    assert_eq!(inside.namespaces[0].id, other.id());
    assert!(!inside.namespaces[0].is_own);
    let seen = of(&inside, &client);
    assert_eq!(seen.sample.id.netns, other.id());
    assert_eq!(seen.sysctls.retries2, Some(7));
    assert_eq!(seen.sysctls.keepalive_time, Some(Duration::from_secs(99)));
    assert_eq!(
        own.enter(halfopen_sys::sysctls).unwrap().retries2,
        halfopen_sys::sysctls().retries2
    );
    assert_ne!(halfopen_sys::sysctls().keepalive_time, Some(Duration::from_secs(99)));
    let counters = other.enter(halfopen_sys::counters).unwrap().unwrap();
    assert_eq!((counters.established_resets, counters.listen_overflows), (Some(0), Some(0)));
}

#[test]
fn a_survey_of_all_namespaces_sees_connections_of_each() {
    let Some(elsewhere) = Elsewhere::start() else { return };
    let other = elsewhere.netns().enter(|| connected("127.0.0.1:0")).unwrap();
    let here = connected("127.0.0.1:0");
    let survey = look(&Scope::All);
    let own = Netns::current().unwrap().id();
    assert_eq!(of(&survey, &here.1).sample.id.netns, own);
    let far = of(&survey, &other.1);
    assert_eq!(far.sample.id.netns, elsewhere.netns().id());
    assert_eq!(far.owners.seen()[0].process.pid, std::process::id());
    assert_eq!(survey.namespaces.iter().filter(|namespace| namespace.is_own).count(), 1);
    let id = far.sample.id;
    assert_eq!(look_up(id).unwrap().unwrap().sample.id, id);
}
