//! JSON as a tree, with the two things checked that JSON leaves open: duplicate keys and NUL characters.
//!
//! A configuration is read in two steps: text → [`Value`] → typed fields (see [`super::read`]). The tree borrows
//! from the text, is bounded in depth (128, by serde_json) and in the number of its values, and lives only while
//! the configuration is read. The second step then knows the path of everything it looks at.

use super::error::{ConfigError, Place, quote};
use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Most values a document may hold. A large real configuration has about two thousand.
pub const VALUES_MAX: usize = 65_536;

/// One JSON value.
#[derive(Debug)]
pub(crate) enum Value<'t> {
    Null,
    Bool(bool),
    /// An integer from 0 to 2⁶⁴ - 1.
    Natural(u64),
    /// An integer from -2⁶³ to -1.
    Negative(i64),
    /// Any other number.
    Fraction(f64),
    Text(Cow<'t, str>),
    List(Vec<Value<'t>>),
    Object(Vec<(Cow<'t, str>, Value<'t>)>),
}

/// Parses a whole document.
///
/// # Errors
/// Broken JSON with line and column; more than [`VALUES_MAX`] values or 128 levels; a key that stands twice in
/// one object; a NUL character, which no kernel interface can carry.
pub(crate) fn parse<'t>(document: &'static str, text: &'t str) -> Result<Value<'t>, ConfigError> {
    let left = Cell::new(VALUES_MAX);
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Tree { left: &left }
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|e| ConfigError::whole(document, e.to_string()))?;
    check(&Place::Root(document), &value)?;
    Ok(value)
}

fn check(place: &Place<'_>, value: &Value<'_>) -> Result<(), ConfigError> {
    match value {
        Value::Text(text) => check_text(place, text),
        Value::List(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| check(&place.index(index), item))
        }
        Value::Object(members) => {
            let mut keys = BTreeSet::new();
            members.iter().try_for_each(|(key, member)| {
                check_text(place, key)?;
                if !keys.insert(key.as_ref()) {
                    return Err(place.key(key).fault("stands there twice"));
                }
                check(&place.key(key), member)
            })
        }
        _ => Ok(()),
    }
}

fn check_text(place: &Place<'_>, text: &str) -> Result<(), ConfigError> {
    if text.contains('\0') { Err(place.text_fault(text, "holds a NUL character")) } else { Ok(()) }
}

/// Shows a value in an error.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => value.fmt(f),
            Value::Natural(value) => value.fmt(f),
            Value::Negative(value) => value.fmt(f),
            Value::Fraction(value) => write!(f, "{value:?}"),
            Value::Text(text) => f.write_str(&quote(text)),
            Value::List(_) => f.write_str("a list"),
            Value::Object(_) => f.write_str("an object"),
        }
    }
}

/// Builds the tree while there are values left to spend.
#[derive(Clone, Copy)]
struct Tree<'b> {
    left: &'b Cell<usize>,
}

impl Tree<'_> {
    fn spend<E: Error>(self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom(format!("more than {VALUES_MAX} values"))),
        }
    }
}

impl<'t> DeserializeSeed<'t> for Tree<'_> {
    type Value = Value<'t>;
    fn deserialize<D: Deserializer<'t>>(self, json: D) -> Result<Value<'t>, D::Error> {
        self.spend()?;
        json.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Tree<'_> {
    type Value = Value<'t>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value<'t>, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value<'t>, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value<'t>, E> {
        Ok(Value::Natural(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value<'t>, E> {
        Ok(u64::try_from(value).map_or(Value::Negative(value), Value::Natural))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value<'t>, E> {
        Ok(Value::Fraction(value))
    }
    fn visit_borrowed_str<E>(self, text: &'t str) -> Result<Value<'t>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value<'t>, E> {
        Ok(Value::Text(Cow::Owned(String::from(text))))
    }
    fn visit_seq<A: SeqAccess<'t>>(self, mut items: A) -> Result<Value<'t>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }
    fn visit_map<A: MapAccess<'t>>(self, mut members: A) -> Result<Value<'t>, A::Error> {
        let mut object = Vec::new();
        while let Some(key) = members.next_key_seed(Key)? {
            object.push((key, members.next_value_seed(self)?));
        }
        Ok(Value::Object(object))
    }
}

/// The key of a member, borrowed from the text where it holds no escape.
struct Key;

impl<'t> DeserializeSeed<'t> for Key {
    type Value = Cow<'t, str>;
    fn deserialize<D: Deserializer<'t>>(self, json: D) -> Result<Cow<'t, str>, D::Error> {
        json.deserialize_str(self)
    }
}
impl<'t> Visitor<'t> for Key {
    type Value = Cow<'t, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E>(self, text: &'t str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Owned(String::from(text)))
    }
}
