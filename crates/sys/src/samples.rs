//! Owns the taking of samples from whichever source was chosen. Everything that wants samples asks
//! here, and knows of no source. Chooses none itself (see `sources`).

use std::{collections::HashSet, sync::Arc};

use halfopen_core::{Sample, SocketOptions, Sysctls};

use crate::{
    bpf::{Bpf, BpfError, record::Record},
    socket_diag::{Dump, SocketDiagError, dump_as, each_once},
    sources::{Chosen, tcp_sockets_here},
    tick,
    wire::WireError,
};

/// One socket, as its source shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SocketSeen {
    pub(crate) sample: Sample,
    /// Its options, from a source that shows them.
    pub(crate) options: Option<Arc<SocketOptions>>,
    /// The address of its `struct socket`, from a source that shows it.
    pub(crate) address: Option<u64>,
}

impl From<Sample> for SocketSeen {
    fn from(sample: Sample) -> Self {
        Self { sample, options: None, address: None }
    }
}

/// Options that were met before: a program gives most of its sockets the same.
#[derive(Debug, Default)]
pub(crate) struct SharedOptions {
    last: Option<Arc<SocketOptions>>,
    all: HashSet<Arc<SocketOptions>>,
}

impl SharedOptions {
    /// The same as `options`, from those met before if they are among them.
    pub(crate) fn share(&mut self, options: SocketOptions) -> Arc<SocketOptions> {
        if let Some(last) = self.last.as_ref().filter(|last| ***last == options) {
            return Arc::clone(last);
        }
        let shared = self.all.get(&options).map(Arc::clone).unwrap_or_else(|| {
            let new = Arc::new(options);
            self.all.insert(Arc::clone(&new));
            new
        });
        self.last = Some(Arc::clone(&shared));
        shared
    }
}

/// The TCP sockets of one namespace.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The sockets, listeners included, each once.
    pub(crate) sockets: Vec<SocketSeen>,
    /// What the source knows that it has missed: what, and why.
    pub(crate) missed: Vec<(String, String)>,
}

/// No source gave samples.
#[derive(Debug)]
pub(crate) enum NoSamples {
    SockDiag(SocketDiagError),
    Bpf(BpfError),
}

/// Every TCP socket of the calling thread's namespace, whose sysctls are `sysctls`.
pub(crate) fn of_this_namespace(source: &Chosen, sysctls: &Sysctls) -> Result<Taken, NoSamples> {
    // A listing visits every socket of the host to find none here.
    if tcp_sockets_here() == Some(0) {
        return Ok(Taken::default());
    }
    match source {
        Chosen::SockDiag { .. } => by_sock_diag().map_err(NoSamples::SockDiag),
        Chosen::Bpf { bpf, or_sock_diag: false } => by_bpf(bpf, sysctls).map_err(NoSamples::Bpf),
        Chosen::Bpf { bpf, or_sock_diag: true } => {
            by_bpf(bpf, sysctls).or_else(|_| by_sock_diag()).map_err(NoSamples::SockDiag)
        }
    }
}

fn by_bpf(bpf: &Bpf, sysctls: &Sysctls) -> Result<Taken, BpfError> {
    // Moving what has been gathered while it grows would take as long as gathering it.
    let expected = tcp_sockets_here().and_then(|count| usize::try_from(count).ok());
    let mut sockets = Vec::with_capacity(expected.unwrap_or_default().min(EXPECTED_MAX));
    let mut shared = SharedOptions::default();
    let malformed = bpf.each_socket(tick(), sysctls, |Record { sample, options, socket }| {
        let options = options.map(|options| shared.share(options));
        sockets.push(SocketSeen { sample, options, address: socket });
    })?;
    Ok(Taken {
        sockets: each_once(sockets, |seen: &SocketSeen| seen.sample.id),
        missed: malformed.map(|(first, count)| make_no_sense(count, &first)).into_iter().collect(),
    })
}

fn by_sock_diag() -> Result<Taken, SocketDiagError> {
    let Dump { samples: sockets, malformed, interrupted } =
        dump_as(SocketSeen::from, |seen| seen.sample.id)?;
    let mut missed = Vec::new();
    if let Some(first) = malformed.first() {
        missed.push(make_no_sense(malformed.len(), first));
    }
    if interrupted {
        let why = "the kernel's tables kept changing while they were read; look again";
        missed.push(("some sockets, perhaps".to_owned(), why.to_owned()));
    }
    Ok(Taken { sockets, missed })
}

fn make_no_sense(count: usize, first: &WireError) -> (String, String) {
    let what = format!("{count} sockets whose description makes no sense");
    (what, format!("the first: {first}; please report this with `uname -r`"))
}

/// More than hosts have in one namespace; beyond it memory is taken as it is needed.
const EXPECTED_MAX: usize = 1 << 20;
