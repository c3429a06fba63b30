//! Owns the faults of a link as a person states them, and to which direction they apply. Plain values;
//! `path.rs` puts them in force.

use std::time::Duration;

use crate::topology::End;

/// The faults of one direction of a cable. The default is a perfect cable; all may be combined. A
/// frame meets them in the order of the fields. Percentages are of frames, from 0 to 100: what is
/// below counts as 0, what is above as 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Nothing passes, and nobody is told.
    pub cut: bool,
    /// The longest packet that passes, in bytes as an MTU counts them (without the 14 of Ethernet). A
    /// longer one vanishes; without [`Link::tells_mtu`] in the black hole of path MTU discovery (RFC 2923,
    /// section 2.1).
    pub mtu: Option<u32>,
    /// Who sends a longer packet is told by ICMP how long it may be, as by a router that nobody filters (RFC
    /// 1191, RFC 8201), and sends shorter ones.
    pub tells_mtu: bool,
    /// Percent of the frames that are lost.
    pub loss: f64,
    /// How many frames are lost in a row, on average (the simple Gilbert model, in which a good and a bad
    /// state take turns). Up to 1: each by itself.
    pub burst: f64,
    /// Percent of the frames of which one bit is turned over, behind the IP header: the receiver's
    /// checksum finds it.
    pub corrupt: f64,
    /// How fast frames pass, and how many wait.
    pub rate: Option<Rate>,
    /// How long each frame is on its way.
    pub delay: Duration,
    /// How much longer or shorter, at most; all lengths between are equally frequent. Frames do not
    /// overtake each other for that.
    pub jitter: Duration,
    /// Percent of the frames that are held back by [`Link::reorder_by`].
    pub reorder: f64,
    /// How long frames that are to be overtaken are held back. 5 ms by default: longer than a burst of
    /// frames on a fast link takes, shorter than any retransmission time-out.
    pub reorder_by: Duration,
    /// Percent of the frames that arrive twice.
    pub duplicate: f64,
    /// Decides which frames chance takes: the same frames of a connection and direction are taken again
    /// with the same seed, whatever other connections do meanwhile.
    pub seed: u64,
}

/// How fast a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Bits of whole frames in a second; nothing passes at 0.
    pub bits_per_second: u64,
    /// Bytes that may wait for their turn, the frame on its way included. A frame that finds no room is lost.
    pub queue: u64,
}

/// Which frames are meant, by where they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Those of both ends.
    #[default]
    Both,
    /// Those that come from this end.
    From(End),
}

impl Default for Link {
    fn default() -> Self {
        Self {
            cut: false,
            mtu: None,
            tells_mtu: false,
            loss: 0.0,
            burst: 1.0,
            corrupt: 0.0,
            rate: None,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: 0.0,
            reorder_by: Duration::from_millis(5),
            duplicate: 0.0,
            seed: 0,
        }
    }
}

impl Direction {
    /// Frames that come from `end` are meant.
    pub fn includes(self, end: End) -> bool {
        match self {
            Self::Both => true,
            Self::From(from) => from == end,
        }
    }
}
