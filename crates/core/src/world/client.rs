//! Owns one client of the world: its failure detector, its reconnect policy, and the truth about its
//! connection, which it does not know.

use std::time::Duration;

use super::{
    CONNECT_TIMEOUT, Plan,
    report::{Fault, Ledger},
};
use crate::{
    chance::Chance,
    heartbeat::{Beat, Heartbeat, Next, Policy},
    reconnect::{self, EndedBy, FailedBy, Reconnect},
    sample::Moment,
};

/// One client.
pub(super) struct Client {
    heartbeat: Option<Heartbeat>,
    policy: Policy,
    reconnect: Reconnect,
    connecting: bool,
    /// Counts its connections, so that what belongs to an old one is known.
    pub(super) life: u32,
    /// Counts its wishes to be run.
    pub(super) wish: u32,
    /// The truth: since when its connection is dead, and by what.
    dead: Option<(Moment, Fault)>,
    /// When something last passed the boxes on the path.
    passed: Moment,
    pub(super) answer_by: Option<Moment>,
    pub(super) partitioned_until: Moment,
    pub(super) stopped_until: Moment,
    /// All time that its process was stopped.
    stopped: Duration,
    stopped_at_death: Duration,
    pub(super) address: u8,
    pub(super) down_since: Option<Moment>,
}

/// What a client wants to do.
pub(super) enum Wants {
    Send(Beat),
    Connect,
    WaitUntil(Moment),
    Nothing,
}

impl Client {
    pub(super) fn new(plan: &Plan<'_>) -> Self {
        Self {
            heartbeat: None,
            policy: plan.heartbeat,
            reconnect: Reconnect::new(plan.reconnect, Moment::default()),
            connecting: false,
            life: 0,
            wish: 0,
            dead: None,
            passed: Moment::default(),
            answer_by: None,
            partitioned_until: Moment::default(),
            stopped_until: Moment::default(),
            stopped: Duration::ZERO,
            stopped_at_death: Duration::ZERO,
            address: 1,
            down_since: Some(Moment::default()),
        }
    }

    pub(super) fn wants(&mut self, now: Moment, ledger: &mut Ledger, chance: &mut Chance) -> Wants {
        if self.connecting {
            return Wants::Nothing;
        }
        if let Some(heartbeat) = &mut self.heartbeat {
            match heartbeat.poll(now, chance) {
                Next::Send(beat) => return Wants::Send(beat),
                Next::WaitUntil(until) => return Wants::WaitUntil(until),
                Next::Dead(_) => self.loses(now, EndedBy::Silence, ledger, chance),
            }
        }
        match self.reconnect.poll(now) {
            reconnect::Next::Connect { .. } => {
                self.connecting = true;
                Wants::Connect
            }
            reconnect::Next::WaitUntil(until) => Wants::WaitUntil(until),
            reconnect::Next::Up | reconnect::Next::GiveUp(_) => Wants::Nothing,
        }
    }

    pub(super) fn hears(&mut self, beat: Beat, now: Moment) {
        self.answer_by = None;
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.handle_answer(beat, now);
            heartbeat.handle_sent(now);
        }
    }

    /// The client takes its connection for lost.
    pub(super) fn loses(
        &mut self,
        now: Moment,
        by: EndedBy,
        ledger: &mut Ledger,
        chance: &mut Chance,
    ) {
        if self.heartbeat.take().is_none() {
            return;
        }
        let paused = self.stopped.saturating_sub(self.stopped_at_death);
        match self.dead.take() {
            Some((since, fault)) => {
                ledger.noticed(fault, now.since(since).saturating_sub(paused), &self.policy)
            }
            None => ledger.mistaken(now, self.partitioned_until, &self.policy),
        }
        self.life = self.life.wrapping_add(1);
        self.answer_by = None;
        self.down_since = Some(now);
        self.reconnect.handle_lost(now, by, None, chance);
    }

    pub(super) fn attempted(
        &mut self,
        now: Moment,
        failed: Option<FailedBy>,
        plan: &Plan<'_>,
        ledger: &mut Ledger,
        chance: &mut Chance,
    ) {
        self.connecting = false;
        ledger.attempts += 1;
        match failed {
            Some(by) => self.reconnect.handle_failed(now, by, chance),
            None => {
                self.reconnect.handle_up(now, Some([10, 0, 0, self.address].into()));
                self.heartbeat = Some(Heartbeat::new(plan.heartbeat, now, chance));
                self.life = self.life.wrapping_add(1);
                self.dead = None;
                self.passed = now;
                if let Some(since) = self.down_since.take() {
                    ledger.down += now.since(since);
                }
            }
        }
    }

    /// The truth changes: the connection is dead. The first death counts.
    pub(super) fn dies(&mut self, now: Moment, fault: Fault) {
        if self.heartbeat.is_some() && self.dead.is_none() {
            self.dead = Some((now, fault));
            // What is left of a stop that has begun is still to come.
            self.stopped_at_death = self.stopped.saturating_sub(self.stopped_until.since(now));
        }
    }

    pub(super) fn dead_by(&self) -> Option<Fault> {
        self.dead.map(|(_, fault)| fault)
    }

    /// A box that has not seen the flow for too long has forgotten it.
    pub(super) fn passes_through_box(&mut self, now: Moment, forgets_after: Option<Duration>) {
        if forgets_after.is_some_and(|limit| now.since(self.passed) > limit) {
            self.dies(now, Fault::Forgotten);
        }
        self.passed = now;
    }

    pub(super) fn pauses(&mut self, now: Moment, until: Moment) {
        self.stopped_until = self.stopped_until.max(until);
        self.stopped += until.since(now);
    }

    /// Down for longer than its policy and one attempt explain, with nothing in the way.
    pub(super) fn is_stuck(&self, end: Moment, plan: &Plan<'_>) -> bool {
        let free_since = self.stopped_until.max(self.partitioned_until);
        let patience = plan.reconnect.cap * 2 + CONNECT_TIMEOUT;
        self.down_since.is_some_and(|since| end.since(since.max(free_since)) > patience)
    }
}
