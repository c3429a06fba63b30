//! Owns files that have no name: they go with the process, however that ends, and two machines at a
//! time do not get into each other's way. Read: proc_pid_fd(5).

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::fd::{AsFd as _, AsRawFd as _};

/// A file without a name. Programs that this process starts find it by [`Scratch::path`].
#[derive(Debug)]
pub(super) struct Scratch(File);

impl Scratch {
    /// An empty one, on the file system of `directory`.
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = directory.join(format!(".scratch-{}-{number}", process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&name)?;
        // Its name is gone before anything is in it.
        fs::remove_file(&name)?;
        Ok(Self(file))
    }

    /// Where other processes of this user find it, as long as this process lives.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", process::id(), self.0.as_fd().as_raw_fd()))
    }

    /// All that is in it.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        // Opened anew, so that it is read from its beginning.
        fs::read(self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_and_read_by_path_and_has_no_name() {
        let directory = std::env::temp_dir().join(format!("halfopen-scratch-{}", process::id()));
        fs::create_dir(&directory).unwrap();
        let scratch = Scratch::new(&directory);
        let names = fs::read_dir(&directory).unwrap().count();
        fs::remove_dir_all(&directory).unwrap();
        let scratch = scratch.unwrap();
        fs::write(scratch.path(), "first").unwrap();
        fs::write(scratch.path(), "last").unwrap();
        assert_eq!((scratch.read().unwrap().as_slice(), names), (&b"last"[..], 0));
    }
}
