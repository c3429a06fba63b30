//! What a power failure leaves: nothing, and without a word.

use std::time::Duration;

use halfopen_lab::{End, Fate, Host, Lab, Topology};

use crate::{cable::SOON, requires_lab};

/// Long enough for the kernel to send what it would send of its own accord: a FIN, an RST and the
/// first retransmission of either (200 ms).
const WORDS_WOULD_COME: Duration = Duration::from_millis(500);

#[test]
fn a_host_sees_only_its_own_processes_and_files() {
    requires_lab!();
    let ours = format!("/tmp/halfopen-lab-{}", std::process::id());
    std::fs::write(&ours, "seen by nobody on a host").unwrap();
    let host = Host::boot("alone").unwrap();
    let look = format!("test -e {ours} && echo seen || echo hidden; ls -d /proc/[0-9]* | wc -l");
    let mut shell = host.spawn("sh", &["-c", &look]).unwrap();
    let lines: Vec<_> = std::iter::from_fn(|| shell.line(SOON)).map(|line| line.text).collect();
    std::fs::remove_file(&ours).unwrap();
    assert_eq!(lines[0].trim(), "hidden");
    // cat, sh, ls and wc.
    assert!(lines[1].trim().parse::<u32>().unwrap() <= 4, "{lines:?}");
    assert!(shell.ended(SOON).unwrap().unwrap().success());
}

#[test]
fn a_sysctl_is_set_on_the_host_and_nowhere_else() {
    requires_lab!();
    let path = "/proc/sys/net/ipv4/tcp_retries2";
    let before = std::fs::read_to_string(path).unwrap();
    let host = Host::boot("alone").unwrap();
    host.set_sysctl("net.ipv4.tcp_retries2", "3").unwrap();
    let inside = host.enter(|| std::fs::read_to_string(path)).unwrap().unwrap();
    assert_eq!(inside.trim(), "3");
    assert_eq!(std::fs::read_to_string(path).unwrap(), before);
}

#[test]
fn a_program_that_does_not_exist_is_noticed_by_its_end() {
    requires_lab!();
    let host = Host::boot("alone").unwrap();
    let mut program = host.spawn("/no/such/program", &[]).unwrap();
    assert_eq!(program.ended(SOON).unwrap().unwrap().code(), Some(127));
    assert!(program.line_with("/no/such/program", SOON).is_some());
}

#[test]
fn a_program_can_be_killed_and_its_host_lives_on() {
    requires_lab!();
    let host = Host::boot("alone").unwrap();
    let mut program = host.spawn("cat", &[]).unwrap();
    program.type_line("hello").unwrap();
    assert_eq!(program.line(SOON).unwrap().text, "hello");
    assert!(!program.kill().unwrap().success());
    assert!(host.is_on() && host.enter(|| ()).is_ok());
}

#[test]
fn power_off_ends_connections_without_one_frame_and_the_host_boots_again_as_it_was() {
    requires_lab!("telnet" from "inetutils-telnet", "rpcbind" from "rpcbind");
    let mut lab = Lab::build(Topology::lan()).unwrap();
    let rpcbind = lab.server().unwrap().spawn("/usr/sbin/rpcbind", &["-w", "-f"]).unwrap();
    let mut telnet = None;
    for _ in 0..50 {
        // Until rpcbind listens, the connection is refused at once.
        let attempt = lab.client().unwrap().spawn("telnet", &["10.0.0.7", "111"]).unwrap();
        if attempt.line_with("Connected to", SOON).is_some() {
            telnet = Some(attempt);
            break;
        }
    }
    let telnet = telnet.unwrap();
    let mark = lab.cable(0).unwrap().next_number();
    assert_eq!(lab.power_off("server").unwrap(), 1);
    drop(rpcbind);
    assert!(!lab.server().unwrap().is_on());
    lab.boot("server").unwrap();
    let cable = lab.cable(0).unwrap();
    let spoke = cable.wait_for(mark, WORDS_WOULD_COME, |seen| {
        seen.from == End::Right && seen.frame.segment().is_some()
    });
    assert_eq!(spoke, None);
    // The client still believes in the connection, and learns by its next word.
    let mut telnet = telnet;
    telnet.type_line("another line").unwrap();
    let reset = cable
        .wait_for(mark, SOON, |seen| seen.frame.segment().is_some_and(|segment| segment.flags.rst));
    let reset = reset.unwrap();
    assert_eq!((reset.from, reset.fate), (End::Right, Fate::Delivered));
    assert!(telnet.ended(SOON).unwrap().is_some());
}
