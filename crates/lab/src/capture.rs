//! Owns the capture file: classic pcap of Ethernet frames with times in nanoseconds. It holds
//! every frame that reached the cable, also those that the cable then dropped.
//! Read: draft-ietf-opsawg-pcap, pcap-savefile(5).

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use halfopen_core::Moment;

/// A capture file that is being written.
#[derive(Debug)]
pub(crate) struct Capture {
    file: File,
    path: PathBuf,
    /// The wall clock at boot, so that moments become dates.
    boot: Duration,
    written: u64,
}

impl Capture {
    /// Creates the file and writes its header.
    ///
    /// # Errors
    /// What open(2) and write(2) answer.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(&file_header())?;
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let boot = wall.saturating_sub(halfopen_sys::now().0);
        Ok(Self { file, path: path.to_owned(), boot, written: 0 })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a frame in one write, so that a reader never sees half of one and nothing is lost
    /// when the lab is killed. Beyond [`BYTES_MAX`] nothing is appended.
    ///
    /// # Errors
    /// What write(2) answers.
    pub(crate) fn append(&mut self, at: Moment, frame: &[u8]) -> io::Result<()> {
        if self.written >= BYTES_MAX {
            return Ok(());
        }
        let record = record(self.boot + at.0, frame);
        self.file.write_all(&record)?;
        self.written += record.len() as u64;
        Ok(())
    }
}

/// Longest part of a frame that is kept: a full frame of Ethernet with a VLAN tag.
const SNAPLEN: usize = 1518;

/// 64 MiB: a rehearsal needs kilobytes; a program that sends in bulk must not fill the disk.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// LINKTYPE_ETHERNET.
const LINKTYPE: u32 = 1;

fn file_header() -> Vec<u8> {
    // Times in nanoseconds, version 2.4, UTC, accuracy 0.
    let words = [0xa1b2_3c4d_u32, 2 | 4 << 16, 0, 0, SNAPLEN as u32, LINKTYPE];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn record(at: Duration, frame: &[u8]) -> Vec<u8> {
    let kept = frame.get(..SNAPLEN).unwrap_or(frame);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    // The format has 32 bits of seconds, which end in 2106.
    let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
    let words = [seconds, at.subsec_nanos(), length(kept), length(frame)];
    words.iter().flat_map(|word| word.to_le_bytes()).chain(kept.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_what_every_reader_of_pcap_expects() {
        assert_eq!(
            file_header(),
            [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xee, 5, 0, 0, 1, 0, 0, 0]
        );
    }

    #[test]
    fn a_record_has_time_and_both_lengths_and_is_cut_at_the_snap_length() {
        let bytes = record(Duration::new(5, 7), &[0xab; 2000]);
        assert_eq!(bytes[..16], [5, 0, 0, 0, 7, 0, 0, 0, 0xee, 5, 0, 0, 0xd0, 7, 0, 0]);
        assert_eq!(bytes.len(), 16 + SNAPLEN);
    }
}
