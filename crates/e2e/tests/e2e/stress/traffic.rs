//! Programs that talk, and check every byte: this test binary, started to run the ignored tests
//! below. A program that finds a byte wrong, or a call that fails, says so and ends.

use std::{
    env,
    io::{self, Read, Write, stdin},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use fastrand::Rng;
use halfopen_lab::{Host, Program, wait};

/// Longer than thousands of connections take to be made on a very busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the talking programs are told: how they talk, with whom, on how many connections.
const TALK: &str = "HALFOPEN_TEST_TALK";
const PORT: &str = "HALFOPEN_TEST_PORT";

/// How a program talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Talk {
    /// Small questions and answers.
    PingPong,
    /// Some hundred thousand bytes at a time, there and back.
    Bulk,
}

/// What a program has done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Summary {
    pub(super) exchanges: u64,
    pub(super) bytes: u64,
}

impl Talk {
    /// The two take turns.
    pub(super) const fn of(nth: usize) -> Self {
        if nth.is_multiple_of(2) { Self::PingPong } else { Self::Bulk }
    }

    /// How its server talks, as its address tells.
    pub(super) fn with(server: &str) -> Self {
        let (_, port) = server.rsplit_once(':').unwrap();
        Self::of((port.parse::<u16>().unwrap() - PORTS) as usize)
    }
}

/// Starts the `nth` server, which sends back what it gets, on a port of its own.
pub(super) fn serve(host: &Host, nth: usize) -> Program {
    let program = start(host, "stress::traffic::play_the_server", PORT, &port(nth).to_string());
    assert!(program.line_with("listening", PATIENCE).is_some(), "the server does not start");
    program
}

/// Starts a program that talks to the `nth` server, on so many connections.
pub(super) fn talk(host: &Host, talk: Talk, to: IpAddr, nth: usize, connections: usize) -> Program {
    let to = SocketAddr::new(to, port(nth));
    let plan = format!("{talk:?} {to} {connections}");
    let program = start(host, "stress::traffic::play_the_client", TALK, &plan);
    assert!(program.line_with("connected", PATIENCE).is_some(), "{plan}: it does not connect");
    program
}

/// Ends a talking program in good order, and returns what it has done.
#[track_caller]
pub(super) fn stop(program: &mut Program) -> Summary {
    program.type_line("stop").unwrap();
    let line = program.line_with("all right: ", PATIENCE).expect("it says that all was right");
    let mut numbers = line.text.split(' ').filter_map(|word| word.parse().ok());
    let mut next = || numbers.next().unwrap();
    Summary { exchanges: next(), bytes: next() }
}

/// The server has found nothing wrong so far, or it would have ended.
#[track_caller]
pub(super) fn assert_runs(server: &mut Program) {
    let ended = server.ended(Duration::ZERO).unwrap();
    assert!(ended.is_none(), "{ended:?}: {:?}", server.line(PATIENCE));
}

fn port(nth: usize) -> u16 {
    PORTS + u16::try_from(nth).unwrap()
}

/// The first server's; the others follow.
const PORTS: u16 = 3001;

fn start(host: &Host, role: &str, variable: &str, value: &str) -> Program {
    let exe = env::current_exe().unwrap();
    let variable = format!("{variable}={value}");
    let exe = exe.to_str().unwrap();
    host.spawn("env", &[&variable, exe, "--ignored", "--exact", role, "--nocapture"]).unwrap()
}

#[test]
#[ignore = "a program for the other tests, not a test"]
fn play_the_server() {
    let Ok(port) = env::var(PORT) else { return };
    let listener = TcpListener::bind(("::", port.parse().unwrap())).unwrap();
    println!("listening");
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        begin(move || answer(stream).unwrap_or_else(|error| give_up("the server", &error)));
    }
}

#[test]
#[ignore = "a program for the other tests, not a test"]
fn play_the_client() {
    let Ok(plan) = env::var(TALK) else { return };
    let words: Vec<_> = plan.split(' ').collect();
    let [talk, to, connections] = words[..] else { panic!("{plan}") };
    let talk = if talk == "Bulk" { Talk::Bulk } else { Talk::PingPong };
    let (to, connections): (SocketAddr, u64) = (to.parse().unwrap(), connections.parse().unwrap());
    let done = Arc::new((AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0)));
    let streams: Vec<_> = (0..connections).map(|_| TcpStream::connect(to).unwrap()).collect();
    let talking: Vec<_> = streams
        .into_iter()
        .zip(0..)
        .map(|(stream, seed)| {
            let done = Arc::clone(&done);
            begin(move || {
                let (over, exchanges, bytes) = &*done;
                let ended = ask_until(over, stream, talk, Rng::with_seed(seed), &|sent| {
                    exchanges.fetch_add(1, Ordering::Relaxed);
                    bytes.fetch_add(sent, Ordering::Relaxed);
                });
                ended.unwrap_or_else(|error| give_up("the client", &error));
            })
        })
        .collect();
    println!("connected");
    stdin().read_line(&mut String::new()).unwrap();
    let (over, exchanges, bytes) = &*done;
    over.store(true, Ordering::Relaxed);
    talking.into_iter().for_each(|thread| thread.join().unwrap());
    let [exchanges, bytes] = [exchanges, bytes].map(|count| count.load(Ordering::Relaxed));
    println!("all right: {exchanges} exchanges, {bytes} bytes");
}

/// A thread with a stack that is enough for one connection, as there are thousands.
fn begin(work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::Builder::new().stack_size(256 * 1024).spawn(work).unwrap()
}

fn give_up(who: &str, error: &io::Error) -> ! {
    println!("{who} found something wrong: {error}");
    std::process::exit(1);
}

/// Asks, checks the answer, and is quiet for a second or three, until it is `over`.
fn ask_until(
    over: &AtomicBool,
    mut stream: TcpStream,
    talk: Talk,
    mut rng: Rng,
    count: &dyn Fn(u64),
) -> io::Result<()> {
    let mut number = 0_u64;
    loop {
        let length = match talk {
            Talk::PingPong => rng.usize(1..2_000),
            Talk::Bulk => rng.usize(100_000..300_000),
        };
        let sent: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
        // There and back at the same time, or two full buffers would wait for each other.
        let mut writing = stream.try_clone()?;
        let header = [number.to_be_bytes(), (length as u64).to_be_bytes()].concat();
        let received = thread::scope(|scope| {
            let sending = scope.spawn(|| {
                writing.write_all(&header)?;
                writing.write_all(&sent)?;
                writing.write_all(&checksum(number, &sent).to_be_bytes())
            });
            let received = read_message(&mut stream, number);
            sending.join().expect("nothing in it panics")?;
            received
        })?;
        if received != sent {
            return Err(wrong("another answer than was asked for"));
        }
        count(length as u64);
        number += 1;
        let quiet = Duration::from_millis(rng.u64(1_020..3_000));
        let is_over = || over.load(Ordering::Relaxed).then_some(());
        if wait::until_every(quiet / 4, quiet, is_over).is_some() {
            break;
        }
    }
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(wrong("more than was asked for")),
    }
}

/// Sends back what it gets, once it has checked it.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    for number in 0.. {
        let mut first = [0];
        if stream.peek(&mut first)? == 0 {
            break;
        }
        let message = read_message(&mut stream, number)?;
        stream.write_all(&[number.to_be_bytes(), (message.len() as u64).to_be_bytes()].concat())?;
        stream.write_all(&message)?;
        stream.write_all(&checksum(number, &message).to_be_bytes())?;
    }
    Ok(())
}

/// The message with this number; an error if it is another, or not what was sent.
fn read_message(stream: &mut TcpStream, number: u64) -> io::Result<Vec<u8>> {
    let mut word = [0; 8];
    stream.read_exact(&mut word)?;
    if u64::from_be_bytes(word) != number {
        return Err(wrong("a message with another number"));
    }
    stream.read_exact(&mut word)?;
    let length = usize::try_from(u64::from_be_bytes(word)).unwrap_or(usize::MAX);
    if length > MESSAGE_MAX {
        return Err(wrong("a message that is too long"));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message)?;
    stream.read_exact(&mut word)?;
    if u64::from_be_bytes(word) != checksum(number, &message) {
        return Err(wrong("a message with another checksum"));
    }
    Ok(message)
}

/// Twice the longest.
const MESSAGE_MAX: usize = 1_000_000;

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// FNV-1a over the number and the bytes.
fn checksum(number: u64, message: &[u8]) -> u64 {
    let bytes = number.to_be_bytes().into_iter().chain(message.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
