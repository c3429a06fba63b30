//! Owns the connections that are looked at: made, counted, and gone with the processes that hold them.

use std::{
    env, fmt,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

/// Both ends of a connection are descriptors of one process, and processes may have 20,000 on
/// many hosts.
const CONNECTIONS_PER_PROCESS: usize = 9_800;

/// The processes that hold the connections. They end when their standard input does, and when
/// this process ends in whatever way.
pub(crate) struct Load {
    holders: Vec<Child>,
    /// How many ends of connections there are.
    pub(crate) sockets: usize,
    made_in: Duration,
}

impl Load {
    /// Makes `sockets` ends of connections, and returns when all of them are established.
    pub(crate) fn make(sockets: usize) -> anyhow::Result<Self> {
        let begun = Instant::now();
        run("ip", &["link", "set", "lo", "up"])?;
        let own = env::current_exe().context("find the path of this program")?;
        let mut load = Self { holders: Vec::new(), sockets: 0, made_in: Duration::ZERO };
        let mut left = sockets / 2;
        while left > 0 {
            let connections = left.min(CONNECTIONS_PER_PROCESS);
            left -= connections;
            let holder = Command::new(&own)
                .arg("hold")
                .arg(connections.to_string())
                .arg((load.holders.len() + 1).to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("start a holder of connections")?;
            load.holders.push(holder);
        }
        for holder in &mut load.holders {
            let mut line = String::new();
            let output = holder.stdout.as_mut().context("hear from a holder")?;
            BufReader::new(output).read_line(&mut line)?;
            let held: usize = line.trim().parse().context("a holder has failed, see above")?;
            load.sockets += held;
        }
        load.made_in = begun.elapsed();
        Ok(load)
    }

    /// Ends the connections and waits until their holders are gone.
    pub(crate) fn end(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        for holder in &mut self.holders {
            drop(holder.stdin.take());
            // Closing 19,600 descriptors at leisure serves nobody.
            let _ = holder.kill();
        }
        for holder in &mut self.holders {
            let _ = holder.wait();
        }
        self.holders.clear();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} established sockets of {} processes, made in {:.1} s",
            self.sockets,
            self.holders.len(),
            self.made_in.as_secs_f64()
        )
    }
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(program).args(arguments).status();
    let status = status.with_context(|| format!("run {program} (package iproute2)"))?;
    ensure!(status.success(), "{program} {} failed: {status}", arguments.join(" "));
    Ok(())
}
