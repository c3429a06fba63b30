//! Owns the command lines that verdicts recommend. Each one exists today and can be pasted.

use crate::{observation::Observation, verdict::Remedy};

/// Ends one connection that is proved dead, whatever its application does.
pub(crate) fn end_it(seen: &Observation) -> Remedy {
    Remedy {
        purpose: ENDS.to_owned(),
        command: format!("halfopen reap --id {} --apply", seen.sample.id),
    }
}

/// Ends one connection that `reap` alone would not find proved dead.
pub(crate) fn end_it_unproved(seen: &Observation) -> Remedy {
    Remedy {
        purpose: format!("{ENDS}; --unproved: it asks for no proof"),
        command: format!("halfopen reap --id {} --unproved --apply", seen.sample.id),
    }
}

const ENDS: &str = "end it now, whatever its application does (root); without --apply it says what \
                    application and peer will see";

/// Shows the whole story of one connection.
pub(crate) fn explain(seen: &Observation) -> Remedy {
    Remedy {
        purpose: "see its timers, what ends it and who is told".to_owned(),
        command: format!("halfopen why {}", seen.sample.id),
    }
}

/// Shows where a process hangs.
pub(crate) fn look_at_owner(seen: &Observation) -> Option<Remedy> {
    let owner = seen.owners.seen().first()?;
    Some(Remedy {
        purpose: format!("see where {} (pid {}) is waiting", owner.command, owner.pid),
        command: format!("cat /proc/{0}/wchan /proc/{0}/syscall", owner.pid),
    })
}

/// Lowers how often the kernel retransmits before it gives up, for the whole namespace.
pub(crate) fn fewer_retries(seen: &Observation) -> Remedy {
    Remedy {
        purpose: "give up after about 100 s instead of 15 min, all connections of the namespace \
                  (root; takes effect at each connection's next time-out)"
            .to_owned(),
        command: in_namespace(seen, "sysctl -w net.ipv4.tcp_retries2=8".to_owned()),
    }
}

/// Lists all connections to the same peer.
pub(crate) fn neighbours(seen: &Observation) -> Remedy {
    Remedy {
        purpose: "compare with the other connections to that address".to_owned(),
        command: format!("halfopen ls --peer {}", seen.sample.endpoints.peer.ip()),
    }
}

/// Commands act on the namespace they run in: enter the connection's first, through an owner.
fn in_namespace(seen: &Observation, command: String) -> String {
    match seen.owners.seen().first() {
        Some(owner) => format!("nsenter -t {} -n {command}", owner.pid),
        None => command,
    }
}
