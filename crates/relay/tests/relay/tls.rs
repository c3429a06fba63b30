//! TLS that ends at the relay: close_notify is an end, and nothing else is. The certificates in
//! `tests/relay/tls/` are for these tests alone.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use halfopen_relay::{Cause, CertificateError, Ending, Mistrust, Plan, Side, Termination};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, Stream,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::stage::{End, PATIENCE, Stage, eventually, is_told_by_rst, reset, rest};

const CERTIFICATE: &[u8] = include_bytes!("tls/certificate.pem");
const KEY: &[u8] = include_bytes!("tls/key.pem");
const ANOTHER: &[u8] = include_bytes!("tls/another.pem");
const KEY_OF_ANOTHER: &[u8] = include_bytes!("tls/key-of-another.pem");

/// How a stream of records ended.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    CloseNotify,
    FinAlone,
    Rst,
}

/// A client that speaks TLS.
struct Client {
    stream: TcpStream,
    connection: ClientConnection,
}

impl Client {
    fn on(stream: TcpStream, trusted: &[u8]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "relay.test".try_into().unwrap();
        let mut client =
            Self { stream, connection: ClientConnection::new(Arc::new(config), name).unwrap() };
        client.connection.complete_io(&mut client.stream)?;
        Ok(client)
    }

    fn records(&mut self) -> Stream<'_, ClientConnection, TcpStream> {
        Stream::new(&mut self.connection, &mut self.stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.records().write_all(bytes).unwrap();
    }

    /// close_notify, without FIN.
    fn say_goodbye(&mut self) {
        self.connection.send_close_notify();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.stream).unwrap();
        }
    }

    fn rest(&mut self) -> (Vec<u8>, Seen) {
        let mut bytes = Vec::new();
        let mut part = vec![0; 1 << 16];
        loop {
            match self.records().read(&mut part) {
                Ok(0) => return (bytes, Seen::CloseNotify),
                Ok(count) => bytes.extend_from_slice(&part[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::UnexpectedEof => return (bytes, Seen::FinAlone),
                    ErrorKind::ConnectionReset => return (bytes, Seen::Rst),
                    _ => panic!("{error}"),
                },
            }
        }
    }
}

fn terminating(plan: &mut Plan) {
    plan.services[0].tls = Termination::from_pem(CERTIFICATE, KEY).ok();
}

fn pair(stage: &Stage) -> (Client, TcpStream) {
    let client = Client::on(stage.client(), CERTIFICATE).unwrap();
    (client, stage.accepted())
}

/// What a checksum would be of.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

fn broken(cause: Cause) -> Ending {
    Ending::Broken { side: Some(Side::Client), cause }
}

#[test]
fn megabytes_go_both_ways_at_once_and_both_ends_are_clean() {
    let stage = Stage::with(terminating);
    let (mut client, mut upstream) = pair(&stage);
    let bytes = pattern(5_000_000);
    let (sent, mut reading) = (bytes.clone(), upstream.try_clone().unwrap());
    let upstream_sends = thread::spawn(move || {
        upstream.write_all(&sent).unwrap();
        upstream.shutdown(Shutdown::Write).unwrap();
    });
    let upstream_reads = thread::spawn(move || {
        let mut bytes = Vec::new();
        reading.read_to_end(&mut bytes).unwrap();
        bytes
    });
    client.send(&bytes);
    client.say_goodbye();
    let (received, seen) = client.rest();
    assert_eq!((received == bytes, seen), (true, Seen::CloseNotify));
    assert_eq!(rest(&mut client.stream), (0, End::Fin), "FIN is behind close_notify");
    assert!(upstream_reads.join().unwrap() == bytes);
    upstream_sends.join().unwrap();
    drop(client);
    assert!(matches!(stage.ending(), Ending::Finished { .. }));
}

#[test]
fn a_client_that_said_goodbye_still_hears_the_whole_answer() {
    let stage = Stage::with(terminating);
    let (mut client, mut upstream) = pair(&stage);
    client.send(b"question");
    client.say_goodbye();
    assert_eq!(rest(&mut upstream), (8, End::Fin), "without a FIN from the client");
    let answer = pattern(3_000_000);
    let sent = answer.clone();
    let sender = thread::spawn(move || {
        upstream.write_all(&sent).unwrap();
        drop(upstream);
    });
    let (received, seen) = client.rest();
    assert_eq!((received == answer, seen), (true, Seen::CloseNotify));
    sender.join().unwrap();
    drop(client);
    assert_eq!(stage.ending(), Ending::Finished { first: Side::Client });
}

#[test]
fn an_upstream_that_has_ended_its_direction_still_hears_the_whole_client() {
    let stage = Stage::with(terminating);
    let (mut client, mut upstream) = pair(&stage);
    upstream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), (Vec::new(), Seen::CloseNotify));
    let sender = thread::spawn(move || {
        client.send(&pattern(3_000_000));
        client.say_goodbye();
        client
    });
    assert_eq!(rest(&mut upstream), (3_000_000, End::Fin));
    drop((sender.join().unwrap(), upstream));
    assert_eq!(stage.ending(), Ending::Finished { first: Side::Upstream });
}

#[test]
fn a_fin_without_goodbye_is_a_cut_for_the_upstream() {
    let stage = Stage::with(terminating);
    let (mut client, mut upstream) = pair(&stage);
    client.send(b"half a quest");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut upstream), (12, End::Rst));
    assert_eq!(client.rest(), (Vec::new(), Seen::Rst));
    assert_eq!(stage.ending(), broken(Cause::Truncated));
}

#[test]
fn a_reset_of_the_upstream_is_a_reset_behind_its_bytes_and_never_a_goodbye() {
    let stage = Stage::with(terminating);
    for is_half_closed in [false, true] {
        let (mut client, mut upstream) = pair(&stage);
        if is_half_closed {
            client.say_goodbye();
            assert_eq!(rest(&mut upstream), (0, End::Fin));
        }
        upstream.write_all(b"half an answ").unwrap();
        reset(upstream);
        assert_eq!(client.rest(), (b"half an answ".to_vec(), Seen::Rst));
        let ending = Ending::Broken { side: Some(Side::Upstream), cause: Cause::Reset };
        assert_eq!(stage.ending(), ending);
    }
}

#[test]
fn a_reset_of_the_client_is_a_reset_of_the_upstream() {
    let stage = Stage::with(terminating);
    for is_half_closed in [false, true] {
        let (mut client, mut upstream) = pair(&stage);
        client.send(b"bytes");
        upstream.read_exact(&mut [0; 5]).unwrap();
        if is_half_closed {
            client.say_goodbye();
            assert_eq!(rest(&mut upstream), (0, End::Fin));
        }
        reset(client.stream);
        match is_half_closed {
            false => assert_eq!(rest(&mut upstream), (0, End::Rst)),
            true => is_told_by_rst(&mut upstream),
        }
        assert_eq!(stage.ending(), broken(Cause::Reset));
    }
}

#[test]
fn bytes_that_are_no_records_cut_the_stream_behind_what_was_right() {
    let stage = Stage::with(terminating);
    let (mut client, mut upstream) = pair(&stage);
    client.send(b"right");
    client.stream.write_all(&[0x17, 3, 3, 0, 32]).unwrap();
    client.stream.write_all(&[9; 32]).unwrap();
    assert_eq!(rest(&mut upstream), (5, End::Rst));
    assert_eq!(stage.ending(), broken(Cause::Record));
}

#[test]
fn what_is_no_handshake_or_does_not_end_in_time_is_reset_and_no_upstream_hears_of_it() {
    let stage = Stage::with(|plan| {
        terminating(plan);
        plan.services[0].connect_timeout = Duration::from_millis(300);
    });
    stage.upstream.set_nonblocking(true).unwrap();
    let cases = [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], false, Mistrust::Garbage),
        (b"\x16\x03\x01\x02", false, Mistrust::Late),
        (b"", false, Mistrust::Late),
        (b"\x16\x03\x01\x02", true, Mistrust::Ended),
    ];
    for (bytes, ends, mistrust) in cases {
        let mut client = stage.client();
        client.write_all(bytes).unwrap();
        if ends {
            client.shutdown(Shutdown::Write).unwrap();
        }
        assert_eq!(rest(&mut client).1, End::Rst, "{mistrust}");
        assert_eq!(stage.ending(), broken(Cause::Handshake(mistrust)));
    }
    let refused = Client::on(stage.client(), ANOTHER);
    assert!(refused.is_err());
    assert!(matches!(
        stage.ending(),
        Ending::Broken { cause: Cause::Handshake(Mistrust::Refused(_)), .. }
    ));
    assert_eq!(stage.upstream.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Goal: a reader that pauses stops the writer, with bounded memory between, and loses nothing.
#[test]
fn a_client_that_does_not_read_holds_the_upstream_up_until_it_does() {
    let stage = Stage::with(terminating);
    let (mut client, mut upstream) = pair(&stage);
    upstream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let (block, mut sent) = (vec![7; 1 << 16], 0);
    loop {
        match upstream.write(&block) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 64 << 20, "nothing holds it up");
    }
    upstream.shutdown(Shutdown::Write).unwrap();
    let (received, seen) = client.rest();
    assert_eq!((received.len(), seen), (sent, Seen::CloseNotify));
}

#[test]
fn a_handshake_in_single_bytes_behind_a_proxy_header_is_understood() {
    let stage = Stage::with(|plan| {
        terminating(plan);
        plan.services[0].header_in = true;
    });
    let mut stream = stage.client();
    stream.write_all(b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 443\r\n").unwrap();
    let mut client = Client::on(stream, CERTIFICATE).unwrap();
    let mut upstream = stage.accepted();
    for byte in b"single" {
        client.send(&[*byte]);
    }
    client.say_goodbye();
    assert_eq!(rest(&mut upstream), (6, End::Fin));
    drop((client, upstream));
    assert_eq!(stage.record().client, "192.0.2.9:4711".parse().unwrap());
}

#[test]
fn a_new_plan_brings_new_certificates_and_old_pairs_keep_theirs() {
    let mut stage = Stage::with(terminating);
    let (mut old, mut upstream) = pair(&stage);
    let mut plan = stage.plan.clone();
    plan.services[0].tls = Termination::from_pem(ANOTHER, KEY_OF_ANOTHER).ok();
    stage.relay().reload(&plan).unwrap();
    eventually("clients see the new one", || Client::on(stage.client(), ANOTHER).is_ok());
    old.send(b"as before");
    upstream.set_read_timeout(Some(PATIENCE)).unwrap();
    upstream.read_exact(&mut [0; 9]).unwrap();
}

#[test]
fn certificates_that_cannot_be_used_are_refused_in_one_sentence() {
    let refused = |chain, key| Termination::from_pem(chain, key).unwrap_err();
    assert_eq!(refused(b"", KEY), CertificateError::NoCertificate);
    assert_eq!(refused(KEY, KEY), CertificateError::NoCertificate);
    assert_eq!(refused(CERTIFICATE, b"nothing"), CertificateError::NoKey);
    assert_eq!(refused(CERTIFICATE, CERTIFICATE), CertificateError::NoKey);
    let unfit = refused(CERTIFICATE, KEY_OF_ANOTHER);
    assert!(matches!(unfit, CertificateError::Unfit { .. }), "{unfit}");
    assert_eq!(unfit.to_string().lines().count(), 1, "{unfit}");
}
