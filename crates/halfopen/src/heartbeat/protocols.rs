//! Owns the heartbeats of two common kinds of protocol: frames with a length before them, and lines.
//! Both ends can use the same one: each answers the other's questions.

use bytes::{Bytes, BytesMut};
use halfopen_core::heartbeat::Beat;

use super::{Heard, Protocol};

/// Heartbeats among length-prefixed frames (`LengthDelimitedCodec`): a frame that begins with a mark,
/// and the number of the heartbeat in four bytes, big end first, after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameBeats {
    question: Bytes,
    answer: Bytes,
}

impl FrameBeats {
    /// With these marks, which must be bytes that no other frame of the protocol begins with.
    pub fn new(question: impl Into<Bytes>, answer: impl Into<Bytes>) -> Self {
        Self { question: question.into(), answer: answer.into() }
    }
}

impl Protocol<BytesMut, Bytes> for FrameBeats {
    fn question(&mut self, beat: Beat) -> Bytes {
        marked(&self.question, beat)
    }

    fn judge(&mut self, frame: &BytesMut) -> Heard<Bytes> {
        if let Some(beat) = numbered(frame, &self.question) {
            Heard::Question(marked(&self.answer, beat))
        } else if let Some(beat) = numbered(frame, &self.answer) {
            Heard::Answer(Some(beat))
        } else {
            Heard::Message
        }
    }
}

fn marked(mark: &Bytes, Beat(number): Beat) -> Bytes {
    let mut frame = BytesMut::with_capacity(mark.len() + 4);
    frame.extend_from_slice(mark);
    frame.extend_from_slice(&number.to_be_bytes());
    frame.freeze()
}

fn numbered(frame: &[u8], mark: &[u8]) -> Option<Beat> {
    let number = frame.strip_prefix(mark)?;
    Some(Beat(u32::from_be_bytes(number.try_into().ok()?)))
}

/// Heartbeats among lines (`LinesCodec`): a word and the number of the heartbeat, `PING 7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineBeats {
    question: String,
    answer: String,
}

impl LineBeats {
    /// With these words, which no other line of the protocol must begin with.
    pub fn new(question: impl Into<String>, answer: impl Into<String>) -> Self {
        Self { question: question.into(), answer: answer.into() }
    }
}

impl Protocol<String, String> for LineBeats {
    fn question(&mut self, Beat(number): Beat) -> String {
        format!("{} {number}", self.question)
    }

    fn judge(&mut self, line: &String) -> Heard<String> {
        let Some((word, number)) = line.split_once(' ') else { return Heard::Message };
        match number.parse() {
            Ok(number) if word == self.question => {
                let number: u32 = number;
                Heard::Question(format!("{} {number}", self.answer))
            }
            Ok(number) if word == self.answer => Heard::Answer(Some(Beat(number))),
            _ => Heard::Message,
        }
    }
}
