//! A host that loses its power says nothing any more: checked in the capture of its peer's cable.

use std::{fs, net::Ipv4Addr};

use halfopen_lab::{Frame, Segment};

use crate::{halfopen, requires_lab};

/// The segments of a capture, each once: as hosts sent them (interface 0 of docs/capture.md).
fn segments(bytes: &[u8]) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let (kind, length) = (word(0), word(4) as usize);
        // An Enhanced Packet Block: interface, two words of time, bytes kept, bytes there were.
        if kind == 6 && word(8) == 0 {
            let kept = word(20) as usize;
            if let Frame::Tcp(segment) = Frame::parse(&rest[28..28 + kept]) {
                segments.push(segment);
            }
        }
        rest = &rest[length..];
    }
    segments
}

/// Goal: not one segment tells of the power failure, also where data is in flight. Method: the client
/// writes all the time, so what its cable shows last of the server are everyday acknowledgements.
#[test]
fn a_server_that_loses_its_power_says_nothing_more() {
    requires_lab!();
    let path = std::env::temp_dir().join(format!("halfopen-power-{}.pcapng", std::process::id()));
    let set = ["pair.state=writing", "pair.every=20ms", "client.sysctls.tcp_retries2=3"];
    let set = set.iter().flat_map(|set| ["--set", *set]);
    let arguments: Vec<_> = ["rehearse", "server-loses-power", "--capture", path.to_str().unwrap()]
        .into_iter()
        .chain(set)
        .collect();
    let output = halfopen(&arguments);
    let captured = fs::read(&path);
    let _ = fs::remove_file(&path);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let segments = segments(&captured.unwrap());
    let is_server = |segment: &Segment| segment.source.ip() == Ipv4Addr::new(10, 0, 2, 7);
    let said: Vec<_> = segments.iter().filter(|segment| is_server(segment)).collect();
    assert!(said.len() > 20, "{said:?}");
    assert!(said.iter().all(|segment| !segment.flags.fin && !segment.flags.rst), "{said:?}");
    // The client goes on: what it repeats is answered by nobody.
    let after = segments.iter().rev().take_while(|segment| !is_server(segment)).count();
    assert!(after >= 4, "{after} of {}", segments.len());
}
