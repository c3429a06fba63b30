//! Owns reading a TOML table with the place of everything in it, so that a slip is answered with file,
//! line and remedy. Knows no key. Pure. Read: toml::de::DeTable.

use std::{cell::RefCell, fmt, time::Duration};

use halfopen_core::Span;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file, from 1.
    Line(usize),
    /// `--set`, with what was said there.
    Set(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Set(said) => write!(f, "--set {said}"),
        }
    }
}

/// What is wrong with a scenario: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, {origin}: {what}; {remedy}")]
pub struct ScenarioError {
    /// The file, or the name of a scenario that is built in.
    pub file: String,
    /// Where in it.
    pub origin: Origin,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// What is wrong, where; the file is added by who knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slip {
    pub(crate) origin: Origin,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Slip {
    pub(crate) fn new(origin: &Origin, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { origin: origin.clone(), what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn in_file(self, file: &str) -> ScenarioError {
        let Self { origin, what, remedy } = self;
        ScenarioError { file: file.to_owned(), origin, what, remedy }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// A value of the kinds that scenarios use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Whole(i64),
    Truth(bool),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
    /// Of no use here; the word for its kind.
    Other(&'static str),
}

impl Value {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Whole(_) => "a whole number",
            Self::Truth(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads `text` as a table.
pub(crate) fn parse(text: &str) -> Result<Node, Slip> {
    match DeTable::parse(text) {
        Ok(table) => Ok(Node {
            origin: Origin::Line(1),
            value: Value::Table(entries(text, table.into_inner())),
        }),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let remedy = "write it as TOML: key = \"value\", [table]";
            Err(Slip::new(&line(text, at), error.message().replace('\n', ", "), remedy))
        }
    }
}

/// One value as `--set` gives it: TOML, or else a text without quotes.
pub(crate) fn parse_set(said: &str, value: &str) -> Node {
    let origin = Origin::Set(said.to_owned());
    let value = DeValue::parse(value).map_or_else(
        |_| Value::Text(value.to_owned()),
        |parsed| converted("", parsed.into_inner()),
    );
    Node { origin, value }
}

fn entries(text: &str, table: DeTable<'_>) -> Vec<(String, Node)> {
    table
        .into_iter()
        .map(|(key, value)| (key.into_inner().into_owned(), node(text, value)))
        .collect()
}

fn node(text: &str, value: Spanned<DeValue<'_>>) -> Node {
    Node { origin: line(text, value.span().start), value: converted(text, value.into_inner()) }
}

fn converted(text: &str, value: DeValue<'_>) -> Value {
    match value {
        DeValue::String(said) => Value::Text(said.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number that is too large"), Value::Whole),
        DeValue::Boolean(truth) => Value::Truth(truth),
        DeValue::Array(list) => {
            Value::List(list.into_iter().map(|value| node(text, value)).collect())
        }
        DeValue::Table(table) => Value::Table(entries(text, table)),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    }
}

fn line(text: &str, at: usize) -> Origin {
    Origin::Line(text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1)
}

impl Node {
    /// A text that stands nowhere.
    pub(crate) fn text(text: &str) -> Self {
        Self { origin: Origin::Set(text.to_owned()), value: Value::Text(text.to_owned()) }
    }

    /// A table that stands nowhere.
    pub(crate) const fn table(entries: Vec<(String, Self)>) -> Self {
        Self { origin: Origin::Set(String::new()), value: Value::Table(entries) }
    }

    /// Puts `node` at the dotted `path`; numbers are places in lists, from 0. Tables on the way are made.
    pub(crate) fn set(&mut self, path: &str, node: Self) -> Result<(), Slip> {
        let (first, rest) =
            path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let inside = match &mut self.value {
            Value::List(list) => {
                match first.parse().ok().and_then(|place: usize| list.get_mut(place)) {
                    Some(inside) => inside,
                    None => {
                        return Err(Slip::new(
                            &node.origin,
                            format!("`{first}` is no place in a list of {}", list.len()),
                            "count from 0",
                        ));
                    }
                }
            }
            Value::Table(entries) => {
                let found = entries.iter().position(|(key, _)| key == first);
                let place = found.unwrap_or_else(|| {
                    let empty =
                        Self { origin: node.origin.clone(), value: Value::Table(Vec::new()) };
                    entries.push((first.to_owned(), empty));
                    entries.len() - 1
                });
                match entries.get_mut(place) {
                    Some((_, inside)) => inside,
                    None => return Ok(()),
                }
            }
            other => {
                let what =
                    format!("there is nothing below `{first}`: it is inside {}", other.kind());
                return Err(Slip::new(&node.origin, what, "see `halfopen rehearse explain`"));
            }
        };
        match rest {
            None => *inside = node,
            Some(rest) => inside.set(rest, node)?,
        }
        Ok(())
    }
}

/// A table that is being read: what nobody asked for is a slip in the end.
pub(crate) struct Table<'a> {
    /// How it is written, for messages: `[stop]`.
    name: String,
    pub(crate) origin: &'a Origin,
    entries: &'a [(String, Node)],
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(name: &str, node: &'a Node) -> Result<Self, Slip> {
        match &node.value {
            Value::Table(entries) => Ok(Self {
                name: name.to_owned(),
                origin: &node.origin,
                entries,
                asked: RefCell::default(),
            }),
            other => Err(Slip::new(
                &node.origin,
                format!("{name} is {}, and has to be a table", other.kind()),
                format!("write {name} on a line of its own and its keys below"),
            )),
        }
    }

    pub(crate) fn entries(&self) -> &'a [(String, Node)] {
        self.entries
    }

    pub(crate) fn get(&self, key: &'static str) -> Option<&'a Node> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub(crate) fn table(&self, key: &'static str) -> Result<Option<Self>, Slip> {
        self.get(key).map(|node| Self::new(&format!("[{key}]"), node)).transpose()
    }

    pub(crate) fn list(&self, key: &'static str) -> Result<&'a [Node], Slip> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Node { value: Value::List(list), .. }) => Ok(list),
            Some(node) => Err(self.wrong(key, node, "a list", "write [[…]] for each item")),
        }
    }

    pub(crate) fn text(&self, key: &'static str) -> Result<Option<&'a str>, Slip> {
        match self.get(key) {
            None => Ok(None),
            Some(Node { value: Value::Text(text), .. }) => Ok(Some(text)),
            Some(node) => Err(self.wrong(key, node, "text", "put it in double quotes")),
        }
    }

    pub(crate) fn truth(&self, key: &'static str) -> Result<Option<bool>, Slip> {
        match self.get(key) {
            None => Ok(None),
            Some(Node { value: Value::Truth(truth), .. }) => Ok(Some(*truth)),
            Some(node) => Err(self.wrong(key, node, "true or false", "write it without quotes")),
        }
    }

    /// A whole number from 1 to `most`.
    pub(crate) fn whole(&self, key: &'static str, most: u32) -> Result<Option<u32>, Slip> {
        let Some(node) = self.get(key) else { return Ok(None) };
        match node.value {
            Value::Whole(number) => u32::try_from(number)
                .ok()
                .filter(|number| (1..=most).contains(number))
                .map(Some)
                .ok_or_else(|| {
                    let what = format!("`{key}` is {number}");
                    Slip::new(&node.origin, what, format!("write a number from 1 to {most}"))
                }),
            _ => Err(self.wrong(key, node, "a whole number", "write it without quotes")),
        }
    }

    pub(crate) fn span(&self, key: &'static str) -> Result<Option<Duration>, Slip> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let Value::Text(text) = &node.value else {
            return Err(self.wrong(
                key,
                node,
                "a duration",
                "write it like \"500ms\", \"5s\" or \"2h\"",
            ));
        };
        match text.parse::<Span>() {
            Ok(span) => Ok(Some(span.0)),
            Err(error) => Err(Slip::new(
                &node.origin,
                format!("`{key}` cannot be read: {error}"),
                "write it like \"500ms\", \"5s\" or \"2h\"",
            )),
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, Slip> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let names = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        let Value::Text(text) = &node.value else {
            let remedy = format!("write one of {}", list_of(&names()));
            return Err(self.wrong(key, node, "a word", &remedy));
        };
        match words.iter().find(|(word, _)| word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(Slip::new(
                &node.origin,
                format!("`{key}` cannot be \"{text}\""),
                remedy_for(text, &names()),
            )),
        }
    }

    /// Where `key` stands, or the table if it is not there.
    pub(crate) fn origin_of(&self, key: &str) -> Origin {
        let found = self.entries.iter().find(|(name, _)| name == key);
        found.map_or_else(|| self.origin.clone(), |(_, node)| node.origin.clone())
    }

    /// Complains of the first key that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), Slip> {
        let asked = self.asked.into_inner();
        match self.entries.iter().find(|(key, _)| !asked.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, node)) => {
                let what = format!("{} has no key `{key}`", self.name);
                Err(Slip::new(&node.origin, what, remedy_for(key, &asked)))
            }
        }
    }

    fn wrong(&self, key: &str, node: &Node, wanted: &str, remedy: &str) -> Slip {
        let what =
            format!("`{key}` of {} is {}, and has to be {wanted}", self.name, node.value.kind());
        Slip::new(&node.origin, what, remedy)
    }
}

/// The word that was meant, or all that there are.
pub(crate) fn remedy_for(said: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|word| (distance(said, word), *word)).min();
    match nearest {
        Some((distance, word)) if distance <= CLOSE && distance < word.len() => {
            format!("did you mean `{word}`?")
        }
        _ => format!("known are {}", list_of(known)),
    }
}

/// Two slips of the finger.
const CLOSE: usize = 2;

fn list_of(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Insertions, deletions and changes from one word to the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (position, letter) in one.chars().enumerate() {
        let mut diagonal = position;
        let mut left = position + 1;
        let mut next = vec![left];
        for (letter_there, above) in other.iter().zip(row.iter().skip(1)) {
            let changed = diagonal + usize::from(letter != *letter_there);
            left = changed.min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_value_is_known() {
        let node = parse("a = 1\n\n[b]\nc = \"d\"\n").unwrap();
        let table = Table::new("the file", &node).unwrap();
        let b = table.table("b").unwrap().unwrap();
        assert_eq!(b.origin_of("c"), Origin::Line(4));
    }

    #[test]
    fn a_key_that_is_asked_for_twice_is_named_once() {
        let node = parse("colour = 1\n").unwrap();
        let table = Table::new("the file", &node).unwrap();
        assert!(table.get("router").is_none() && table.get("router").is_none());
        assert_eq!(table.finish().unwrap_err().remedy, "known are `router`");
    }

    #[test]
    fn a_slip_of_the_finger_is_answered_with_the_word_that_was_meant() {
        assert_eq!(remedy_for("lats", &["lasts", "side"]), "did you mean `lasts`?");
        assert_eq!(remedy_for("colour", &["lasts", "side"]), "known are `lasts`, `side`");
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn a_value_is_set_below_tables_and_lists() {
        let mut node = parse("[[at]]\nfault = \"cut\"\n").unwrap();
        node.set("at.0.place", parse_set("at.0.place=client", "client")).unwrap();
        node.set("stop.limit", parse_set("stop.limit=5s", "5s")).unwrap();
        let missing = node.set("at.1.place", parse_set("at.1.place=client", "client"));
        assert_eq!(missing.unwrap_err().remedy, "count from 0");
        let table = Table::new("the file", &node).unwrap();
        let stop = table.table("stop").unwrap().unwrap();
        assert_eq!(stop.span("limit").unwrap(), Some(Duration::from_secs(5)));
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        for text in ["", "=", "[", "[[a]]\n[a]", "a = 99999999999999999999", "\u{0}", "a.b.c = {}"]
        {
            let _ = parse(text);
        }
    }
}
