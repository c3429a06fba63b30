//! Owns the taking of samples from whichever source was chosen. Everything that wants samples asks
//! here, and knows of no source. Chooses none itself (see `sources`).

use halfopen_core::{PeerTallies, Sample, Sysctls, TcpState};

use crate::{
    bpf::{
        Bpf, BpfError,
        record::{Beyond, Record},
        records::Records,
    },
    met::Met,
    options::SharedOptions,
    socket_diag::{Dump, SocketDiagError, dump_at_once},
    sources::{Chosen, tcp_sockets_expected, tcp_sockets_here},
    tick,
    wire::WireError,
};

/// The TCP sockets of one namespace, each once.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) listening: Vec<(Sample, Beyond)>,
    pub(crate) connections: Connections,
    /// What has to be known of all of them before any of them is judged.
    pub(crate) noted: Noted,
    /// What the source knows that it has missed: what, and why.
    pub(crate) missed: Vec<(String, String)>,
}

/// The connections of one namespace.
#[derive(Debug)]
pub(crate) enum Connections {
    /// Decoded.
    Samples {
        samples: Vec<Sample>,
        /// One for each, in their order; empty values from a source that shows no more.
        beyond: Vec<Beyond>,
    },
    /// Still to be decoded.
    Records(Records),
}

/// What was noted of connections while the processor had them at hand: there may be very many, and
/// going over them again is slow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Noted {
    /// Some are embryonic.
    pub(crate) embryonic: bool,
    /// Of some it may matter how others to the same peer fare.
    pub(crate) unanswered: bool,
    /// Of some, or of listeners, the address of their `struct socket` is known.
    pub(crate) addresses: bool,
}

impl Default for Connections {
    fn default() -> Self {
        Self::Samples { samples: Vec::new(), beyond: Vec::new() }
    }
}

impl Connections {
    /// What is said of each, in order.
    pub(crate) fn for_each(&self, mut take: impl FnMut(&Sample)) {
        match self {
            Self::Samples { samples, .. } => samples.iter().for_each(take),
            Self::Records(records) => {
                let mut shared = SharedOptions::default();
                records.decoded(&mut shared).for_each(|(sample, _)| take(&sample));
            }
        }
    }

    /// All of them, decoded.
    pub(crate) fn samples(&mut self) -> &[Sample] {
        if let Self::Records(records) = self {
            let (samples, beyond) = records.columns(&mut SharedOptions::default());
            *self = Self::Samples { samples, beyond };
        }
        match self {
            Self::Samples { samples, .. } => samples,
            Self::Records(_) => &[],
        }
    }
}

impl Noted {
    fn note(&mut self, connection: &Sample, beyond: &Beyond) {
        self.embryonic |= connection.state == TcpState::SynReceived;
        self.unanswered |= PeerTallies::may_matter_to(connection);
        self.addresses |= beyond.socket.is_some();
    }
}

impl From<Vec<Sample>> for Sockets {
    fn from(mut samples: Vec<Sample>) -> Self {
        let (mut noted, mut places) = (Noted::default(), Vec::new());
        for (place, sample) in samples.iter().enumerate() {
            if sample.state == TcpState::Listen {
                places.push(place);
            } else {
                noted.note(sample, &Beyond::default());
            }
        }
        // There are few listeners, and listings begin with them: from the last on, each leaves its
        // place to one connection, so that the others need not be moved.
        let take = |place: usize| (samples.swap_remove(place), Beyond::default());
        let listening = places.into_iter().rev().map(take).collect();
        let beyond = vec![Beyond::default(); samples.len()];
        let connections = Connections::Samples { samples, beyond };
        Self { listening, connections, noted, missed: Vec::new() }
    }
}

/// No source gave samples.
#[derive(Debug)]
pub(crate) enum NoSamples {
    SockDiag(SocketDiagError),
    Bpf(BpfError),
}

/// Every TCP socket of the calling thread's namespace, whose sysctls are `sysctls`.
pub(crate) fn of_this_namespace(source: &Chosen, sysctls: &Sysctls) -> Result<Sockets, NoSamples> {
    // A listing visits every socket of the host to find none here.
    if tcp_sockets_here() == Some(0) {
        return Ok(Sockets::default());
    }
    match source {
        Chosen::SockDiag { .. } => by_sock_diag().map_err(NoSamples::SockDiag),
        Chosen::Bpf { bpf, or_sock_diag: false } => by_bpf(bpf, sysctls).map_err(NoSamples::Bpf),
        Chosen::Bpf { bpf, or_sock_diag: true } => {
            by_bpf(bpf, sysctls).or_else(|_| by_sock_diag()).map_err(NoSamples::SockDiag)
        }
    }
}

fn by_bpf(bpf: &Bpf, sysctls: &Sysctls) -> Result<Sockets, BpfError> {
    let tick = tick();
    // Moving what has been gathered while it grows would take as long as gathering it.
    let mut records = Records::with_room(tcp_sockets_expected(), tick, sysctls);
    let (mut listening, mut noted, mut met) = (Vec::new(), Noted::default(), Met::default());
    let malformed = bpf.sockets(tick, sysctls, |Record { sample, beyond }, bytes| {
        // Listings resume by place in a hash table, so a socket that moves meanwhile can be met again.
        if !met.is_new(sample.id.cookie) {
            return;
        }
        noted.note(&sample, &beyond);
        if sample.state == TcpState::Listen {
            listening.push((sample, beyond));
        } else {
            records.push(bytes);
        }
    })?;
    let connections = Connections::Records(records);
    let missed = malformed.map(|(first, count)| make_no_sense(count, &first)).into_iter().collect();
    Ok(Sockets { listening, connections, noted, missed })
}

fn by_sock_diag() -> Result<Sockets, SocketDiagError> {
    let Dump { samples, malformed, interrupted } = dump_at_once()?;
    let mut sockets = Sockets::from(samples);
    if let Some(first) = malformed.first() {
        sockets.missed.push(make_no_sense(malformed.len(), first));
    }
    if interrupted {
        let why = "the kernel's tables kept changing while they were read; look again";
        sockets.missed.push(("some sockets, perhaps".to_owned(), why.to_owned()));
    }
    Ok(sockets)
}

fn make_no_sense(count: usize, first: &WireError) -> (String, String) {
    let what = format!("{count} sockets whose description makes no sense");
    (what, format!("the first: {first}; please report this with `uname -r`"))
}
