//! Owns what has to hold for every captured frame, whatever its bytes. The target in `fuzz/` and the
//! tests in `crates/e2e` call it. A broken promise panics.

use crate::frame::Frame;

/// A frame is read alike each time, and what it is can be written.
pub fn frame(bytes: &[u8]) {
    let frame = Frame::parse(bytes);
    assert_eq!(frame, Frame::parse(bytes));
    match frame {
        Frame::Tcp(segment) => {
            // 65,535 bytes are the longest packet of IPv4.
            assert!(segment.payload <= 65_535, "{segment:?}");
            let _ = segment.next_sequence();
        }
        Frame::Arp(arp) => assert!(arp.to_string().starts_with("ARP ")),
        Frame::Other(words) => assert!(!words.is_empty()),
    }
}
