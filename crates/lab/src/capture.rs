//! Owns the capture file of a cable: pcapng with two interfaces. `in` holds every frame that reached the
//! cable, each with its fate as a comment; `out` what the cable gave to the hosts otherwise than at once
//! and as it came: later, changed, or of the wire's own making. So a conversation over a good cable is in
//! the file once, and readers find no retransmission where there was none.
//! Read: `capture/pcapng.rs` for the format.

mod pcapng;

use std::{
    fmt,
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
    /// What is not written yet.
    batch: Vec<u8>,
    written: u64,
    /// Frames of each interface, and how many of them found no room.
    came: [u64; 2],
    left_out: [u64; 2],
}

/// Where a frame was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Before the wire.
    In,
    /// Behind it.
    Out,
}

impl Capture {
    /// Creates the file and writes its header.
    ///
    /// # Errors
    /// What open(2) and write(2) answer.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(&header())?;
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let boot = wall.saturating_sub(halfopen_sys::now().0);
        let (path, batch) = (path.to_owned(), Vec::new());
        Ok(Self { file, path, boot, batch, written: 0, came: [0; 2], left_out: [0; 2] })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a frame to the batch. Beyond [`BYTES_MAX`] frames are counted and left out.
    pub(crate) fn add(
        &mut self,
        side: Side,
        at: Moment,
        frame: &[u8],
        comment: fmt::Arguments<'_>,
    ) {
        let index = side as usize;
        let [came, left_out] =
            [&mut self.came, &mut self.left_out].map(|counts| counts.get_mut(index));
        if let Some(count) = came {
            *count += 1;
        }
        if self.written + self.batch.len() as u64 >= BYTES_MAX {
            if let Some(count) = left_out {
                *count += 1;
            }
            return;
        }
        let kept = frame.get(..SNAP_LENGTH).unwrap_or(frame);
        // Not before it is known that there is room: words take longer than bytes.
        let comment = comment.to_string();
        let at = self.boot + at.0;
        pcapng::packet(&mut self.batch, index as u32, at, kept, frame.len(), &comment);
    }

    /// Writes the batch in one go, so that a reader rarely sees half of a frame and little is lost when
    /// the lab is killed.
    ///
    /// # Errors
    /// What write(2) answers.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.batch);
        self.written += self.batch.len() as u64;
        self.batch.clear();
        written
    }

    /// How many frames were left out because the file has grown to its limit.
    pub(crate) const fn left_out(&self) -> u64 {
        let [before, behind] = self.left_out;
        before + behind
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let now = self.boot + halfopen_sys::now().0;
        for ((index, came), left_out) in (0..).zip(self.came).zip(self.left_out) {
            pcapng::statistics(&mut self.batch, index, now, came, left_out);
        }
        // A file without its last block is whole all the same.
        let _ = self.flush();
    }
}

/// Longest part of a frame that is kept: a full frame of Ethernet with a VLAN tag.
const SNAP_LENGTH: usize = 1518;

/// 64 MiB: a rehearsal needs kilobytes; a program that sends in bulk must not fill the disk.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

fn header() -> Vec<u8> {
    let mut bytes = Vec::new();
    pcapng::section(&mut bytes, concat!("halfopen ", env!("CARGO_PKG_VERSION")));
    let interfaces = [
        ("in", "what the hosts sent; the comment is what became of it"),
        ("out", "what the wire gave to the hosts later, changed, or of its own making"),
    ];
    for (name, description) in interfaces {
        pcapng::interface(&mut bytes, name, description, SNAP_LENGTH as u32);
    }
    bytes
}
