use halfopen_core::{Family, Shutdown};
use proptest::prelude::*;

use super::*;

fn tick() -> Tick {
    Tick::from_hz(250)
}

/// One second, in ticks of 4 ms.
const SECOND: u32 = 250;

fn established() -> Raw {
    Raw {
        boot_ns: 7_000_000_000,
        socket: 0xffff_8881_0000_0000,
        cookie: 0x1f,
        inode: 4711,
        local: u128::from_ne_bytes([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        peer: u128::from_ne_bytes([10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        netns: 4_026_531_840,
        uid: 1000,
        // A moment at which 32-bit jiffies have just wrapped.
        now_jiffies: 5,
        rcv_tstamp: 5u32.wrapping_sub(3 * SECOND),
        lrcvtime: 5u32.wrapping_sub(2 * SECOND),
        lsndtime: 5u32.wrapping_sub(SECOND),
        rto: 51,
        srtt_us: 800,
        flags: HAS_RTO_MAX | HAS_TOTAL_RTO | SACK,
        rto_max: 120 * SECOND,
        write_seq: 10,
        snd_nxt: 4,
        snd_una: u32::MAX,
        rcv_nxt: 20,
        copied_seq: 15,
        local_port: 40_000,
        peer_port: 111,
        family: 2,
        state: 1,
        ..Raw::default()
    }
}

fn read(raw: &Raw) -> Record {
    decode(&raw.bytes(), tick(), &Sysctls::linux_defaults(), &mut SharedOptions::default()).unwrap()
}

fn options(raw: &Raw) -> SocketOptions {
    (*read(raw).beyond.options.unwrap()).clone()
}

#[test]
fn a_record_is_as_long_as_the_struct_of_the_program() {
    assert_eq!(LENGTH, 272);
}

#[test]
fn a_connection_is_told_in_the_words_of_the_core() {
    let Record { sample, beyond } = read(&established());
    assert_eq!(beyond.socket, Some(0xffff_8881_0000_0000));
    assert_eq!(sample.taken_at, Moment(Duration::from_secs(7)));
    assert_eq!(sample.id.to_string(), "1f@4026531840");
    assert_eq!(sample.endpoints.local, "10.0.0.1:40000".parse().unwrap());
    assert_eq!(sample.endpoints.peer, "10.0.0.7:111".parse().unwrap());
    assert_eq!((sample.receive_queue, sample.send_queue), (5, 11));
    let info = sample.info.unwrap();
    assert_eq!(info.unsent_bytes, Some(6));
    assert_eq!(info.last_ack_received, Some(Duration::from_secs(3)));
    assert_eq!(info.last_data_received, Some(Duration::from_secs(2)));
    assert_eq!(info.rto, Some(Duration::from_millis(204)));
    assert_eq!(info.srtt, Some(Duration::from_micros(100)));
    assert_eq!((info.sack, info.timestamps), (Some(true), Some(false)));
    assert_eq!(sample.inside.sequence.unwrap().snd_una, u32::MAX);
    assert_eq!(sample.inside.orphan, Some(false));
}

#[test]
fn addresses_of_ipv4_in_ipv6_are_unwrapped_and_said_to_be_mapped() {
    let mapped = std::net::Ipv4Addr::new(10, 0, 0, 7).to_ipv6_mapped();
    let raw = Raw { family: 10, peer: u128::from_ne_bytes(mapped.octets()), ..established() };
    let sample = read(&raw).sample;
    assert_eq!(sample.family, Family::V4Mapped);
    assert_eq!(sample.endpoints.peer, "10.0.0.7:111".parse().unwrap());
}

#[test]
fn of_the_timers_that_run_the_first_is_shown_as_sock_diag_would() {
    let both = Raw {
        flags: KEEPALIVE_PENDING,
        timer_jiffies: 5 + 50,
        keepalive_jiffies: 5 + SECOND,
        probes_out: 2,
        retransmits: 3,
        ..established()
    };
    let timer = |pending| read(&Raw { pending, ..both.clone() }).sample.timer;
    let soon = Duration::from_millis(200);
    for kind in [1, 5, 6] {
        assert_eq!(timer(kind), KernelTimer::Retransmit { retransmits: 3, expires_in: soon });
    }
    assert_eq!(timer(3), KernelTimer::WindowProbe { probes: 2, expires_in: soon });
    let second = Duration::from_secs(1);
    assert_eq!(timer(0), KernelTimer::Keepalive { probes: 2, expires_in: second });
    assert_eq!(read(&established()).sample.timer, KernelTimer::Off);
}

#[test]
fn a_timer_that_is_overdue_expires_now() {
    let overdue = Raw { pending: 1, timer_jiffies: u32::MAX, ..established() };
    let timer = KernelTimer::Retransmit { retransmits: 0, expires_in: Duration::ZERO };
    assert_eq!(read(&overdue).sample.timer, timer);
}

#[test]
fn mini_sockets_have_a_timer_and_neither_info_nor_options() {
    let small = |kind, state| {
        read(&Raw { kind, state, timeouts: 2, timer_jiffies: 5 + SECOND, ..Raw::default() }.ipv4())
    };
    let expires_in = Duration::from_nanos(1_000_000_000 + 5 * 4_000_000);
    let waiting = small(1, 6);
    assert_eq!(waiting.sample.timer, KernelTimer::TimeWait { expires_in });
    assert_eq!(waiting.beyond, Beyond::default());
    assert!(waiting.sample.is_mini());
    assert_eq!(waiting.sample.inside, Inside::default());
    let request = small(2, 12);
    assert_eq!(request.sample.state, TcpState::SynReceived);
    assert_eq!(request.sample.inside.request_timeouts, Some(2));
    assert_eq!((request.sample.uid, request.sample.shutdown), (None, None));
}

impl Raw {
    fn ipv4(self) -> Self {
        Self { family: 2, ..self }
    }
}

#[test]
fn a_listener_has_its_queues_and_otherwise_zeros() {
    let listener = Raw { state: 10, ack_backlog: 3, max_ack_backlog: 128, ..established() };
    let sample = read(&listener).sample;
    assert_eq!((sample.receive_queue, sample.send_queue), (3, 128));
    let info = sample.info.unwrap();
    assert_eq!((info.state, info.unacked_segments), (Some(TcpState::Listen), Some(3)));
    assert_eq!((info.rto, info.last_data_sent), (Some(Duration::ZERO), Some(Duration::ZERO)));
    assert_eq!(info.total_rto, Some(0));
}

#[test]
fn what_a_socket_has_not_set_it_inherits_from_its_namespace() {
    let inherited = options(&established());
    let sysctls = Sysctls::linux_defaults();
    assert_eq!(inherited.keepalive, Some(false));
    assert_eq!(inherited.keepalive_idle, sysctls.keepalive_time);
    assert_eq!(inherited.keepalive_interval, sysctls.keepalive_interval);
    assert_eq!(inherited.keepalive_probes, sysctls.keepalive_probes);
    assert_eq!(inherited.syn_retries, sysctls.syn_retries);
    assert_eq!(inherited.linger2, Some(60));
    assert_eq!(inherited.user_timeout, Some(Duration::ZERO));
    assert_eq!(inherited.rto_max, Some(Duration::from_secs(120)));
}

#[test]
fn what_a_socket_has_set_is_its_own() {
    let own = options(&Raw {
        flags: KEEPOPEN | REUSE | THIN,
        keepalive_time: 17 * SECOND,
        keepalive_intvl: 3 * SECOND,
        keepalive_probes: 4,
        user_timeout_ms: 2500,
        syn_retries: 2,
        linger2: 9 * SECOND,
        defer_accept: 3,
        ..established()
    });
    assert_eq!(own.keepalive, Some(true));
    assert_eq!(own.keepalive_idle, Some(Duration::from_secs(17)));
    assert_eq!(own.keepalive_interval, Some(Duration::from_secs(3)));
    assert_eq!((own.keepalive_probes, own.syn_retries), (Some(4), Some(2)));
    assert_eq!(own.user_timeout, Some(Duration::from_millis(2500)));
    assert_eq!(own.linger2, Some(9));
    assert_eq!(own.defer_accept, Some(Duration::from_secs(7)));
    assert_eq!((own.thin_linear, own.reuse_address), (Some(true), Some(true)));
    // This kernel has no cap of the socket's own.
    assert_eq!(own.rto_max, None);
    let reset = Raw { linger2: u32::MAX, ..established() };
    assert_eq!(options(&reset).linger2, Some(-1));
}

#[test]
fn time_outs_of_a_deferred_accept_are_capped_at_the_longest() {
    let raw = Raw { defer_accept: 255, rto_max: 10 * SECOND, ..established() };
    let doubled = 1 + 2 + 4 + 8;
    let expected = Duration::from_secs(doubled + 251 * 10);
    assert_eq!(options(&raw).defer_accept, Some(expected));
}

#[test]
fn a_kernel_without_the_newer_fields_leaves_them_absent() {
    let info = read(&Raw { flags: 0, ..established() }).sample.info.unwrap();
    assert_eq!((info.total_rto, info.total_rto_time), (None, None));
    assert!(info.send_window.is_some());
}

#[test]
fn the_kernels_counts_since_the_first_probe_are_told_where_they_run() {
    let inside = |raw: &Raw| read(raw).sample.inside;
    let idle = inside(&established());
    assert_eq!((idle.retransmitting_for, idle.window_probed_for), (None, None));
    let running = inside(&Raw {
        flags: HAS_RETRANSMITTING | DEAD,
        retransmitting_ms: 584,
        probes_tstamp: 5u32.wrapping_sub(SECOND),
        pending: 5,
        err: 110,
        ..established()
    });
    assert_eq!(running.retransmitting_for, Some(Duration::from_millis(584)));
    assert_eq!(running.window_probed_for, Some(Duration::from_secs(1)));
    assert_eq!(running.pending, Some(PendingTimer::LossProbe { again: false }));
    assert_eq!((running.orphan, running.error), (Some(true), Some(110)));
}

#[test]
fn shutdown_names_the_directions() {
    let sample = read(&Raw { shutdown: 1, ..established() }).sample;
    assert_eq!(sample.shutdown, Some(Shutdown { receive: true, send: false }));
}

#[test]
fn another_family_and_another_kind_are_refused_where_they_stand() {
    let refused = |raw: &Raw| {
        decode(&raw.bytes(), tick(), &Sysctls::default(), &mut SharedOptions::default())
            .unwrap_err()
    };
    let WireError::Family { offset, got } = refused(&Raw { family: 7, ..established() }) else {
        panic!("not refused for its family");
    };
    assert_eq!((got, Raw { family: 7, ..established() }.bytes()[offset]), (7, 7));
    let WireError::Kind { offset, got } = refused(&Raw { kind: 9, ..established() }) else {
        panic!("not refused for its kind");
    };
    assert_eq!((got, Raw { kind: 9, ..established() }.bytes()[offset]), (9, 9));
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let decoded = decode(&bytes, tick(), &Sysctls::linux_defaults(), &mut SharedOptions::default());
        prop_assert!(bytes.len() >= LENGTH || decoded.is_err());
    }

    #[test]
    fn a_record_of_any_numbers_is_decoded(
        mut bytes in prop::collection::vec(any::<u8>(), LENGTH),
        kind in 0..3_u8,
    ) {
        bytes[Raw::FAMILY_AT..Raw::FAMILY_AT + 2].copy_from_slice(&2_u16.to_ne_bytes());
        bytes[Raw::KIND_AT] = kind;
        prop_assert!(decode(&bytes, tick(), &Sysctls::default(), &mut SharedOptions::default()).is_ok());
    }
}
