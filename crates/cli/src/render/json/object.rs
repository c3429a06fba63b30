//! Owns the writing of one JSON object that may have very long lists: entry by entry, never whole in
//! memory, the items of lists put into words on all cores.

use std::io::{self, Write};

use serde::Serialize;

use crate::render::in_order::{PIECE, in_order};

/// How an object is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Each entry of the object, and each item of its lists, on a line of its own: one connection,
    /// one line, for people who page and for `grep`.
    Lines,
    /// All on one line, as streams of documents are.
    OneLine,
}

/// An object that is being written.
pub(super) struct Object<'a, W> {
    out: &'a mut W,
    layout: Layout,
    is_empty: bool,
}

impl<'a, W: Write> Object<'a, W> {
    pub(super) fn begin(out: &'a mut W, layout: Layout) -> io::Result<Self> {
        out.write_all(b"{")?;
        Ok(Self { out, layout, is_empty: true })
    }

    pub(super) fn entry(&mut self, key: &str, value: &impl Serialize) -> io::Result<()> {
        self.key(key)?;
        Ok(serde_json::to_writer(&mut *self.out, value)?)
    }

    /// An entry that is a list: each of `items` as `show` has it.
    pub(super) fn each<'i, T: Sync, S: Serialize>(
        &mut self,
        key: &str,
        items: &'i [T],
        show: impl Fn(&'i T) -> S + Sync,
    ) -> io::Result<()> {
        self.key(key)?;
        let end_of_line = self.end_of_line();
        let piece = |items: &'i [T], mut text: Vec<u8>| {
            text.clear();
            for item in items {
                text.extend_from_slice(end_of_line);
                serde_json::to_writer(&mut text, &show(item))?;
                text.push(b',');
            }
            Ok(text)
        };
        self.out.write_all(b"[")?;
        let mut pieces = items.chunks(PIECE).len();
        in_order(items, piece, |text| {
            pieces -= 1;
            // Only the last item has no comma behind it.
            let last = text.strip_suffix(b",").filter(|_| pieces == 0);
            self.out.write_all(last.unwrap_or(text))
        })?;
        if !items.is_empty() {
            self.out.write_all(end_of_line)?;
        }
        self.out.write_all(b"]")
    }

    pub(super) fn end(self) -> io::Result<()> {
        self.out.write_all(self.end_of_line())?;
        self.out.write_all(b"}\n")
    }

    fn key(&mut self, key: &str) -> io::Result<()> {
        if !self.is_empty {
            self.out.write_all(b",")?;
        }
        self.is_empty = false;
        self.out.write_all(self.end_of_line())?;
        serde_json::to_writer(&mut *self.out, key)?;
        self.out.write_all(b":")
    }

    const fn end_of_line(&self) -> &'static [u8] {
        match self.layout {
            Layout::Lines => b"\n",
            Layout::OneLine => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(layout: Layout, numbers: &[usize]) -> String {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out, layout).unwrap();
        object.entry("schema", &"x/1").unwrap();
        object.each("numbers", numbers, |number| *number).unwrap();
        object.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_item_has_a_line_of_its_own() {
        let expected = "{\n\"schema\":\"x/1\",\n\"numbers\":[\n1,\n2\n]\n}\n";
        assert_eq!(written(Layout::Lines, &[1, 2]), expected);
        let empty = "{\n\"schema\":\"x/1\",\n\"numbers\":[]\n}\n";
        assert_eq!(written(Layout::Lines, &[]), empty);
    }

    #[test]
    fn a_document_of_a_stream_is_one_line() {
        assert_eq!(written(Layout::OneLine, &[1, 2]), "{\"schema\":\"x/1\",\"numbers\":[1,2]}\n");
    }

    #[test]
    fn long_lists_keep_their_order_at_every_boundary_of_pieces() {
        for length in [PIECE - 1, PIECE, PIECE + 1, 7 * PIECE, 7 * PIECE + 1] {
            let numbers: Vec<usize> = (0..length).collect();
            let text = written(Layout::Lines, &numbers);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let read: Vec<usize> = serde_json::from_value(value["numbers"].clone()).unwrap();
            assert_eq!(read, numbers);
        }
    }

    #[test]
    fn a_reader_who_goes_away_ends_the_writing() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let numbers: Vec<usize> = (0..100 * PIECE).collect();
        let mut out = Full(10_000);
        let mut object = Object::begin(&mut out, Layout::Lines).unwrap();
        let error = object.each("numbers", &numbers, |number| *number).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
