//! A file for the record of what a test lets the program do; it goes when the test ends, however.

use std::{fs, path::PathBuf, sync::atomic::AtomicU32, sync::atomic::Ordering};

use serde_json::Value;

/// A place for a record.
pub(crate) struct Record(PathBuf);

impl Record {
    /// One that no other test uses. The file is not there yet.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("halfopen-e2e-{}-{number}", std::process::id())))
    }

    /// For `--audit`.
    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// The file is there.
    pub(crate) fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Its lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.0).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
