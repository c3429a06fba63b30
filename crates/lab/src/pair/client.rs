//! Owns the client of the pair: connects, says what its state wants, and tells how it ends.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::{RECONNECT_FOR, Role, end_in_words, message, parse, socket};
use crate::scenario::State;

/// Runs until the connection ends for good.
pub(super) fn run(role: &Role, out: &mut impl Write) -> io::Result<u8> {
    let mut client =
        Client { role, out, next: 1, answered: 0, unread: Vec::new(), was_connected: false };
    let mut without = Instant::now();
    loop {
        let end = client.connection();
        if std::mem::take(&mut client.was_connected) {
            without = Instant::now();
        }
        client.tell(&format!("ended: {}", end_in_words(&end)))?;
        if !role.pair.reconnect || without.elapsed() > RECONNECT_FOR {
            return Ok(1);
        }
        // So that a server which refuses is not asked a thousand times in a second.
        thread::sleep(PAUSE);
        // What was not answered is said again: at least once, not exactly once.
        client.next = client.answered + 1;
        client.unread.clear();
    }
}

const PAUSE: Duration = Duration::from_millis(200);

struct Client<'a, W> {
    role: &'a Role,
    out: &'a mut W,
    /// The number of the next message.
    next: u64,
    /// The last number that was answered.
    answered: u64,
    /// The beginning of a line.
    unread: Vec<u8>,
    /// Since it was asked last, there was a connection.
    was_connected: bool,
}

impl<W: Write> Client<'_, W> {
    /// One connection, from its beginning to its end.
    fn connection(&mut self) -> io::Result<()> {
        let socket = socket(self.role.address, &self.role.pair)?;
        socket.connect(&self.role.address.into())?;
        let mut stream = TcpStream::from(socket);
        self.was_connected = true;
        self.tell("connected")?;
        self.send(&mut stream, "say")?;
        while self.answered + 1 < self.next {
            if !self.read(&mut stream)? {
                return Ok(());
            }
        }
        match self.role.pair.state {
            State::Idle => {}
            // Never answered.
            State::Waiting => self.send(&mut stream, "ask")?,
            State::Writing => return self.write_on(&mut stream),
        }
        while self.read(&mut stream)? {}
        Ok(())
    }

    /// Says something every so often, and reads answers in between.
    fn write_on(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        loop {
            self.send(stream, "say")?;
            let due = Instant::now() + self.role.pair.every;
            loop {
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                stream.set_read_timeout(Some(left))?;
                match self.read(stream) {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    // SO_RCVTIMEO answers EAGAIN; the end of a connection ETIMEDOUT.
                    Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => break,
                    Err(cause) => return Err(cause),
                }
            }
        }
    }

    fn send(&mut self, stream: &mut TcpStream, verb: &str) -> io::Result<()> {
        stream.write_all(&message(verb, self.next))?;
        self.tell(&format!("sent {}", self.next))?;
        self.next += 1;
        Ok(())
    }

    /// Reads once; `false` at the end of the stream.
    fn read(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let count = match stream.read(&mut buffer) {
            // A wait with a time limit is not taken up again after SIGSTOP and SIGCONT (signal(7)).
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => return Ok(true),
            read => read?,
        };
        self.unread.extend_from_slice(buffer.get(..count).unwrap_or_default());
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            if let Some(("got", number)) = parse(&String::from_utf8_lossy(&line)) {
                self.answered = number;
                self.tell(&format!("answered {number}"))?;
            }
        }
        Ok(count > 0)
    }

    fn tell(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }
}
