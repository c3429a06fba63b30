//! One urgent byte: it never truncates the stream, and it arrives as an urgent byte.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    thread,
};

use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use crate::stage::{End, Stage, eventually, rest};

#[test]
fn arrives_between_the_bytes_where_it_was_sent() {
    let stage = Stage::new();
    for swapped in [false, true] {
        let (mut sending, mut reading) = stage.ends(swapped);
        sockopt::set_socket_oobinline(&reading, true).unwrap();
        sending.write_all(b"before").unwrap();
        send(&sending, b"!", SendFlags::OOB).unwrap();
        sending.write_all(b"after").unwrap();
        sending.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        reading.read_to_string(&mut text).unwrap();
        assert_eq!(text, "before!after");
    }
}

#[test]
fn is_urgent_to_a_reader_that_asks_for_urgent_bytes() {
    let stage = Stage::new();
    let (mut sending, mut reading) = stage.pair();
    sending.write_all(b"ab").unwrap();
    send(&sending, b"!", SendFlags::OOB).unwrap();
    let mut byte = [0];
    eventually("it is there", || recv(&reading, &mut byte, RecvFlags::OOB).is_ok());
    assert_eq!(&byte, b"!");
    let mut before = [0; 2];
    reading.read_exact(&mut before).unwrap();
    assert_eq!(&before, b"ab");
}

/// Goal: not one byte of bulk is lost at the mark. Method: the urgent bytes are sent while the relay
/// splices, with FIN right behind the last one, on several connections, since when they meet is chance.
#[test]
fn in_the_middle_of_bulk_truncates_nothing() {
    let stage = Stage::new();
    for round in 0..10 {
        let (mut sending, mut reading) = stage.pair();
        sockopt::set_socket_oobinline(&reading, true).unwrap();
        let sender = thread::spawn(move || {
            let mut sent = 0;
            for number in 0..20 {
                sending.write_all(&[1; 300_000]).unwrap();
                sent += 300_000;
                if number % 3 == round % 3 {
                    sent += send(&sending, b"!", SendFlags::OOB).unwrap();
                }
            }
            sending.write_all(b"the end").unwrap();
            sending.shutdown(Shutdown::Write).unwrap();
            sent + 7
        });
        let (bytes, end) = rest(&mut reading);
        let sent = sender.join().unwrap();
        assert_eq!(end, End::Fin);
        // TCP has one urgent mark: a byte that a later one overtook at the relay is out of band and
        // may be gone there, as without a relay. The bytes of the stream are all there.
        assert!(bytes <= sent && bytes >= 6_000_007, "{bytes} of {sent}");
    }
}
