//! Owns a DHCP server on the router and a client on the client's host, both real programs.
//! Read: dnsmasq(8), busybox's udhcpc.

use std::time::Duration;

use crate::{
    fault::Side,
    host::HostError,
    lab::Lab,
    program::Program,
    requirements::{self, Missing},
    topology::ROUTER,
    wait,
};

/// Server and client, as long as they run.
#[derive(Debug, Default)]
pub(super) struct Dhcp {
    server: Option<Program>,
    client: Option<Program>,
    leases: u32,
}

/// What udhcpc calls: it sets addresses and routes on the host, and nothing of the machine.
const SCRIPT: &str = r#"#!/bin/sh
case "$1" in
deconfig) ip address flush dev "$interface"; ip link set "$interface" up ;;
bound|renew) ip address replace "$ip/$mask" dev "$interface"; ip route replace default via "$router" ;;
esac
"#;

impl Dhcp {
    /// Whether the programs are there.
    pub(super) fn check() -> Result<(), Missing> {
        requirements::find("dnsmasq", "dnsmasq-base")?;
        requirements::find("busybox", "busybox").map(|_| ())
    }

    /// Gives `address` to the client and nobody else. The first time it waits for the client to have
    /// it; later the client is told to renew, is refused, and asks anew, in its own time.
    pub(super) fn lease(&mut self, lab: &Lab, address: &str) -> Result<(), String> {
        let told = |error: HostError| error.to_string();
        // A server that has gone has forgotten its leases with its file.
        self.server = None;
        self.leases += 1;
        let range = format!("--dhcp-range={address},{address},255.255.255.0,2m");
        let file = format!("--dhcp-leasefile=/run/leases{}", self.leases);
        let router = lab.host(ROUTER).map_err(|error| error.to_string())?;
        let dnsmasq =
            requirements::find("dnsmasq", "dnsmasq-base").map_err(|error| error.to_string())?;
        let arguments = [
            "-k",
            "-p0",
            "-C/dev/null",
            "--interface=eth0",
            "--bind-interfaces",
            &range,
            &file,
            "--dhcp-authoritative",
            "--no-ping",
            "--user=root",
            "--pid-file=",
        ];
        self.server = Some(router.spawn(dnsmasq, &arguments).map_err(told)?);
        let client = lab.client().map_err(|error| error.to_string())?;
        match self.client.as_ref().and_then(Program::pid) {
            Some(pid) => {
                // SIGUSR1: renew now.
                let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                let pid = pid.ok_or("udhcpc has ended")?;
                rustix::process::kill_process(pid, rustix::process::Signal::USR1)
                    .map_err(|errno| format!("tell udhcpc to renew: {errno}"))
            }
            None => {
                let start = format!(
                    "printf '%s' '{SCRIPT}' > /run/lease && chmod +x /run/lease \
                     && exec busybox udhcpc -f -i eth0 -s /run/lease -t3 -T1 -A1"
                );
                // First of all: what is there already would be taken for the lease.
                let pid = client.pid().map_err(told)?;
                crate::script::run(pid, "address flush dev eth0\n")
                    .map_err(|cause| format!("take the client's address away: {cause}"))?;
                self.client = Some(client.spawn("sh", &["-c", &start]).map_err(told)?);
                self.wait_for(lab, address)
            }
        }
    }

    fn wait_for(&self, lab: &Lab, address: &str) -> Result<(), String> {
        let pid = lab.host(Side::Client.word()).ok().and_then(|host| host.pid().ok());
        let pid = pid.ok_or("the client has no power")?;
        let wanted = format!("inet {address}/");
        let has = || {
            // The route comes after the address.
            let shown = crate::script::run(pid, "address show dev eth0\nroute show default\n");
            let shown = shown.unwrap_or_default();
            (shown.contains(&wanted) && shown.contains("default via")).then_some(())
        };
        wait::until(LEASE_WITHIN, has).ok_or_else(|| {
            let said = [&self.server, &self.client].map(|program| {
                program
                    .as_ref()
                    .and_then(|program| program.line(Duration::ZERO))
                    .map(|line| line.text)
                    .unwrap_or_default()
            });
            format!("no lease came: {}", said.join("; "))
        })
    }

    /// The pids of its programs, which are none of the scenario's.
    pub(super) fn pids(&self) -> Vec<u32> {
        [&self.server, &self.client].into_iter().flatten().filter_map(Program::pid).collect()
    }
}

/// Three tries of a second each, and a busy machine.
const LEASE_WITHIN: Duration = Duration::from_secs(10);
