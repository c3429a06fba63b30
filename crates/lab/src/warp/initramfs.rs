//! Owns the archive that the kernel unpacks as its first file system. Pure: files in, bytes out.
//! Read: linux Documentation/driver-api/early-userspace/buffer-format.rst (the format `newc`).

use std::collections::BTreeMap;

/// Files by their absolute path. Directories above them need not be named.
#[derive(Debug, Default)]
pub(super) struct Archive {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    mode: u32,
    bytes: Vec<u8>,
    /// Major and minor number, for device nodes.
    device: (u32, u32),
}

impl Archive {
    /// A file. One that is there already is replaced.
    pub(super) fn file(&mut self, path: &str, permissions: u32, bytes: Vec<u8>) {
        self.add(path, S_IFREG | permissions, bytes, (0, 0));
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, to: &str) {
        self.add(path, S_IFLNK | 0o777, to.as_bytes().to_vec(), (0, 0));
    }

    /// Empty directories, to mount on.
    pub(super) fn directories<'a>(&mut self, paths: impl IntoIterator<Item = &'a str>) {
        for path in paths {
            self.add(path, S_IFDIR | 0o755, Vec::new(), (0, 0));
        }
    }

    /// The console, which the kernel opens for the first process before anything is mounted.
    pub(super) fn console(&mut self) {
        self.add("/dev/console", S_IFCHR | 0o600, Vec::new(), (5, 1));
    }

    fn add(&mut self, path: &str, mode: u32, bytes: Vec<u8>, device: (u32, u32)) {
        // The kernel makes no directories by itself. They sort before what is in them.
        for (at, _) in path.match_indices('/').skip(1) {
            let above = path.get(..at).unwrap_or_default().to_owned();
            let directory = Entry { mode: S_IFDIR | 0o755, bytes: Vec::new(), device: (0, 0) };
            self.entries.entry(above).or_insert(directory);
        }
        self.entries.insert(path.to_owned(), Entry { mode, bytes, device });
    }

    /// Bytes of all files.
    pub(super) fn size(&self) -> usize {
        self.entries.values().map(|entry| entry.bytes.len()).sum()
    }

    /// The archive, as the kernel reads it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            append(&mut archive, number, path.trim_start_matches('/'), entry);
        }
        let end = Entry { mode: 0, bytes: Vec::new(), device: (0, 0) };
        append(&mut archive, 0, "TRAILER!!!", &end);
        archive
    }
}

/// A header of eight-digit hexadecimal numbers, the name, the bytes; both padded to four bytes.
fn append(archive: &mut Vec<u8>, number: u32, name: &str, entry: &Entry) {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (major, minor) = entry.device;
    let fields = [
        number,
        entry.mode,
        0, // user
        0, // group
        1, // links
        0, // time
        length(entry.bytes.len()),
        0, // the archive's own device
        0,
        major,
        minor,
        length(name.len() + 1),
        0, // checksum, of which this format has none
    ];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08x}").as_bytes());
    }
    archive.extend(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend(&entry.bytes);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

// stat(2).
const S_IFCHR: u32 = 0o020_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_a_name_and_bytes_each_padded_to_four() {
        let mut archive = Archive::default();
        archive.file("/init", 0o755, b"hello".to_vec());
        let bytes = archive.to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("07070100000001000081ed"), "{text}");
        assert_eq!(text.get(54..62), Some("00000005"));
        assert_eq!(text.get(94..102), Some("00000005"), "`init` and its zero");
        assert_eq!(text.get(110..124), Some("init\0\0hello\0\0\0"));
        assert!(text.get(124..).is_some_and(|rest| rest.starts_with("070701")));
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let mut archive = Archive::default();
        archive.link("/usr/bin/sh", "busybox");
        archive.directories(["/usr"]);
        let names: Vec<&String> = archive.entries.keys().collect();
        assert_eq!(names, ["/usr", "/usr/bin", "/usr/bin/sh"]);
        assert!(archive.entries.values().take(2).all(|entry| entry.mode & S_IFDIR != 0));
    }
}
