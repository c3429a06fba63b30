//! Owns what has to hold for every input of this crate's parsers, whatever the bytes. The targets in
//! `fuzz/` feed it made-up bytes, and the tests in `crates/e2e` replay `fuzz/corpus`.
//! A broken promise panics. Opens nothing.

use halfopen_core::{Moment, NetnsId, Sysctls, detection::Tick};

use crate::{
    bpf::{
        descriptor,
        record::{self, Record},
    },
    conntrack::activity,
    counters::{self, Counters},
    netns::{census, netns_id},
    options::SharedOptions,
    owners::{process, unit_of},
    wire::{ctnetlink, inet_diag, netlink, tcp_info},
};

/// The number that answers in the corpora carry.
const SEQUENCE: u32 = 1;

/// Netlink's framing: the walk ends, and what it hands out are parts of the bytes.
pub fn netlink(bytes: &[u8]) {
    let within = |part: &[u8]| assert!(part.len() <= bytes.len());
    let mut records = 0;
    for message in netlink::messages(bytes).flatten() {
        within(message.payload);
        let _ = message.error_number();
        records += 1;
        for attribute in netlink::attributes(message.payload).flatten() {
            within(attribute.payload);
            records += 1;
        }
    }
    // A record takes four bytes at least, and is in a message and in an attribute at most.
    assert!(records <= bytes.len(), "{records} records in {} bytes", bytes.len());
    assert!(netlink::attributes(bytes).count() <= bytes.len() / 4 + 1);
}

/// A datagram of sock_diag: each message is a socket, an error or nothing, and is read alike each time.
pub fn sock_diag(bytes: &[u8]) {
    let read = || inet_diag::answer(bytes, SEQUENCE, NetnsId(0), Moment::default());
    let answer = read();
    assert_eq!(answer, read());
    let messages = netlink::messages(bytes).count();
    assert!(answer.entries.len() + answer.malformed.len() <= messages);
    for sample in &answer.entries {
        // What was read can be asked for again.
        let ends = &sample.endpoints;
        let body = inet_diag::look_up_request(sample.family, ends, sample.id.cookie);
        assert_eq!(body.len(), 56);
        let _ = (sample.last_heard(), sample.in_flight(), sample.is_mini());
    }
}

/// A record of the BPF program: read alike each time, at every length of the kernel's tick.
pub fn bpf(bytes: &[u8]) {
    for hz in [100, 250, 300, 1000] {
        let read = || {
            let (tick, sysctls) = (Tick::from_hz(hz), Sysctls::linux_defaults());
            record::decode(bytes, tick, &sysctls, &mut SharedOptions::default())
        };
        let record = read();
        assert_eq!(record, read());
        if let Ok(Record { sample, .. }) = record {
            assert!(bytes.len() >= record::LENGTH);
            let _ = (sample.last_heard(), sample.in_flight(), sample.is_mini());
        }
    }
    let _ = descriptor::decode(bytes);
}

/// `struct tcp_info`: more bytes never take back what fewer bytes said.
pub fn tcp_info(bytes: &[u8]) {
    let whole = tcp_info::decode(bytes);
    let half = tcp_info::decode(bytes.get(..bytes.len() / 2).unwrap_or_default());
    assert!(half.rto.is_none() || half.rto == whole.rto);
    assert!(half.last_ack_received.is_none() || half.last_ack_received == whole.last_ack_received);
    assert!(half.total_rto_time.is_none() || half.total_rto_time == whole.total_rto_time);
}

/// A datagram of ctnetlink; the routes that it tells can be asked for.
pub fn ctnetlink(bytes: &[u8]) {
    let answer = ctnetlink::answer(bytes, SEQUENCE);
    assert!(answer.entries.len() + answer.malformed.len() <= netlink::messages(bytes).count());
    for flow in &answer.entries {
        for route in [&flow.original, &flow.reply] {
            assert!(!ctnetlink::look_up_request(route).is_empty());
        }
    }
}

/// The texts of /proc, each parser over each text: none of them can tell whose text it gets.
pub fn proc(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let within = |part: Option<usize>| assert!(part.is_none_or(|length| length <= text.len()));
    let _ = (process::socket_inode(bytes), process::effective_uid(&text));
    let _ = (process::tells_of_user_process(&text), netns_id(&text));
    let group = process::cgroup_path(&text);
    within(group.as_ref().map(String::len));
    for group in [group.as_deref().unwrap_or_default(), &text] {
        // A unit is a part of the path, after a word such as `containerd/` or `pod/`.
        within(unit_of(group).map(|unit| unit.len().saturating_sub("containerd/".len())));
    }
    for line in bytes.split(|byte| *byte == b'\n') {
        let _ = (census::nsfs_mount(line), activity::is_the_module(line));
        let _ = activity::is_its_symbol(line);
    }
    counters::parse(&text, &mut Counters::default());
}
