//! The capture file is what readers of pcapng expect, and says of every frame what became of it.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use halfopen_lab::{
    End, Frame, Lab, Topology,
    wire::{Direction, Link},
};

use crate::{
    cable::{SOON, connection},
    requires_lab,
};

/// A capture file that is gone with its test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("halfopen-{name}-{}.pcapng", std::process::id())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = fs::remove_file(&self.0);
    }
}

/// A conversation that passes, is cut, and is delayed. Returns how many frames the cable saw.
fn record(path: &Path) -> usize {
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let cable = lab.cable(0).unwrap();
    cable.capture_to(path).unwrap();
    let (mut client, mut server) = connection(&lab);
    server.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    cable.cut();
    let mark = cable.next_number();
    client.write_all(b"into the cut").unwrap();
    assert!(cable.wait_for(mark, SOON, |seen| seen.from == End::Left).is_some());
    cable.set_link(Direction::Both, Link { delay: Duration::from_millis(30), ..Link::default() });
    server.read_exact(&mut [0; 12]).unwrap();
    assert_eq!((cable.capture_failure(), cable.capture_left_out()), (None, 0));
    drop((client, server));
    let count = cable.frames(0).len();
    drop(lab);
    count
}

/// The words of each frame as `tshark` reads them: interface, comment, and its own complaints.
fn rows(path: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args(["-T", "fields", "-E", "separator=|"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let complaints: Vec<_> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| !line.starts_with("Running as user"))
        .map(str::to_owned)
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

#[test]
fn the_file_is_whole_to_the_last_block_and_every_frame_has_its_fate() {
    requires_lab!();
    let file = File::new("blocks");
    let count = record(&file.0);
    let bytes = fs::read(&file.0).unwrap();
    let mut rest = &bytes[..];
    let mut kinds: BTreeMap<u32, usize> = BTreeMap::new();
    while !rest.is_empty() {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let total = word(4) as usize;
        assert_eq!(word(total - 4) as usize, total);
        if word(0) == PACKET {
            let kept = word(20) as usize;
            let comment = &rest[28 + kept.next_multiple_of(4)..];
            assert_eq!(comment[..2], [1, 0]);
            assert!(comment[4..].starts_with(b"frame "));
            assert!(matches!(Frame::parse(&rest[28..28 + kept]), Frame::Tcp(_)));
        }
        *kinds.entry(word(0)).or_default() += 1;
        rest = &rest[total..];
    }
    // A section, two interfaces, the frames, and the last words of each interface.
    assert_eq!((kinds[&0x0a0d_0d0a], kinds[&1], kinds[&5]), (1, 2, 2));
    assert!(kinds[&PACKET] > count, "{kinds:?} {count}");
}

/// The Enhanced Packet Block.
const PACKET: u32 = 6;

#[test]
fn tshark_reads_every_frame_with_its_fate_and_finds_nothing_malformed() {
    requires_lab!("tshark" from "tshark");
    let file = File::new("tshark");
    let count = record(&file.0);
    let rows = rows(
        &file.0,
        &["frame.interface_name", "frame.comment", "_ws.malformed", "frame.cap_len", "frame.len"],
    );
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        let [interface, comment, malformed, kept, length] = &row[..] else { panic!("{row:?}") };
        *seen.entry(interface).or_default() += 1;
        assert!(comment.starts_with("frame "), "{row:?}");
        assert_eq!(malformed, "", "{row:?}");
        assert_eq!(kept, length, "{row:?}");
    }
    // Frames may have come after the test's last look.
    assert!(seen["in"] >= count, "{seen:?} {count}");
    assert!(seen["out"] >= 1, "{seen:?}");
    let said = |words: &str| rows.iter().any(|row| row[1].contains(words));
    assert!(said(": delivered") && said(": dropped: the cable is cut") && said(" ms late"));
}

#[test]
fn tcpdump_reads_every_frame_without_a_complaint() {
    requires_lab!("tcpdump" from "tcpdump");
    let file = File::new("tcpdump");
    let count = record(&file.0);
    let output = Command::new("tcpdump").arg("-nr").arg(&file.0).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.starts_with("reading from file"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let lines = String::from_utf8(output.stdout).unwrap().lines().count();
    assert!(lines > count, "{lines} {count}");
}
