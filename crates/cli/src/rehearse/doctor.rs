//! Owns `rehearse doctor`: what this machine allows, and what to install. Changes nothing.

use std::{fs, io::Write};

use halfopen_lab::{requirements, rootless, warp};

use crate::exit::{Exit, Failure};

/// Programs, the packages that have them, and what they are for.
const PROGRAMS: [(&str, &str, &str); 8] = [
    ("unshare", "util-linux", "every rehearsal"),
    ("ip", "iproute2", "every rehearsal"),
    ("nft", "nftables", "topologies nat and balanced, reboot behind a firewall"),
    ("conntrack", "conntrack", "the fault forget"),
    ("dnsmasq", "dnsmasq-base", "renumber with dhcp = true"),
    ("busybox", "busybox", "renumber with dhcp = true"),
    ("telnet", "inetutils-telnet", "rehearse book"),
    ("rpcbind", "rpcbind", "rehearse book"),
];

/// Says line by line what is there and what is not.
///
/// # Errors
/// [`Failure::Output`].
pub(super) fn run(out: &mut impl Write) -> Result<Exit, Failure> {
    let base = match requirements::check() {
        Ok(()) => {
            writeln!(out, "ok       this process may make namespaces and cables")?;
            true
        }
        Err(requirements::Missing::Privilege { .. }) => match rootless::check() {
            Ok(()) => {
                writeln!(
                    out,
                    "ok       without root: rehearsals run in a user namespace of yours"
                )?;
                true
            }
            Err(missing) => {
                writeln!(out, "missing  {missing}")?;
                false
            }
        },
        Err(missing) => {
            writeln!(out, "missing  {missing}")?;
            false
        }
    };
    for (program, package, purpose) in PROGRAMS {
        match requirements::find(program, package) {
            Ok(path) => writeln!(out, "ok       {} ({purpose})", path.display())?,
            Err(_) => writeln!(
                out,
                "missing  {program}: `apt-get install {package}` brings it ({purpose})"
            )?,
        }
    }
    match warp::check() {
        Ok(()) => {
            writeln!(out, "ok       an emulated machine for hours in seconds (--clock warp)")?
        }
        Err(error) => writeln!(
            out,
            "missing  hours in seconds (--clock warp; --clock auto takes rescale instead): failed to {error}"
        )?,
    }
    for (sysctl, what) in [
        ("net/ipv4/tcp_rto_max_ms", "--clock rescale shortens retransmissions by it"),
        ("net/ipv4/tcp_syn_linear_timeouts", "the SYN times of kernels since 6.5"),
    ] {
        let there = fs::exists(format!("/proc/sys/{sysctl}")).unwrap_or(false);
        let word = if there { "ok     " } else { "without" };
        writeln!(out, "{word}  {} ({what})", sysctl.replace('/', "."))?;
    }
    Ok(if base { Exit::Fine } else { Exit::Problem })
}
