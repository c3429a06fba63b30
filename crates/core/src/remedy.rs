//! Owns the command lines that verdicts recommend. Each one exists today and can be pasted.

use crate::observation::Observation;

/// What to do about a connection. A verdict names it; the words are made when somebody reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// Show the whole story of the connection.
    Explain,
    /// Compare with the other connections to the same peer.
    Neighbours,
    /// Show where the process that holds it waits.
    LookAtOwner,
    /// Lower how often the kernel retransmits before it gives up, for the whole namespace.
    FewerRetries,
    /// End the connection, which is proved dead, whatever its application does.
    EndIt,
    /// Test the connection, and end it if it comes out dead: what a test of ours has shown, a later
    /// look does not know.
    ProveAndEndIt,
    /// End a connection that `reap` alone would not find proved dead.
    EndItUnproved,
}

impl Remedy {
    /// How many remedies there are, so that a verdict can hold them all.
    pub(crate) const KINDS: usize = 7;

    /// What it does to the connection and what it costs, in one clause.
    pub fn purpose(self, seen: &Observation) -> String {
        match self {
            Self::Explain => "see its timers, what ends it and who is told".to_owned(),
            Self::Neighbours => "compare with the other connections to that address".to_owned(),
            Self::LookAtOwner => match seen.owners.seen().first() {
                Some(owner) => format!(
                    "see where {} (pid {}) is waiting",
                    owner.process.command, owner.process.pid
                ),
                None => "see where its process is waiting".to_owned(),
            },
            Self::FewerRetries => "give up after about 100 s instead of 15 min, all connections \
                                   of the namespace (root; takes effect at each connection's next \
                                   time-out)"
                .to_owned(),
            Self::EndIt => ENDS.to_owned(),
            Self::ProveAndEndIt => "test it once more and end it at once if it is dead (root); \
                                    without --apply it sends no probe and says what would be done"
                .to_owned(),
            Self::EndItUnproved => format!("{ENDS}; --unproved: it asks for no proof"),
        }
    }

    /// The command line, for this connection.
    pub fn command(self, seen: &Observation) -> String {
        match self {
            Self::Explain => format!("halfopen why {}", seen.sample.id),
            Self::Neighbours => {
                format!("halfopen ls --peer {}", seen.sample.endpoints.peer.ip())
            }
            Self::LookAtOwner => {
                let pid = seen.owners.seen().first().map_or(0, |owner| owner.process.pid);
                format!("cat /proc/{pid}/wchan /proc/{pid}/syscall")
            }
            Self::FewerRetries => {
                in_namespace(seen, "sysctl -w net.ipv4.tcp_retries2=8".to_owned())
            }
            Self::EndIt => format!("halfopen reap --id {} --apply", seen.sample.id),
            Self::ProveAndEndIt => {
                format!("halfopen reap --id {} --prove --apply", seen.sample.id)
            }
            Self::EndItUnproved => {
                format!("halfopen reap --id {} --unproved --apply", seen.sample.id)
            }
        }
    }

    /// [`Self::LookAtOwner`], if an owner was seen.
    pub(crate) fn look_at_owner(seen: &Observation) -> Option<Self> {
        (!seen.owners.seen().is_empty()).then_some(Self::LookAtOwner)
    }
}

const ENDS: &str = "end it now, whatever its application does (root); without --apply it says what \
                    application and peer will see";

/// Commands act on the namespace they run in: enter the connection's first, through an owner.
fn in_namespace(seen: &Observation, command: String) -> String {
    match seen.owners.seen().first() {
        Some(owner) => format!("nsenter -t {} -n {command}", owner.process.pid),
        None => command,
    }
}
