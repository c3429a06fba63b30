//! Owns the network namespace that a test makes for itself.

use std::{
    io::Read,
    process::{Child, ChildStdout, Command, Stdio},
};

use halfopen_sys::Netns;

use crate::is_root;

/// A process in a network namespace of its own, with loopback up. It ends with its standard input,
/// so that nothing is left behind however the test ends.
pub(crate) struct Elsewhere {
    child: Child,
    _output: ChildStdout,
}

impl Elsewhere {
    /// `None` where namespaces may not be made.
    pub(crate) fn start() -> Option<Self> {
        is_root("to make a network namespace").then(|| Self::start_with("true"))
    }

    /// As [`Elsewhere::start`], with `setup` run inside by the shell.
    pub(crate) fn start_with(setup: &str) -> Self {
        let script = format!("ip link set lo up && {setup} && echo ready && exec cat");
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux is installed");
        let mut output = child.stdout.take().unwrap();
        let mut ready = [0; 6];
        output.read_exact(&mut ready).expect("the namespace is set up");
        Self { child, _output: output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn netns(&self) -> Netns {
        Netns::of_process(self.pid()).unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
