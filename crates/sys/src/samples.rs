//! Owns the taking of samples from whichever source was chosen. Everything that wants samples asks
//! here, and knows of no source. Chooses none itself (see `sources`).

use std::mem;

use halfopen_core::{PeerTallies, Sample, Sysctls, TcpState};

use crate::{
    bpf::{
        Bpf, BpfError,
        record::{Beyond, Record},
    },
    met::Met,
    socket_diag::{Dump, SocketDiagError, dump_at_once, each_once},
    sources::{Chosen, tcp_sockets_expected, tcp_sockets_here},
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
    /// Some connections are embryonic.
    pub(crate) has_embryonic: bool,
    /// Of some connections it may matter how others to the same peer fare.
    pub(crate) has_unanswered: bool,
    /// What the source knows that it has missed: what, and why.
    pub(crate) missed: Vec<(String, String)>,
}

impl Sockets {
    /// None yet, with room for as many connections as there seem to be: moving what has been gathered
    /// while it grows would take as long as gathering it, and leave holes.
    fn with_room() -> Self {
        let expected = tcp_sockets_expected();
        Self {
            connections: Vec::with_capacity(expected),
            beyond: Vec::with_capacity(expected),
            ..Self::default()
        }
    }

    /// Adds one that was not added before. All that has to be known of all of them is noted here,
    /// while the processor has it at hand: there may be very many, and going over them again is slow.
    fn add(&mut self, sample: Sample, beyond: Beyond) {
        if sample.state == TcpState::Listen {
            return self.listening.push((sample, beyond));
        }
        self.note(&sample);
        self.connections.push(sample);
        self.beyond.push(beyond);
    }

    /// Adds what was said later of some that were added before, in the place of what was said then.
    fn add_later(&mut self, again: Vec<(Sample, Beyond)>) {
        again.into_iter().for_each(|(sample, beyond)| self.add(sample, beyond));
        let id = |(sample, _): &(Sample, Beyond)| sample.id;
        self.listening = each_once(mem::take(&mut self.listening), id);
        let connections = mem::take(&mut self.connections).into_iter();
        let pairs = connections.zip(mem::take(&mut self.beyond)).collect();
        (self.connections, self.beyond) = each_once(pairs, id).into_iter().unzip();
    }

    fn note(&mut self, connection: &Sample) {
        self.has_embryonic |= connection.state == TcpState::SynReceived;
        self.has_unanswered |= PeerTallies::may_matter_to(connection);
    }
}

impl From<Vec<Sample>> for Sockets {
    fn from(mut samples: Vec<Sample>) -> Self {
        let mut sockets = Self::default();
        let mut places = Vec::new();
        for (place, sample) in samples.iter().enumerate() {
            if sample.state == TcpState::Listen {
                places.push(place);
            } else {
                sockets.note(sample);
            }
        }
        // There are few listeners, and listings begin with them: from the last on, each leaves its
        // place to one connection, so that the others need not be moved.
        let take = |place: usize| (samples.swap_remove(place), Beyond::default());
        sockets.listening = places.into_iter().rev().map(take).collect();
        sockets.beyond = vec![Beyond::default(); samples.len()];
        Self { connections: samples, ..sockets }
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
    let mut sockets = Sockets::with_room();
    let (mut met, mut again) = (Met::with_room(sockets.connections.capacity()), Vec::new());
    let malformed = bpf.sockets(tick(), sysctls, |Record { sample, beyond }| {
        if met.is_new(sample.id.cookie) {
            sockets.add(sample, beyond);
        } else {
            again.push((sample, beyond));
        }
    })?;
    if !again.is_empty() {
        sockets.add_later(again);
    }
    sockets.missed.extend(malformed.map(|(first, count)| make_no_sense(count, &first)));
    Ok(sockets)
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
