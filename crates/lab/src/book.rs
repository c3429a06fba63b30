//! Owns the experiment of *TCP/IP Illustrated*, volume 1, section 13.6.3, as a list of steps: a
//! telnet client at 10.0.0.1, sunrpc (111) at 10.0.0.7, a pulled cable, a rebooted server host,
//! one more line, RST. Judges nothing: whoever wants to look inside is called at every step.
//! Read: RFC 9293 section 3.5.1, telnet(1), rpcbind(8).

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use halfopen_core::Moment;

use crate::{
    cable::{Cable, FrameSeen},
    frame::Segment,
    host::{Host, HostError},
    lab::{Lab, LabError},
    ladder::{self, Note, Place, story},
    program::Program,
    requirements::{self, Missing},
    rootless,
    topology::{End, SERVER, Topology},
    wait,
};

/// How the experiment is to be done.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where to write every frame of the cable as pcapng, if anywhere.
    pub capture: Option<PathBuf>,
}

/// The moments at which the experiment holds still and its caller may look inside, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// telnet is connected to rpcbind.
    Connected,
    /// "x" was typed, and the server's kernel has acknowledged it.
    FirstLine,
    /// The cable is cut.
    CablePulled,
    /// The server host is without power: its connection vanished without a segment.
    PowerOff,
    /// The server host is up again, and rpcbind listens again.
    Rebooted,
    /// The cable passes frames again. The client's connection is half-open, and looks well.
    CableBack,
    /// "another line" was typed, the server's kernel answered RST, and telnet has ended.
    Reset,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Self; 7] = [
        Self::Connected,
        Self::FirstLine,
        Self::CablePulled,
        Self::PowerOff,
        Self::Rebooted,
        Self::CableBack,
        Self::Reset,
    ];

    /// A word for output and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::FirstLine => "first-line",
            Self::CablePulled => "cable-pulled",
            Self::PowerOff => "power-off",
            Self::Rebooted => "rebooted",
            Self::CableBack => "cable-back",
            Self::Reset => "reset",
        }
    }
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub stage: Stage,
    /// What happened, in a sentence without a full stop.
    pub what: String,
    /// Since the beginning of the experiment.
    pub at: Duration,
}

/// What the experiment showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Every step, in order.
    pub steps: Vec<Step>,
    /// The sequence diagram, drawn from the cable's own record.
    pub ladder: String,
    /// The same diagram as SVG.
    pub svg: String,
    /// The capture file, if one was asked for.
    pub capture: Option<PathBuf>,
    /// How many TCP connections the power failure silenced.
    pub silenced: usize,
    /// From "another line" leaving the client to the RST.
    pub reset_after: Duration,
    /// The exit code of telnet; `None` where a signal ended it.
    pub telnet_exit: Option<i32>,
    /// The last line that telnet wrote.
    pub telnet_said: Option<String>,
}

/// Does the experiment. `at_step` is called at every [`Stage`] with the lab as it then stands,
/// and everything waits for it: look at the client host through its pid, `lab.client()?.pid()?`.
///
/// # Errors
/// [`BookError::Missing`] for programs and privilege that this machine lacks, [`BookError::Unseen`]
/// where the story takes another turn than the book's, else what was refused. Nothing is left
/// behind in any case.
pub fn run(options: &Options, at_step: &mut dyn FnMut(&Step, &Lab)) -> Result<Report, BookError> {
    requirements::check()?;
    rootless::check_subordinates("rpcbind")?;
    let telnet = requirements::find("telnet", "inetutils-telnet")?;
    let rpcbind = requirements::find("rpcbind", "rpcbind")?;
    let lab = Lab::build(Topology::lan())?;
    if let Some(path) = &options.capture {
        let failed = |cause| BookError::Capture { path: path.clone(), cause };
        lab.cable(CABLE)?.capture_to(path).map_err(failed)?;
    }
    let experiment =
        Experiment { lab, began: halfopen_sys::now(), notes: Vec::new(), steps: Vec::new() };
    experiment.conduct(&telnet, &rpcbind, options, at_step)
}

/// Above the lifelines.
const NAMES: [&str; 2] = ["client 10.0.0.1", "server 10.0.0.7"];

/// The only cable of the plan.
const CABLE: usize = 0;

/// sunrpc.
const PORT: u16 = 111;

/// Two letters at most: rpcbind takes the first four bytes for the length of a record and resets
/// the connection at one that is too long; "x" arrives as three bytes, with CR LF.
const FIRST_LINE: &str = "x";

const SECOND_LINE: &str = "another line";

/// Far longer than any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

struct Experiment {
    lab: Lab,
    began: Moment,
    notes: Vec<Note>,
    steps: Vec<Step>,
}

impl Experiment {
    fn conduct(
        mut self,
        telnet: &Path,
        rpcbind: &Path,
        options: &Options,
        at_step: &mut dyn FnMut(&Step, &Lab),
    ) -> Result<Report, BookError> {
        let first_life = self.start_rpcbind(rpcbind)?;
        let mut telnet = self.connect(telnet)?;
        self.step(Stage::Connected, "telnet 10.0.0.1 is connected to sunrpc 10.0.0.7:111", at_step);

        self.type_first_line(&mut telnet)?;
        self.step(Stage::FirstLine, "\"x\" was typed and acknowledged", at_step);

        self.note(Place::Cable, "cable pulled");
        self.lab.cable(CABLE)?.cut();
        self.step(Stage::CablePulled, "the cable was pulled; neither host knows", at_step);

        let silenced = self.lab.power_off(SERVER)?;
        drop(first_life);
        let told = format!("power off ({silenced} TCP silenced)");
        self.note(Place::HostForgets(End::Right), &told);
        let what = "the server host lost its power; not one frame left it";
        self.step(Stage::PowerOff, what, at_step);

        self.lab.boot(SERVER)?;
        let second_life = self.start_rpcbind(rpcbind)?;
        self.note(Place::Host(End::Right), "booted, rpcbind listens");
        let what = "the server host is up again and rpcbind listens; it remembers nothing";
        self.step(Stage::Rebooted, what, at_step);

        self.note(Place::Cable, "cable back");
        self.lab.cable(CABLE)?.mend();
        let what = "the cable is back; the client's connection is half-open and looks well";
        self.step(Stage::CableBack, what, at_step);

        let reset_after = self.type_second_line(&mut telnet)?;
        let (telnet_exit, telnet_said) = self.telnet_ends(&mut telnet)?;
        let what = "\"another line\" was typed, RST came back, and telnet ended";
        self.step(Stage::Reset, what, at_step);
        drop(second_life);

        let cable = self.lab.cable(CABLE)?;
        if let (Some(path), Some(why)) = (&options.capture, cable.capture_failure()) {
            return Err(BookError::Capture { path: path.clone(), cause: io::Error::other(why) });
        }
        let events = story(self.began, &cable.frames(0), &self.notes);
        Ok(Report {
            ladder: ladder::draw(NAMES, &events),
            svg: ladder::draw_svg(NAMES, &events),
            steps: self.steps,
            capture: options.capture.clone(),
            silenced,
            reset_after,
            telnet_exit,
            telnet_said,
        })
    }

    /// Starts rpcbind on the server host and waits until it listens.
    fn start_rpcbind(&self, rpcbind: &Path) -> Result<Program, BookError> {
        let server = self.lab.server()?;
        // In the foreground, with the empty state of a host that has just booted.
        let mut program = server.spawn(rpcbind, &["-w", "-f"])?;
        let listens = wait::until(PATIENCE, || match program.ended(Duration::ZERO) {
            Ok(Some(status)) => Some(Err(io::Error::other(format!("it ended with {status}")))),
            Err(cause) => Some(Err(cause)),
            Ok(None) => listens(server, PORT).then_some(Ok(())),
        });
        let said = || program.line(Duration::ZERO).map(|line| line.text).unwrap_or_default();
        match listens {
            Some(Ok(())) => Ok(program),
            Some(Err(cause)) => Err(BookError::Unseen {
                what: "rpcbind listens",
                instead: format!("{cause} {}", said()),
            }),
            None => Err(BookError::Unseen { what: "rpcbind listens", instead: said() }),
        }
    }

    /// Starts telnet and waits until both sides are ESTABLISHED, which the third ACK tells.
    fn connect(&mut self, telnet: &Path) -> Result<Program, BookError> {
        let first = self.lab.cable(CABLE)?.next_number();
        let program = self.lab.client()?.spawn(telnet, &["10.0.0.7", "111"])?;
        self.seen(first, "the handshake", |segment, from| {
            from == End::Left && !segment.flags.syn && segment.acknowledgment.is_some()
        })?;
        // telnet tells so in three lines, the last of which invites to type.
        if program.line_with("Escape character", PATIENCE).is_none() {
            let what = "telnet says that it is connected";
            return Err(BookError::Unseen { what, instead: "it said nothing".to_owned() });
        }
        Ok(program)
    }

    fn type_first_line(&mut self, telnet: &mut Program) -> Result<(), BookError> {
        let first = self.lab.cable(CABLE)?.next_number();
        self.type_line(telnet, FIRST_LINE)?;
        let data = self.seen(first, "the first line", |segment, from| {
            from == End::Left && segment.payload > 0
        })?;
        let next = data.frame.segment().map(Segment::next_sequence);
        self.seen(first, "the acknowledgement of the first line", |segment, from| {
            from == End::Right && segment.acknowledgment == next
        })?;
        Ok(())
    }

    /// Returns how long after the line the RST came.
    fn type_second_line(&mut self, telnet: &mut Program) -> Result<Duration, BookError> {
        let first = self.lab.cable(CABLE)?.next_number();
        self.type_line(telnet, SECOND_LINE)?;
        let data = self.seen(first, "the second line", |segment, from| {
            from == End::Left && segment.payload > 0
        })?;
        let reset =
            self.seen(first, "RST", |segment, from| from == End::Right && segment.flags.rst)?;
        Ok(reset.at.since(data.at))
    }

    fn telnet_ends(
        &mut self,
        telnet: &mut Program,
    ) -> Result<(Option<i32>, Option<String>), BookError> {
        let failed = |cause| BookError::Program { program: "telnet", cause };
        let Some(status) = telnet.ended(PATIENCE).map_err(failed)? else {
            let instead = "it still runs".to_owned();
            return Err(BookError::Unseen { what: "telnet ends", instead });
        };
        let said = std::iter::from_fn(|| telnet.line(PATIENCE)).map(|line| line.text);
        let said = said.filter(|text| !text.trim().is_empty()).last();
        let words = said.as_deref().unwrap_or("nothing");
        self.note(Place::Host(End::Left), &format!("telnet: {words} (exit)"));
        Ok((status.code(), said))
    }

    fn type_line(&mut self, telnet: &mut Program, line: &str) -> Result<(), BookError> {
        self.note(Place::Host(End::Left), &format!("user types \"{line}\""));
        telnet.type_line(line).map_err(|cause| BookError::Program { program: "telnet", cause })
    }

    /// Waits for a segment that was delivered.
    fn seen(
        &self,
        first: u64,
        what: &'static str,
        mut wanted: impl FnMut(&Segment, End) -> bool,
    ) -> Result<FrameSeen, BookError> {
        let cable: &Cable = self.lab.cable(CABLE)?;
        let found = cable.wait_for(first, PATIENCE, |seen| {
            seen.frame.segment().is_some_and(|segment| wanted(segment, seen.from))
        });
        found.ok_or_else(|| BookError::Unseen {
            what,
            instead: format!("{} other frames passed", cable.next_number() - first),
        })
    }

    fn note(&mut self, place: Place, text: &str) {
        self.notes.push(Note { at: halfopen_sys::now(), place, text: text.to_owned() });
    }

    fn step(&mut self, stage: Stage, what: &str, at_step: &mut dyn FnMut(&Step, &Lab)) {
        let at = halfopen_sys::now().since(self.began);
        let step = Step { stage, what: what.to_owned(), at };
        at_step(&step, &self.lab);
        self.steps.push(step);
    }
}

/// Whether something listens on `port` of the host, over IPv4.
fn listens(host: &Host, port: u16) -> bool {
    let Ok(pid) = host.pid() else { return false };
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    table_has_listener(&table, port)
}

/// Whether the text of /proc/PID/net/tcp has a listener on `port`. Read: proc(5).
fn table_has_listener(table: &str, port: u16) -> bool {
    let ending = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().unwrap_or_default();
        local.ends_with(&ending) && fields.nth(1) == Some(TCP_LISTEN)
    })
}

/// TCP_LISTEN of include/net/tcp_states.h, in hexadecimal.
const TCP_LISTEN: &str = "0A";

/// Why the experiment could not be done, or did not end as in the book.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// The machine lacks something.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The lab could not be built or changed.
    #[error(transparent)]
    Lab(LabError),
    /// A host did not do what it was asked to.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A program could not be spoken to.
    #[error("speak to {program}: {cause}")]
    Program {
        /// The program.
        program: &'static str,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The capture could not be written.
    #[error("write the capture {}: {cause}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// Something that the book tells did not happen in time.
    #[error("see {what} within {} s: {instead}", PATIENCE.as_secs())]
    Unseen {
        /// What was waited for.
        what: &'static str,
        /// What was there in its place.
        instead: String,
    },
}

impl From<LabError> for BookError {
    fn from(error: LabError) -> Self {
        match error {
            LabError::Missing(missing) => Self::Missing(missing),
            other => Self::Lab(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_state_and_port() {
        let table = "  sl  local_address rem_address   st\n   \
             0: 00000000:006F 00000000:0000 0A 00000000:00000000\n   \
             1: 0100000A:9C40 0700000A:0070 01 00000000:00000000\n";
        assert!(table_has_listener(table, 111));
        // 40000 (9C40) is connected, and 112 is somebody else's port.
        assert!(!table_has_listener(table, 40_000));
        assert!(!table_has_listener(table, 112));
        assert!(!table_has_listener("", 111));
    }
}
