//! How long `prove` takes for many idle connections: `cargo bench -p halfopen-e2e --bench prove`.
//! Goal: 100,000 proved alive in five seconds. Method: a host of its own, with nothing but a
//! loopback; programs that hold 9,500 pairs of ends each; the program itself, built with
//! optimisation, from its start to its end. Needs root, 2 GB of memory, and half a minute.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed, and says where")]

use std::{
    env,
    io::{Read as _, stdin},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use halfopen_lab::{Host, Program};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Both ends of each connection are tested, so this many pairs make twice as many connections.
const PAIRS: usize = 50_000;
/// With 20,000 descriptors for each process.
const PAIRS_EACH: usize = 9_500;
const DESCRIPTORS: u64 = 20_000;
/// How often it is measured.
const ROUNDS: usize = 3;

fn main() {
    if let Some(role) = env::args().skip_while(|word| word != "--hold").nth(1) {
        return hold(&role);
    }
    let program = program();
    let host = Host::boot("crowd").unwrap();
    let mut up = host.spawn("ip", &["link", "set", "lo", "up"]).unwrap();
    assert!(up.ended(SOON).unwrap().unwrap().success());
    let began = Instant::now();
    let crowd: Vec<_> =
        (0..PAIRS.div_ceil(PAIRS_EACH)).map(|number| start(&host, number)).collect();
    println!(
        "{} connections in {} processes, made in {:?}",
        PAIRS * 2,
        crowd.len(),
        began.elapsed()
    );
    let netns = host.pid().unwrap().to_string();
    for method in [None, Some("window-probe"), Some("keepalive")] {
        for _ in 0..ROUNDS {
            measure(&program, &netns, method);
        }
    }
}

/// Far longer than a process needs to make its connections.
const SOON: Duration = Duration::from_secs(60);

/// The program with optimisation; built by `cargo build --release`.
fn program() -> PathBuf {
    let beside = env::current_exe().unwrap();
    let program = beside.parent().unwrap().parent().unwrap().join("halfopen");
    assert!(program.exists(), "{} is not built: run `cargo build --release`", program.display());
    program
}

fn start(host: &Host, number: usize) -> Program {
    let pairs = PAIRS_EACH.min(PAIRS - number * PAIRS_EACH);
    let exe = env::current_exe().unwrap();
    let role = format!("{number}:{pairs}");
    let program = host.spawn(&exe, &["--hold", &role]).unwrap();
    assert!(program.line_with("holding", SOON).is_some(), "the connections were not made");
    program
}

/// Holds `PAIRS` connections from and to an address of the loopback that is its own, `NUMBER:PAIRS`.
fn hold(role: &str) {
    let (number, pairs) = role.split_once(':').unwrap();
    let (number, pairs): (u8, usize) = (number.parse().unwrap(), pairs.parse().unwrap());
    let limit = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 1, number + 1), 7));
    let listener = TcpListener::bind(address).unwrap();
    let mut held = Vec::with_capacity(pairs);
    for _ in 0..pairs {
        let client = TcpStream::connect(address).unwrap();
        held.push((client, listener.accept().unwrap().0));
    }
    println!("holding");
    // Until the host ends.
    let _ = stdin().read_to_end(&mut Vec::new());
}

fn measure(program: &PathBuf, netns: &str, method: Option<&str>) {
    // What was heard within a second is not probed.
    let deadline = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut command = Command::new(program);
    command.args(["prove", "--netns", netns, "--loopback"]).stdin(Stdio::null());
    command.args(method.map(|method| ["--method", method]).into_iter().flatten());
    let began = Instant::now();
    let output = command.output().unwrap();
    let took = began.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    let sum = text.lines().find(|line| line.contains(" connections: ")).unwrap_or_default();
    let probed = text.lines().filter(|line| line.contains("answered within")).count();
    println!(
        "{:<14} {:>6.2} s, {:.0} us for each; {probed} probed; {sum}",
        method.unwrap_or("best"),
        took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / (PAIRS * 2) as f64,
    );
}
