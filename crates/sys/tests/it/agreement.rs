//! The two sources say the same of the same sockets, field by field, in every state that a test can
//! bring about. Goal: whoever judges need not know where a sample came from. Method: a namespace with
//! one connection of each kind, looked at by one source right after the other; ages may differ by the
//! time between the looks and a tick.

use std::{
    io::{ErrorKind, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

use halfopen_core::{
    KernelTimer, Observation, OptionsSeen, Owners, PendingTimer, Source, TcpInfo, TcpState,
};
use halfopen_sys::{
    Ask, Scope, Sources, Survey,
    bpf::{Bpf, record},
    options::SharedOptions,
    survey_each, survey_from, tick,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use crate::{elsewhere::Elsewhere, eventually, is_root, syn};

#[test]
fn both_sources_say_the_same_of_every_socket() {
    if !is_root("to load BPF and to make a network namespace") {
        return;
    }
    // Segments of a certain type of service are lost, and so is whatever goes to 10.9.9.9.
    let elsewhere = Elsewhere::start_with(
        "ip address add 10.9.9.1/32 dev lo && ip route add 10.9.9.9 dev lo && \
         nft 'add table ip t; add chain ip t in { type filter hook input priority 0; }; \
              add rule ip t in ip dscp 8 drop'",
    );
    let sockets = elsewhere.netns().enter(Sockets::of_every_kind).unwrap();
    let scope = Scope::Named(elsewhere.pid().to_string());
    // Between the two looks something may fire; then both look again.
    let mut last = String::new();
    let agreed = eventually_or("both sources agree", &mut last, || {
        let (one, other) = (look(&scope, Sources::SockDiag), look(&scope, Sources::Bpf));
        compare(&one, &other).map(|()| other)
    });
    // Judged before all are known, too.
    eventually_or("they agree on connections as they come", &mut last, || {
        let one = look_at_each(&scope, Sources::SockDiag);
        compare(&one, &look_at_each(&scope, Sources::Bpf))
    });
    let states = |state| agreed.observations.iter().filter(move |seen| seen.sample.state == state);
    for state in [
        TcpState::Established,
        TcpState::SynSent,
        TcpState::SynReceived,
        TcpState::FinWait1,
        TcpState::FinWait2,
        TcpState::TimeWait,
        TcpState::CloseWait,
    ] {
        assert!(states(state).next().is_some(), "no connection was in {state}");
    }
    let timers = |fits: fn(&KernelTimer) -> bool| {
        agreed.observations.iter().any(|seen| fits(&seen.sample.timer))
    };
    assert!(timers(|timer| matches!(timer, KernelTimer::WindowProbe { .. })));
    assert!(timers(|timer| matches!(timer, KernelTimer::Keepalive { .. })));
    assert!(timers(|timer| matches!(timer, KernelTimer::Off)));
    assert!(agreed.listeners.len() >= 2);
    what_only_bpf_shows(&agreed);
    drop(sockets);
}

fn look(scope: &Scope, sources: Sources) -> Survey {
    survey_from(scope, sources).unwrap()
}

/// Takes connections up as they come, unless they have to be compared with others.
fn look_at_each(scope: &Scope, sources: Sources) -> Survey {
    let ask = Ask { sources, siblings: false, ..Ask::all(scope.clone()) };
    let take = |all: &mut Vec<_>, mut piece| all.append(&mut piece);
    let (survey, observations) = survey_each(&ask, Vec::new, take).unwrap();
    Survey { observations: observations.concat(), ..survey }
}

fn what_only_bpf_shows(survey: &Survey) {
    let orphan = survey.observations.iter().find(|seen| seen.sample.state == TcpState::FinWait1);
    let orphan = orphan.unwrap();
    assert_eq!((&orphan.owners, orphan.sample.inside.orphan), (&Owners::None, Some(true)));
    let OptionsSeen::Read(options) = &orphan.options else { panic!("{:?}", orphan.options) };
    assert_eq!(options.user_timeout, Some(Duration::from_secs(77)));
    let pending =
        |wanted| survey.observations.iter().any(|seen| seen.sample.inside.pending == Some(wanted));
    assert!(pending(PendingTimer::WindowProbe) && pending(PendingTimer::Retransmission));
    for seen in &survey.observations {
        assert_eq!(seen.sample.source, Source::Bpf);
        assert_eq!(seen.sample.inside.sequence.is_some(), seen.sample.info.is_some());
        assert!(seen.sample.taken_at >= survey.taken_at);
    }
}

/// One connection of each kind, both ends of it.
struct Sockets {
    _listeners: Vec<TcpListener>,
    _streams: Vec<TcpStream>,
    _others: Vec<OwnedFd>,
}

impl Sockets {
    fn of_every_kind() -> Self {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let any = TcpListener::bind("[::]:0").unwrap();
        sockopt::set_tcp_user_timeout(&any, 9_000).unwrap();
        let mut kept = Self { _listeners: Vec::new(), _streams: Vec::new(), _others: Vec::new() };
        let pair = |listener: &TcpListener, address: &str| {
            let port = listener.local_addr().unwrap().port();
            let client = TcpStream::connect(format!("{address}:{port}")).unwrap();
            (client, listener.accept().unwrap().0)
        };
        let mut keep = |pair: (TcpStream, TcpStream)| kept._streams.extend([pair.0, pair.1]);

        keep(pair(&four, "127.0.0.1"));
        keep(pair(&any, "[::1]"));
        keep(pair(&any, "127.0.0.1"));
        keep(with_odd_options(pair(&four, "127.0.0.1")));
        keep(with_data_in_flight(pair(&four, "127.0.0.1")));
        keep(with_a_shut_window(pair(&four, "127.0.0.1")));

        let (client, server) = pair(&four, "127.0.0.1");
        server.shutdown(Shutdown::Write).unwrap();
        keep((client, server));
        // TIME-WAIT is the server's, who closes first.
        let (client, server) = pair(&four, "127.0.0.1");
        drop(server);
        drop(client);
        // A FIN that is lost, of a socket that nobody holds any more.
        let (client, server) = pair(&four, "127.0.0.1");
        sockopt::set_tcp_user_timeout(&server, 77_000).unwrap();
        lose_what_it_sends(&server);
        drop(server);
        kept._streams.push(client);
        // Not accepted.
        kept._streams.push(TcpStream::connect(four.local_addr().unwrap()).unwrap());

        let embryonic = SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 1), 80);
        let listener = TcpListener::bind(embryonic).unwrap();
        syn::send(SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 9), 4001), embryonic);
        kept._listeners.extend([four, any, listener]);
        kept._others.push(connecting_to_nobody());
        kept
    }
}

fn with_odd_options(pair: (TcpStream, TcpStream)) -> (TcpStream, TcpStream) {
    let (client, server) = &pair;
    sockopt::set_socket_keepalive(client, true).unwrap();
    sockopt::set_tcp_keepidle(client, Duration::from_secs(1234)).unwrap();
    sockopt::set_tcp_keepintvl(client, Duration::from_secs(17)).unwrap();
    sockopt::set_tcp_keepcnt(client, 11).unwrap();
    sockopt::set_tcp_user_timeout(client, 54_321).unwrap();
    sockopt::set_tcp_thin_linear_timeouts(client, true).unwrap();
    sockopt::set_socket_reuseaddr(client, true).unwrap();
    // On, with every time inherited.
    sockopt::set_socket_keepalive(server, true).unwrap();
    pair
}

/// A type of service whose upper six bits, the DSCP, are 8.
fn lose_what_it_sends(stream: &TcpStream) {
    sockopt::set_ip_tos(stream, 8 << 2).unwrap();
}

fn with_data_in_flight(mut pair: (TcpStream, TcpStream)) -> (TcpStream, TcpStream) {
    lose_what_it_sends(&pair.0);
    pair.0.write_all(b"into the void").unwrap();
    pair
}

fn with_a_shut_window(mut pair: (TcpStream, TcpStream)) -> (TcpStream, TcpStream) {
    sockopt::set_tcp_user_timeout(&pair.0, 66_000).unwrap();
    pair.0.set_nonblocking(true).unwrap();
    let page = [0; 64 * 1024];
    loop {
        match pair.0.write(&page) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return pair,
            Err(error) => panic!("{error}"),
        }
    }
}

fn connecting_to_nobody() -> OwnedFd {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    let nobody: SocketAddr = "10.9.9.9:80".parse().unwrap();
    assert_eq!(connect(&socket, &nobody), Err(rustix::io::Errno::INPROGRESS));
    socket
}

/// `Err` says where they differ.
fn compare(one: &Survey, other: &Survey) -> Result<(), String> {
    if one.listeners != other.listeners {
        return Err(format!("{:?}\n{:?}", one.listeners, other.listeners));
    }
    let of = |survey: &Survey| {
        let mut observations = survey.observations.clone();
        observations.sort_by_key(|seen| seen.sample.id);
        observations
    };
    let (one, other) = (of(one), of(other));
    if one.len() != other.len() {
        return Err(format!("{} and {} connections", one.len(), other.len()));
    }
    one.iter().zip(&other).try_for_each(|(one, other)| {
        let between = other.sample.taken_at.since(one.sample.taken_at);
        compare_one(&aged(one, between), &aged(other, Duration::ZERO))
            .map_err(|what| format!("{what}\n{one:?}\n{other:?}"))
    })
}

/// What the observation would have been later, with its ages apart from the rest.
fn aged(seen: &Observation, later: Duration) -> (Observation, Vec<Option<Duration>>) {
    let mut seen = seen.clone();
    let mut ages = Vec::new();
    if let Some(info) = &mut seen.sample.info {
        let TcpInfo { last_data_sent, last_data_received, last_ack_received, .. } = info;
        // Listeners have no ages.
        let later = if info.state == Some(TcpState::Listen) { Duration::ZERO } else { later };
        for age in [last_data_sent, last_data_received, last_ack_received] {
            ages.push(age.take().map(|age| age + later));
        }
        // These go on while something is outstanding.
        for sum in [&mut info.busy, &mut info.receive_window_limited, &mut info.total_rto_time] {
            let runs = if sum.is_some_and(|sum| sum.is_zero()) { Duration::ZERO } else { later };
            ages.push(sum.take().map(|sum| sum + runs));
        }
    }
    match &mut seen.sample.timer {
        KernelTimer::Off => {}
        KernelTimer::Retransmit { expires_in, .. }
        | KernelTimer::Keepalive { expires_in, .. }
        | KernelTimer::TimeWait { expires_in }
        | KernelTimer::WindowProbe { expires_in, .. }
        | KernelTimer::Other { expires_in, .. } => {
            ages.push(Some(expires_in.saturating_sub(later)));
            *expires_in = Duration::ZERO;
        }
    }
    // Whatever may differ by its nature.
    seen.sample.source = Source::SockDiag;
    seen.sample.taken_at = halfopen_core::Moment::default();
    seen.sample.inside = halfopen_core::Inside::default();
    if seen.owners == Owners::None {
        seen.options = OptionsSeen::Unread("only BPF reads them".into());
    }
    (seen, ages)
}

fn compare_one(
    (one, ages): &(Observation, Vec<Option<Duration>>),
    (other, other_ages): &(Observation, Vec<Option<Duration>>),
) -> Result<(), String> {
    if one != other {
        return Err("they differ".to_owned());
    }
    // A tick each for the two ages, and one for the clock that dates the samples.
    let tolerance = tick().length() * 3;
    for (age, other) in ages.iter().zip(other_ages) {
        match (age, other) {
            (None, None) => {}
            (Some(age), Some(other)) if age.abs_diff(*other) <= tolerance => {}
            _ => return Err(format!("ages {age:?} and {other:?} of {ages:?} and {other_ages:?}")),
        }
    }
    Ok(())
}

/// As [`eventually`], and says at last what was still wrong.
fn eventually_or<T>(
    what: &str,
    last: &mut String,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => *last = why,
        }
        assert!(std::time::Instant::now() < deadline, "waited in vain until {what}:\n{last}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn descriptors_are_those_of_this_process() {
    if !is_root("to load BPF") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bpf = Bpf::open().unwrap();
    let here = listener.local_addr().unwrap();
    let found = || {
        let mut found = None;
        let (sysctls, mut shared) = (halfopen_sys::sysctls(), SharedOptions::default());
        let listed = bpf.sockets(|records| {
            for bytes in records.chunks_exact(record::LENGTH) {
                let record = record::decode(bytes, tick(), &sysctls, &mut shared).unwrap();
                if record.sample.endpoints.local == here {
                    found = Some(record.beyond);
                }
            }
        });
        assert_eq!(listed, Ok(()));
        found
    };
    let address = found().unwrap().socket.unwrap();
    let held = bpf.descriptors().unwrap();
    let mut of_it = held.iter().filter(|held| held.socket == address);
    let fd = std::os::fd::AsRawFd::as_raw_fd(&listener);
    let first = of_it.next().unwrap();
    assert_eq!((first.pid, first.fd), (std::process::id(), u32::try_from(fd).unwrap()));
    assert_eq!(of_it.next(), None);
    // The programs stay loaded, and list anew.
    drop(listener);
    eventually("the end of the listener", || found().is_none().then_some(()));
}
