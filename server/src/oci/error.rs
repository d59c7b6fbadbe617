//! What is wrong with a configuration, and exactly where.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use bailiwick_protocol::{Refusal, RefusalCode};
use core::fmt;

/// Longest part of an offending string that an error shows, in characters.
const SHOWN_MAX: usize = 60;

/// One fault of a configuration, in one line: document, JSON path, value, reason.
///
/// ```text
/// config.json: linux.resources.memory.limit: -5 is negative, and only -1 means unlimited
/// └document─┘  └───────────path────────────┘ └┘ └──────────────reason──────────────────┘
///                                           value
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    document: &'static str,
    path: String,
    value: Option<String>,
    reason: Cow<'static, str>,
}

impl ConfigError {
    /// A fault of the document as a whole, such as broken JSON.
    pub(crate) fn whole(document: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        ConfigError { document, path: String::new(), value: None, reason: reason.into() }
    }
    /// Where it is, as a JSON path (`mounts[2].destination`); empty for the document as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// The offending value as far as it is worth showing; none if it is missing.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
    /// What is wrong with it, as a predicate ("is not an absolute path").
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.document)?;
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        match &self.value {
            Some(value) => write!(f, ": {value} {}", self.reason),
            None => write!(f, ": {}", self.reason),
        }
    }
}
impl core::error::Error for ConfigError {}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Refusal::new(RefusalCode::BadConfig, error)
    }
}

/// A place in a document: the way to it from the root, kept on the stack and only written down when it is needed.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// The document itself.
    Root(&'static str),
    /// A member of an object.
    Key(&'a Place<'a>, &'a str),
    /// An element of a list.
    Index(&'a Place<'a>, usize),
}

impl<'a> Place<'a> {
    /// The member `key` of the object here.
    pub(crate) fn key(&'a self, key: &'a str) -> Place<'a> {
        Place::Key(self, key)
    }
    /// The element `index` of the list here.
    pub(crate) fn index(&'a self, index: usize) -> Place<'a> {
        Place::Index(self, index)
    }
    fn document(&self) -> &'static str {
        match self {
            Place::Root(document) => document,
            Place::Key(parent, _) | Place::Index(parent, _) => parent.document(),
        }
    }
    /// A fault here about something that is not a value, such as its absence.
    pub(crate) fn fault(&self, reason: impl Into<Cow<'static, str>>) -> ConfigError {
        ConfigError { document: self.document(), path: self.to_string(), value: None, reason: reason.into() }
    }
    /// A fault of the text that stands here.
    pub(crate) fn text_fault(&self, text: &str, reason: impl Into<Cow<'static, str>>) -> ConfigError {
        self.value_fault(quote(text), reason)
    }
    /// A fault of the number (or other short value) that stands here.
    pub(crate) fn value_fault(
        &self,
        value: impl fmt::Display,
        reason: impl Into<Cow<'static, str>>,
    ) -> ConfigError {
        ConfigError { value: Some(value.to_string()), ..self.fault(reason) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match self {
            Place::Root(_) => Ok(()),
            Place::Key(Place::Root(_), key) if !key.is_empty() && key.chars().all(word) => f.write_str(key),
            Place::Key(parent, key) if !key.is_empty() && key.chars().all(word) => {
                write!(f, "{parent}.{key}")
            }
            Place::Key(parent, key) => write!(f, "{parent}[{}]", quote(key)),
            Place::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// `text` in quotes with control characters escaped, cut after [`SHOWN_MAX`] characters.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((cut, _)) => format!("{:?}…", text.get(..cut).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
