//! Owns the connections of one namespace that wait to be judged, in either of their forms. Judges none.

use halfopen_core::{Sample, Tracking};

use crate::{
    bpf::{record::Beyond, records::Records},
    options::SharedOptions,
    pieces::Pile,
    samples::Connections,
};

/// The connections of a namespace, or some of them.
pub(super) enum Unjudged {
    Columns(Columns),
    Records(Records),
}

/// Connections, and what is known of each from elsewhere, in the same order.
pub(super) struct Columns {
    pub(super) connections: Vec<Sample>,
    pub(super) beyond: Vec<Beyond>,
    pub(super) tracking: Vec<Tracking>,
}

impl Unjudged {
    /// `tracking` is that of [`Columns::new`]; records are of a namespace that tracks nothing.
    pub(super) fn new(connections: Connections, tracking: Vec<Tracking>) -> Self {
        match connections {
            Connections::Samples { samples, beyond } => {
                Self::Columns(Columns::new(samples, beyond, tracking))
            }
            Connections::Records(records) => Self::Records(records),
        }
    }

    /// All of them, decoded.
    pub(super) fn columns(self, shared: &mut SharedOptions) -> Columns {
        match self {
            Self::Columns(columns) => columns,
            Self::Records(records) => {
                let (samples, beyond) = records.columns(shared);
                Columns::new(samples, beyond, Vec::new())
            }
        }
    }
}

impl Columns {
    pub(super) fn new(
        connections: Vec<Sample>,
        beyond: Vec<Beyond>,
        mut tracking: Vec<Tracking>,
    ) -> Self {
        tracking.resize(connections.len(), Tracking::NotTracked);
        Self { connections, beyond, tracking }
    }
}

impl Pile for Unjudged {
    fn height(&self) -> usize {
        match self {
            Self::Columns(columns) => columns.connections.len(),
            Self::Records(records) => records.len(),
        }
    }

    fn take_from(&mut self, first: usize) -> Self {
        match self {
            Self::Columns(columns) => Self::Columns(Columns {
                connections: columns.connections.split_off(first),
                beyond: columns.beyond.split_off(first),
                tracking: columns.tracking.split_off(first),
            }),
            Self::Records(records) => Self::Records(records.split_off(first)),
        }
    }

    fn give_back_memory(&mut self) {
        match self {
            Self::Columns(columns) => {
                columns.connections.shrink_to_fit();
                columns.beyond.shrink_to_fit();
                columns.tracking.shrink_to_fit();
            }
            Self::Records(records) => records.shrink_to_fit(),
        }
    }
}
