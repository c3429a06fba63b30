//! Owns the choice of where samples come from. Everything that wants samples asks here, and knows
//! of no source. Today there is one: sock_diag. Another, such as a BPF iterator, is tried first here.

use halfopen_core::Sample;

use crate::socket_diag::{Dump, SocketDiag, SocketDiagError};

/// The TCP sockets of one namespace, from the best source that this process may use.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The sockets, listeners included, each once.
    pub(crate) samples: Vec<Sample>,
    /// What the source knows that it has missed: what, and why.
    pub(crate) missed: Vec<(String, String)>,
}

/// Every TCP socket of the calling thread's namespace.
pub(crate) fn of_this_namespace() -> Result<Taken, SocketDiagError> {
    let Dump { samples, malformed, interrupted } = SocketDiag::open()?.dump()?;
    let mut missed = Vec::new();
    if let Some(first) = malformed.first() {
        let what = format!("{} sockets whose description makes no sense", malformed.len());
        missed.push((what, format!("the first: {first}; please report this with `uname -r`")));
    }
    if interrupted {
        let why = "the kernel's tables kept changing while they were read; look again";
        missed.push(("some sockets, perhaps".to_owned(), why.to_owned()));
    }
    Ok(Taken { samples, missed })
}
