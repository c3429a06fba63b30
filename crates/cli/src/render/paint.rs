//! Owns colour. It never carries meaning alone: whatever is coloured also says so in words or by a mark.
//! Read: ECMA-48 SGR; <https://no-color.org>.

use halfopen_core::Severity;

/// Colours text, or leaves it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Colours if `on`.
    pub(crate) const fn when(on: bool) -> Self {
        Self { on }
    }

    /// The text, in the colour of `severity`.
    pub(crate) fn severity(self, severity: Severity, text: &str) -> String {
        match severity {
            Severity::Problem => self.wrap("1;31", text),
            Severity::Notice => self.wrap("33", text),
            Severity::Fine => text.to_owned(),
        }
    }

    /// A heading.
    pub(crate) fn heading(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
