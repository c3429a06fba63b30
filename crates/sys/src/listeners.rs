//! Owns the joining of listeners to connections of one namespace. Pure: reads no socket.
//! Read: linux net/ipv4/inet_hashtables.c `compute_score` (which listener a SYN goes to).

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use halfopen_core::{Family, Listener, Sample, SocketOptions, Sysctls, TcpState};

/// The listeners of one namespace, by port and address; those of every address have none. There are
/// few, and asked is for each of very many connections, so comparing is faster than hashing.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    by_place: BTreeMap<(u16, Option<IpAddr>), Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    family: Family,
    /// As every connection of it sees it.
    listener: Arc<Listener>,
    /// As those see it that wait for it, once all are counted.
    counted: Arc<Listener>,
}

impl Listeners {
    /// A listener of this namespace. `options` and `sysctls` tell its retries, if they were read.
    pub(crate) fn add(
        &mut self,
        sample: &Sample,
        options: Option<&SocketOptions>,
        sysctls: &Sysctls,
    ) {
        let listener = Listener {
            netns: sample.id.netns,
            local: sample.endpoints.local,
            accept_queue: sample.receive_queue,
            backlog: sample.send_queue,
            embryonic: None,
            // Where none was set, the kernel answers with tcp_syn_retries, though SYN-ACKs follow
            // tcp_synack_retries (do_tcp_getsockopt, reqsk_timer_handler): that is no answer.
            syn_retries: options
                .and_then(|options| options.syn_retries)
                .filter(|retries| Some(*retries) != sysctls.syn_retries),
            defer_accept_s: options
                .and_then(|options| options.defer_accept)
                .and_then(|span| u32::try_from(span.as_secs()).ok()),
        };
        let counted = Arc::new(Listener { embryonic: Some(0), ..listener.clone() });
        let entry = Entry { family: sample.family, listener: Arc::new(listener), counted };
        self.by_place.entry(place(sample.endpoints.local)).or_default().push(entry);
    }

    /// Counts `sample` where it is embryonic. Listeners that share address and port
    /// (SO_REUSEPORT) share the count, since the kernel does not say which of them it waits for.
    pub(crate) fn count(&mut self, sample: &Sample) {
        if sample.state != TcpState::SynReceived {
            return;
        }
        let Some(best) = self.covering(sample).map(|listener| listener.local) else { return };
        for entry in self.by_place.get_mut(&place(best)).into_iter().flatten() {
            if entry.listener.local == best {
                let counted = Arc::make_mut(&mut entry.counted);
                counted.embryonic = counted.embryonic.map(|count| count.saturating_add(1));
            }
        }
    }

    /// The listener that the connection's local end belongs to: one of its own family and address
    /// before one of every address. Of several alike, the one with the fullest accept queue, as it
    /// says most.
    pub(crate) fn covering(&self, sample: &Sample) -> Option<Arc<Listener>> {
        let local = sample.endpoints.local;
        let of = |place| self.by_place.get(&place).into_iter().flatten();
        of(place(local))
            .chain(of((local.port(), None)))
            .filter(|entry| entry.listener.covers(local))
            .max_by_key(|entry| {
                let same_family = is_ipv6(entry.family) == is_ipv6(sample.family);
                let same_address = !entry.listener.local.ip().is_unspecified();
                (same_family, same_address, entry.listener.accept_queue)
            })
            .map(|entry| match sample.state {
                TcpState::SynReceived => Arc::clone(&entry.counted),
                _ => Arc::clone(&entry.listener),
            })
    }

    /// All of them, by address and port.
    pub(crate) fn all(&self) -> Vec<Listener> {
        let mut all: Vec<_> =
            self.by_place.values().flatten().map(|entry| (*entry.counted).clone()).collect();
        all.sort_by_key(|listener| listener.local);
        all
    }
}

fn place(local: SocketAddr) -> (u16, Option<IpAddr>) {
    let address = local.ip().to_canonical();
    (local.port(), Some(address).filter(|address| !address.is_unspecified()))
}

const fn is_ipv6(family: Family) -> bool {
    matches!(family, Family::V6 | Family::V4Mapped)
}

#[cfg(test)]
mod tests {
    use halfopen_core::{
        ConnectionId, Cookie, Endpoints, Inside, KernelTimer, Moment, NetnsId, Source,
    };

    use super::*;

    fn sample(state: TcpState, family: Family, local: &str, queue: u32) -> Sample {
        Sample {
            source: Source::SockDiag,
            taken_at: Moment::default(),
            id: ConnectionId { cookie: Cookie(1), netns: NetnsId(1) },
            family,
            endpoints: Endpoints {
                local: local.parse().unwrap(),
                peer: "10.0.0.9:5000".parse().unwrap(),
                interface: None,
            },
            state,
            timer: KernelTimer::Off,
            receive_queue: queue,
            send_queue: 128,
            uid: None,
            inode: None,
            cgroup_id: None,
            shutdown: None,
            info: None,
            inside: Inside::default(),
        }
    }

    fn listeners(list: &[(Family, &str, u32)]) -> Listeners {
        let mut listeners = Listeners::default();
        for (family, local, queue) in list {
            let listener = sample(TcpState::Listen, *family, local, *queue);
            listeners.add(&listener, None, &Sysctls::default());
        }
        listeners
    }

    fn chosen(listeners: &Listeners, family: Family, local: &str) -> Option<String> {
        let connection = sample(TcpState::Established, family, local, 0);
        listeners.covering(&connection).map(|listener| listener.local.to_string())
    }

    #[test]
    fn a_listener_of_the_address_comes_before_one_of_all_addresses() {
        let listeners = listeners(&[
            (Family::V4, "0.0.0.0:80", 9),
            (Family::V4, "10.0.0.1:80", 0),
            (Family::V6, "[::]:80", 0),
        ]);
        let of = |family, local| chosen(&listeners, family, local);
        assert_eq!(of(Family::V4, "10.0.0.1:80").as_deref(), Some("10.0.0.1:80"));
        assert_eq!(of(Family::V4, "10.0.0.2:80").as_deref(), Some("0.0.0.0:80"));
        assert_eq!(of(Family::V4Mapped, "10.0.0.2:80").as_deref(), Some("[::]:80"));
        assert_eq!(of(Family::V4, "10.0.0.1:81"), None);
    }

    #[test]
    fn embryonic_connections_are_counted_at_the_listener_that_they_wait_for() {
        let mut listeners = listeners(&[
            (Family::V4, "0.0.0.0:80", 0),
            (Family::V4, "0.0.0.0:80", 0),
            (Family::V4, "10.0.0.1:80", 0),
        ]);
        for (state, local) in [
            (TcpState::SynReceived, "10.0.0.1:80"),
            (TcpState::SynReceived, "10.0.0.2:80"),
            (TcpState::SynReceived, "10.0.0.2:80"),
            (TcpState::Established, "10.0.0.2:80"),
            (TcpState::SynReceived, "10.0.0.2:81"),
        ] {
            listeners.count(&sample(state, Family::V4, local, 0));
        }
        let counts: Vec<_> = listeners.all().iter().map(|listener| listener.embryonic).collect();
        assert_eq!(counts, [Some(2), Some(2), Some(1)]);
        let seen = |state| {
            let sample = sample(state, Family::V4, "10.0.0.2:80", 0);
            listeners.covering(&sample).and_then(|listener| listener.embryonic)
        };
        assert_eq!((seen(TcpState::SynReceived), seen(TcpState::Established)), (Some(2), None));
    }

    #[test]
    fn retries_that_equal_the_default_of_connecting_sockets_are_no_answer() {
        let listener = sample(TcpState::Listen, Family::V4, "0.0.0.0:80", 0);
        let sysctls = Sysctls { syn_retries: Some(6), ..Sysctls::default() };
        let retries = |set| {
            let options = SocketOptions { syn_retries: Some(set), ..SocketOptions::default() };
            let mut listeners = Listeners::default();
            listeners.add(&listener, Some(&options), &sysctls);
            listeners.all()[0].syn_retries
        };
        assert_eq!(retries(6), None);
        assert_eq!(retries(2), Some(2));
    }
}
