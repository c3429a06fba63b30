//! Owns the rows of the matrix: every fault of the catalogue with short timers, and what its parameters
//! make of it, each as a scenario that anybody could have written. Pure. Read: docs/scenarios.md.

use crate::{
    fault::{CATALOGUE, Fault},
    scenario::{Scenario, ScenarioError, State},
};

/// A row: a fault with parameters, in the states in which it makes a difference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// The fault, and after a space what is special about it.
    pub(super) name: &'static str,
    /// The step before it, if there is one, its own parameters, and what else the scenario has, in TOML.
    before: &'static str,
    step: &'static str,
    more: &'static str,
    topology: &'static str,
    states: &'static [State],
}

const ALL: &[State] = &State::ALL;
const IDLE: &[State] = &[State::Idle];
const WRITING: &[State] = &[State::Writing];
/// Of one end that has closed nothing more is written.
const UNWRITTEN: &[State] = &[State::Idle, State::Waiting];
const BOTH: &[State] = &[State::Idle, State::Writing];

impl Row {
    const fn of(name: &'static str, states: &'static [State]) -> Self {
        Self { name, before: "", step: "", more: "", topology: "routed", states }
    }

    const fn with(self, step: &'static str) -> Self {
        Self { step, ..self }
    }

    /// Behind another fault, which comes at the same moment.
    const fn behind(self, before: &'static str) -> Self {
        Self { before, ..self }
    }

    const fn and(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    const fn on(self, topology: &'static str) -> Self {
        Self { topology, ..self }
    }

    /// Its fault's name.
    pub(super) fn fault(&self) -> &'static str {
        self.name.split([' ', ',']).next().unwrap_or(self.name)
    }

    /// Its name as that of a scenario.
    pub(super) fn slug(&self) -> String {
        self.name.replace(',', "").replace(' ', "-")
    }

    pub(super) const fn states(&self) -> &'static [State] {
        self.states
    }

    /// Only with a client that writes all the time there is something unread.
    pub(super) fn needs_writer(&self) -> bool {
        self.step.contains("unread = true")
    }

    /// The row as a scenario. With programs of others, the state of the pair says nothing.
    pub(super) fn scenario(&self, state: State, set: &[String]) -> Result<Scenario, ScenarioError> {
        let (fault, step, more) = (self.fault(), self.step, self.more);
        let of_birth = Fault::plain(fault).is_ok_and(|fault| fault.is_of_birth());
        let when = if of_birth { "before the client starts" } else { "500ms after established" };
        let before = match self.before {
            "" => String::new(),
            before => format!("[[at]]\nwhen = \"{when}\"\n{before}\n"),
        };
        let text = format!(
            "topology = \"{}\"\n{more}\n[pair]\nstate = \"{}\"\nkeepalive = \"1s/1s/3\"\n\
             [client.sysctls]\n{SYSCTLS}[server.sysctls]\n{SYSCTLS}[stop]\nlimit = \"14s\"\n\
             {before}[[at]]\nwhen = \"{when}\"\nfault = \"{fault}\"\n{step}\n",
            self.topology,
            state.word(),
        );
        let name = format!("{}-{}", self.slug(), state.word());
        let mut scenario = Scenario::read(&name, &text, set)?;
        let entry = CATALOGUE.iter().find(|entry| entry.name == fault);
        scenario.summary = entry.map_or("", |entry| entry.what).to_owned();
        Ok(scenario)
    }
}

/// Retries that end within the limit.
const SYSCTLS: &str =
    "tcp_retries2 = 3\ntcp_syn_retries = 2\ntcp_synack_retries = 1\ntcp_orphan_retries = 2\n";

/// Every fault, and what its parameters make of it, in the order of the catalogue.
pub(super) const ROWS: &[Row] = &[
    Row::of("cut", ALL),
    Row::of("cut at the plug", BOTH).with("place = \"client\"\ncarrier = false"),
    Row::of("cut on one segment", BOTH).on("lan").with("place = \"server\"\ncarrier = false"),
    Row::of("cut one-way", BOTH).with("direction = \"to-client\""),
    Row::of("cut for a while", BOTH).with("lasts = \"1500ms\""),
    Row::of("link with loss", WRITING).with("loss = 10\ndelay = \"20ms\""),
    Row::of("link with delay", BOTH).with("delay = \"60ms\"\njitter = \"20ms\"\nreorder = 10"),
    Row::of("link with bent frames", WRITING).with("corrupt = 10\nduplicate = 10"),
    Row::of("link with a small MTU", BOTH).with("mtu = 500"),
    Row::of("flap", ALL).with("down = \"500ms\"\nup = \"1500ms\"\ntimes = 5"),
    Row::of("flap for long", BOTH).with("down = \"10s\"\nup = \"1s\"\ntimes = 2"),
    Row::of("middlebox", BOTH),
    Row::of("middlebox that forgets", BOTH).with("forgets_after = \"800ms\""),
    Row::of("middlebox that is refreshed", BOTH).with("forgets_after = \"5s\""),
    Row::of("middlebox with RST", IDLE).with("forgets_after = \"500ms\"\nthen = \"rst\""),
    Row::of("middlebox with RST inside", IDLE)
        .with("forgets_after = \"500ms\"\nthen = \"rst-inside\""),
    Row::of("middlebox with RST to both", IDLE)
        .with("forgets_after = \"500ms\"\nthen = \"rst-both\""),
    Row::of("middlebox that leaks", IDLE).with("forgets_after = \"500ms\"\nthen = \"leak\""),
    Row::of("middlebox with ICMP", IDLE).with("forgets_after = \"500ms\"\nthen = \"icmp\""),
    Row::of("middlebox that picks up", IDLE).with("forgets_after = \"500ms\"\nthen = \"pick-up\""),
    Row::of("middlebox, keepalive ignored", IDLE)
        .with("forgets_after = \"3s\"\nkeepalives = \"ignore\""),
    Row::of("middlebox, keepalive eaten", BOTH).with("keepalives = \"drop\""),
    Row::of("middlebox, keepalive answered", IDLE).with("keepalives = \"answer\""),
    Row::of("middlebox, table full", IDLE).with("max_flows = 1"),
    Row::of("middlebox-forgets", ALL),
    Row::of("middlebox-forgets with RST", BOTH).with("then = \"rst\""),
    Row::of("middlebox-forgets, another port", ALL).with("then = \"leak\""),
    Row::of("rst-injected", ALL),
    Row::of("rst-injected beside the window", IDLE).with("aim = \"in-window\""),
    Row::of("rst-injected blindly", IDLE).with("aim = \"blind\""),
    Row::of("syn-repeated", ALL),
    Row::of("exit", ALL),
    Row::of("kill", ALL),
    Row::of("kill with unread data", WRITING).with("unread = true"),
    Row::of("freeze", ALL),
    Row::of("freeze for a while", BOTH).with("lasts = \"2s\""),
    Row::of("hang", ALL),
    Row::of("power-off", ALL),
    Row::of("reboot", ALL),
    Row::of("reboot for long", BOTH).with("down = \"9s\""),
    Row::of("reboot behind a firewall", BOTH).with("firewall = \"stateful\""),
    Row::of("suspend", ALL).with("lasts = \"2s\""),
    Row::of("abort", ALL),
    Row::of("renumber", ALL),
    Row::of("renumber, address taken", BOTH).with("side = \"server\"\nold_owner = \"other\""),
    Row::of("interface-down", ALL),
    Row::of("route-lost", ALL),
    Row::of("icmp", ALL).with("answer = \"prohibited\""),
    Row::of("forget", ALL).on("nat"),
    Row::of("forget with RST", BOTH).on("nat").and("[router]\nfilter = \"reset\""),
    Row::of("forget without a filter", IDLE)
        .on("nat")
        .and("[router]\nfilter = \"none\"\npicks_up = true"),
    Row::of("forget, another port", ALL)
        .on("nat")
        .and("[router]\nfilter = \"none\"\npicks_up = true\nrandom_ports = true"),
    Row::of("syn-flood", IDLE),
    Row::of("syn-flood without cookies", IDLE).with("cookies = \"off\""),
    Row::of("accept-stall", IDLE),
    Row::of("syn-dropped", IDLE),
    Row::of("third-ack-lost", IDLE),
    Row::of("fin-lost", ALL),
    Row::of("half-close", ALL),
    Row::of("half-close, soon forgotten", UNWRITTEN)
        .behind("fault = \"middlebox\"\nhalf_closed_after = \"500ms\""),
    Row::of("half-close, forgotten with RST", UNWRITTEN)
        .behind("fault = \"middlebox\"\nhalf_closed_after = \"500ms\"\nthen = \"rst\""),
    Row::of("half-close, kept by probes", UNWRITTEN)
        .behind("fault = \"middlebox\"\nhalf_closed_after = \"5s\""),
    Row::of("zero-window", WRITING),
    Row::of("rst-lost", ALL),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_a_scenario_and_every_fault_has_a_row() {
        let mut faults = BTreeSet::new();
        let mut names = BTreeSet::new();
        for row in ROWS {
            assert!(names.insert(row.name), "{} is there twice", row.name);
            for state in row.states() {
                let scenario = row.scenario(*state, &[]).unwrap();
                faults.insert(scenario.steps.last().unwrap().fault.name());
            }
        }
        let known: BTreeSet<_> = CATALOGUE.iter().map(|entry| entry.name).collect();
        assert_eq!(faults, known);
    }

    #[test]
    fn what_is_set_goes_into_every_row() {
        let set = ["stop.limit=40s".to_owned()];
        let scenario = ROWS[0].scenario(State::Idle, &set).unwrap();
        assert_eq!(scenario.stop.limit.as_secs(), 40);
        assert!(ROWS[0].scenario(State::Idle, &["stop.limt=40s".to_owned()]).is_err());
    }
}
