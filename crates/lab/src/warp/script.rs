//! Owns what the first process of the machine does: mounts, modules, steps, power off. Pure.
//! The steps' output goes to the second serial port in the frames that `record` reads, files to ports
//! of their own.

use std::fmt::Write as _;

use super::record::{BEGIN, END, STDERR};

/// One command to run in the machine.
#[derive(Debug)]
pub struct Step {
    /// What its record is called.
    pub name: String,
    /// A line for the shell.
    pub command: String,
}

/// What busybox stands in for, in the script and in the hosts of the lab.
pub(super) const APPLETS: [&str; 14] = [
    "sh", "cat", "date", "echo", "insmod", "kill", "ls", "mkdir", "mount", "poweroff", "rmdir",
    "sleep", "stty", "udhcpc",
];

/// `veth` for the cables of the lab; `tcp_diag` is loaded on demand elsewhere, by a modprobe that
/// the machine does not have.
pub(super) const MODULES: &[&str] = &["tcp_diag", "veth"];

/// What /dev/vport0p1 and so on take, through which files come out.
pub(super) const PORT_MODULES: &[&str] = &["virtio_pci", "virtio_console"];

/// The script, for the modules at these paths. The files `outlets` go out by a port each in the end.
pub(super) fn text(modules: &[String], steps: &[Step], outlets: &[&str]) -> String {
    let mut text = String::from(
        "#!/bin/sh\n\
         export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n\
         mount -t proc proc /proc\n\
         mount -t sysfs sysfs /sys\n\
         mount -t devtmpfs devtmpfs /dev\n\
         mount -t tmpfs tmpfs /run\n\
         mount -t tmpfs tmpfs /tmp\n\
         ip link set lo up\n\
         stty -F /dev/ttyS1 raw\n",
    );
    for module in modules {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "insmod {module}");
    }
    text += "exec > /dev/ttyS1\n";
    for step in steps {
        let Step { name, command } = step;
        let _ = write!(
            text,
            "echo '{BEGIN}{name}'\n{{ {command}; }} 2> /tmp/stderr\ncode=$?\n\
             echo\necho '{STDERR}'\ncat /tmp/stderr\necho\necho '{END}'$code\n"
        );
    }
    for (number, file) in (1..).zip(outlets) {
        // What was not made does not come out.
        let _ = writeln!(text, "[ -s {file} ] && cat {file} > /dev/vport0p{number}");
    }
    text + "poweroff -f\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_go_in_before_the_first_step_and_the_power_goes_off_after_the_last() {
        let steps = [Step { name: "look".to_owned(), command: "halfopen ls".to_owned() }];
        let text = text(&["/modules/veth.ko".to_owned()], &steps, &["/tmp/card.html"]);
        let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("{word} in {text}"));
        assert!(at("mount -t proc") < at("insmod /modules/veth.ko"));
        assert!(at("insmod") < at("exec > /dev/ttyS1") && at("exec") < at("halfopen ls"));
        assert!(at("{ halfopen ls; } 2> /tmp/stderr\ncode=$?") < at("poweroff -f"));
        let last = "[ -s /tmp/card.html ] && cat /tmp/card.html > /dev/vport0p1\npoweroff -f\n";
        assert!(text.ends_with(last), "{text}");
    }
}
