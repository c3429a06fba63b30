//! Owns very many connections of a host to itself, held by programs that know nothing of halfopen.
//! Judges nothing. Read: perlfunc(1) on socket; ulimit is that of sh(1).

use std::{io, time::Duration};

use halfopen_lab::{Host, HostError, Program};

/// Far longer than tens of thousands of connections take to be made on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The port that the programs of this number listen on.
pub fn port(holder: usize) -> u16 {
    u16::try_from(8000 + holder).unwrap_or(u16::MAX)
}

/// Makes `connections` over the loopback of `host`, shared among so many programs, each of which
/// holds both ends of its own. They end with the host, or when the programs are dropped.
///
/// # Errors
/// What the lab or a program refused.
pub fn gather(host: &Host, connections: usize, holders: usize) -> io::Result<Vec<Program>> {
    let lab = |error: HostError| io::Error::other(error.to_string());
    host.spawn("ip", &["link", "set", "lo", "up"]).map_err(lab)?.ended(PATIENCE)?;
    let hold = |holder| hold(host, holder, connections / holders.max(1)).map_err(lab);
    let programs = (0..holders).map(hold).collect::<io::Result<Vec<_>>>()?;
    for program in &programs {
        if program.line_with("ready", PATIENCE).is_none() {
            return Err(io::Error::other("a holder of connections did not get ready"));
        }
    }
    Ok(programs)
}

fn hold(host: &Host, holder: usize, connections: usize) -> Result<Program, HostError> {
    let script = format!(
        "use Socket; my $to = sockaddr_in({}, inet_aton('127.0.0.1')); my $l; \
         socket($l, PF_INET, SOCK_STREAM, 0) and bind($l, $to) and listen($l, 64) or die $!; \
         my @held; for (1..{connections}) {{ my ($c, $s); \
           socket($c, PF_INET, SOCK_STREAM, 0) and connect($c, $to) and accept($s, $l) \
             or die $!; push @held, $c, $s; \
         }} $| = 1; print \"ready\\n\"; sleep;",
        port(holder),
    );
    host.spawn("sh", &["-c", "ulimit -n $(ulimit -H -n) && exec perl -e \"$0\"", &script])
}
