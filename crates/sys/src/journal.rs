//! Owns the journal of what a probe has to put back: written before a socket is touched, removed
//! after, and carried out by the next run if its writer was killed in between.
//!
//! A file for each batch, locked (flock(2)) for as long as its writer lives, so that a dead writer is
//! known for certain, whatever has become of its pid. It lies where a reboot empties it, and names
//! the boot all the same. A living writer's file also says which connections are in flight, so that
//! no other run of this user takes for the application's own what a probe has set for a moment.
//! Touches sockets only to put back. Read: flock(2), open(2) on O_TMPFILE.

pub(crate) mod entry;

use std::{
    collections::HashSet,
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{BuildHasher as _, RandomState},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use halfopen_core::ConnectionId;
use rustix::fs::{AtFlags, CWD, FlockOperation, flock, linkat};

pub(crate) use self::entry::{Entry, Was};
use crate::{holder::Holders, options::OptionsError, owners::owners};

/// Where this user's journals lie.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    directory: PathBuf,
    /// What the names of this process's files begin with.
    writer: String,
}

/// Leave to read what is to be written down: nobody else begins meanwhile. To be held for a moment.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Keeps the lock; `None` where somebody else keeps it for longer than it takes.
    lock: Option<File>,
    in_flight: HashSet<ConnectionId>,
}

/// A batch that was written down, and whose sockets may now be touched.
#[derive(Debug)]
pub(crate) struct Note {
    /// Keeps the lock.
    _file: File,
    path: PathBuf,
}

/// Why nothing could be written down, so that nothing may be touched.
#[derive(Debug, thiserror::Error)]
#[error("write down in {path} what a probe must put back: {cause}", path = path.display())]
#[non_exhaustive]
pub struct JournalError {
    /// The directory or file.
    pub path: PathBuf,
    /// What the kernel answered.
    pub cause: io::Error,
}

impl Journal {
    /// Finds or makes the directory: /run/halfopen for root, else $XDG_RUNTIME_DIR/halfopen, else
    /// one of this user's own in the directory for temporary files.
    pub(crate) fn open() -> Result<Self, JournalError> {
        let mut refused = None;
        for directory in places() {
            match own_directory(&directory) {
                Ok(()) => return Ok(Self { directory, writer: WRITER.clone() }),
                Err(cause) => refused = refused.or(Some(JournalError { path: directory, cause })),
            }
        }
        Err(refused.unwrap_or_else(|| JournalError {
            path: PathBuf::new(),
            cause: io::ErrorKind::NotFound.into(),
        }))
    }

    /// Waits until no other run of this user is about to write, and looks what those that live have
    /// in flight. What this process itself has is not among it: its threads share nothing.
    pub(crate) fn turn(&self) -> Result<Turn, JournalError> {
        let failed = |cause| JournalError { path: self.directory.clone(), cause };
        let directory = File::open(&self.directory).map_err(failed)?;
        let deadline = Instant::now() + TURN_WITHIN;
        while flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() >= deadline {
                return Ok(Turn { lock: None, in_flight: HashSet::new() });
            }
            thread::sleep(TURN_PAUSE);
        }
        let mut in_flight = HashSet::new();
        for path in journals(&self.directory) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with(&self.writer) {
                in_flight.extend(held(&path));
            }
        }
        Ok(Turn { lock: Some(directory), in_flight })
    }

    /// Writes `entries` down, which were read during `turn`. The file appears whole and locked, or not
    /// at all.
    pub(crate) fn note(&self, turn: Turn, entries: &[Entry]) -> Result<Note, JournalError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{}{number}{SUFFIX}", self.writer));
        let failed = |cause| JournalError { path: path.clone(), cause };
        let mut text = format!("{HEADING} {}\n", boot_id().map_err(failed)?);
        for entry in entries {
            text.push_str(&format!("{entry}\n"));
        }
        let write = || -> io::Result<File> {
            let flags = libc::O_TMPFILE | libc::O_CLOEXEC;
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(flags)
                .mode(0o600)
                .open(&self.directory)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            // Not synced to the disk: a power failure that would take it takes the sockets too, and
            // a killed process takes neither.
            file.write_all(text.as_bytes())?;
            let name = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(CWD, &name, CWD, &path, AtFlags::SYMLINK_FOLLOW)?;
            Ok(file)
        };
        let note = Note { _file: write().map_err(failed)?, path: path.clone() };
        drop(turn);
        Ok(note)
    }
}

impl Turn {
    /// Nobody else has it in flight, and so nobody will as long as this lives.
    pub(crate) fn is_free(&self, id: ConnectionId) -> bool {
        self.lock.is_some() && !self.in_flight.contains(&id)
    }
}

impl Note {
    /// Everything is as it was: forgets the batch.
    pub(crate) fn done(self) {
        // If it cannot be removed, the next run finds that nothing is left to put back.
        let _ = fs::remove_file(&self.path);
    }
}

/// What was found of a probe that was cut short.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Connections whose options were put back.
    pub restored: usize,
    /// Why others could not be reached, which are tried again by the next run: a clause each.
    pub failed: Vec<String>,
}

/// Puts back what killed processes could not, if their connections still live; then forgets it.
/// Options that have another value by now than the probe gave them are left alone: somebody else
/// has set them since.
///
/// Costs one look into a directory that is empty as a rule. Never fails: what cannot be done is told.
pub fn restore() -> Restored {
    let mut sum = Restored::default();
    for directory in places().iter().filter(|directory| is_ours(directory)) {
        for path in journals(directory) {
            restore_file(&path, &mut sum);
        }
    }
    sum
}

fn journals(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let paths = fs::read_dir(directory).into_iter().flatten();
    let paths = paths.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.to_string_lossy().ends_with(SUFFIX))
}

/// The connections that a living writer has in flight by this file, or that somebody else is putting
/// back; none if its writer is dead.
fn held(path: &Path) -> Vec<ConnectionId> {
    let Some(mut file) = open(path) else { return Vec::new() };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Vec::new();
    }
    entries(&mut file).into_iter().flatten().map(|entry| entry.id).collect()
}

/// `None`: another run has removed it meanwhile.
fn open(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    options.open(path).ok()
}

/// What the file says; `None` if it is of another boot, or nothing of ours.
fn entries(file: &mut File) -> Option<Vec<Entry>> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let heading = format!("{HEADING} {}", boot_id().ok()?);
    (lines.next() == Some(heading.as_str()))
        .then(|| lines.filter_map(|line| line.parse().ok()).collect())
}

fn restore_file(path: &Path, sum: &mut Restored) {
    if let Some(file) = open(path) {
        restore_open(path, file, sum);
    }
}

fn restore_open(path: &Path, mut file: File, sum: &mut Restored) {
    // Its writer lives, or somebody else is putting it back just now.
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    // Somebody else has put it back since it was opened, and the next run may have set the same again.
    if !file.metadata().is_ok_and(|now| now.nlink() > 0) {
        return;
    }
    let Some(entries) = entries(&mut file) else {
        // There is nothing left that it could mean.
        let _ = fs::remove_file(path);
        return;
    };
    let failed = put_back_all(&entries, &mut Holders::default(), sum);
    if failed.is_empty() {
        let _ = fs::remove_file(path);
    }
    sum.failed.extend(failed);
}

/// Puts back what `entries` say, and returns why some could not be reached.
pub(crate) fn put_back_all(
    entries: &[Entry],
    holders: &mut Holders,
    sum: &mut Restored,
) -> Vec<String> {
    let mut failed = Vec::new();
    let mut lost = Vec::new();
    for entry in entries {
        match put_back(entry, entry.pid, entry.fd, holders) {
            Ok(changed) => sum.restored += usize::from(changed),
            Err(PutBack::Elsewhere) => lost.push(entry),
            Err(PutBack::Failed(why)) => failed.push(format!("{}: {why}", entry.id)),
        }
    }
    // The descriptor may have got another number, or another process: the inode finds it.
    let wanted: HashSet<u64> = lost.iter().filter_map(|entry| entry.inode).collect();
    let table = owners(Some(&wanted)).unwrap_or_default();
    for entry in lost {
        for owner in entry.inode.into_iter().flat_map(|inode| table.of(inode)) {
            match put_back(entry, owner.process.pid, owner.fd, holders) {
                Ok(changed) => {
                    sum.restored += usize::from(changed);
                    break;
                }
                Err(PutBack::Elsewhere) => {}
                Err(PutBack::Failed(why)) => failed.push(format!("{}: {why}", entry.id)),
            }
        }
    }
    failed
}

/// Why one connection was not put back.
enum PutBack {
    /// The descriptor is gone or means another file; the connection, as a rule, is gone too.
    Elsewhere,
    /// It was refused.
    Failed(String),
}

/// Puts back one connection through one descriptor; says whether anything was left to do.
fn put_back(entry: &Entry, pid: u32, fd: u32, holders: &mut Holders) -> Result<bool, PutBack> {
    let duplicate = match holders.duplicate(pid, fd, entry.id.cookie) {
        Ok(duplicate) => duplicate,
        Err(OptionsError::Gone { .. } | OptionsError::AnotherSocket { .. }) => {
            return Err(PutBack::Elsewhere);
        }
        Err(error) => return Err(PutBack::Failed(error.to_string())),
    };
    entry.was.put_back(duplicate.as_fd()).map_err(|cause| PutBack::Failed(cause.to_string()))
}

/// Where journals may lie, best first. Looked through in full, since what one run could use
/// another may have lacked.
fn places() -> Vec<PathBuf> {
    let uid = rustix::process::geteuid();
    let mut places = Vec::new();
    if uid.is_root() {
        places.push(PathBuf::from("/run/halfopen"));
    } else if let Some(runtime) = env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()) {
        places.push(PathBuf::from(runtime).join("halfopen"));
    }
    places.push(env::temp_dir().join(format!("halfopen-{}", uid.as_raw())));
    places
}

/// Makes the directory if need be, and insists that nobody else can write to it.
fn own_directory(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
        _ => {}
    }
    if is_ours(directory) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is no directory of ours, or others may write to it",
        ))
    }
}

/// What others could have written must never be carried out.
fn is_ours(directory: &Path) -> bool {
    fs::symlink_metadata(directory).is_ok_and(|found| {
        found.is_dir()
            && found.uid() == rustix::process::geteuid().as_raw()
            && found.mode() & 0o022 == 0
    })
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The pid, for people, and a number that no other process draws: pids are told apart by it that
/// are alike in two pid namespaces with one /run.
static WRITER: LazyLock<String> = LazyLock::new(|| {
    let number = RandomState::new().hash_one(std::process::id());
    format!("{}-{number:016x}-", std::process::id())
});

/// Others keep their turn for about a millisecond; far longer than that only if they were stopped.
const TURN_WITHIN: Duration = Duration::from_secs(1);
const TURN_PAUSE: Duration = Duration::from_micros(200);

/// The first line, with the format's version; the boot's id follows.
const HEADING: &str = "halfopen-journal 1";
const SUFFIX: &str = ".journal";

#[cfg(test)]
mod tests;
