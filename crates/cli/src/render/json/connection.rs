//! Owns the JSON of one connection, the same in every schema.

use std::{borrow::Cow, time::Duration};

use halfopen_core::{
    ConnectionId, Diagnosis, Evidence, Owners, Sample, TcpState,
    detection::{AppTold, Cause, Learns, NeverBecause, PeerTold, Prediction},
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{Field, text::Text};
use crate::render::words::End;

/// One connection.
#[derive(Debug, Serialize)]
pub(crate) struct Connection<'a> {
    id: Text<ConnectionId>,
    netns: u64,
    family: &'static str,
    local: Text<End>,
    peer: Text<End>,
    state: Text<TcpState>,
    verdict: &'static str,
    severity: &'static str,
    headline: Cow<'a, str>,
    evidence: Vec<EvidenceItem<'a>>,
    refuted_by: &'static str,
    last_heard_ms: Field<'a, u64>,
    learns: DetectionTime<'a>,
    owners: Field<'a, Vec<Owner<'a>>>,
    remedies: Vec<Remedy>,
}

#[derive(Debug, Serialize)]
struct DetectionTime<'a> {
    idle: Field<'a, LearnsItem<'a>>,
    busy: Field<'a, LearnsItem<'a>>,
    now: Field<'a, LearnsItem<'a>>,
}

/// One value of detection time.
#[derive(Debug)]
pub(crate) enum LearnsItem<'a> {
    Never(NeverBecause),
    Within(&'a Prediction),
}

#[derive(Debug)]
pub(super) struct EvidenceItem<'a>(pub(super) &'a Evidence);

#[derive(Debug, Serialize)]
pub(super) struct Owner<'a> {
    pid: u32,
    command: &'a str,
    fd: u32,
    uid: Field<'a, u32>,
    cgroup: Field<'a, &'a str>,
    unit: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Remedy {
    purpose: String,
    command: String,
}

impl<'a> Connection<'a> {
    /// The JSON of `diagnosis`.
    pub(crate) fn of(diagnosis: &'a Diagnosis) -> Self {
        let Diagnosis { observation, verdict, learns } = diagnosis;
        let sample = &observation.sample;
        Self {
            id: Text(sample.id),
            netns: sample.id.netns.0,
            family: sample.family.word(),
            local: Text(End(sample.endpoints.local)),
            peer: Text(End(sample.endpoints.peer)),
            state: Text(sample.state),
            verdict: verdict.kind().word(),
            severity: verdict.severity().word(),
            headline: verdict.headline(),
            evidence: verdict.evidence().map(EvidenceItem).collect(),
            refuted_by: verdict.refuter(),
            last_heard_ms: last_heard(sample),
            learns: DetectionTime {
                idle: learns_field(&learns.idle),
                busy: learns_field(&learns.busy),
                now: learns.now.as_ref().map_or(Field::NotApplicable, learns_field),
            },
            owners: owners(&observation.owners),
            remedies: verdict
                .remedies()
                .map(|one| Remedy {
                    purpose: one.purpose(observation),
                    command: one.command(observation),
                })
                .collect(),
        }
    }
}

fn last_heard(sample: &Sample) -> Field<'static, u64> {
    match sample.last_heard() {
        Some(ago) => Field::Known(millis(ago)),
        None if sample.state == TcpState::SynSent => Field::NotApplicable,
        None => Field::Unknown("the kernel gives no TCP_INFO for this socket".into()),
    }
}

/// One value of detection time, as every schema writes it.
pub(crate) fn learns_field(learns: &Learns) -> Field<'_, LearnsItem<'_>> {
    match learns {
        Learns::Never(because) => Field::Known(LearnsItem::Never(*because)),
        Learns::Within(prediction) => Field::Known(LearnsItem::Within(prediction)),
        Learns::Unknown(why) => Field::Unknown(why.as_ref().into()),
        Learns::NotApplicable(_) => Field::NotApplicable,
    }
}

pub(super) fn owners(owners: &Owners) -> Field<'_, Vec<Owner<'_>>> {
    match owners {
        Owners::Known(all) => Field::Known(all.iter().map(Owner::of).collect()),
        Owners::None => Field::Known(Vec::new()),
        Owners::Unseen(why) => Field::Unknown(why.as_ref().into()),
    }
}

impl<'a> Owner<'a> {
    fn of(owner: &'a halfopen_core::Owner) -> Self {
        const UNREAD: &str = "/proc did not say";
        let process = &owner.process;
        Self {
            pid: process.pid,
            command: &process.command,
            fd: owner.fd,
            uid: Field::known_or(process.uid, UNREAD),
            cgroup: Field::known_or(process.cgroup.as_deref(), UNREAD),
            unit: process.unit.as_deref(),
        }
    }
}

impl Serialize for LearnsItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Never(because) => {
                map.serialize_entry("never", &true)?;
                map.serialize_entry("because", because_word(*because))?;
            }
            Self::Within(prediction) => {
                map.serialize_entry("min_ms", &millis(prediction.within.min()))?;
                map.serialize_entry("max_ms", &millis(prediction.within.max()))?;
                map.serialize_entry("errno", &errno(prediction.application))?;
                map.serialize_entry("cause", cause_word(prediction.cause))?;
                map.serialize_entry("application", application_word(prediction.application))?;
                map.serialize_entry("peer", peer_word(prediction.peer))?;
                let assumes: Vec<_> =
                    prediction.assumes.iter().map(|assumption| assumption.clause()).collect();
                map.serialize_entry("assumes", &assumes)?;
            }
        }
        map.end()
    }
}

impl Serialize for EvidenceItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.0.kind())?;
        map.serialize_entry("text", &Text(self.0))?;
        for (name, number) in self.0.numbers() {
            map.serialize_entry(name, &number)?;
        }
        map.end()
    }
}

/// Whole milliseconds, rounded up as every bound is.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

const fn errno(told: AppTold) -> Option<&'static str> {
    match told {
        AppTold::TimedOut => Some("ETIMEDOUT"),
        AppTold::Nothing => None,
    }
}

const fn application_word(told: AppTold) -> &'static str {
    match told {
        AppTold::TimedOut => "timed-out",
        AppTold::Nothing => "nothing",
    }
}

const fn peer_word(told: PeerTold) -> &'static str {
    match told {
        PeerTold::Reset => "reset",
        PeerTold::Nothing => "nothing",
    }
}

const fn because_word(because: NeverBecause) -> &'static str {
    match because {
        NeverBecause::KeepaliveOff => "keepalive-off",
        NeverBecause::PeerHoldsWindowShut => "peer-holds-window-shut",
    }
}

const fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Retransmission => "retransmission",
        Cause::UserTimeout => "user-timeout",
        Cause::Keepalive => "keepalive",
        Cause::KeepaliveUserTimeout => "keepalive-user-timeout",
        Cause::WindowProbes => "window-probes",
        Cause::WindowUserTimeout => "window-user-timeout",
        Cause::Syn => "syn",
        Cause::SynAck => "syn-ack",
        Cause::Orphan => "orphan",
        Cause::FinWait2 => "fin-wait-2",
        Cause::TimeWait => "time-wait",
    }
}
