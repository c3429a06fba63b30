//! Owns the stage of a rehearsal: the lab, the programs of both sides, and what passes their cables.
//! Chooses no times; `acts` changes it.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use halfopen_core::{Moment, Sample, TcpState};
use halfopen_sys::SocketDiag;

use super::{
    BySide, Options, RehearsalError,
    dhcp::Dhcp,
    flood::Flood,
    pace,
    party::{Count, Party},
    patiently,
    watch::Watch,
};
use crate::{
    bell::Bell,
    fault::{Fault, Side},
    frame::Frame,
    lab::Lab,
    pair::{self, Role},
    program::Program,
    requirements,
    scenario::{Plan, Ready, Scenario, Typed},
    timeline::plug,
    topology::{CLIENT, ROUTER, SECOND_SERVER},
    wire::Fate,
};

/// The stage.
pub(super) struct Stage<'a> {
    // In the order in which they are to go: what holds a namespace before the namespace.
    pub(super) flood: Option<Flood>,
    pub(super) dhcp: Dhcp,
    pub(super) watch: Watch,
    parties: [Party; 2],
    /// Behind a balancer, the second server's.
    second: Option<Party>,
    pub(super) lab: Lab,
    pub(super) scenario: &'a Scenario,
    pub(super) options: &'a Options<'a>,
    /// Rings at every frame and every word of a program.
    pub(super) bell: Arc<Bell>,
    wire: [Vec<OnWire>; 2],
    next_frame: [u64; 2],
    lost_power: [bool; 2],
    /// When each host last sent data.
    spoke: [Option<Moment>; 2],
    /// Where a program held its end: process, descriptor, and the link that tells it is the one.
    held: BySide<(u32, u32, String)>,
    let_go: BySide<Moment>,
    flooded_most: usize,
}

/// A segment on the cable of a side that begins or ends something, or a router's complaint.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnWire {
    pub(super) at: Moment,
    /// It goes to the host of that side; else it comes from there.
    pub(super) to_host: bool,
    pub(super) delivered: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) is_icmp: bool,
    /// The port of that side.
    pub(super) port: Option<u16>,
}

impl<'a> Stage<'a> {
    /// Builds the lab, with names for its hosts.
    pub(super) fn set(
        scenario: &'a Scenario,
        options: &'a Options<'a>,
    ) -> Result<Self, RehearsalError> {
        check(scenario)?;
        let lab = Lab::build(scenario.topology())?;
        if let Some(path) = &options.capture {
            let failed = |cause| RehearsalError::Capture { path: path.clone(), cause };
            lab.cable(0)?.capture_to(path).map_err(failed)?;
        }
        let bell = Arc::new(Bell::default());
        for index in 0..lab.topology().cables.len() {
            lab.cable(index)?.rings(Arc::clone(&bell));
        }
        let mut stage = Self {
            flood: None,
            dhcp: Dhcp::default(),
            watch: Watch::default(),
            parties: Default::default(),
            second: None,
            lab,
            scenario,
            options,
            bell,
            wire: Default::default(),
            next_frame: [0; 2],
            lost_power: [false; 2],
            spoke: [None; 2],
            held: BySide::default(),
            let_go: BySide::default(),
            flooded_most: 0,
        };
        for side in Side::BOTH {
            stage.name_hosts(side.word())?;
            stage.watch.begin(&stage.lab, side)?;
        }
        if scenario.plan == Plan::Balanced {
            stage.name_hosts(SECOND_SERVER)?;
        }
        Ok(stage)
    }

    pub(super) const fn party(&self, side: Side) -> &Party {
        let [client, server] = &self.parties;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    const fn party_mut(&mut self, side: Side) -> &mut Party {
        let [client, server] = &mut self.parties;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// The command of a side; `None` for the built-in pair.
    pub(super) fn command(&self, side: Side) -> Option<&str> {
        let party = match side {
            Side::Client => &self.scenario.client,
            Side::Server => &self.scenario.server,
        };
        party.command.as_deref()
    }

    pub(super) fn is_on(&self, side: Side) -> bool {
        self.lab.host(side.word()).is_ok_and(crate::Host::is_on)
    }

    /// The host has been without power, so that what it holds now is of another life.
    pub(super) const fn has_lost_power(&self, side: Side) -> bool {
        let [client, server] = self.lost_power;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    pub(super) fn on_wire(&self, side: Side) -> &[OnWire] {
        let [client, server] = &self.wire;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// The most connection requests of a flood that were seen at once.
    pub(super) const fn flooded_most(&self) -> usize {
        self.flooded_most
    }

    /// The name of a side and its address, for the picture.
    pub(super) fn title(&self, side: Side) -> String {
        format!("{side} {}", self.address(side))
    }

    /// The programs of a side; not those by which the lab itself gives addresses.
    pub(super) fn programs(&self, side: Side) -> Option<Vec<u32>> {
        let own = self.dhcp.pids();
        let pids = self.lab.host(side.word()).ok()?.processes().ok()?;
        Some(pids.into_iter().filter(|pid| !own.contains(pid)).collect())
    }

    /// The process and the descriptor that hold a socket.
    pub(super) fn holder(&self, side: Side, sample: &Sample) -> Option<(u32, u32)> {
        let wanted = format!("socket:[{}]", sample.inode?);
        let holds = |pid: u32| {
            let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            entries.flatten().find_map(|entry| {
                let link = fs::read_link(entry.path()).ok()?;
                (link.as_os_str() == wanted.as_str())
                    .then(|| entry.file_name().to_str()?.parse().ok())?
            })
        };
        self.programs(side)?.into_iter().find_map(|pid| Some((pid, holds(pid)?)))
    }

    /// Counts what the server holds before the client comes.
    pub(super) fn count_before(&mut self) {
        let count = self.programs(Side::Server).map(|pids| Count::of(&pids));
        self.party_mut(Side::Server).before = count;
    }

    /// Takes up what programs said, and what passed the cables.
    pub(super) fn listen(&mut self) {
        self.parties.iter_mut().chain(&mut self.second).for_each(Party::listen);
        self.see_who_lets_go();
        self.flooded_most = self.flooded_most.max(self.watch.flooded(Side::Server));
        for (index, side) in Side::BOTH.into_iter().enumerate() {
            let (cable, end) = plug(self.scenario.plan, side);
            let Ok(cable) = self.lab.cable(cable) else { continue };
            let Some(next) = self.next_frame.get_mut(index) else { continue };
            let frames = cable.frames(*next);
            *next = frames.last().map_or(*next, |seen| seen.number + 1);
            let Some(wire) = self.wire.get_mut(index) else { continue };
            for seen in frames {
                let to_host = seen.from != end;
                let delivered = !matches!(seen.fate, Fate::Dropped(_));
                let event = OnWire {
                    at: seen.at,
                    to_host,
                    delivered,
                    fin: false,
                    rst: false,
                    is_icmp: false,
                    port: None,
                };
                let speaks = seen.frame.segment().is_some_and(|segment| segment.payload > 0);
                if let Some(spoke) = self.spoke.get_mut(index).filter(|_| speaks && !to_host) {
                    *spoke = Some(seen.at);
                }
                match &seen.frame {
                    Frame::Tcp(segment) if segment.flags.fin || segment.flags.rst => {
                        let own = if to_host { segment.destination } else { segment.source };
                        wire.push(OnWire {
                            fin: segment.flags.fin,
                            rst: segment.flags.rst,
                            port: Some(own.port()),
                            ..event
                        });
                    }
                    Frame::Other(words) if to_host && UNREACHABLE.contains(&words.as_str()) => {
                        wire.push(OnWire { is_icmp: true, ..event });
                    }
                    _ => {}
                }
            }
        }
    }

    /// When the host of a side last sent data.
    pub(super) const fn spoke(&self, side: Side) -> Option<Moment> {
        let [client, server] = self.spoke;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// When the program of a side let go of its descriptor, by closing it or by ending.
    pub(super) fn let_go(&self, side: Side) -> Option<Moment> {
        self.let_go.get(side).copied()
    }

    /// Remembers where a program holds its end.
    pub(super) fn hold(&mut self, side: Side, pid: u32, fd: u32) {
        let link = fs::read_link(format!("/proc/{pid}/fd/{fd}"));
        if let Ok(link) = link {
            self.held.set(side, (pid, fd, link.to_string_lossy().into_owned()));
        }
    }

    fn see_who_lets_go(&mut self) {
        for side in Side::BOTH {
            let Some((pid, fd, link)) = self.held.get(side) else { continue };
            let now = fs::read_link(format!("/proc/{pid}/fd/{fd}"));
            let is_held = now.is_ok_and(|now| now.as_os_str() == link.as_str());
            if !is_held && self.let_go.get(side).is_none() {
                self.let_go.set(side, halfopen_sys::now());
            }
        }
    }

    /// What is typed into the program of a side.
    const fn types(&self, side: Side) -> &'a [Typed] {
        let scenario = self.scenario;
        match side {
            Side::Client => scenario.client.types.as_slice(),
            Side::Server => scenario.server.types.as_slice(),
        }
    }

    /// When something is to be typed next, after both ends were established.
    pub(super) fn next_typed(&self) -> Option<Duration> {
        let next = |side| self.types(side).get(self.party(side).typed);
        Side::BOTH.into_iter().filter_map(next).map(|typed| typed.after).min()
    }

    /// Types what is due.
    pub(super) fn type_due(&mut self, elapsed: Duration) -> Result<(), RehearsalError> {
        for side in Side::BOTH {
            let types = self.types(side);
            let party = self.party_mut(side);
            while let Some(typed) = types.get(party.typed).filter(|typed| typed.after <= elapsed) {
                party.typed += 1;
                // A program that has ended hears nothing, which its card says.
                let _ = party.type_line(&typed.line);
            }
        }
        Ok(())
    }

    /// Starts the program of a side; with that of the server, where there is a second one, its too.
    pub(super) fn start(&mut self, side: Side) -> Result<(), RehearsalError> {
        let program = self.launch(side, side.word())?;
        self.party_mut(side).take(program);
        if self.scenario.plan == Plan::Balanced && side == Side::Server && self.second.is_none() {
            let program = self.launch(side, SECOND_SERVER)?;
            self.second.get_or_insert_default().take(program);
        }
        Ok(())
    }

    /// Starts the program of a side on a host.
    fn launch(&self, side: Side, host: &str) -> Result<Program, RehearsalError> {
        let server = format!("SERVER={}", self.target());
        let client = format!("CLIENT={}", self.address(Side::Client));
        let role;
        let mut arguments = vec![server.as_str(), client.as_str()];
        match self.command(side) {
            Some(command) => arguments.extend(["sh", "-c", command]),
            None => {
                role = self.role(side).words();
                arguments.extend(self.options.pair.iter().map(String::as_str));
                arguments.extend(role.iter().map(String::as_str));
            }
        }
        let program = self.lab.host(host)?.spawn_as_user("env", &arguments)?;
        program.rings(Arc::clone(&self.bell));
        Ok(program)
    }

    fn role(&self, side: Side) -> Role {
        let keeps_open =
            self.scenario.steps.iter().any(|step| matches!(step.fault, Fault::HalfClose { .. }));
        let address = SocketAddr::new(self.target(), pair::PORT);
        Role { side, address, keeps_open, pair: self.scenario.pair.clone() }
    }

    /// Where the client finds the server: behind a balancer, the balancer.
    pub(super) fn target(&self) -> IpAddr {
        let name = if self.scenario.plan == Plan::Balanced { ROUTER } else { Side::Server.word() };
        self.address_of(name)
    }

    fn address(&self, side: Side) -> IpAddr {
        self.address_of(side.word())
    }

    fn address_of(&self, host: &str) -> IpAddr {
        self.lab.topology().address(host).unwrap_or(Ipv4Addr::UNSPECIFIED.into())
    }

    /// Waits until the program of a side is ready, as its scenario tells.
    pub(super) fn wait_until_ready(
        &mut self,
        side: Side,
        interrupted: &AtomicBool,
    ) -> Result<(), RehearsalError> {
        let scenario = self.scenario;
        let party = if side == Side::Client { &scenario.client } else { &scenario.server };
        let ready = match (&party.command, &party.ready) {
            (None, _) => Some(Ready::Port(pair::PORT)),
            (Some(_), ready) => ready.clone(),
        };
        let reached = patiently(READY_WITHIN, interrupted, || {
            self.listen();
            self.watch.dump_if_due(&self.lab, pace::readings(Duration::ZERO))?;
            let listening = self.watch.listening(side);
            let party = self.party(side);
            let is_ready = match &ready {
                Some(Ready::Port(port)) => listening.contains(port),
                Some(Ready::Line(text)) => party.said.iter().any(|line| line.text.contains(text)),
                None => !listening.is_empty(),
            };
            // A daemon leaves its parent; who has ended with an error will never be ready.
            let failed = party.ended.as_ref().is_some_and(|(_, how)| how != "exit 0");
            Ok(if is_ready { Some(true) } else { failed.then_some(false) })
        })?;
        if reached == Some(true) {
            return if side == Side::Server { self.wait_for_second(interrupted) } else { Ok(()) };
        }
        let what = match ready {
            Some(Ready::Port(port)) => format!("the {side} listen on port {port}"),
            Some(Ready::Line(text)) => format!("the {side} say \"{text}\""),
            None => format!("the {side} listen"),
        };
        let within = reached.is_none().then_some(READY_WITHIN);
        Err(RehearsalError::Unseen { what, within, instead: self.party_mut(side).last_words() })
    }

    /// Waits until the second server, if there is one, listens where the first does.
    fn wait_for_second(&mut self, interrupted: &AtomicBool) -> Result<(), RehearsalError> {
        if self.second.is_none() {
            return Ok(());
        }
        let ports = self.watch.listening(Side::Server).to_vec();
        let reached = patiently(READY_WITHIN, interrupted, || {
            self.listen();
            let there = self.of_second(|sample| {
                (sample.state == TcpState::Listen).then_some(sample.endpoints.local.port())
            })?;
            Ok(ports.iter().all(|port| there.contains(port)).then_some(()))
        })?;
        reached.ok_or_else(|| RehearsalError::Unseen {
            what: format!("{SECOND_SERVER} listen as the server does"),
            within: Some(READY_WITHIN),
            instead: self.second.as_mut().map(Party::last_words).unwrap_or_default(),
        })
    }

    /// What is wanted of each socket of the second server.
    fn of_second<T>(
        &self,
        wanted: impl Fn(&Sample) -> Option<T>,
    ) -> Result<Vec<T>, RehearsalError> {
        let failed = |why: String| RehearsalError::Look { side: Side::Server, why };
        let diag = self.lab.host(SECOND_SERVER)?.enter(SocketDiag::open)?;
        let dump = diag.and_then(|mut diag| diag.dump());
        let samples = dump.map_err(|error| failed(error.to_string()))?.samples;
        Ok(samples.iter().filter_map(wanted).collect())
    }

    /// How many connections the second server holds; `None` where there is none.
    pub(super) fn connections_of_second(&self) -> Option<usize> {
        self.second.as_ref()?;
        let is_open = |sample: &Sample| {
            (sample.state == TcpState::Established && !sample.endpoints.is_loopback()).then_some(())
        };
        Some(self.of_second(is_open).ok()?.len())
    }

    /// How often each number of the built-in client was read, by whichever server.
    pub(super) fn read(&self) -> BTreeMap<u64, u32> {
        let mut read = self.party(Side::Server).read.clone();
        for (number, times) in self.second.iter().flat_map(|second| &second.read) {
            *read.entry(*number).or_default() += times;
        }
        read
    }

    /// Something that the built-in client has sent was not read yet, by any server.
    pub(super) fn repeats(&self) -> bool {
        let read = self.read();
        self.party(Side::Client).sent.iter().any(|number| !read.contains_key(number))
    }

    /// Waits until both ends are established, and quiet enough for the first exchange to be over.
    pub(super) fn wait_until_established(
        &mut self,
        interrupted: &AtomicBool,
    ) -> Result<(), RehearsalError> {
        let reached = patiently(READY_WITHIN, interrupted, || {
            self.listen();
            self.watch.dump_if_due(&self.lab, pace::readings(Duration::ZERO))?;
            if self.watch.choose() {
                return Ok(Some(true));
            }
            let has_ended = self.party(Side::Client).ended.is_some();
            Ok(has_ended.then_some(false))
        })?;
        if reached == Some(true) {
            return Ok(());
        }
        Err(RehearsalError::Unseen {
            what: "a connection established at both ends".to_owned(),
            within: reached.is_none().then_some(READY_WITHIN),
            instead: self.party_mut(Side::Client).last_words(),
        })
    }

    pub(super) fn power_off(&mut self, side: Side) -> Result<(), RehearsalError> {
        self.watch.end(side);
        self.lab.power_off(side.word())?;
        self.party_mut(side).lose();
        let [client, server] = &mut self.lost_power;
        *match side {
            Side::Client => client,
            Side::Server => server,
        } = true;
        Ok(())
    }

    pub(super) fn power_on(&mut self, side: Side) -> Result<(), RehearsalError> {
        self.lab.boot(side.word())?;
        self.name_hosts(side.word())?;
        let scenario = self.scenario;
        let party = if side == Side::Client { &scenario.client } else { &scenario.server };
        for (name, value) in &party.sysctls {
            self.lab.host(side.word())?.set_sysctl(name, value)?;
        }
        self.watch.begin(&self.lab, side)
    }

    /// Gives a host its own /etc/hosts and /etc/resolv.conf, which name the hosts of the lab alone.
    fn name_hosts(&self, host: &str) -> Result<(), RehearsalError> {
        let names = format!(
            "127.0.0.1 localhost\\n{} server\\n{} client\\n",
            if host == CLIENT { self.target() } else { self.address(Side::Server) },
            self.address(Side::Client)
        );
        // A resolv.conf that leads into the empty /run stays as dead as it is there.
        let script = format!(
            "printf '{names}' > /run/hosts && mount --bind /run/hosts /etc/hosts || exit 1; \
             : > /run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf 2>/dev/null; \
             ip link set lo up"
        );
        let mut program = self.lab.host(host)?.spawn("sh", &["-c", &script])?;
        match program.ended(CONFIGURE_WITHIN) {
            Ok(Some(status)) if status.success() => Ok(()),
            _ => Err(RehearsalError::Unseen {
                what: format!("{host} take the names of the lab's hosts"),
                within: Some(CONFIGURE_WITHIN),
                instead: program.line(Duration::ZERO).map(|line| line.text).unwrap_or_default(),
            }),
        }
    }
}

/// Destination unreachable, of both families (RFC 792, RFC 4443 section 3.1).
const UNREACHABLE: [&str; 2] = ["ICMP type 3", "ICMPv6 type 1"];

/// Daemons with a database to set up take seconds on a busy machine.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(30);

/// A shell and two mounts, on a machine with many labs.
const CONFIGURE_WITHIN: Duration = Duration::from_secs(30);

/// The programs that the scenario needs beyond those of every lab.
fn check(scenario: &Scenario) -> Result<(), RehearsalError> {
    let needs_nft = matches!(scenario.plan, Plan::Nat | Plan::Balanced)
        || scenario.steps.iter().any(|step| {
            let stateful = crate::fault::HostFirewall::Stateful;
            matches!(step.fault, Fault::Reboot { firewall, .. } if firewall == stateful)
        });
    if needs_nft {
        requirements::find("nft", "nftables")?;
    }
    for step in &scenario.steps {
        match step.fault {
            Fault::Forget => {
                requirements::find("conntrack", "conntrack")?;
            }
            Fault::Renumber { dhcp: true, .. } => Dhcp::check()?,
            _ => {}
        }
    }
    Ok(())
}
