//! Owns the carrying out of single acts on the stage: what touches cables, hosts and sockets. Chooses no
//! times. Read: ip(8), nft(8), conntrack(8), ss(8).

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use halfopen_sys::{PacketSocket, Scope, Shutter, survey};
use rustix::process::Signal as Sig;

use super::{
    RehearsalError,
    flood::{Course, Flood},
    pace, patiently,
    stage::{READY_WITHIN, Stage},
};
use crate::{
    fault::Side,
    pair, script,
    timeline::{Act, Signal, plug},
    topology::{End, ROUTER, hardware_address},
    wait,
    wire::{Direction, Filter, Link, Reset},
};

impl Stage<'_> {
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
            Act::RepeatSyn { cable } => {
                if self.lab.cable(*cable)?.repeat_syn(End::Left) == 0 {
                    return Err(RehearsalError::act(act, "the cable has seen none"));
                }
            }
            Act::LoseNothing { cable } => self.lab.cable(*cable)?.set_filters(Vec::new()),
        }
        Ok(())
    }

    fn await_unread(&mut self, act: &Act, side: Side) -> Result<(), RehearsalError> {
        let interrupted = self.options.interrupted;
        let unread = patiently(READY_WITHIN, interrupted, || {
            self.listen();
            self.watch.dump_if_due(&self.lab, pace::readings(Duration::ZERO))?;
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
