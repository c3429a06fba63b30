//! Owns the taking of samples from whichever source was chosen. Everything that wants samples asks
//! here, and knows of no source. Chooses none itself (see `sources`).

use halfopen_core::{Sample, Sysctls, TcpState};

use crate::{
    bpf::{self, Bpf, BpfError, record::Beyond},
    socket_diag::{Dump, SocketDiagError, dump_at_once, each_once, is_each_once},
    sources::{Chosen, tcp_sockets_here},
    tick,
    wire::WireError,
};

/// The TCP sockets of one namespace, each once.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) listening: Vec<(Sample, Beyond)>,
    pub(crate) connections: Vec<Sample>,
    /// One for each connection, in their order; empty values from a source that shows no more.
    pub(crate) beyond: Vec<Beyond>,
    /// What the source knows that it has missed: what, and why.
    pub(crate) missed: Vec<(String, String)>,
}

impl Sockets {
    fn new(mut samples: Vec<Sample>, mut beyond: Vec<Beyond>) -> Self {
        let is_listener = |(_, sample): &(usize, &Sample)| sample.state == TcpState::Listen;
        let places: Vec<usize> =
            samples.iter().enumerate().filter(is_listener).map(|(place, _)| place).collect();
        // There are few listeners, and listings begin with them: from the last on, each leaves its
        // place to one connection, so that the others need not be moved.
        let take = |place: usize| (samples.swap_remove(place), beyond.swap_remove(place));
        let listening = places.into_iter().rev().map(take).collect();
        Self { listening, connections: samples, beyond, missed: Vec::new() }
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
    let bpf::Sockets { samples, beyond, malformed } = bpf.sockets(tick(), sysctls)?;
    let (samples, beyond) = if is_each_once(&samples, |sample| sample.id) {
        (samples, beyond)
    } else {
        let pairs = samples.into_iter().zip(beyond).collect();
        each_once(pairs, |(sample, _): &(Sample, Beyond)| sample.id).into_iter().unzip()
    };
    let mut sockets = Sockets::new(samples, beyond);
    sockets.missed.extend(malformed.map(|(first, count)| make_no_sense(count, &first)));
    Ok(sockets)
}

fn by_sock_diag() -> Result<Sockets, SocketDiagError> {
    let Dump { samples, malformed, interrupted } = dump_at_once()?;
    let beyond = vec![Beyond::default(); samples.len()];
    let mut sockets = Sockets::new(samples, beyond);
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
