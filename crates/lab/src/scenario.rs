//! Owns a scenario: hosts and programs, a timeline of faults, when it is over and what is expected of
//! it, read from TOML. A slip is an error with file, line and remedy. Pure: reads no file and runs
//! nothing; `timeline` says what is to be done. Read: docs/scenarios.md.

mod builtin;
mod check;
pub(crate) mod reading;

use std::time::Duration;

use halfopen_core::Span;

use crate::{
    fault::Fault,
    topology::{IpFamily, Topology},
};
pub use builtin::{builtin, builtin_names, builtin_text};
use reading::{Node, Slip, Table, Value};
pub use reading::{Origin, ScenarioError};

/// A scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name: that of the file without its ending.
    pub name: String,
    /// What it is about, in a sentence.
    pub summary: String,
    /// Which hosts there are, and which cables.
    pub plan: Plan,
    /// Which addresses they have.
    pub family: IpFamily,
    /// What the router does besides forwarding.
    pub router: Router,
    /// The client's programs.
    pub client: Party,
    /// The server's programs.
    pub server: Party,
    /// How the built-in pair behaves, which stands in for programs that are not given.
    pub pair: Pair,
    /// The faults, in the order of their time.
    pub steps: Vec<Step>,
    /// When it is over.
    pub stop: Stop,
    /// What is expected of it.
    pub expect: Expect,
}

/// Hosts and cables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Client and server on one cable.
    Lan,
    /// A router between them.
    Routed,
    /// A router that hides the client behind its own address (masquerade).
    Nat,
    /// A router that spreads connections over two servers.
    Balanced,
}

impl Plan {
    /// The words in files, each with its plan.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("lan", Self::Lan),
        ("routed", Self::Routed),
        ("nat", Self::Nat),
        ("balanced", Self::Balanced),
    ];

    /// The word in files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Routed => "routed",
            Self::Nat => "nat",
            Self::Balanced => "balanced",
        }
    }

    /// The hosts and cables, over IPv4.
    pub fn topology(self) -> Topology {
        match self {
            Self::Lan => Topology::lan(),
            Self::Routed | Self::Nat => Topology::routed(),
            Self::Balanced => Topology::balanced(),
        }
    }

    /// There is a router between client and server.
    pub const fn has_router(self) -> bool {
        !matches!(self, Self::Lan)
    }
}

/// What the router does with connections that it tracks; only in [`Plan::Nat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Router {
    /// It forgets an idle flow after this (nf_conntrack_tcp_timeout_established).
    pub forgets_after: Option<Duration>,
    /// What it does with segments of flows that it does not know.
    pub filter: Filter,
    /// It takes up flows in the middle (nf_conntrack_tcp_loose).
    pub picks_up: bool,
    /// Each flow gets a port by chance, one that is taken up again another one (masquerade fully-random); else
    /// the client's own where that is free.
    pub random_ports: bool,
}

/// What a router does with segments of flows that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Filter {
    /// It forwards them.
    None,
    /// It drops them, as providers do.
    #[default]
    Drop,
    /// It answers with RST.
    Reset,
}

/// The programs of one side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Party {
    /// A command for `sh -c`; `None`: the built-in pair.
    pub command: Option<String>,
    /// How to tell that it is ready.
    pub ready: Option<Ready>,
    /// Sysctls of its host: name with dots, value.
    pub sysctls: Vec<(String, String)>,
    /// What is typed into its standard input.
    pub types: Vec<Typed>,
}

/// A command for people to read, which may be a script of several lines.
pub(crate) fn in_one_line(command: &str) -> String {
    command.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How to tell that a program is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// Something listens on this port.
    Port(u16),
    /// It has written a line that contains this text.
    Line(String),
}

/// A line for a program's standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// How long after both ends are established.
    pub after: Duration,
    /// The line, without its end.
    pub line: String,
}

/// What the built-in pair does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Where the connection stands when the fault comes.
    pub state: State,
    /// Keepalive of both ends; `None` is off.
    pub keepalive: Option<Keepalive>,
    /// TCP_USER_TIMEOUT of both ends.
    pub user_timeout: Option<Duration>,
    /// From one message to the next while it is writing.
    pub every: Duration,
    /// The client connects again when it has lost its connection, and repeats what was not answered.
    pub reconnect: bool,
}

/// Where a connection stands when the fault comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// One message was answered; nothing follows.
    Idle,
    /// The client waits for an answer. To TCP that is idle.
    Waiting,
    /// The client writes, and the server answers each message.
    Writing,
}

impl State {
    /// All.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Waiting, Self::Writing];

    /// The word in files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Writing => "writing",
        }
    }
}

/// Keepalive options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// TCP_KEEPIDLE.
    pub idle: Duration,
    /// TCP_KEEPINTVL.
    pub interval: Duration,
    /// TCP_KEEPCNT.
    pub probes: u32,
}

/// A fault and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When.
    pub when: When,
    /// What.
    pub fault: Fault,
}

/// When a fault comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// Once the server is ready, and before the client starts.
    BeforeClient,
    /// So long after both ends are established.
    AfterEstablished(Duration),
}

/// When a rehearsal is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// As soon as both sides have noticed; else at the limit.
    pub when_both_noticed: bool,
    /// At the latest so long after the first fault (or the client's start).
    pub limit: Duration,
    /// Somebody has asked for that limit, in the file or outside of it.
    pub is_given: bool,
}

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expect {
    /// The client's program notices within this time of the first fault.
    pub client_within: Option<Duration>,
    /// The server's program does.
    pub server_within: Option<Duration>,
    /// No message of the built-in pair is lost or doubled.
    pub no_loss: bool,
}

impl Scenario {
    /// Reads a scenario. `file` is for messages, and gives the name. Each of `set` is `KEY=VALUE`:
    /// a dotted path, or the name of a parameter of the first fault.
    ///
    /// # Errors
    /// [`ScenarioError`]: an unknown key, a value that cannot be, or a timeline that cannot happen.
    pub fn read(file: &str, text: &str, set: &[String]) -> Result<Self, ScenarioError> {
        let name = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".toml");
        Self::read_named(name, text, set).map_err(|slip| slip.in_file(file))
    }

    fn read_named(name: &str, text: &str, set: &[String]) -> Result<Self, Slip> {
        let mut node = reading::parse(text)?;
        for said in set {
            apply(&mut node, said)?;
        }
        let file = Table::new("the file", &node)?;
        let scenario = Self {
            name: name.to_owned(),
            summary: file.text("summary")?.unwrap_or_default().to_owned(),
            plan: file.word("topology", &Plan::WORDS)?.unwrap_or(Plan::Routed),
            family: file.word("family", &IpFamily::WORDS)?.unwrap_or_default(),
            router: router(file.table("router")?)?,
            client: party(file.table("client")?)?,
            server: party(file.table("server")?)?,
            pair: pair(file.table("pair")?)?,
            stop: stop(file.table("stop")?)?,
            expect: expect(file.table("expect")?)?,
            steps: Vec::new(),
        };
        let mut steps = Vec::new();
        for node in file.list("at")? {
            let step = Table::new("[[at]]", node)?;
            steps.push((when(&step)?, Fault::read(&step)?, node.origin.clone()));
            step.finish()?;
        }
        let has_router = file.get("router").map(|node| node.origin.clone());
        let whole = file.origin.clone();
        file.finish()?;
        check::timeline(&scenario, &steps, has_router.as_ref(), &whole)?;
        let steps = steps.into_iter().map(|(when, fault, _)| Step { when, fault }).collect();
        Ok(Self { steps, ..scenario })
    }

    /// The hosts and cables.
    pub fn topology(&self) -> Topology {
        self.plan.topology().over(self.family)
    }

    /// Both programs are the built-in pair.
    pub const fn is_of_pair(&self) -> bool {
        self.client.command.is_none() && self.server.command.is_none()
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self {
            state: State::Idle,
            keepalive: None,
            user_timeout: None,
            every: Duration::from_millis(100),
            reconnect: false,
        }
    }
}

/// `KEY=VALUE`; a bare key that no table of the file is called by means the first fault.
fn apply(node: &mut Node, said: &str) -> Result<(), Slip> {
    let origin = Origin::Set(said.to_owned());
    let Some((path, value)) = said.split_once('=') else {
        return Err(Slip::new(&origin, "there is no `=`", "write --set KEY=VALUE"));
    };
    let path = path.trim();
    let is_of_file = path.contains('.') || ["summary", "topology", "family"].contains(&path);
    let path = if is_of_file { path.to_owned() } else { format!("at.0.{path}") };
    node.set(&path, reading::parse_set(said, value.trim()))
}

fn when(step: &Table<'_>) -> Result<When, Slip> {
    let remedy = "write when = \"2s after established\" or when = \"before the client starts\"";
    let Some(text) = step.text("when")? else {
        return Err(Slip::new(step.origin, "a step needs a time", remedy));
    };
    if text == "before the client starts" {
        return Ok(When::BeforeClient);
    }
    text.strip_suffix(" after established")
        .and_then(|span| span.parse::<Span>().ok())
        .map(|span| When::AfterEstablished(span.0))
        .ok_or_else(|| {
            Slip::new(&step.origin_of("when"), format!("`when` cannot be \"{text}\""), remedy)
        })
}

fn router(table: Option<Table<'_>>) -> Result<Router, Slip> {
    let Some(table) = table else { return Ok(Router::default()) };
    let filters = [("none", Filter::None), ("drop", Filter::Drop), ("reset", Filter::Reset)];
    let router = Router {
        forgets_after: table.span("forgets_after")?,
        filter: table.word("filter", &filters)?.unwrap_or_default(),
        picks_up: table.truth("picks_up")?.unwrap_or(false),
        random_ports: table.truth("random_ports")?.unwrap_or(false),
    };
    if let Some(span) =
        router.forgets_after.filter(|span| span.subsec_nanos() > 0 || span.is_zero())
    {
        let what = format!("`forgets_after` is {}", Span(span));
        return Err(Slip::new(
            &table.origin_of("forgets_after"),
            what,
            "the kernel counts whole seconds, from 1s",
        ));
    }
    table.finish()?;
    Ok(router)
}

fn party(table: Option<Table<'_>>) -> Result<Party, Slip> {
    let Some(table) = table else { return Ok(Party::default()) };
    let ready = table.text("ready")?.map(|text| {
        text.parse().map_err(|what: String| {
            Slip::new(
                &table.origin_of("ready"),
                what,
                "write ready = \"tcp:PORT\" or \"line:TEXT\"",
            )
        })
    });
    let mut types = Vec::new();
    for node in table.list("type")? {
        let typed = Table::new("[[type]]", node)?;
        let Some(line) = typed.text("line")? else {
            return Err(Slip::new(
                &node.origin,
                "a typed line needs its text",
                "write line = \"…\"",
            ));
        };
        types
            .push(Typed { after: typed.span("after")?.unwrap_or_default(), line: line.to_owned() });
        typed.finish()?;
    }
    let party = Party {
        command: table.text("command")?.map(str::to_owned),
        ready: ready.transpose()?,
        sysctls: sysctls(table.table("sysctls")?)?,
        types,
    };
    if party.command.is_none() && !party.types.is_empty() {
        let what = "the built-in pair reads nothing that is typed";
        return Err(Slip::new(
            &table.origin_of("type"),
            what,
            "give a `command`, or leave `type` out",
        ));
    }
    table.finish()?;
    Ok(party)
}

impl std::str::FromStr for Ready {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("line", line)) if !line.is_empty() => Ok(Self::Line(line.to_owned())),
            Some(("tcp", port)) => match port.parse() {
                Ok(port @ 1..) => Ok(Self::Port(port)),
                _ => Err(format!("`{port}` is no port")),
            },
            _ => Err(format!("`{text}` says nothing of readiness")),
        }
    }
}

fn sysctls(table: Option<Table<'_>>) -> Result<Vec<(String, String)>, Slip> {
    let Some(table) = table else { return Ok(Vec::new()) };
    let mut sysctls = Vec::new();
    for (name, node) in table.entries() {
        let value = match &node.value {
            Value::Whole(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            _ => {
                let what = format!("the sysctl `{name}` is neither a number nor text");
                return Err(Slip::new(&node.origin, what, "write tcp_retries2 = 5, for example"));
            }
        };
        // Those of TCP are meant most of the time.
        let name = if name.contains('.') { name.clone() } else { format!("net.ipv4.{name}") };
        if !name.starts_with("net.") || name.contains("..") || name.contains('/') {
            let what = format!("`{name}` is no sysctl of a network namespace");
            return Err(Slip::new(&node.origin, what, "name one below `net.`"));
        }
        sysctls.push((name, value));
    }
    Ok(sysctls)
}

fn pair(table: Option<Table<'_>>) -> Result<Pair, Slip> {
    let plain = Pair::default();
    let Some(table) = table else { return Ok(plain) };
    let states = State::ALL.map(|state| (state.word(), state));
    let keepalive = table.text("keepalive")?.map(|text| {
        text.parse().map_err(|what: String| {
            let remedy = "write idle/interval/probes, in whole seconds from 1s: \"60s/10s/3\"";
            Slip::new(&table.origin_of("keepalive"), what, remedy)
        })
    });
    let pair = Pair {
        state: table.word("state", &states)?.unwrap_or(plain.state),
        keepalive: keepalive.transpose()?,
        user_timeout: table.span("user_timeout")?,
        every: table.span("every")?.unwrap_or(plain.every),
        reconnect: table.truth("reconnect")?.unwrap_or(plain.reconnect),
    };
    table.finish()?;
    Ok(pair)
}

impl std::str::FromStr for Keepalive {
    type Err = String;

    /// Reads `60s/10s/3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        let mut seconds = || {
            let span = parts.next()?.parse::<Span>().ok()?.0;
            // TCP_KEEPIDLE and TCP_KEEPINTVL take 1 to 32767 s.
            (span.subsec_nanos() == 0 && (1..=32_767).contains(&span.as_secs())).then_some(span)
        };
        let (idle, interval) = (seconds(), seconds());
        let probes = parts.next().and_then(|part| part.parse().ok());
        match (idle, interval, probes.filter(|probes| (1..=127).contains(probes)), parts.next()) {
            (Some(idle), Some(interval), Some(probes), None) => Ok(Self { idle, interval, probes }),
            _ => Err(format!("`keepalive` cannot be \"{text}\"")),
        }
    }
}

fn stop(table: Option<Table<'_>>) -> Result<Stop, Slip> {
    let Some(table) = table else { return Ok(Stop::default()) };
    let plain = Stop::default();
    let whens = [("both noticed", true), ("limit", false)];
    let limit = table.span("limit")?;
    let stop = Stop {
        when_both_noticed: table.word("when", &whens)?.unwrap_or(plain.when_both_noticed),
        limit: limit.unwrap_or(plain.limit),
        is_given: limit.is_some(),
    };
    table.finish()?;
    Ok(stop)
}

impl Default for Stop {
    fn default() -> Self {
        // Longer than what good settings take, short enough to wait for.
        Self { when_both_noticed: true, limit: Duration::from_secs(60), is_given: false }
    }
}

fn expect(table: Option<Table<'_>>) -> Result<Expect, Slip> {
    let Some(table) = table else { return Ok(Expect::default()) };
    let both = table.span("detect_within")?;
    let expect = Expect {
        client_within: table.span("client_within")?.or(both),
        server_within: table.span("server_within")?.or(both),
        no_loss: table.truth("no_loss")?.unwrap_or(false),
    };
    table.finish()?;
    Ok(expect)
}

#[cfg(test)]
mod tests;
