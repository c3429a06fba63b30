//! Owns the model of `struct tcp_info`: kernel names become words and units. Absent is not zero.
//! Read: uapi/linux/tcp.h, linux net/ipv4/tcp.c `tcp_get_info`. The bytes are decoded in `halfopen-sys`.

use std::time::Duration;

use crate::state::TcpState;

/// What TCP_INFO said of one socket. Kernels differ in how much they say: a field that this kernel
/// does not have is `None`. Every `last_*` is an age at the moment of the sample; the kernel keeps
/// them in 32-bit milliseconds, so ages wrap at 49.7 days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// `tcpi_state`.
    pub state: Option<TcpState>,
    /// `tcpi_ca_state`: is the sender in order, or recovering?
    pub congestion: Option<CongestionState>,
    /// `tcpi_retransmits`: retransmission time-outs in a row, of the data that is outstanding now.
    pub retransmits: Option<u8>,
    /// `tcpi_probes`: window or keepalive probes sent since the peer's last acknowledgement.
    pub probes: Option<u8>,
    /// `tcpi_backoff`: how often the retransmission time-out has been doubled.
    pub backoff: Option<u8>,
    /// `tcpi_options` has TCPI_OPT_SACK: selective acknowledgements were negotiated.
    pub sack: Option<bool>,
    /// `tcpi_options` has TCPI_OPT_TIMESTAMPS.
    pub timestamps: Option<bool>,
    /// `tcpi_rto`: the retransmission time-out now, back-off included.
    pub rto: Option<Duration>,
    /// `tcpi_unacked`: segments sent and not acknowledged (for a listener: its accept queue).
    pub unacked_segments: Option<u32>,
    /// `tcpi_retrans`: segments of the current window that were sent again and not yet acknowledged.
    pub retransmitted_segments: Option<u32>,
    /// `tcpi_last_data_sent`: since we last sent data, retransmissions included.
    pub last_data_sent: Option<Duration>,
    /// `tcpi_last_data_recv`: since the peer's last data.
    pub last_data_received: Option<Duration>,
    /// `tcpi_last_ack_recv`: since the peer's last acceptable acknowledgement.
    pub last_ack_received: Option<Duration>,
    /// `tcpi_rtt`: smoothed round-trip time; `None` also when the kernel has no measurement yet (0).
    pub srtt: Option<Duration>,
    /// `tcpi_rttvar`.
    pub rttvar: Option<Duration>,
    /// `tcpi_total_retrans`: segments sent again in the whole life of the connection.
    pub total_retransmissions: Option<u32>,
    /// `tcpi_bytes_acked`.
    pub bytes_acked: Option<u64>,
    /// `tcpi_bytes_received`.
    pub bytes_received: Option<u64>,
    /// `tcpi_segs_out`.
    pub segments_sent: Option<u32>,
    /// `tcpi_segs_in`.
    pub segments_received: Option<u32>,
    /// `tcpi_notsent_bytes`: written by the application and never yet sent.
    pub unsent_bytes: Option<u32>,
    /// `tcpi_busy_time`: for how long, in sum, data has been outstanding.
    pub busy: Option<Duration>,
    /// `tcpi_rwnd_limited`: for how long, in sum, the peer's window held us back.
    pub receive_window_limited: Option<Duration>,
    /// `tcpi_snd_wnd`: the window that the peer offers, in bytes (since 5.4).
    pub send_window: Option<u32>,
    /// `tcpi_rcv_wnd`: the window that we offer, in bytes (since 6.2).
    pub receive_window: Option<u32>,
    /// `tcpi_total_rto`: retransmission time-outs in the whole life of the connection (since 6.7).
    pub total_rto: Option<u16>,
    /// `tcpi_total_rto_recoveries`: episodes of time-outs, the current one included (since 6.7).
    pub total_rto_recoveries: Option<u16>,
    /// `tcpi_total_rto_time`: time spent in such episodes, the current one included (since 6.7).
    pub total_rto_time: Option<Duration>,
}

/// `tcpi_ca_state`, enum tcp_ca_state of uapi/linux/tcp.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CongestionState {
    /// TCP_CA_Open (0).
    Open,
    /// TCP_CA_Disorder (1).
    Disorder,
    /// TCP_CA_CWR (2).
    WindowReduced,
    /// TCP_CA_Recovery (3).
    Recovery,
    /// TCP_CA_Loss (4): a retransmission time-out has fired.
    Loss,
    /// A number that this version does not know.
    Other(u8),
}

impl CongestionState {
    /// From the kernel's number.
    pub const fn from_kernel(number: u8) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::Disorder,
            2 => Self::WindowReduced,
            3 => Self::Recovery,
            4 => Self::Loss,
            other => Self::Other(other),
        }
    }
}
