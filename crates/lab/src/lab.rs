//! Owns a lab: the hosts of a plan and the cables between them, standing.
//! Decides nothing about experiments. Read: `topology`, `host`, `cable`.

use std::io;

use halfopen_sys::{PacketError, PacketSocket, offload};

use crate::{
    cable::Cable,
    host::{Host, HostError},
    requirements::{self, Missing},
    script,
    topology::{CLIENT, End, IpFamily, SERVER, Topology, socket_name},
};

/// A lab that stands. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Lab {
    // In the order in which they are to go: a host that ends must find its cables dead.
    cables: Vec<Cable>,
    hosts: Vec<Host>,
    /// The namespace in which all cables lie.
    wire: Host,
    topology: Topology,
}

impl Lab {
    /// Builds the plan: hosts on, cables plugged in, addresses set.
    ///
    /// # Errors
    /// [`LabError::Missing`] for what the machine lacks, else what was refused. What was built until then is gone.
    pub fn build(topology: Topology) -> Result<Self, LabError> {
        requirements::check()?;
        let wire = Host::boot("wire")?;
        let cables = topology.cables.iter().map(|_| Cable::new()).collect::<io::Result<_>>();
        let cables = cables.map_err(|cause| LabError::Cable { cause })?;
        let mut lab = Self { cables, hosts: Vec::new(), wire, topology };
        for plan in lab.topology.hosts.clone() {
            lab.hosts.push(Host::boot(&plan.name)?);
            lab.connect(&plan.name)?;
        }
        Ok(lab)
    }

    /// The plan that it was built by.
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The host called `name`.
    ///
    /// # Errors
    /// [`LabError::NoSuchHost`].
    pub fn host(&self, name: &str) -> Result<&Host, LabError> {
        self.hosts
            .iter()
            .find(|host| host.name() == name)
            .ok_or_else(|| LabError::NoSuchHost { name: name.to_owned() })
    }

    /// The host called `client`.
    ///
    /// # Errors
    /// [`LabError::NoSuchHost`] where the plan has none.
    pub fn client(&self) -> Result<&Host, LabError> {
        self.host(CLIENT)
    }

    /// The host called `server`.
    ///
    /// # Errors
    /// [`LabError::NoSuchHost`] where the plan has none.
    pub fn server(&self) -> Result<&Host, LabError> {
        self.host(SERVER)
    }

    /// Cable `index` of the plan.
    ///
    /// # Errors
    /// [`LabError::NoSuchCable`].
    pub fn cable(&self, index: usize) -> Result<&Cable, LabError> {
        self.cables.get(index).ok_or(LabError::NoSuchCable { index })
    }

    /// Cuts the power of the host called `name`. Not one frame of it passes a cable from the
    /// moment of the call on. Returns how many TCP connections died without a word.
    ///
    /// # Errors
    /// [`LabError::NoSuchHost`], or [`LabError::Host`] where it is off already or could not be silenced.
    pub fn power_off(&mut self, name: &str) -> Result<usize, LabError> {
        let Self { cables, hosts, wire, topology } = self;
        let mut links = String::new();
        for (index, end, _) in topology.ends_of(name) {
            if let Some(cable) = cables.get(index) {
                cable.unplug(end);
            }
            links += &format!("link delete {}\n", socket_name(index, end));
        }
        // Gone before the host, so that no link of the old life is left when the new one comes.
        script::run(wire.pid()?, &links)
            .map_err(|cause| LabError::Configure { host: name.to_owned(), cause })?;
        let host = hosts.iter_mut().find(|host| host.name() == name);
        let host = host.ok_or_else(|| LabError::NoSuchHost { name: name.to_owned() })?;
        Ok(host.power_off()?)
    }

    /// Switches the host called `name` on again, with its former addresses, hardware addresses
    /// and cables, and nothing else of its former life.
    ///
    /// # Errors
    /// As [`Lab::build`].
    pub fn boot(&mut self, name: &str) -> Result<(), LabError> {
        let host = self.hosts.iter_mut().find(|host| host.name() == name);
        let host = host.ok_or_else(|| LabError::NoSuchHost { name: name.to_owned() })?;
        host.boot_again()?;
        self.connect(name)
    }

    /// Gives the host called `name` IPv6 too: on each of its cables an address that follows from the
    /// IPv4 one (see [`crate::EndPlan::address6`]). Without it a lab over IPv4 is silent on IPv6, which keeps
    /// captures readable; a host that boots again has to be given it again.
    ///
    /// # Errors
    /// [`LabError::NoSuchHost`], or [`LabError::Configure`] with what `ip` said.
    pub fn give_ipv6(&self, name: &str) -> Result<(), LabError> {
        self.give(name, IpFamily::V6)
    }

    /// Gives a host addresses and routes of `family`; its interfaces are on.
    fn give(&self, name: &str, family: IpFamily) -> Result<(), LabError> {
        let host = self.host(name)?;
        let is_router = self.topology.host(name).is_some_and(|plan| plan.is_router);
        match family {
            IpFamily::V4 if is_router => host.set_sysctl("net.ipv4.ip_forward", "1")?,
            IpFamily::V4 => {}
            IpFamily::V6 => {
                let cables = self.topology.ends_of(name);
                let interfaces =
                    cables.filter_map(|(index, end, _)| self.topology.interface(index, end));
                for interface in interfaces.chain(["lo".to_owned()]) {
                    for (sysctl, value) in IPV6_OF_AN_INTERFACE {
                        let sysctl = format!("net.ipv6.conf.{interface}.{sysctl}");
                        host.set_sysctl(&sysctl, value)?;
                    }
                }
                if is_router {
                    host.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
                }
            }
        }
        script::run(host.pid()?, &self.topology.host_script(name, family))
            .map(|_| ())
            .map_err(|cause| LabError::Configure { host: name.to_owned(), cause })
    }

    /// Takes the carrier from the host at `end` of cable `index`, as if its plug were pulled.
    ///
    /// # Errors
    /// [`LabError::NoSuchCable`], or [`LabError::Configure`] with what `ip` said.
    pub fn carrier_off(&self, index: usize, end: End) -> Result<(), LabError> {
        self.set_socket(index, end, "down").map(|_| ())
    }

    /// Gives the carrier back to the host at `end` of cable `index`, and waits until frames pass.
    ///
    /// # Errors
    /// As [`Lab::carrier_off`].
    pub fn carrier_on(&self, index: usize, end: End) -> Result<(), LabError> {
        let host = self.set_socket(index, end, "up")?;
        self.wait_until_up(&host)
    }

    /// Sets the link on the wire's side, and names the host on the other.
    fn set_socket(&self, index: usize, end: End, state: &str) -> Result<String, LabError> {
        let cable = self.topology.cables.get(index).ok_or(LabError::NoSuchCable { index })?;
        let host = cable.end(end).host.clone();
        let script = format!("link set {} {state}\n", socket_name(index, end));
        match script::run(self.wire.pid()?, &script) {
            Ok(_) => Ok(host),
            Err(cause) => Err(LabError::Configure { host, cause }),
        }
    }

    /// Plugs all cables of a host in and gives it its addresses.
    fn connect(&self, name: &str) -> Result<(), LabError> {
        let host = self.host(name)?;
        let failed = |cause| LabError::Configure { host: name.to_owned(), cause };
        for (index, end, _) in self.topology.ends_of(name) {
            let socket = self.lay(index, end, host)?;
            self.cable(index)?.plug(end, socket);
        }
        script::run(host.pid()?, &self.topology.links_script(name)).map_err(failed)?;
        self.wait_until_up(name)?;
        self.give(name, self.topology.family)
    }

    fn wait_until_up(&self, name: &str) -> Result<(), LabError> {
        let ends = || self.topology.ends_of(name);
        let interfaces: Vec<_> =
            ends().filter_map(|(index, end, _)| self.topology.interface(index, end)).collect();
        let sockets: Vec<_> = ends().map(|(index, end, _)| socket_name(index, end)).collect();
        let host = self.host(name)?.pid()?;
        script::wait_until_up(self.wire.pid()?, &sockets)
            .and_then(|()| script::wait_until_up(host, &interfaces))
            .map_err(|cause| LabError::Configure { host: name.to_owned(), cause })
    }

    /// Makes the link between the wire's namespace and the host's.
    fn lay(&self, index: usize, end: End, host: &Host) -> Result<PacketSocket, LabError> {
        let no_such_cable = LabError::NoSuchCable { index };
        let pid = host.pid()?;
        let Some(script) = self.topology.plug_script(index, end, pid) else {
            return Err(no_such_cable);
        };
        let Some(interface) = self.topology.interface(index, end) else {
            return Err(no_such_cable);
        };
        script::run(self.wire.pid()?, &script)
            .map_err(|cause| LabError::Configure { host: host.name().to_owned(), cause })?;
        host.enter(|| offload::turn_off(&interface))??;
        let name = socket_name(index, end);
        self.wire.enter(|| {
            offload::turn_off(&name)?;
            Ok(PacketSocket::bind(&name)?)
        })?
    }
}

/// What an interface is told before it is given addresses of IPv6, in this order: no second of waiting for
/// somebody else who might have the address, and nobody is asked for prefixes that no router has to give.
const IPV6_OF_AN_INTERFACE: [(&str, &str); 3] =
    [("accept_dad", "0"), ("router_solicitations", "0"), ("disable_ipv6", "0")];

/// Why a lab could not be built or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The machine lacks something.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A host did not do what it was asked to.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A cable's thread could not be started.
    #[error("start a cable: {cause}; the limit of threads or open files may be reached")]
    Cable {
        /// What the kernel answered.
        cause: io::Error,
    },
    /// `ip` refused what was asked of it.
    #[error("configure the host {host} with ip(8): {cause}")]
    Configure {
        /// The host.
        host: String,
        /// What `ip` said.
        cause: io::Error,
    },
    /// A cable's end could not be opened.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// An interface keeps its offloads.
    #[error(transparent)]
    Offload(#[from] offload::OffloadError),
    /// The plan has no such host.
    #[error("find the host {name}: the topology has none of this name")]
    NoSuchHost {
        /// What was asked for.
        name: String,
    },
    /// The plan has no such cable.
    #[error("find cable {index}: the topology has fewer cables")]
    NoSuchCable {
        /// What was asked for.
        index: usize,
    },
}
