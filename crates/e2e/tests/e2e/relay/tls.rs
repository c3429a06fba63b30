//! TLS that ends at the real program: with the client that everybody has, and files as an operator gives them.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::requires_lab;

use super::{End, PATIENCE, killed::Running, rest};
use crate::says;

/// Certificates for tests alone.
fn file(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../relay/tests/relay/tls");
    directory.join(name).display().to_string()
}

/// Goal: the upstream gets the bytes and the end of a client that is not ours, and the client the answer of
/// an upstream that goes on after that end. Method: openssl s_client, with versions 1.3 and 1.2.
#[test]
fn openssl_sends_a_stream_and_ends_it_and_hears_the_answer() {
    requires_lab!("openssl" from "openssl");
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let relay = Running::start(&["--tls-certificate", &certificate, "--tls-key", &key]);
    for version in ["-tls1_3", "-tls1_2"] {
        let mut client = Command::new("openssl")
            .args(["s_client", "-connect", &relay.address.to_string(), "-servername", "relay.test"])
            .args(["-CAfile", &certificate, "-verify_return_error", "-quiet", version])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut upstream, _) = relay.upstream.accept().unwrap();
        upstream.write_all(b"welcome").unwrap();
        let mut input = client.stdin.take().unwrap();
        input.write_all(&[b'x'; 300_000]).unwrap();
        let mut output = client.stdout.take().unwrap();
        std::io::Read::read_exact(&mut output, &mut [0; 7]).unwrap();
        drop(input);
        let mut part = vec![0; 300_000];
        std::io::Read::read_exact(&mut upstream, &mut part).unwrap();
        // -quiet makes it go on reading at the end of its input.
        drop(upstream);
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut output, &mut answer).unwrap();
        assert!(client.wait().unwrap().success(), "{version}: it ended cleanly");
    }
}

#[test]
fn openssl_that_ends_first_is_a_clean_end_for_the_upstream() {
    requires_lab!("openssl" from "openssl");
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let relay = Running::start(&["--tls-certificate", &certificate, "--tls-key", &key]);
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &relay.address.to_string(), "-CAfile", &certificate])
        // The last one takes back what -quiet says of the end of the input.
        .args(["-verify_return_error", "-quiet", "-no_ign_eof"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut upstream, _) = relay.upstream.accept().unwrap();
    client.stdin.take().unwrap().write_all(b"all of it").unwrap();
    assert_eq!(rest(&mut upstream, PATIENCE), (b"all of it".to_vec(), End::Fin));
    drop(upstream);
    client.wait().unwrap();
}

#[test]
fn files_that_cannot_be_used_are_told_in_one_sentence_each() {
    let told = |certificate: &str, key: &str| {
        let files = ["--tls-certificate", certificate, "--tls-key", key];
        let (text, code) = says(
            &[&["relay", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"], &files[..]].concat(),
        );
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
        (text, code)
    };
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let (text, code) = told("/nowhere/relay.pem", &key);
    assert!(code == 71 && text.contains("cannot read /nowhere/relay.pem"), "{code} {text}");
    let (text, code) = told(&key, &key);
    assert!(
        code == 2 && text.contains("no certificate that can be read; give PEM"),
        "{code} {text}"
    );
    let (text, code) = told(&certificate, &certificate);
    assert!(
        code == 2 && text.contains("no private key that can be read; give PEM"),
        "{code} {text}"
    );
    let (text, code) = told(&certificate, &file("key-of-another.pem"));
    assert!(code == 2 && text.contains("cannot be used:"), "{code} {text}");
}
