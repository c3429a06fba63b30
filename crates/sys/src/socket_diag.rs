//! Owns the conversation with the kernel's sock_diag: dumps and exact look-ups over netlink.
//! Decodes nothing itself (see `wire`) and changes nothing by itself (see `destroy`). Read: sock_diag(7), netlink(7),
//! linux net/ipv4/inet_diag.c, net/netlink/af_netlink.c.

use std::{
    collections::{HashMap, HashSet},
    io, thread,
};

use halfopen_core::{ConnectionId, Cookie, Endpoints, Family, NetnsId, Sample};
use rustix::{io::Errno, net::netlink};

use crate::{
    conversation::{Broken, Conversation, Datagram, NLM_F_DUMP, Taken},
    netns::{Netns, NetnsError},
    progress,
    sources::tcp_sockets_expected,
    wire::{
        WireError,
        answer::Answer,
        inet_diag::{self, SOCK_DIAG_BY_FAMILY, SocketFamily},
        netlink::{self as wire_netlink, request},
    },
};

/// A conversation with sock_diag in one network namespace. It needs no privilege.
#[derive(Debug)]
pub struct SocketDiag {
    conversation: Conversation,
    netns: NetnsId,
}

/// Every TCP socket of one namespace, at about one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dump {
    /// The sockets, listeners included, each once.
    pub samples: Vec<Sample>,
    /// Answers that could not be decoded; their sockets are missing.
    pub malformed: Vec<WireError>,
    /// The kernel's tables kept changing under the dump (NLM_F_DUMP_INTR): sockets may be missing.
    pub interrupted: bool,
}

impl SocketDiag {
    /// Opens a conversation in the namespace of the calling thread. It stays with that namespace
    /// wherever it is used afterwards.
    ///
    /// # Errors
    /// [`SocketDiagError::Open`] where the kernel has no sock_diag or descriptors have run out,
    /// [`SocketDiagError::Namespace`] where the namespace cannot be told.
    pub fn open() -> Result<Self, SocketDiagError> {
        let netns = Netns::current()?.id();
        match Conversation::open(netlink::SOCK_DIAG) {
            Ok(conversation) => Ok(Self { conversation, netns }),
            Err(cause) => Err(SocketDiagError::Open { cause }),
        }
    }

    /// Every TCP socket of the namespace, in all states.
    ///
    /// # Errors
    /// As [`SocketDiag::look_up`].
    pub fn dump(&mut self) -> Result<Dump, SocketDiagError> {
        let four = self.dump_family(SocketFamily::Ipv4)?;
        join(four, self.dump_family(SocketFamily::Ipv6))
    }

    /// The one socket with these addresses and this cookie, or `None` if it is no more.
    ///
    /// # Errors
    /// [`SocketDiagError::Send`] and [`SocketDiagError::Receive`] where netlink fails,
    /// [`SocketDiagError::Refused`] where the kernel does not answer such requests,
    /// [`SocketDiagError::Truncated`] and [`SocketDiagError::Malformed`] where its answer is not
    /// one that any known kernel gives.
    pub fn look_up(
        &mut self,
        family: Family,
        endpoints: &Endpoints,
        cookie: Cookie,
    ) -> Result<Option<Sample>, SocketDiagError> {
        let body = inet_diag::look_up_request(family, endpoints, cookie);
        let mut found = None;
        let mut malformed = None;
        let asked = self.ask(0, &body, |answer| {
            let sample = answer.entries.into_iter().find(|sample| sample.id.cookie == cookie);
            found = found.take().or(sample);
            malformed = answer.malformed.into_iter().next();
            // The answer is one message, without an end of its own.
            found.is_some() || malformed.is_some()
        });
        match asked {
            Ok(()) => malformed.map_or(Ok(found), |error| Err(error.into())),
            // ESTALE: the addresses belong to a socket with another cookie.
            Err(SocketDiagError::Refused { cause })
                if is_absent(&cause) || errno(&cause) == Some(Errno::STALE) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends requests of one kind in one datagram, each of which the kernel acknowledges, and gives
    /// for each the error number of its acknowledgement; 0 is success. For [`BATCH_MAX`] at most.
    pub(crate) fn acknowledged(
        &mut self,
        kind: u16,
        bodies: &[Vec<u8>],
    ) -> Result<Vec<i32>, SocketDiagError> {
        debug_assert!(bodies.len() <= BATCH_MAX, "the acknowledgements might not fit");
        let mut datagram = Vec::new();
        let mut places = HashMap::with_capacity(bodies.len());
        for (place, body) in bodies.iter().enumerate() {
            let sequence = self.conversation.next_sequence();
            places.insert(sequence, place);
            datagram.extend(request(kind, NLM_F_ACK, sequence, body));
        }
        let mut answers = vec![0; bodies.len()];
        if bodies.is_empty() {
            return Ok(answers);
        }
        self.conversation.send(&datagram)?;
        while !places.is_empty() {
            let datagram = self.conversation.receive()?;
            for message in wire_netlink::messages(datagram) {
                let message = message?;
                let number = message.error_number();
                if let (Some(number), Some(place)) = (number, places.remove(&message.sequence))
                    && let Some(answer) = answers.get_mut(place)
                {
                    *answer = number;
                }
            }
        }
        Ok(answers)
    }

    fn dump_family(&mut self, family: SocketFamily) -> Result<Dump, SocketDiagError> {
        let body = inet_diag::dump_request(family);
        let mut attempt = 1;
        loop {
            // How many of them are of this family is not told; room that is not used costs nothing.
            let samples = Vec::with_capacity(tcp_sockets_expected());
            let mut dump = Dump { samples, ..Dump::default() };
            let asked = self.ask(NLM_F_DUMP, &body, |answer| {
                progress::count(answer.entries.len());
                dump.samples.extend(answer.entries);
                dump.malformed.extend(answer.malformed);
                dump.interrupted |= answer.interrupted;
                false
            });
            let last = attempt == ATTEMPTS;
            match asked {
                Ok(()) if last || !dump.interrupted => return Ok(dump),
                Ok(()) => {}
                Err(SocketDiagError::Truncated { length, .. }) if !last => {
                    self.conversation.make_room(length);
                }
                Err(SocketDiagError::Receive { cause })
                    if !last && errno(&cause) == Some(Errno::NOBUFS) => {}
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    fn ask(
        &mut self,
        flags: u16,
        body: &[u8],
        mut take: impl FnMut(Answer<Sample>) -> bool,
    ) -> Result<(), SocketDiagError> {
        let netns = self.netns;
        self.conversation.ask(SOCK_DIAG_BY_FAMILY, flags, body, |datagram| {
            let Datagram { bytes, sequence, taken_at } = datagram;
            let mut answer = inet_diag::answer(bytes, sequence, netns, taken_at);
            let end = answer.end.take();
            Taken::of(take(answer), end)
        })?;
        Ok(())
    }
}

impl From<Broken> for SocketDiagError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Send(cause) => Self::Send { cause },
            Broken::Receive(cause) => Self::Receive { cause },
            Broken::Truncated { length, room } => Self::Truncated { length, room },
            Broken::Refused(number) => {
                Self::Refused { cause: io::Error::from_raw_os_error(number) }
            }
        }
    }
}

/// Every TCP socket of the calling thread's namespace. Both address families are asked for at the
/// same time, since the kernel visits all sockets for either.
pub(crate) fn dump_at_once() -> Result<Dump, SocketDiagError> {
    let ask = |family| SocketDiag::open()?.dump_family(family);
    thread::scope(|scope| {
        let six = thread::Builder::new().spawn_scoped(scope, || ask(SocketFamily::Ipv6));
        let four = ask(SocketFamily::Ipv4)?;
        let six = match six {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // Where no more threads may be started, this one does the work.
            Err(_) => ask(SocketFamily::Ipv6),
        };
        join(four, six)
    })
}

/// Both address families in one, each socket once.
fn join(mut dump: Dump, six: Result<Dump, SocketDiagError>) -> Result<Dump, SocketDiagError> {
    match six {
        Ok(six) => {
            dump.samples.extend(six.samples);
            dump.malformed.extend(six.malformed);
            dump.interrupted |= six.interrupted;
        }
        // A kernel that was built without IPv6 has no such sockets.
        Err(SocketDiagError::Refused { cause }) if is_absent(&cause) => {}
        Err(error) => return Err(error),
    }
    dump.samples = each_once(dump.samples, |sample| sample.id);
    Ok(dump)
}

/// Why sock_diag could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketDiagError {
    /// The namespace of the calling thread could not be told.
    #[error(transparent)]
    Namespace(#[from] NetnsError),
    /// No netlink socket could be opened.
    #[error(
        "open a sock_diag socket: {cause}; the kernel needs CONFIG_INET_DIAG, and containers must not filter netlink"
    )]
    Open {
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The request could not be sent.
    #[error("ask sock_diag: {cause}; a security filter may forbid it")]
    Send {
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The answer did not come.
    #[error("read the answer of sock_diag: {cause}; try again")]
    Receive {
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The kernel does not answer this.
    #[error("list TCP sockets: sock_diag answered {cause}; load the kernel module tcp_diag")]
    Refused {
        /// The error number that it answered with.
        cause: io::Error,
    },
    /// The answer is not what sock_diag promises.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// A datagram did not fit.
    #[error(
        "read the answer of sock_diag: a datagram has {length} bytes, and there is room for {room}; this is a defect, please report it"
    )]
    Truncated {
        /// Its length.
        length: usize,
        /// The room that there was.
        room: usize,
    },
}

/// Of sockets that a listing gave twice the later one. Listings resume by place in a hash table, so
/// a socket that moves meanwhile can be met again.
pub(crate) fn each_once<T>(mut listed: Vec<T>, id: impl Fn(&T) -> ConnectionId) -> Vec<T> {
    // As a rule there is none, and then nothing needs to be moved.
    if is_each_once(&listed, &id) {
        return listed;
    }
    let mut met = HashSet::with_capacity(listed.len());
    let is_earlier: Vec<bool> = listed.iter().rev().map(|one| !met.insert(id(one))).collect();
    let mut is_earlier = is_earlier.into_iter().rev();
    listed.retain(|_| is_earlier.next() != Some(true));
    listed
}

/// Whether no socket was listed twice.
pub(crate) fn is_each_once<T>(listed: &[T], id: impl Fn(&T) -> ConnectionId) -> bool {
    let mut ids: Vec<ConnectionId> = listed.iter().map(id).collect();
    ids.sort_unstable();
    ids.is_sorted_by(|one, next| one < next)
}

fn errno(cause: &io::Error) -> Option<Errno> {
    Errno::from_io_error(cause)
}

fn is_absent(cause: &io::Error) -> bool {
    errno(cause) == Some(Errno::NOENT)
}

/// An acknowledgement takes about 1 KiB of the receive buffer, of which the kernel gives 208 KiB:
/// room for three times as many.
pub(crate) const BATCH_MAX: usize = 64;
/// NLM_F_ACK.
const NLM_F_ACK: u16 = 4;
/// A dump that is disturbed each time is taken as it is: on a busy host the next is no better.
const ATTEMPTS: u32 = 4;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use halfopen_core::TcpState;
    use rustix::net::sockopt;

    use super::*;

    fn endpoints(stream: &TcpStream) -> Endpoints {
        let (local, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        Endpoints { local, peer, interface: None }
    }

    #[test]
    fn a_connection_is_in_the_dump_and_found_again_by_its_cookie() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let cookie = Cookie(sockopt::socket_cookie(&stream).unwrap());
        let mut diag = SocketDiag::open().unwrap();
        let dump = diag.dump().unwrap();
        let sample = dump.samples.iter().find(|sample| sample.id.cookie == cookie).unwrap();
        assert_eq!(sample.endpoints, endpoints(&stream));
        assert_eq!(sample.state, TcpState::Established);
        assert!(sample.info.as_ref().unwrap().rto.is_some());
        let again = diag.look_up(sample.family, &sample.endpoints, cookie).unwrap().unwrap();
        assert_eq!((again.id, again.inode), (sample.id, sample.inode));
    }

    #[test]
    fn a_look_up_with_another_cookie_or_of_nothing_finds_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ends = endpoints(&stream);
        let mut diag = SocketDiag::open().unwrap();
        assert_eq!(diag.look_up(Family::V4, &ends, Cookie(u64::MAX - 1)).unwrap(), None);
        let nowhere = Endpoints { peer: "127.255.255.254:1".parse().unwrap(), ..ends };
        assert_eq!(diag.look_up(Family::V4, &nowhere, Cookie(1)).unwrap(), None);
    }

    #[test]
    fn a_mapped_connection_is_found_by_its_ipv4_addresses() {
        let Ok(listener) = TcpListener::bind("[::]:0") else { return };
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        let cookie = Cookie(sockopt::socket_cookie(&server).unwrap());
        let mut diag = SocketDiag::open().unwrap();
        let dump = diag.dump().unwrap();
        let sample = dump.samples.iter().find(|sample| sample.id.cookie == cookie).unwrap();
        assert_eq!(sample.family, Family::V4Mapped);
        assert!(sample.endpoints.local.is_ipv4());
        assert!(diag.look_up(sample.family, &sample.endpoints, cookie).unwrap().is_some());
    }

    #[test]
    fn a_socket_that_is_dumped_twice_counts_once_with_its_later_state() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cookie = Cookie(sockopt::socket_cookie(&listener).unwrap());
        let dump = SocketDiag::open().unwrap().dump().unwrap();
        let sample = dump.samples.into_iter().find(|sample| sample.id.cookie == cookie).unwrap();
        let later = Sample { state: TcpState::Closing, ..sample.clone() };
        assert_eq!(each_once(vec![sample, later.clone()], |sample| sample.id), [later]);
    }
}
