//! Owns the layout of `struct tcp_info`: which byte means what, and how long a kernel's version is.
//! Reads no socket. Read: uapi/linux/tcp.h, linux net/ipv4/tcp.c `tcp_get_info`.

use std::time::Duration;

use halfopen_core::{CongestionState, TcpInfo, TcpState};

use super::int_at;

/// What the bytes of one `struct tcp_info` say. A kernel older than a field gives a shorter struct:
/// the field is `None`, also if only a part of it is there. A newer kernel's tail is ignored.
///
/// The kernel's zero in `tcpi_rtt` means that nothing has been measured yet, so it is `None` too.
pub fn decode(bytes: &[u8]) -> TcpInfo {
    let byte = |offset| int_at!(u8, bytes, offset);
    let short = |offset| int_at!(u16, bytes, offset);
    let word = |offset| int_at!(u32, bytes, offset);
    let long = |offset| int_at!(u64, bytes, offset);
    let millis = |offset| word(offset).map(|ms| Duration::from_millis(ms.into()));
    let micros = |offset| word(offset).map(|us| Duration::from_micros(us.into()));
    let long_micros = |offset| long(offset).map(Duration::from_micros);
    let options = byte(5);

    TcpInfo {
        state: byte(0).map(TcpState::from_kernel),
        congestion: byte(1).map(CongestionState::from_kernel),
        retransmits: byte(2),
        probes: byte(3),
        backoff: byte(4),
        sack: options.map(|bits| bits & TCPI_OPT_SACK != 0),
        timestamps: options.map(|bits| bits & TCPI_OPT_TIMESTAMPS != 0),
        rto: micros(8),
        unacked_segments: word(24),
        retransmitted_segments: word(36),
        last_data_sent: millis(44),
        last_data_received: millis(52),
        last_ack_received: millis(56),
        srtt: micros(68).filter(|rtt| !rtt.is_zero()),
        rttvar: micros(72),
        total_retransmissions: word(100),
        bytes_acked: long(120),
        bytes_received: long(128),
        segments_sent: word(136),
        segments_received: word(140),
        unsent_bytes: word(144),
        busy: long_micros(168),
        receive_window_limited: long_micros(176),
        send_window: word(228),
        receive_window: word(232),
        total_rto: short(240),
        total_rto_recoveries: short(242),
        total_rto_time: millis(244),
    }
}

const TCPI_OPT_TIMESTAMPS: u8 = 1;
const TCPI_OPT_SACK: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 280 bytes, as 6.18 gives them, each byte its own offset modulo 251.
    fn patterned() -> Vec<u8> {
        (0..280_u32).map(|offset| u8::try_from(offset % 251).unwrap()).collect()
    }

    #[test]
    fn nothing_at_all_is_a_model_without_fields() {
        assert_eq!(decode(&[]), TcpInfo::default());
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn every_field_is_read_from_its_own_offset() {
        let info = decode(&patterned());
        assert_eq!(info.state, Some(TcpState::Other(0)));
        assert_eq!(info.congestion, Some(CongestionState::Disorder));
        assert_eq!((info.retransmits, info.probes, info.backoff), (Some(2), Some(3), Some(4)));
        assert_eq!((info.timestamps, info.sack), (Some(true), Some(false)));
        assert_eq!(info.rto, Some(Duration::from_micros(0x0b0a_0908)));
        assert_eq!(info.unacked_segments, Some(0x1b1a_1918));
        assert_eq!(info.last_ack_received, Some(Duration::from_millis(0x3b3a_3938)));
        assert_eq!(info.bytes_acked, Some(0x7f7e_7d7c_7b7a_7978));
        assert_eq!(info.send_window, Some(0xe7e6_e5e4));
        assert_eq!(info.total_rto, Some(0xf1f0));
        assert_eq!(info.total_rto_recoveries, Some(0xf3f2));
        assert_eq!(info.total_rto_time, Some(Duration::from_millis(0xf7f6_f5f4)));
    }

    #[test]
    fn a_kernel_of_5_4_lacks_what_came_later_and_nothing_else() {
        // struct tcp_info ended after tcpi_snd_wnd, at byte 232.
        let info = decode(&patterned()[..232]);
        assert!(info.send_window.is_some());
        assert_eq!(info.receive_window, None);
        assert_eq!(info.total_rto, None);
        assert_eq!(info.total_rto_time, None);
    }

    #[test]
    fn an_integer_of_which_a_byte_is_missing_is_absent() {
        assert!(decode(&patterned()[..248]).total_rto_time.is_some());
        assert_eq!(decode(&patterned()[..247]).total_rto_time, None);
        assert_eq!(decode(&patterned()[..11]).rto, None);
    }

    #[test]
    fn a_round_trip_time_of_zero_means_that_none_was_measured() {
        let mut bytes = patterned();
        bytes[68..72].fill(0);
        assert_eq!(decode(&bytes).srtt, None);
        bytes[68] = 1;
        assert!(decode(&bytes).srtt.is_some());
    }

    proptest! {
        #[test]
        fn a_longer_struct_never_changes_what_a_shorter_one_said(
            bytes in prop::collection::vec(any::<u8>(), 0..320),
            cut in 0_usize..320,
        ) {
            let (whole, part) = (decode(&bytes), decode(&bytes[..cut.min(bytes.len())]));
            prop_assert!(part.state.is_none() || part.state == whole.state);
            prop_assert!(part.rto.is_none() || part.rto == whole.rto);
            prop_assert!(part.send_window.is_none() || part.send_window == whole.send_window);
            prop_assert!(part.total_rto_time.is_none() || part.total_rto_time == whole.total_rto_time);
        }
    }
}
