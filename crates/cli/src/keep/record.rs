//! Owns the record of what connections had before: JSON lines, written before anything is changed,
//! read by `--undo`. One process at a time has it open. Read: docs/json.md (`halfopen.kept/1`), flock(2).

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use halfopen_core::{
    ConnectionId,
    keeping::{Change, KeepOptions, Past},
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::own_file;
use crate::exit::Failure;

/// The record, open and locked.
#[derive(Debug)]
pub(crate) struct Record {
    file: File,
    path: PathBuf,
    boot: String,
}

/// One line: a change that is about to be made.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    schema: String,
    boot: String,
    id: String,
    before: Options,
    after: Options,
}

/// The options as every schema writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Options {
    keepalive: bool,
    idle_s: u32,
    interval_s: u32,
    probes: u32,
    user_timeout_ms: u32,
}

/// Why the past cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use the record of what was there before, so nothing is changed: {}: {cause}; name another \
     file with --record",
    path.display()
)]
pub(crate) struct RecordError {
    path: PathBuf,
    cause: io::Error,
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match error.cause.kind() {
            io::ErrorKind::PermissionDenied => Self::Privilege(error.to_string()),
            _ => Self::System(error.to_string()),
        }
    }
}

impl Record {
    /// Opens the file that was asked for, or this user's own, makes it if there is none, and waits
    /// until nobody else has it.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be opened, or is no record. Then nothing must be changed.
    pub(crate) fn open(wanted: Option<&Path>) -> Result<Self, Failure> {
        let path = place(wanted)?;
        Ok(open(&path, true).map_err(|cause| RecordError { path, cause })?)
    }

    /// As [`Record::open`], and `None` if there is no such file: nothing is made.
    ///
    /// # Errors
    /// As [`Record::open`].
    pub(crate) fn open_existing(wanted: Option<&Path>) -> Result<Option<Self>, Failure> {
        let path = place(wanted)?;
        match open(&path, false) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => Ok(Some(opened.map_err(|cause| RecordError { path, cause })?)),
        }
    }

    /// Writes changes down that are about to be made. They outlive this process, not the host's
    /// next boot, which their connections do not outlive either.
    ///
    /// # Errors
    /// [`Failure`] if not all of it is written. Then nothing must be changed.
    pub(crate) fn add(
        &mut self,
        changes: impl Iterator<Item = (ConnectionId, Change)>,
    ) -> Result<(), Failure> {
        let mut text = Vec::new();
        for (id, change) in changes {
            self.write_line(&mut text, id, change).map_err(|cause| self.error(cause))?;
        }
        // A line that a full disk cut short must not spoil the next one.
        let write = |mut file: &File| {
            if file.seek(SeekFrom::End(0))? > 0 {
                file.write_all(b"\n")?;
            }
            file.write_all(&text)
        };
        write(&self.file).map_err(|cause| self.error(cause).into())
    }

    fn write_line(&self, text: &mut Vec<u8>, id: ConnectionId, change: Change) -> io::Result<()> {
        let line = Line {
            schema: SCHEMA.to_owned(),
            boot: self.boot.clone(),
            id: id.to_string(),
            before: change.before.into(),
            after: change.after.into(),
        };
        serde_json::to_writer(&mut *text, &line)?;
        text.push(b'\n');
        Ok(())
    }

    /// What is known of this boot's connections. Lines that make no sense are passed over.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be read.
    pub(crate) fn pasts(&mut self) -> Result<HashMap<ConnectionId, Past>, Failure> {
        let mut pasts: HashMap<ConnectionId, Past> = HashMap::new();
        for (id, change) in self.changes().map_err(|cause| self.error(cause))? {
            pasts
                .entry(id)
                .and_modify(|past| past.add(change))
                .or_insert_with(|| Past::new(change));
        }
        Ok(pasts)
    }

    fn changes(&mut self) -> io::Result<Vec<(ConnectionId, Change)>> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut changes = Vec::new();
        for line in BufReader::new(&self.file).split(b'\n') {
            let Ok(line) = serde_json::from_slice::<Line>(&line?) else { continue };
            let known = line.schema == SCHEMA && line.boot == self.boot;
            if let (true, Ok(id)) = (known, line.id.parse()) {
                let change = Change { before: line.before.into(), after: line.after.into() };
                changes.push((id, change));
            }
        }
        Ok(changes)
    }

    /// Keeps what `keep` says yes to, and forgets the rest and other boots.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be written; then all is still there.
    pub(crate) fn retain(&mut self, keep: impl Fn(ConnectionId) -> bool) -> Result<(), Failure> {
        let rewrite = |this: &mut Self| -> io::Result<()> {
            let mut text = Vec::new();
            for (id, change) in this.changes()?.into_iter().filter(|(id, _)| keep(*id)) {
                this.write_line(&mut text, id, change)?;
            }
            let beside = this.path.with_extension("jsonl.new");
            // Who has the record has this one too: what is left of a killed run goes, and what somebody else
            // has put there is not written through.
            match fs::remove_file(&beside) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
            let mut options = OpenOptions::new();
            let mut file =
                options.read(true).write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(&text)?;
            flock(&file, FlockOperation::LockExclusive)?;
            fs::rename(&beside, &this.path)?;
            this.file = file;
            Ok(())
        };
        rewrite(self).map_err(|cause| self.error(cause).into())
    }

    fn error(&self, cause: io::Error) -> RecordError {
        RecordError { path: self.path.clone(), cause }
    }
}

fn place(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    wanted.map_or_else(|| own_file("kept.jsonl"), |path| Ok(path.to_owned()))
}

fn open(path: &Path, makes: bool) -> io::Result<Record> {
    if let Some(directory) = path.parent().filter(|_| makes) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let boot = halfopen_sys::boot_id()?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(makes).truncate(false).mode(0o600);
    loop {
        let file = options.open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        // Whoever had it may have put another file in its place.
        let same = |one: &fs::Metadata, other: &fs::Metadata| {
            use std::os::unix::fs::MetadataExt as _;
            (one.dev(), one.ino()) == (other.dev(), other.ino())
        };
        if fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|own| same(&own, &now))) {
            refuse_foreign(&file)?;
            return Ok(Record { file, path: path.to_owned(), boot });
        }
    }
}

/// A record is written anew without what is done with, which must never happen to a file of others.
fn refuse_foreign(mut file: &File) -> io::Result<()> {
    let mut head = [0; HEAD.len()];
    let mut length = 0;
    while let read @ 1.. = file.read(head.get_mut(length..).unwrap_or_default())? {
        length += read;
    }
    // The first line of all may have been torn by a full disk, and another one begun behind it.
    let begins = head.get(..length).unwrap_or_default();
    let begins = begins.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if HEAD.as_bytes().starts_with(begins) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "this file is no record of halfopen"))
}

/// Part of the interface: docs/json.md has its fields.
const SCHEMA: &str = "halfopen.kept/1";
/// How a line of any version begins.
const HEAD: &str = "{\"schema\":\"halfopen.kept/";

impl From<KeepOptions> for Options {
    fn from(options: KeepOptions) -> Self {
        let KeepOptions { keepalive, idle_s, interval_s, probes, user_timeout_ms } = options;
        Self { keepalive, idle_s, interval_s, probes, user_timeout_ms }
    }
}

impl From<Options> for KeepOptions {
    fn from(options: Options) -> Self {
        let Options { keepalive, idle_s, interval_s, probes, user_timeout_ms } = options;
        Self { keepalive, idle_s, interval_s, probes, user_timeout_ms }
    }
}

#[cfg(test)]
mod tests {
    use halfopen_core::{Cookie, NetnsId};

    use super::*;

    fn id(cookie: u64) -> ConnectionId {
        ConnectionId { cookie: Cookie(cookie), netns: NetnsId(7) }
    }

    const fn idle(idle_s: u32) -> KeepOptions {
        KeepOptions { keepalive: true, idle_s, interval_s: 10, probes: 3, user_timeout_ms: 0 }
    }

    fn change(before: u32, after: u32) -> Change {
        Change { before: idle(before), after: idle(after) }
    }

    /// A file of this test alone, gone afterwards.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let name = format!("halfopen-record-{name}-{}.jsonl", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn what_was_written_is_read_back_by_the_next_process_and_forgotten_one_by_one() {
        let place = Place::new("back");
        let mut record = Record::open(Some(&place.0)).unwrap();
        record.add([(id(1), change(7200, 60)), (id(2), change(7200, 60))].into_iter()).unwrap();
        drop(record);
        let mut record = Record::open(Some(&place.0)).unwrap();
        record.add([(id(1), change(60, 30))].into_iter()).unwrap();
        let pasts = record.pasts().unwrap();
        assert_eq!(pasts[&id(1)].way_back(idle(30)), Some(idle(7200)));
        assert_eq!(pasts.len(), 2);
        record.retain(|one| one == id(2)).unwrap();
        assert_eq!(record.pasts().unwrap().into_keys().collect::<Vec<_>>(), [id(2)]);
    }

    #[test]
    fn a_file_that_is_no_record_is_refused_and_stays_as_it_is() {
        let place = Place::new("foreign");
        for text in ["garbage", "{\"schema\":\"halfopen.audit/1\"}\n", "\u{0}\u{0}"] {
            fs::write(&place.0, text).unwrap();
            for opened in
                [Record::open(Some(&place.0)).err(), Record::open_existing(Some(&place.0)).err()]
            {
                let refused = opened.unwrap().to_string();
                assert!(refused.contains("is no record of halfopen"), "{refused}");
            }
            assert_eq!(fs::read_to_string(&place.0).unwrap(), text);
        }
    }

    #[test]
    fn a_link_beside_the_record_is_not_written_through() {
        let (place, victim) = (Place::new("link"), Place::new("victim"));
        let beside = Place(place.0.with_extension("jsonl.new"));
        fs::write(&victim.0, "precious").unwrap();
        std::os::unix::fs::symlink(&victim.0, &beside.0).unwrap();
        let mut record = Record::open(Some(&place.0)).unwrap();
        record.add([(id(1), change(7200, 60)), (id(2), change(7200, 60))].into_iter()).unwrap();
        record.retain(|one| one == id(2)).unwrap();
        assert_eq!(fs::read_to_string(&victim.0).unwrap(), "precious");
        assert_eq!(record.pasts().unwrap().len(), 1);
        assert!(fs::symlink_metadata(&place.0).unwrap().is_file());
    }

    #[test]
    fn a_record_that_does_not_exist_is_not_made_by_who_only_reads() {
        let place = Place::new("absent");
        assert!(Record::open_existing(Some(&place.0)).unwrap().is_none());
        assert!(!place.0.exists());
    }

    #[test]
    fn a_record_whose_first_line_is_torn_is_still_a_record() {
        let place = Place::new("first");
        for torn in ["", "\n", "{\"sch", "{\"sch\n", HEAD] {
            fs::write(&place.0, torn).unwrap();
            let mut record = Record::open(Some(&place.0)).unwrap();
            record.add([(id(1), change(7200, 60))].into_iter()).unwrap();
            assert_eq!(record.pasts().unwrap().len(), 1, "{torn:?}");
        }
    }

    #[test]
    fn torn_lines_and_other_boots_are_passed_over() {
        let place = Place::new("torn");
        let mut record = Record::open(Some(&place.0)).unwrap();
        record.add([(id(1), change(7200, 60))].into_iter()).unwrap();
        drop(record);
        let text = fs::read_to_string(&place.0).unwrap();
        let boot = halfopen_sys::boot_id().unwrap();
        let (torn, other) = (&text[..text.len() / 2], text.replace(&boot, "another"));
        fs::write(&place.0, format!("{text}{other}{torn}")).unwrap();
        let mut record = Record::open(Some(&place.0)).unwrap();
        record.add([(id(3), change(7200, 60))].into_iter()).unwrap();
        let mut known: Vec<_> = record.pasts().unwrap().into_keys().collect();
        known.sort();
        assert_eq!(known, [id(1), id(3)]);
    }
}
