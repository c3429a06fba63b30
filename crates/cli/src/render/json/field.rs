//! Owns the three answers that JSON gives: a value, `{"unknown": WHY}`, `null`.

use std::borrow::Cow;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

/// A value that may be unknown, or not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field<'a, T> {
    /// Known.
    Known(T),
    /// Not known, and why.
    Unknown(Cow<'a, str>),
    /// The question does not arise.
    NotApplicable,
}

impl<'a, T> Field<'a, T> {
    /// Known if there is a value, else unknown because of `why`.
    pub(crate) fn known_or(value: Option<T>, why: &'a str) -> Self {
        value.map_or_else(|| Self::Unknown(Cow::Borrowed(why)), Self::Known)
    }
}

impl<T: Serialize> Serialize for Field<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => value.serialize(serializer),
            Self::Unknown(why) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("unknown", why)?;
                map.end()
            }
            Self::NotApplicable => serializer.serialize_none(),
        }
    }
}
