//! Owns the record of what was done to connections: a file of JSON lines, schema `halfopen.audit/1`.
//! Decides nothing and acts on nothing. Who acts calls [`Audit::begin`] before, which puts on record
//! what is about to be touched, and [`Entries::record`] after each act. So nothing is ever done
//! that the file does not know of, even if the process is killed in the middle.
//! Read: docs/json.md; open(2) on O_APPEND; audit(8) on login users.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use halfopen_core::{ConnectionId, Diagnosis};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    exit::Failure,
    render::json::{BriefConnection, Field},
};

/// The record, open for writing.
#[derive(Debug)]
pub(crate) struct Audit {
    file: File,
    path: PathBuf,
    actor: Actor,
}

/// Leave to act, for as long as it lives: what is about to be touched is on record.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    audit: &'a Audit,
    verb: &'static str,
}

/// One act on one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act<'a, Detail> {
    /// The connection as it was judged right before.
    pub diagnosis: &'a Diagnosis,
    /// What was before, in the verb's own words.
    pub before: &'a Detail,
    /// What is now; `None` if that could not be seen.
    pub after: Option<&'a Detail>,
    /// How it went.
    pub result: ActResult<'a>,
}

/// How an act went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActResult<'a> {
    /// It was done.
    Done,
    /// It was tried and not done, with the reason.
    Failed(&'a str),
}

impl<'a> ActResult<'a> {
    const fn words(self) -> (&'static str, Option<&'a str>) {
        match self {
            Self::Done => ("done", None),
            Self::Failed(why) => ("failed", Some(why)),
        }
    }
}

impl Audit {
    /// Opens the record: the file that was asked for, or the user's own, which is made if need be.
    ///
    /// # Errors
    /// [`AuditError`] if it cannot be written. Then nothing must be done.
    pub(crate) fn open(wanted: Option<&Path>) -> Result<Self, AuditError> {
        let path = match wanted {
            Some(path) => path.to_owned(),
            None => {
                let is_root = rustix::process::geteuid().is_root();
                let path = own_path(is_root, env::var_os)?;
                make_directory(&path)?;
                path
            }
        };
        let failed = |cause| AuditError::Open { path: path.clone(), cause };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        end_torn_line(&mut file).map_err(failed)?;
        Ok(Self { file, path, actor: Actor::of_this_process() })
    }

    /// Where the record is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts on record that `verb` is about to act on these connections.
    ///
    /// # Errors
    /// [`AuditError`] if that cannot be written. Then nothing must be done to them.
    pub(crate) fn begin(
        &self,
        verb: &'static str,
        ids: impl IntoIterator<Item = ConnectionId>,
    ) -> Result<Entries<'_>, AuditError> {
        let connections = ids.into_iter().map(|id| id.to_string()).collect();
        self.write(&self.beginning(verb, connections, Vec::new()))?;
        Ok(Entries { audit: self, verb })
    }

    /// Puts on record that `verb` is about to act on these cgroups.
    ///
    /// # Errors
    /// As [`Audit::begin`].
    pub(crate) fn begin_cgroups(
        &self,
        verb: &'static str,
        cgroups: Vec<String>,
    ) -> Result<Entries<'_>, AuditError> {
        self.write(&self.beginning(verb, Vec::new(), cgroups))?;
        Ok(Entries { audit: self, verb })
    }

    fn beginning(
        &self,
        verb: &'static str,
        connections: Vec<String>,
        cgroups: Vec<String>,
    ) -> Begin<'_> {
        let (schema, time, by, event) = (SCHEMA, now(), &self.actor, "begin");
        Begin { schema, time, by, verb, event, connections, cgroups }
    }

    fn write(&self, entry: &impl Serialize) -> Result<(), AuditError> {
        let mut line = Vec::new();
        self.append(&mut line, entry)?;
        self.write_lines(&line)
    }

    /// Adds a line to those that are to be written.
    fn append(&self, lines: &mut Vec<u8>, entry: &impl Serialize) -> Result<(), AuditError> {
        let failed = |cause| AuditError::Write { path: self.path.clone(), cause };
        serde_json::to_writer(&mut *lines, entry).map_err(|error| failed(error.into()))?;
        lines.push(b'\n');
        Ok(())
    }

    fn write_lines(&self, lines: &[u8]) -> Result<(), AuditError> {
        let failed = |cause| AuditError::Write { path: self.path.clone(), cause };
        // One write, so that the lines of several processes never mix (O_APPEND).
        let written = loop {
            match (&self.file).write(lines) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(failed)?,
            }
        };
        if written == lines.len() {
            Ok(())
        } else {
            Err(failed(io::Error::from(io::ErrorKind::StorageFull)))
        }
    }
}

impl Entries<'_> {
    /// Puts one act on record.
    ///
    /// # Errors
    /// [`AuditError`] if it cannot be written: the act was done, and nothing more must be.
    pub(crate) fn record<Detail: Serialize>(&self, act: Act<'_, Detail>) -> Result<(), AuditError> {
        let mut line = Vec::new();
        self.append(&mut line, &now(), act)?;
        self.audit.write_lines(&line)
    }

    /// Puts on record what was done to a whole cgroup: what connections that are opened later were
    /// given before, and are now.
    ///
    /// # Errors
    /// As [`Entries::record`].
    pub(crate) fn record_cgroup<Detail: Serialize>(
        &self,
        cgroup: &str,
        before: Option<&Detail>,
        after: Option<&Detail>,
        result: ActResult<'_>,
    ) -> Result<(), AuditError> {
        let (result, why) = result.words();
        self.audit.write(&CgroupDone {
            schema: SCHEMA,
            time: &now(),
            by: &self.audit.actor,
            verb: self.verb,
            event: "act",
            cgroup,
            before,
            after,
            result,
            why,
        })
    }

    /// Puts the acts of one batch on record, which were done at about one moment: some dozens of
    /// lines with each write.
    ///
    /// # Errors
    /// As [`Entries::record`].
    pub(crate) fn record_all<'a, Detail: Serialize + 'a>(
        &self,
        acts: impl IntoIterator<Item = Act<'a, Detail>>,
    ) -> Result<(), AuditError> {
        let (time, mut lines) = (now(), Vec::new());
        for act in acts {
            self.append(&mut lines, &time, act)?;
            if lines.len() >= WRITTEN_AT_ONCE {
                self.audit.write_lines(&lines)?;
                lines.clear();
            }
        }
        self.audit.write_lines(&lines)
    }

    fn append<Detail: Serialize>(
        &self,
        lines: &mut Vec<u8>,
        time: &str,
        act: Act<'_, Detail>,
    ) -> Result<(), AuditError> {
        let (result, why) = act.result.words();
        let entry = Done {
            schema: SCHEMA,
            time,
            by: &self.audit.actor,
            verb: self.verb,
            event: "act",
            connection: BriefConnection::of(act.diagnosis),
            before: act.before,
            after: act.after.map_or_else(|| Field::Unknown("it was not seen".into()), Field::Known),
            result,
            why,
        };
        self.audit.append(lines, &entry)
    }
}

/// Enough that the calls cost nothing beside the words, little enough to be whole on any disk or none.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// RFC 3339 in UTC, always of the same length.
fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Why an act cannot be put on record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AuditError {
    /// Nobody said where, and there is no home.
    #[error(
        "cannot record what is done, so nothing is done: neither XDG_STATE_HOME nor HOME is set; \
         name a file with --audit"
    )]
    Nowhere,
    /// The file or its directory cannot be made or opened.
    #[error(
        "cannot record what is done, so nothing is done: {}: {cause}; name another file with --audit",
        path.display()
    )]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// What the system answered.
        cause: io::Error,
    },
    /// A line cannot be written, or not all of it.
    #[error(
        "cannot record what is done, so nothing more is done: {}: {cause}; make room or name another \
         file with --audit",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        cause: io::Error,
    },
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let sentence = error.to_string();
        match error {
            AuditError::Nowhere => Self::Usage(sentence),
            AuditError::Open { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                Self::Privilege(sentence)
            }
            AuditError::Open { .. } | AuditError::Write { .. } => Self::System(sentence),
        }
    }
}

/// Part of the interface: docs/json.md has its fields.
const SCHEMA: &str = "halfopen.audit/1";

#[derive(Serialize)]
struct Begin<'a> {
    schema: &'static str,
    time: String,
    by: &'a Actor,
    verb: &'static str,
    event: &'static str,
    connections: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cgroups: Vec<String>,
}

#[derive(Serialize)]
struct Done<'a, Detail> {
    schema: &'static str,
    time: &'a str,
    by: &'a Actor,
    verb: &'static str,
    event: &'static str,
    connection: BriefConnection<'a>,
    before: &'a Detail,
    after: Field<'a, &'a Detail>,
    result: &'static str,
    why: Option<&'a str>,
}

#[derive(Serialize)]
struct CgroupDone<'a, Detail> {
    schema: &'static str,
    time: &'a str,
    by: &'a Actor,
    verb: &'static str,
    event: &'static str,
    cgroup: &'a str,
    before: Option<&'a Detail>,
    after: Option<&'a Detail>,
    result: &'static str,
    why: Option<&'a str>,
}

/// Who acts.
#[derive(Debug, Serialize)]
struct Actor {
    uid: u32,
    /// Who logged in, however they became `uid` since; `null` for what no login started.
    login_uid: Field<'static, u32>,
    pid: u32,
    command_line: Vec<String>,
}

impl Actor {
    fn of_this_process() -> Self {
        Self {
            uid: rustix::process::getuid().as_raw(),
            login_uid: login_uid(fs::read_to_string("/proc/self/loginuid")),
            pid: std::process::id(),
            command_line: env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        }
    }
}

fn login_uid(file: io::Result<String>) -> Field<'static, u32> {
    /// `(uid_t) -1`: the session was started by no login.
    const UNSET: u32 = u32::MAX;
    let text = match file {
        Ok(text) => text,
        Err(error) => return Field::Unknown(format!("/proc/self/loginuid: {error}").into()),
    };
    match text.trim().parse() {
        Ok(UNSET) => Field::NotApplicable,
        Ok(uid) => Field::Known(uid),
        Err(_) => Field::Unknown("/proc/self/loginuid is no number".into()),
    }
}

/// Where the record of this user is, if nobody says otherwise.
fn own_path(
    is_root: bool,
    variable: impl Fn(&'static str) -> Option<OsString>,
) -> Result<PathBuf, AuditError> {
    if is_root {
        return Ok(PathBuf::from("/var/log/halfopen/audit.jsonl"));
    }
    // The XDG specification: a relative path is invalid and is to be ignored.
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/state")))
        .ok_or(AuditError::Nowhere)?;
    Ok(state.join("halfopen/audit.jsonl"))
}

fn make_directory(file: &Path) -> Result<(), AuditError> {
    let directory = file.parent().unwrap_or_else(|| Path::new(OsStr::new("/")));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|cause| AuditError::Open { path: directory.to_owned(), cause })
}

/// A disk that was full may have cut the last line short: whatever is written next begins a line of its own.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    let metadata = file.metadata()?;
    // What is no file (a pipe, a terminal) cannot be looked back into.
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests;
