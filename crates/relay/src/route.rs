//! Owns a service while the relay runs: its listening socket, and its upstreams with their health.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    health::{self, UpstreamStanding},
    service::Service,
    upstream::Upstream,
};

/// A socket that clients connect to, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) socket: Arc<OwnedFd>,
    pub(crate) route: Arc<Route>,
}

/// A service and its upstreams. Pairs hold on to theirs when a reload brings another one.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) service: Service,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    clients: AtomicUsize,
}

impl Route {
    pub(crate) const fn new(service: Service, upstreams: Vec<Arc<Upstream>>) -> Self {
        Self { service, upstreams, clients: AtomicUsize::new(0) }
    }

    /// The number of another client.
    pub(crate) fn turn(&self) -> usize {
        self.clients.fetch_add(1, Ordering::Relaxed)
    }

    /// The upstream to try for the client with this number, and its place.
    pub(crate) fn next(&self, turn: usize, tried: u64) -> Option<(usize, Arc<Upstream>)> {
        let standings: Vec<UpstreamStanding> =
            self.upstreams.iter().map(|upstream| upstream.standing()).collect();
        let place = health::next(&standings, self.service.balance, turn, tried)?;
        Some((place, Arc::clone(self.upstreams.get(place)?)))
    }
}
