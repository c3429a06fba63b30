//! Owns the taking of samples from whichever source was chosen. Everything that wants samples asks
//! here, and knows of no source. Chooses none itself (see `sources`).

mod early;

use std::{mem, ops::BitOrAssign};

use halfopen_core::{Contact, PeerTallies, Sample, Sysctls, TcpState};

use crate::{
    bpf::{BpfError, record::Beyond, records::Records},
    met::Met,
    options::SharedOptions,
    socket_diag::{Dump, SocketDiagError, dump_at_once},
    sources::{Chosen, tcp_sockets_here},
    wire::WireError,
};
pub(crate) use early::TakeEarly;
use early::{Listed, list};

/// The TCP sockets of one namespace, each once.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) listening: Vec<(Sample, Beyond)>,
    pub(crate) connections: Connections,
    /// How those connections fare that are not among them, as they have been taken up already.
    pub(crate) taken: Vec<Contact>,
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
        if matches!(self, Self::Records(_)) {
            let (samples, beyond) = mem::take(self).columns(&mut SharedOptions::default());
            *self = Self::Samples { samples, beyond };
        }
        match self {
            Self::Samples { samples, .. } => samples,
            Self::Records(_) => &[],
        }
    }

    /// All of them and what is known beyond of each, decoded.
    fn columns(self, shared: &mut SharedOptions) -> (Vec<Sample>, Vec<Beyond>) {
        match self {
            Self::Samples { samples, beyond } => (samples, beyond),
            Self::Records(records) => records.columns(shared),
        }
    }
}

impl BitOrAssign for Noted {
    fn bitor_assign(&mut self, other: Self) {
        self.embryonic |= other.embryonic;
        self.unanswered |= other.unanswered;
        self.addresses |= other.addresses;
    }
}

impl Noted {
    fn note(&mut self, connection: &Sample, beyond: &Beyond) {
        self.embryonic |= connection.state == TcpState::SynReceived;
        self.unanswered |= PeerTallies::may_matter_to(connection);
        self.addresses |= beyond.socket.is_some();
    }
}

impl Sockets {
    /// Adds those of another listing that are new.
    fn add(&mut self, other: Self, mut is_new: impl FnMut(&Sample) -> bool) {
        self.listening.extend(other.listening.into_iter().filter(|(sample, _)| is_new(sample)));
        let mut shared = SharedOptions::default();
        let (mut samples, mut beyond) = mem::take(&mut self.connections).columns(&mut shared);
        let (more, beyond_them) = other.connections.columns(&mut shared);
        for (sample, beyond_it) in more.into_iter().zip(beyond_them) {
            if is_new(&sample) {
                samples.push(sample);
                beyond.push(beyond_it);
            }
        }
        self.connections = Connections::Samples { samples, beyond };
        self.noted |= other.noted;
        self.missed.extend(other.missed);
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
        Self { listening, connections, noted, taken: Vec::new(), missed: Vec::new() }
    }
}

/// No source gave samples.
#[derive(Debug)]
pub(crate) enum NoSamples {
    SockDiag(SocketDiagError),
    Bpf(BpfError),
}

/// Every TCP socket of the calling thread's namespace, whose sysctls are `sysctls`, but for those that
/// `early` has taken up.
pub(crate) fn of_this_namespace(
    source: &Chosen,
    sysctls: &Sysctls,
    early: &impl TakeEarly,
) -> Result<Sockets, NoSamples> {
    // A listing visits every socket of the host to find none here.
    if tcp_sockets_here() == Some(0) {
        return Ok(Sockets::default());
    }
    match source {
        Chosen::SockDiag { .. } => by_sock_diag().map_err(NoSamples::SockDiag),
        Chosen::Bpf { bpf, or_sock_diag } => match list(bpf, sysctls, early) {
            Listed { sockets, outcome: Ok(()), .. } => Ok(sockets),
            Listed { outcome: Err(error), .. } if !or_sock_diag => Err(NoSamples::Bpf(error)),
            Listed { sockets, met, outcome: Err(error) } => rest_by_sock_diag(sockets, met, &error),
        },
    }
}

/// The rest of a listing that broke off with `error`. Some of those that it met may have been taken up.
fn rest_by_sock_diag(
    mut sockets: Sockets,
    mut met: Met,
    error: &BpfError,
) -> Result<Sockets, NoSamples> {
    match by_sock_diag() {
        Ok(all) => sockets.add(all, |sample| met.is_new(sample.id.cookie)),
        Err(refusal) if met.is_empty() => return Err(NoSamples::SockDiag(refusal)),
        Err(_) => sockets.missed.push(("some sockets, perhaps".to_owned(), error.to_string())),
    }
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

#[cfg(test)]
mod tests {
    use halfopen_core::detection::Tick;

    use super::*;
    use crate::bpf::record;

    fn samples(sockets: &[(u64, TcpState)]) -> Vec<Sample> {
        let mut shared = SharedOptions::default();
        let mut sample = |(cookie, state): &(u64, TcpState)| {
            let bytes = record::of_cookie(*cookie, *state);
            record::decode(&bytes, Tick::from_hz(250), &Sysctls::default(), &mut shared)
                .unwrap()
                .sample
        };
        sockets.iter().map(&mut sample).collect()
    }

    fn cookies<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<u64> {
        let mut cookies: Vec<_> = samples.into_iter().map(|one| one.id.cookie.0).collect();
        cookies.sort_unstable();
        cookies
    }

    #[test]
    fn a_second_listing_adds_what_the_first_did_not_come_to() {
        use TcpState::{Established, Listen, SynReceived};
        let mut met = Met::default();
        let mut first = Sockets::from(samples(&[(1, Listen), (3, Established)]));
        // Number 4 was met too, and has been taken up already.
        assert!([1, 3, 4].iter().all(|cookie| met.is_new(halfopen_core::Cookie(*cookie))));
        let second =
            [(1, Listen), (2, Listen), (3, Established), (4, Established), (5, SynReceived)];
        first.add(Sockets::from(samples(&second)), |one| met.is_new(one.id.cookie));
        assert_eq!(cookies(first.listening.iter().map(|(one, _)| one)), [1, 2]);
        assert_eq!(cookies(first.connections.samples()), [3, 5]);
        assert!(first.noted.embryonic);
    }

    #[test]
    fn what_a_listing_that_broke_off_had_met_is_not_shown_twice() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let cookie_of = |end: &std::net::TcpStream| {
            let (local, peer) = (end.local_addr().unwrap(), end.peer_addr().unwrap());
            let mut all = by_sock_diag().unwrap();
            let mut found = all.connections.samples().iter();
            let ends = |one: &&Sample| (one.endpoints.local, one.endpoints.peer) == (local, peer);
            found.find(ends).unwrap().id.cookie
        };
        let (met_before, new) = (cookie_of(&client), cookie_of(&server));
        let mut met = Met::default();
        met.is_new(met_before);
        let broken = BpfError::Read { cause: rustix::io::Errno::IO };
        let mut rest = rest_by_sock_diag(Sockets::default(), met, &broken).unwrap();
        let shown = cookies(rest.connections.samples());
        assert!(shown.contains(&new.0) && !shown.contains(&met_before.0));
        assert_eq!(rest.missed, []);
    }
}
