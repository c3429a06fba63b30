//! Owns the stage of a rehearsal: the lab, the programs of both sides, what passes their cables, and
//! the carrying out of single acts. Chooses no times.

use std::{
    fs,
    net::Ipv4Addr,
    process::{Command, Stdio},
    sync::atomic::AtomicBool,
    time::Duration,
};

use halfopen_core::{Moment, Sample};
use halfopen_sys::{PacketSocket, Scope, Shutter, survey};
use rustix::process::Signal as Sig;

use super::{
    Options, RehearsalError,
    dhcp::Dhcp,
    flood::{Course, Flood},
    party::{Count, Party},
    patiently,
    watch::Watch,
};
use crate::{
    fault::{Fault, Side},
    frame::Frame,
    lab::Lab,
    pair::{self, Role},
    requirements,
    scenario::{Plan, Ready, Scenario},
    script,
    timeline::{Act, Signal, plug},
    topology::{End, ROUTER, hardware_address},
    wait,
    wire::{Direction, Fate, Filter, Link, Reset},
};

/// The stage.
pub(super) struct Stage<'a> {
    // In the order in which they are to go: what holds a namespace before the namespace.
    flood: Option<Flood>,
    dhcp: Dhcp,
    pub(super) watch: Watch,
    parties: [Party; 2],
    pub(super) lab: Lab,
    pub(super) scenario: &'a Scenario,
    options: &'a Options<'a>,
    wire: [Vec<OnWire>; 2],
    next_frame: [u64; 2],
    lost_power: [bool; 2],
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
        let lab = Lab::build(scenario.plan.topology())?;
        if let Some(path) = &options.capture {
            let failed = |cause| RehearsalError::Capture { path: path.clone(), cause };
            lab.cable(0)?.capture_to(path).map_err(failed)?;
        }
        let mut stage = Self {
            flood: None,
            dhcp: Dhcp::default(),
            watch: Watch::default(),
            parties: Default::default(),
            lab,
            scenario,
            options,
            wire: Default::default(),
            next_frame: [0; 2],
            lost_power: [false; 2],
            flooded_most: 0,
        };
        for side in Side::BOTH {
            stage.name_hosts(side)?;
            stage.watch.begin(&stage.lab, side)?;
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
        self.parties.iter_mut().for_each(Party::listen);
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
                    Frame::Other(words) if to_host && words == "ICMP type 3" => {
                        wire.push(OnWire { is_icmp: true, ..event });
                    }
                    _ => {}
                }
            }
        }
    }

    /// Types what is due.
    pub(super) fn type_due(&mut self, elapsed: Duration) -> Result<(), RehearsalError> {
        for side in Side::BOTH {
            let scenario = self.scenario;
            let types = match side {
                Side::Client => &scenario.client.types,
                Side::Server => &scenario.server.types,
            };
            let party = self.party_mut(side);
            while let Some(typed) = types.get(party.typed).filter(|typed| typed.after <= elapsed) {
                party.typed += 1;
                // A program that has ended hears nothing, which its card says.
                let _ = party.type_line(&typed.line);
            }
        }
        Ok(())
    }

    /// Starts the program of a side.
    pub(super) fn start(&mut self, side: Side) -> Result<(), RehearsalError> {
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
        let program = self.lab.host(side.word())?.spawn_as_user("env", &arguments)?;
        self.party_mut(side).take(program);
        Ok(())
    }

    fn role(&self, side: Side) -> Role {
        let keeps_open =
            self.scenario.steps.iter().any(|step| matches!(step.fault, Fault::HalfClose { .. }));
        let address = std::net::SocketAddrV4::new(self.target(), pair::PORT);
        Role { side, address, keeps_open, pair: self.scenario.pair.clone() }
    }

    /// Where the client finds the server: behind a balancer, the balancer.
    fn target(&self) -> Ipv4Addr {
        let name = if self.scenario.plan == Plan::Balanced { ROUTER } else { Side::Server.word() };
        self.lab.topology().address(name).unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    fn address(&self, side: Side) -> Ipv4Addr {
        self.lab.topology().address(side.word()).unwrap_or(Ipv4Addr::UNSPECIFIED)
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
            self.watch.dump_if_due(&self.lab)?;
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
            return Ok(());
        }
        let what = match ready {
            Some(Ready::Port(port)) => format!("the {side} listen on port {port}"),
            Some(Ready::Line(text)) => format!("the {side} say \"{text}\""),
            None => format!("the {side} listen"),
        };
        let instead = self.party(side).last_words();
        Err(RehearsalError::Unseen { what, within: READY_WITHIN, instead })
    }

    /// Waits until both ends are established, and quiet enough for the first exchange to be over.
    pub(super) fn wait_until_established(
        &mut self,
        interrupted: &AtomicBool,
    ) -> Result<(), RehearsalError> {
        let reached = patiently(READY_WITHIN, interrupted, || {
            self.listen();
            self.watch.dump_if_due(&self.lab)?;
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
            within: READY_WITHIN,
            instead: self.party(Side::Client).last_words(),
        })
    }

    /// Carries out one act.
    pub(super) fn carry_out(&mut self, act: &Act) -> Result<(), RehearsalError> {
        match act {
            Act::Cut { cable, from: None } => self.lab.cable(*cable)?.cut(),
            Act::Cut { cable, from: Some(end) } => self.lab.cable(*cable)?.cut_from(*end),
            Act::Mend { cable } => self.lab.cable(*cable)?.mend(),
            Act::Carrier { cable, end, on: false } => self.lab.carrier_off(*cable, *end)?,
            Act::Carrier { cable, end, on: true } => self.lab.carrier_on(*cable, *end)?,
            Act::Signal { side, signal } => {
                let signal = match signal {
                    Signal::Terminate => Sig::TERM,
                    Signal::Kill => Sig::KILL,
                    Signal::Stop => Sig::STOP,
                    Signal::Continue => Sig::CONT,
                };
                self.lab.host(side.word())?.signal(signal)?;
            }
            Act::AwaitUnread { side } => self.await_unread(act, *side)?,
            Act::PowerOff { side } => self.power_off(*side)?,
            Act::PowerOn { side } => self.power_on(*side)?,
            Act::Start { side } => self.start(*side)?,
            Act::Ip { host, script } => {
                let pid = self.lab.host(host)?.pid()?;
                script::run(pid, script).map_err(|cause| RehearsalError::act(act, cause))?;
            }
            Act::Nft { host, script } => self.nft(act, host, script)?,
            Act::Sysctl { host, name, value } => self.lab.host(host)?.set_sysctl(name, value)?,
            Act::Flush => self.inside(act, ROUTER, "conntrack", &["--flush"])?,
            Act::Abort { side } => {
                let arguments = ["--kill", "--tcp", "state", "connected"];
                self.inside(act, side.word(), "ss", &arguments)?;
            }
            Act::CloseWrite { side } => self.close_write(act, *side)?,
            Act::Lease { address } => {
                self.dhcp.lease(&self.lab, address).map_err(|why| RehearsalError::act(act, why))?
            }
            Act::Flood { rate } => self.flood(act, *rate)?,
            Act::Lose { cable, from, kind } => {
                let filters = kind
                    .of_wire()
                    .iter()
                    .map(|loses| Filter { from: Direction::From(*from), ..Filter::losing(*loses) });
                self.lab.cable(*cable)?.set_filters(filters.collect());
            }
            Act::Link { cable, from, link } => {
                let direction = from.map_or(Direction::Both, Direction::From);
                self.lab
                    .cable(*cable)?
                    .set_link(direction, Link { seed: self.options.seed, ..**link });
            }
            Act::Middlebox { cable, middlebox } => {
                self.lab.cable(*cable)?.set_middlebox(Some(**middlebox));
            }
            Act::MiddleboxForgets { cable } => self.lab.cable(*cable)?.forget_now(),
            Act::Inject { cable, to, aim } => {
                let order = Reset { to: *to, aim: *aim, port: None };
                self.lab.cable(*cable)?.inject(order);
            }
            Act::LoseNothing { cable } => self.lab.cable(*cable)?.set_filters(Vec::new()),
        }
        Ok(())
    }

    fn power_off(&mut self, side: Side) -> Result<(), RehearsalError> {
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

    fn power_on(&mut self, side: Side) -> Result<(), RehearsalError> {
        self.lab.boot(side.word())?;
        self.name_hosts(side)?;
        let scenario = self.scenario;
        let party = if side == Side::Client { &scenario.client } else { &scenario.server };
        for (name, value) in &party.sysctls {
            self.lab.host(side.word())?.set_sysctl(name, value)?;
        }
        self.watch.begin(&self.lab, side)
    }

    /// Gives a host its own /etc/hosts and /etc/resolv.conf, which name the hosts of the lab alone.
    fn name_hosts(&self, side: Side) -> Result<(), RehearsalError> {
        let names = format!(
            "127.0.0.1 localhost\\n{} server\\n{} client\\n",
            if side == Side::Client { self.target() } else { self.address(Side::Server) },
            self.address(Side::Client)
        );
        // A resolv.conf that leads into the empty /run stays as dead as it is there.
        let script = format!(
            "printf '{names}' > /run/hosts && mount --bind /run/hosts /etc/hosts || exit 1; \
             : > /run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf 2>/dev/null; \
             ip link set lo up"
        );
        let host = self.lab.host(side.word())?;
        let mut program = host.spawn("sh", &["-c", &script])?;
        match program.ended(CONFIGURE_WITHIN) {
            Ok(Some(status)) if status.success() => Ok(()),
            _ => Err(RehearsalError::Unseen {
                what: format!("the {side} take the names of the lab's hosts"),
                within: CONFIGURE_WITHIN,
                instead: program.line(Duration::ZERO).map(|line| line.text).unwrap_or_default(),
            }),
        }
    }

    fn await_unread(&mut self, act: &Act, side: Side) -> Result<(), RehearsalError> {
        let interrupted = self.options.interrupted;
        let unread = patiently(READY_WITHIN, interrupted, || {
            self.listen();
            self.watch.dump_if_due(&self.lab)?;
            let focus = self.watch.focus(side);
            Ok(focus.filter(|track| track.last.receive_queue > 0).map(|_| ()))
        })?;
        unread.ok_or_else(|| RehearsalError::act(act, "nothing came; the other side has to write"))
    }

    /// Runs a program in the network namespace of a host, with the files of the machine.
    fn inside(
        &self,
        act: &Act,
        host: &str,
        program: &str,
        arguments: &[&str],
    ) -> Result<(), RehearsalError> {
        let pid = self.lab.host(host)?.pid()?.to_string();
        let output = Command::new("nsenter")
            .args(["--target", &pid, "--net", "--", program])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|cause| RehearsalError::act(act, cause))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        Err(RehearsalError::act(act, said))
    }

    fn nft(&self, act: &Act, host: &str, script: &str) -> Result<(), RehearsalError> {
        use std::io::Write as _;
        let failed = |cause| RehearsalError::act(act, cause);
        let pid = self.lab.host(host)?.pid()?.to_string();
        let mut nft = Command::new("nsenter")
            .args(["--target", &pid, "--net", "--", "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut input) = nft.stdin.take() {
            // Where it ends early, its own words say more.
            let _ = input.write_all(script.as_bytes());
        }
        let ended = nft.wait_with_output().map_err(failed)?;
        if ended.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ended.stderr).trim().replace('\n', "; ");
        Err(RehearsalError::act(act, said))
    }

    fn close_write(&self, act: &Act, side: Side) -> Result<(), RehearsalError> {
        let cookie = self.watch.focus(side).map(|track| track.last.id.cookie);
        let pid = self.lab.host(side.word())?.pid()?;
        let seen = survey(&Scope::Named(pid.to_string()))
            .map_err(|error| RehearsalError::act(act, error))?;
        let found =
            seen.observations.into_iter().find(|seen| Some(seen.sample.id.cookie) == cookie);
        let found = found.ok_or_else(|| RehearsalError::act(act, "the connection is gone"))?;
        Shutter::default()
            .end_sending(&found.sample, found.owners.seen())
            .map_err(|error| RehearsalError::act(act, error))
    }

    /// Begins the flood, and waits until it is felt.
    fn flood(&mut self, act: &Act, rate: u32) -> Result<(), RehearsalError> {
        let topology = self.lab.topology();
        let (cable, end) = plug(self.scenario.plan, Side::Client);
        let plan = topology.cables.get(cable);
        let address = |end: End| plan.map(|cable| mac(&hardware_address(cable.end(end).address)));
        let (Some(from), Some(next_hop)) = (address(end), address(end.other())) else {
            return Err(RehearsalError::act(act, "the client has no cable"));
        };
        let port = self.watch.listening(Side::Server).first().copied().unwrap_or(pair::PORT);
        let course = Course { from, next_hop, to: self.target(), port, rate };
        let socket = self.lab.client()?.enter(|| PacketSocket::bind("eth0"))?;
        let socket = socket.map_err(|error| RehearsalError::act(act, error))?;
        let flood =
            Flood::begin(socket, course).map_err(|error| RehearsalError::act(act, error))?;
        self.flood = Some(flood);
        let felt = wait::until(FELT_WITHIN, || {
            let cable = self.lab.cable(cable).ok()?;
            (cable.next_number() >= u64::from(rate) / 2).then_some(())
        });
        felt.ok_or_else(|| RehearsalError::act(act, "its SYNs do not reach the cable"))
    }
}

/// Daemons with a database to set up take seconds on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A shell and two mounts, on a machine with many labs.
const CONFIGURE_WITHIN: Duration = Duration::from_secs(30);

/// Half a second of it are to have passed.
const FELT_WITHIN: Duration = Duration::from_secs(5);

/// The bytes of a hardware address as it is written.
fn mac(written: &str) -> [u8; 6] {
    let mut bytes = [0; 6];
    for (byte, text) in bytes.iter_mut().zip(written.split(':')) {
        *byte = u8::from_str_radix(text, 16).unwrap_or(0);
    }
    bytes
}

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
