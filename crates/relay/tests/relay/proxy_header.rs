//! The header of the PROXY protocol, on the way in and on the way out.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    time::Duration,
};

use halfopen_relay::{
    Cause, Ending, Side,
    proxy_header::{self, Version},
};

use crate::stage::{End, Stage, rest};

#[test]
fn tells_the_upstream_who_the_client_is_ahead_of_its_bytes() {
    for version in [Version::V1, Version::V2] {
        let stage = Stage::with(|plan| plan.services[0].header_out = Some(version));
        let (mut client, mut upstream) = stage.pair();
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        upstream.read_to_end(&mut bytes).unwrap();
        let header = proxy_header::read(&bytes).unwrap();
        assert_eq!(header.client, client.local_addr().ok());
        assert_eq!(&bytes[header.length..], b"hello");
        drop(upstream);
        let record = stage.record();
        assert_eq!(record.relayed.client, 5, "the header is the relay's own");
    }
}

#[test]
fn of_a_client_is_read_byte_by_byte_and_kept_from_the_upstream() {
    let stage = Stage::with(|plan| plan.services[0].header_in = true);
    let mut client = stage.client();
    client.set_nodelay(true).unwrap();
    for byte in b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 443\r\nhello" {
        client.write_all(&[*byte]).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    let mut upstream = stage.accepted();
    assert_eq!(rest(&mut upstream), (5, End::Fin));
    drop((client, upstream));
    assert_eq!(stage.record().client, "192.0.2.9:4711".parse().unwrap());
}

#[test]
fn that_is_none_or_does_not_come_ends_the_client_by_a_reset() {
    let stage = Stage::with(|plan| {
        plan.services[0].header_in = true;
        plan.services[0].connect_timeout = Duration::from_millis(300);
    });
    let no_header = Ending::Broken { side: Some(Side::Client), cause: Cause::NoHeader };
    for (bytes, ends) in [(&b"GET / HTTP/1.1\r\n"[..], false), (b"PROXY TCP", true), (b"", false)] {
        let mut client = stage.client();
        client.write_all(bytes).unwrap();
        if ends {
            client.shutdown(Shutdown::Write).unwrap();
        }
        assert_eq!(rest(&mut client), (0, End::Rst));
        assert_eq!(stage.ending(), no_header);
    }
}
