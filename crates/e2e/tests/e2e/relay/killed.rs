//! `kill -9` of either end or of the relay: no stream that was cut looks complete.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
};

use super::{End, PATIENCE, rest};
use crate::program;

/// A relay of the real program, on the loopback.
pub(super) struct Running {
    child: Child,
    /// Keeps the pipe of a log open that nobody reads.
    _unread: Option<io::PipeReader>,
    pub(super) address: SocketAddr,
    pub(super) upstream: TcpListener,
}

impl Running {
    pub(super) fn start(more: &[&str]) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = upstream.local_addr().unwrap().to_string();
        let mut child = Command::new(program())
            .args(["relay", "--listen", "127.0.0.1:0", "--to", &to, "--json"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let documents = lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let listening = |one: &serde_json::Value| one["event"] == "listening";
        let first = documents.into_iter().find(listening).expect("it listens");
        let address = first["listen"].as_str().unwrap().parse().unwrap();
        // A log that is not read any more must not stop it; this one is read.
        thread::spawn(move || lines.for_each(drop));
        Self { child, _unread: None, address, upstream }
    }

    /// As [`Running::start`], with a log that goes into a pipe that is full.
    pub(super) fn start_unread(more: &[&str]) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = upstream.local_addr().unwrap().to_string();
        // Somebody else's for a moment, which does no harm: the relay is then waited for in vain.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        while writer.write(&[b'x'; 4096]).is_ok() {}
        while writer.write(b"x").is_ok() {}
        rustix::io::ioctl_fionbio(&writer, false).unwrap();
        let child = Command::new(program())
            .args(["relay", "--listen", &address.to_string(), "--to", &to])
            .args(more)
            .stdout(writer)
            .spawn()
            .unwrap();
        let relay = Self { child, _unread: Some(reader), address, upstream };
        super::eventually("it listens", || {
            TcpStream::connect(address).is_ok_and(|_| relay.upstream.accept().is_ok())
        });
        relay
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn pair(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.address).unwrap();
        (client, self.upstream.accept().unwrap().0)
    }

    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(super) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Its exit code, if it has ended.
    pub(super) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().and_then(|status| status.code())
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Byte number `at` of the stream: what a checksum would show, and where.
fn expected(at: usize) -> u8 {
    u8::try_from(at.wrapping_mul(31) >> 3 & 0xff).unwrap()
}

fn send_for_ever(mut stream: TcpStream) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut at = 0;
        loop {
            let block: Vec<u8> = (at..at + 65_536).map(expected).collect();
            if stream.write_all(&block).is_err() {
                return;
            }
            at += block.len();
        }
    })
}

/// The first mebibyte.
fn begun(reading: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    reading.set_read_timeout(Some(PATIENCE)).unwrap();
    reading.read_exact(&mut bytes).unwrap();
    bytes
}

/// Everything was right up to where it was cut, and the reader was told that it was.
fn is_cut_and_told(mut bytes: Vec<u8>, mut reading: TcpStream) {
    let (more, end) = rest(&mut reading, PATIENCE);
    bytes.extend(more);
    assert_eq!(end, End::Rst, "after {} bytes", bytes.len());
    let wrong = bytes.iter().enumerate().position(|(at, byte)| *byte != expected(at));
    assert_eq!(wrong, None);
}

#[test]
fn a_relay_that_is_killed_in_the_middle_of_streams_resets_both_ends() {
    let mut relay = Running::start(&[]);
    // One stream each way, in pairs of their own: an error of a socket is told once, to whoever asks.
    let (sending, mut reading) = relay.pair();
    let (mut client, upstream) = relay.pair();
    let senders = [sending, upstream].map(send_for_ever);
    let (to_upstream, to_client) = (begun(&mut reading), begun(&mut client));
    relay.kill();
    is_cut_and_told(to_upstream, reading);
    is_cut_and_told(to_client, client);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

/// Without a byte unread in it, an ordinary process that is killed would end its streams with FIN.
#[test]
fn a_relay_that_is_killed_while_idle_or_half_closed_resets_both_ends() {
    let mut relay = Running::start(&[]);
    let (mut client, mut upstream) = relay.pair();
    let (mut waiting, mut answering) = relay.pair();
    waiting.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(answering.read(&mut [0]).unwrap(), 0);
    answering.write_all(b"half an ans").unwrap();
    waiting.read_exact(&mut [0; 11]).unwrap();
    relay.kill();
    for stream in [&mut client, &mut upstream, &mut waiting] {
        assert_eq!(rest(stream, PATIENCE), (Vec::new(), End::Rst));
    }
    super::eventually("the one that writes is told", || answering.write(b"wer").is_err());
}

/// Goal: the most deceptive moment: the sender is done, its FIN is there, and much of the stream is still in
/// the relay's pipes and queues. Method: readers that have not begun, one each way, and the kill.
#[test]
fn a_relay_that_is_killed_with_whole_streams_in_its_pipes_makes_none_look_whole() {
    let mut relay = Running::start(&[]);
    let (sending, reading) = relay.pair();
    let (client, upstream) = relay.pair();
    for mut sender in [&sending, &upstream] {
        sender.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        let mut at = 0;
        while let Ok(more) = sender.write(&(at..at + 65_536).map(expected).collect::<Vec<_>>()) {
            at += more;
        }
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    }
    relay.kill();
    is_cut_and_told(Vec::new(), reading);
    is_cut_and_told(Vec::new(), client);
}

/// An end that is killed while bytes wait for it is reset by its kernel; so is the other.
#[test]
fn an_end_that_is_killed_while_it_is_sent_to_ends_the_stream_of_the_other_by_a_reset() {
    let relay = Running::start(&[]);
    // It connects, and reads its standard input instead.
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{}; read -r", relay.address.port());
    let mut client =
        Command::new("bash").args(["-c", &connect]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut upstream, _) = relay.upstream.accept().unwrap();
    upstream.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    while upstream.write(&[1; 65_536]).is_ok() {}
    client.kill().unwrap();
    client.wait().unwrap();
    super::eventually("the sender is told", || {
        upstream.write(b"x").is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock)
    });
    assert_eq!(rest(&mut upstream, PATIENCE).1, End::Fin, "its error was told once");
}
